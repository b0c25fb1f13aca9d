"""The record types that jobs and apps have in common."""

"""Spaces: statements and members."""

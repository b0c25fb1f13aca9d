"""Persons, devices and spaces, with real relay processes."""

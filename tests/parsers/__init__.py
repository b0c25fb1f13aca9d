"""Arbitrary and mutated bytes, given to everything that reads bytes from outside."""

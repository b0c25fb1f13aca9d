"""Spaces: the signed statements that say who belongs, and what follows from them."""

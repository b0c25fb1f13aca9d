"""The commands of `chez`, a file for each group of them."""

__all__ = ()

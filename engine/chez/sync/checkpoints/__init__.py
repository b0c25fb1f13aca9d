"""Checkpoints: entries written smaller, taken in again, vouched for and dropped (docs/decisions/0019)."""

__all__ = ()

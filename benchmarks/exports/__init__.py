"""Large exports made from real ones, and how the bare library that a connector stands on reads them."""

__all__ = ()

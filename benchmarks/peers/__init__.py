"""Other software doing the same work, installed on first use into benchmarks/.cache."""

__all__ = ()

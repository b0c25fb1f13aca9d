"""The errors of open data.

    Untrusted
    └── DataInvalid    a catalogue or dataset fails its checks
        └── DataForked     its publisher signed two editions under one number
"""

from chez.errors import Untrusted

__all__ = ("DataForked", "DataInvalid")


class DataInvalid(Untrusted):
    """A catalogue or dataset fails its checks."""


class DataForked(DataInvalid):
    """A publisher signed two editions under one number."""

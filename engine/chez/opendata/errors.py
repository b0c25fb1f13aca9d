"""The errors of open data.

    Untrusted
    └── DataInvalid    a catalogue or dataset fails its checks
        ├── DataForked     its publisher signed two editions under one number
        └── DataContested  two keys claim to go on as its publisher
"""

from chez.errors import Untrusted

__all__ = ("DataContested", "DataForked", "DataInvalid")


class DataInvalid(Untrusted):
    """A catalogue or dataset fails its checks."""


class DataForked(DataInvalid):
    """A publisher signed two editions under one number."""


class DataContested(DataInvalid):
    """Two keys claim to go on as a publisher, and the one before signed both."""

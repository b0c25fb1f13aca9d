"""What is said of attachments: of one, and of all of a space."""

import msgspec

__all__ = ("BlobInfo", "BlobStatus")


class BlobInfo(msgspec.Struct, frozen=True):
    """How one attachment stands: whether all of it is on this device, is kept there, and is at a relay."""

    complete: bool
    pinned: bool
    at_relay: bool


class BlobStatus(msgspec.Struct, frozen=True):
    """How the attachments of a space stand.

    `known` to this device, `complete` on it, `bytes` of sealed pieces on its disk;
    `waiting` are those in records that are whole here and not at the relay yet.
    `problem` tells why sending stopped, empty if it did not.
    """

    known: int
    complete: int
    bytes: int
    waiting: int
    problem: str

"""What a relay refuses, and what can go wrong inside it.

    Code                the refusals a client sees (`Failed.code`, `OpenedSpace.error`, `Ended.code`)

    RelayError
    ├── StorageFailed   disk full, read-only, failing: the client may try again
    ├── StoreUnusable   the file is no relay's store, or of a newer version
    ├── BadConfiguration an option of the operator makes no sense
    └── ClusterFailed   the nodes of a local cluster can't be started

Messages carry no handle, no address and no content: they may be logged.
"""

import enum
import errno
import os
from typing import Final

__all__ = ("LONGEST", "BadConfiguration", "ClusterFailed", "Code", "RelayError", "StorageFailed", "StoreUnusable",
           "in_words")


class Code(enum.StrEnum):
    """Why a relay refused; docs/protocol.md says what a client does about each."""

    AHEAD = "ahead"
    """The offset asked for is beyond the end: the relay lost what it once had."""
    BAD_ENTRY = "bad_entry"
    """The envelope has another format, or another space's handle."""
    BAD_PACKETS = "bad_packets"
    """The packets are not in the order of their tags, or a tag is there twice."""
    BAD_RANGES = "bad_ranges"
    """The ranges of entries to drop do not rise, or overlap."""
    DAMAGED = "damaged"
    """What was asked for is no longer whole on the relay's disk: nothing of it is handed out."""
    DELETED = "deleted"
    """The space was deleted (also `Ended.code`)."""
    DENIED = "denied"
    """A signature does not verify with the credential stored for the role."""
    EXISTS = "exists"
    """The space or inbox exists with other keys."""
    FLOOD = "flood"
    """Too much was sent while earlier frames were waiting. Closes the connection."""
    FULL = "full"
    """The inbox holds as many items as it may."""
    MALFORMED = "malformed"
    """The message is no frame of this protocol. Closes the connection."""
    MISSING = "missing"
    """The relay does not hold this chunk for this space."""
    NOT_SUBSCRIBED = "not_subscribed"
    """Credit for a space without a subscription on this connection."""
    OUT_OF_ORDER = "out_of_order"
    """The frame is not allowed now: before Hello or Meet, a second one of these, or a Resume where roles are open."""
    QUOTA = "quota"
    """The space, its control quota or its quota for chunks is full."""
    ROLE = "role"
    """The role that the frame needs is not open on this connection."""
    ROTATED = "rotated"
    """The role's credential was replaced since it was opened (also `Ended.code`)."""
    STALE = "stale"
    """A rotation builds on another read key than the space has now, or a drop on another log."""
    STORAGE = "storage"
    """The disk failed and nothing was stored, or a cluster did not answer; the same request may be repeated."""
    STRANGER = "stranger"
    """No space in common was proven (closes the connection), or not this one: at a device's own relay on its network.
    """
    TOKEN = "token"
    """The operator wants a token for creating spaces."""
    TOO_MANY = "too_many"
    """The connection holds as many spaces open as it may."""
    TOO_OFTEN = "too_often"
    """More packets were asked for, roles proven, spaces or inboxes made or kept, than a connection or address may."""
    UNKNOWN = "unknown"
    """No such space or inbox here."""
    VERSION = "version"
    """No protocol version in common. Closes the connection."""
    WRONG_RELAY = "wrong_relay"
    """The name dialled is none of this relay's. Closes the connection."""


LONGEST: Final = 1000
"""Characters of an error: a sentence and a long path, and less than a screen."""


class RelayError(Exception):
    """The root of the relay's own errors; `message` and `hint` may be shown and logged."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(message, hint)

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class StorageFailed(RelayError):
    """The disk is full, read-only or failing; nothing of the group was stored."""


class StoreUnusable(RelayError):
    """The file is not a relay's store, or was written by a newer version."""


class BadConfiguration(RelayError):
    """An option makes no sense."""


class ClusterFailed(RelayError):
    """The nodes of a local cluster can't be started."""


def in_words(error: OSError) -> str:
    """What the system says of an error: asyncio's own text of one quotes addresses as Python does."""
    if error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return error.strerror or type(error).__name__

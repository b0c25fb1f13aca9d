"""Ephemeral messages: what a relay passes on to the other subscribers of a space at once, and keeps nowhere.

From outside a sealed one has the header of a sealed entry (`chez_wire.envelope`) under a magic of its own,
"CZM": neither is ever taken for the other. Its size is padded as an entry's.
"""

from typing import Annotated, Final

from msgspec import Meta

from chez_wire.envelope import HEADER_BYTES, TAG_BYTES, Header
from chez_wire.errors import EnvelopeError
from chez_wire.fields import Frame, Id
from chez_wire.limits import MAX_EPHEMERAL

__all__ = ("MAGIC", "SENDER_BYTES", "Broadcast", "Ephemeral", "ephemeral_header", "is_ephemeral")

MAGIC: Final = b"CZM"

SENDER_BYTES: Final = 16
"""Bytes by which a relay calls one connection at one space, random to everybody else."""

SealedMessage = Annotated[bytes, Meta(min_length=HEADER_BYTES + TAG_BYTES, max_length=MAX_EPHEMERAL)]


Sender = Annotated[bytes, Meta(min_length=SENDER_BYTES, max_length=SENDER_BYTES)]


class Broadcast(Frame, tag=22, frozen=True):
    """Pass an ephemeral message on to the other subscribers of a space; needs the role control. Has no answer.

    With `to`, to the one of them whose message came from that sender.
    """

    handle: Id
    message: SealedMessage
    to: Annotated[bytes, Meta(max_length=SENDER_BYTES)] = b""

    def __post_init__(self) -> None:
        if len(self.to) not in (0, SENDER_BYTES):  # a type of bytes has no gap between its least and its most
            raise ValueError(f"`to` is empty or has {SENDER_BYTES} bytes, not {len(self.to)}")


class Ephemeral(Frame, tag=47, frozen=True):
    """An ephemeral message of another connection, which `sender` stands for, to a space that is subscribed to."""

    handle: Id
    message: SealedMessage
    sender: Sender


def ephemeral_header(message: bytes) -> Header:
    """The header of a sealed ephemeral message.

    Raises `EnvelopeError` when the bytes are too short, too long, or of another format or version.
    """
    if not HEADER_BYTES + TAG_BYTES <= len(message) <= MAX_EPHEMERAL:
        raise EnvelopeError(f"an ephemeral message has {HEADER_BYTES + TAG_BYTES} to {MAX_EPHEMERAL} bytes, "
                            f"this one {len(message)}")
    return Header.decode(message, MAGIC)


def is_ephemeral(frame: bytes) -> bool:
    """Whether the bytes of a frame are those of an `Ephemeral`, as far as its first two tell."""
    return frame[:2] == b"\x94\x2f"  # an array of four, whose first is 47

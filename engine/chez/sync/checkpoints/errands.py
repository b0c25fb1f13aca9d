"""What a step of the desk asks of the relay, and what the relay answered about a checkpoint's segments."""

from dataclasses import dataclass, field

import msgspec

from chez import crypto
from chez.sync.checkpoints.format import Segment
from chez.sync.received import Received
from chez.sync.sealed import Sealed
from chez.sync.session import Dropping

__all__ = ("Again", "Answer", "Ask", "Drop", "Errand", "Get", "Look", "Put", "Send")


class Again(msgspec.Struct, frozen=True):
    """There is more to do here; `received` is what a turn of taking in led to."""

    received: Received | None = None


class Get(msgspec.Struct, frozen=True):
    """These segments are to come from the relay."""

    ids: tuple[bytes, ...]


class Look(msgspec.Struct, frozen=True):
    """These segments, which nobody's checkpoint is in, are to come from the relay, to be seen for what they are."""

    ids: tuple[bytes, ...]


class Put(msgspec.Struct, frozen=True):
    """The relay is to have these segments."""

    segments: tuple[Segment, ...]


class Ask(msgspec.Struct, frozen=True):
    """Whether the relay holds all these segments of a checkpoint, by its entry, and which drop was its last one."""

    entry: bytes
    ids: tuple[bytes, ...]


class Send(msgspec.Struct, frozen=True):
    """An own entry was made."""

    sealed: Sealed


@dataclass(frozen=True, slots=True)
class Drop:
    """The relay is to drop what a vouch, by its entry, names."""

    entry: bytes
    admin: crypto.SigningKey = field(repr=False)
    dropping: Dropping


Errand = Again | Get | Look | Put | Ask | Send | Drop | None


class Answer(msgspec.Struct, frozen=True):
    """What the relay said to an `Ask`: whether it holds all that was `asked`, what of it, and its last drop then.

    The drop's name is empty when it refused to say.
    """

    entry: bytes
    whole: bool
    drop: bytes
    held: frozenset[bytes] = frozenset()
    asked: frozenset[bytes] = frozenset()

"""How far a space's machine has come, what it asks of the shell, and what it counts."""

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from chez.store.database import Connection

__all__ = ("Phase", "Progress", "Work")


class Phase(enum.Enum):
    """How far a connection has come."""

    GREETING = enum.auto()
    OPENING = enum.auto()
    CREATING = enum.auto()
    FETCHING = enum.auto()
    ROTATING = enum.auto()
    FOLLOWING = enum.auto()


class Work(msgspec.Struct, frozen=True):
    """`run` in one transaction, then give its result to `then`, which may return more work.

    `shown_first`: it brings what is to be shown, and if a crash undoes it, the relay leads to the same work again, or
    the author of what it was just storing does.
    `ahead`, where it is set, is asked just before `run` is handed over to the store, which has nothing to do then, and
    writes nothing: it gives what tells of what `run` will show, if that is known before (`sync.ahead`), and that gives
    whether it told anybody. `early`: it is done only if it did, and not before somebody reads or writes, or the relay
    is late with work that is done `instead` of it.
    """

    run: Callable[[Connection], Any]
    then: Callable[[Any], "list[Work]"]
    shown_first: bool = False
    ahead: Callable[[Connection], Callable[[], bool] | None] | None = None
    early: bool = False
    instead: "Work | None" = None


@dataclass(slots=True)
class Progress:
    """What was done on this connection so far; `end` is the last offset the relay showed, `read` how many bytes of
    entries were taken in, `left` how many entries are known to be left to send."""

    sent: int = 0
    received: int = 0
    quarantined: int = 0
    position: int = 0
    end: int = 0
    reset: bool = False
    read: int = 0
    left: int = 0

    @classmethod
    def together(cls, parts: "Iterable[Progress]") -> "Progress":
        """The same for several at once."""
        each = list(parts)
        return cls(sum(one.sent for one in each), sum(one.received for one in each),
                   sum(one.quarantined for one in each), sum(one.position for one in each),
                   sum(one.end for one in each), any(one.reset for one in each),
                   sum(one.read for one in each), sum(one.left for one in each))

    @property
    def done(self) -> "Progress":
        """What was done alone, without how far that is."""
        return Progress(self.sent, self.received, self.quarantined, reset=self.reset, read=self.read)

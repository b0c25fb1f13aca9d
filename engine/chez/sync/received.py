"""What entries that came in led to."""

from dataclasses import dataclass, field

from chez.spaces.statements import Signed
from chez.sync.heads import Alarm
from chez.sync.tally import Notice

__all__ = ("Received",)


@dataclass(slots=True)
class Received:
    """What a page of entries led to; `entries` is how many of them were looked at.

    `left`: more of what is here waits for its turn.
    """

    entries: int = 0
    left: bool = False
    applied: int = 0
    duplicates: int = 0
    quarantined: int = 0
    statements: list[Signed] = field(default_factory=list)
    said: bool = False
    """Whether any statement came, even one that has not all it builds on yet: it may lead to keys."""
    alarms: list[Alarm] = field(default_factory=list)
    """What shows that the relay showed another device other entries."""
    notices: list[Notice] = field(default_factory=list)
    """What the person should know of."""
    owed: bool = False
    """Whether the statements left a new epoch owed, which is this device's to start before others'."""
    placed: list[tuple[int, int, bytes]] = field(default_factory=list)
    """At which relay's which offset an entry of changes was, by its hash."""
    shown: dict[bytes, set[int]] = field(default_factory=dict)
    """At which relays an entry was that waits or waited for its turn, by its hash."""
    again: list[tuple[int, int]] = field(default_factory=list)
    """At which relay an entry was that is here already, by its row."""
    first: int | None = None
    """The row of the first entry that was accepted."""
    checkpoints: bool = False
    """Whether a manifest or a vouch came."""
    spaces: list[int] = field(default_factory=list)
    """The rows of the spaces that another device of the person told of."""

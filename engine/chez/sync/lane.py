"""One of the spaces that share a connection: its `SyncMachine`, what is to be done for it, and how it stands.

One whose store or log is damaged, or that has no part in its space any more, stops with its error (STOPPED); one that
can't go on just now, that the relay refuses, or of which somebody says that it lies, is begun again on the same
connection (RESTING).
"""

import enum
from dataclasses import dataclass, field
from typing import Any

import msgspec

from chez.errors import ChezError, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.store.database import Connection
from chez.sync.channel import Channel
from chez.sync.machine import SyncMachine
from chez.sync.patience import Silence
from chez.sync.replica import Replica
from chez.sync.work import Work

__all__ = ("Job", "Lane", "State")


class State(enum.Enum):
    """Whether a lane goes on, waits to be begun again, or ended with its error."""

    LIVE = enum.auto()
    RESTING = enum.auto()
    STOPPED = enum.auto()


@dataclass(slots=True, eq=False)
class Lane:
    """One space on the connection; `error` tells why it is not kept in step."""

    replica: Replica
    channel: Channel
    machine: SyncMachine
    state: State = State.LIVE
    error: ChezError | None = None
    works: list[Work] = field(default_factory=list)
    under_way: int = 0
    """How much work is being done: what it leads to is not known yet."""
    rests: int = 0
    """How often it could not go on since it last could."""
    doubts: int = 0
    """How often it rested on hearsay: each time it goes on longer."""
    turned_away: bool = False
    """Whether it rests on a relay's word that no other device changes: for long, until its operator may have."""
    heard: int = 0
    """How often the relay said something of the space."""
    silence: Silence = field(default_factory=Silence)

    @property
    def asks(self) -> bool:
        """Whether it is for the relay to say something, and not for this device to go on."""
        return self.state is State.LIVE and self.machine.asks and not self.works and not self.under_way

    @property
    def seals(self) -> bool:
        """Whether transactions seal what they write in this space."""
        return self.state is State.LIVE and self.machine.sealing

    @property
    def idle(self) -> bool:
        """Whether everything known of either side has reached the other."""
        return self.state is State.LIVE and self.machine.idle and not self.works and not self.under_way

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way: what did not reach the other side waits for room, or for others' statements."""
        return self.state is State.LIVE and self.machine.quiet and not self.works and not self.under_way

    @property
    def stuck(self) -> bool:
        """Whether all has but for what the relay has no room for."""
        return self.state is State.LIVE and self.machine.stuck and not self.works and not self.under_way

    def left_behind(self, error: ChezError) -> bool:
        """Whether it was refused though nobody took it out: another device may be about to see to that."""
        return isinstance(error, RelayRefused) and error.reason == "denied" and not self.replica.access.removed

    def over(self, error: ChezError) -> bool:
        """Whether a relay can do nothing about what it ended with: it is this home's, or the device was taken out."""
        if not isinstance(error, RelayRefused | RelayMisbehaved | RelayUnreachable):
            return True
        return isinstance(error, RelayRefused) and (error.reason in ("handle", "dropped", "stranger") or (
            error.reason == "denied" and self.replica.access.removed))


class Job(msgspec.Struct, frozen=True):
    """Work of a lane that is being done; it is nobody's any more once the lane has another machine."""

    lane: Lane
    machine: SyncMachine
    work: Work
    met: bool
    """Whether the machine read how far the relay was read."""

    def run(self, db: Connection) -> Any:
        """The work, in the store's transaction. Raises what it does, and `RelayUnreachable` for a space that went."""
        if self.met:
            self.machine.replica.check_place(db, self.machine.relay)
        return self.work.run(db)

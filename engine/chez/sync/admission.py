"""How a space comes to be open at a relay, as part of the machine that keeps it in step (`sync.machine`). No I/O.

    begun -> resumed (the store says how far the relay was read) -> open

The credentials are those of the epoch that the relay had last. Where it refuses them others are tried, those that it
gives out in packets among them (`sync.tries`); where it does not know the space, that is created first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chez.errors import RelayMisbehaved, RelayRefused
from chez.keys.epochs import Epoch
from chez.sync import shut_out
from chez.sync.channel import Channel
from chez.sync.events import Completed, Event, PacketArrived, Refused, SpaceResumed, SpacesOpened
from chez.sync.received import Received
from chez.sync.replica import Replica
from chez.sync.rotating import Creation
from chez.sync.sealed import Cursor
from chez.sync.tries import Tries
from chez.sync.work import Phase, Work

__all__ = ("SEND_AGAIN", "Admission")

SEND_AGAIN: Final = "`chez sync --reseed` sends it what it lacks; use another relay."
"""What to do about a relay that shows less, or other things, than it had."""


@dataclass(slots=True)
class Admission:
    """`credit` says how much the relay may send ahead from now on, in bytes; `resumed` hears how far it was read, and
    whether its store is another one; `took` what a packet led to; `opened` up to where its log goes, once it lets in.
    """

    replica: Replica
    relay: int
    channel: Channel
    credit: Callable[[], int]
    resumed: Callable[[Cursor, bool], None]
    took: Callable[[Received], None]
    opened: Callable[[int], list[Work]]
    phase: Phase = Phase.GREETING
    cursor: Cursor | None = None
    """How far the relay was read; None until that is known."""
    epoch: Epoch | None = None
    """Whose credentials were tried last."""
    _tries: Tries = field(init=False)
    _lent: int = 0
    _ref: int = 0
    _created: bool = False

    def __post_init__(self) -> None:
        self._tries = Tries(self.replica)

    @property
    def asks(self) -> bool:
        """Whether the relay was asked something that it did not answer."""
        return self.phase in (Phase.OPENING, Phase.CREATING, Phase.FETCHING)

    def begin(self, incarnation: bytes) -> list[Work]:
        """Begin, or begin anew, at a store of this incarnation."""
        self.phase, self.cursor = Phase.GREETING, None
        self._tries.begin()
        return [Work(lambda db: self.replica.resume(db, self.relay, incarnation), self._resumed)]

    def mine(self, event: Event) -> bool:
        """Whether an event answers what was asked here last."""
        match event:
            case SpacesOpened() | SpaceResumed():
                return event.ref == self._ref and self.phase is Phase.OPENING
            case Completed():
                return event.ref == self._ref and self.phase is Phase.CREATING
            case PacketArrived():
                return event.ref == self._ref and self.phase is Phase.FETCHING
            case Refused(code="exists"):
                return self.phase is Phase.CREATING
            case Refused(code="unknown"):
                return self.phase is Phase.FETCHING
        return False

    def handle(self, event: Event) -> list[Work]:
        """React to what is `mine`. Raises `RelayRefused`, `RelayMisbehaved`."""
        match event:
            case SpacesOpened():
                return self._answered(event)
            case SpaceResumed():
                return self._open_now(event.end)
            case PacketArrived():
                return [Work(lambda db: self.replica.take_packet(db, self.relay, event.box), self._fetched)]
            case Refused(code="unknown"):
                return self._fetch()
            case _:  # created, or it exists: another device was first, or this one before a crash
                return [] if self.epoch is None else self._open(self.epoch)

    def _resumed(self, result: tuple[Cursor, bool, Epoch]) -> list[Work]:
        self.cursor, reset, epoch = result
        self.resumed(self.cursor, reset)
        return self._open(epoch) if self.replica.access.owns(epoch) else self._denied()

    def _open(self, epoch: Epoch) -> list[Work]:
        self.phase, self.epoch = Phase.OPENING, epoch
        self._lent = self.credit()
        self._ref = self.channel.open(self._tries.claims(epoch), self.cursor, self._lent)
        return []

    def _answered(self, event: SpacesOpened) -> list[Work]:
        refusals = {space.error for space in event.spaces if space.error}
        lost = "deleted" if self.replica.anew else "unknown"
        if refusals in ({"unknown"}, {lost}) and not self._created:
            self._created, self.phase = True, Phase.CREATING
            return [Work(lambda db: self.replica.creation(db, self.relay), self._create)]
        if "denied" in refusals:
            return self._denied()
        if "deleted" in refusals:
            way = ("`chez space forget` frees it." if self.replica.access.follows else
                   "`chez sync --reseed` brings it back there.")
            raise RelayRefused("this space was deleted at the relay", f"What is here stays. {way}", reason="deleted")
        if refusals:
            raise RelayRefused(f"the relay does not open this space ({', '.join(sorted(refusals))})",
                               "It may hold another epoch's credentials, or none.", reason=min(refusals))
        cursor = self.cursor or Cursor(0, bytes(32))
        end = max(space.offset for space in event.spaces)
        if end < cursor.position:
            raise RelayMisbehaved(f"the relay shows {end} entries where it had shown {cursor.position}",
                                  "Your data is still here. Its store was rolled back, or it hides entries. "
                                  f"{SEND_AGAIN}")
        if end == cursor.position and any(space.head != cursor.head for space in event.spaces if space.offset == end):
            raise RelayMisbehaved("the relay shows other entries than it had shown before",
                                  "Your data is still here. Its store was rolled back, or it shows different logs. "
                                  f"{SEND_AGAIN}")
        self.channel.subscribe(self.replica.space.handle, cursor.position, self._lent, head=cursor.head)
        return self._open_now(end)

    def _open_now(self, end: int) -> list[Work]:
        self.phase = Phase.FOLLOWING
        return self.opened(end)

    def _create(self, made: Creation) -> list[Work]:
        self.epoch = made.epoch
        self._ref = self.channel.create_space(made.admin, made.recovery, made.epoch.read.public, made.append,
                                              made.control, made.token, made.packets)
        return []

    def _denied(self) -> list[Work]:
        """The relay has other credentials: those of the newest epoch here, what this device's packet has, or older."""
        if (newest := self._tries.newest()) is not None:
            return self._open(newest)
        return self._fetch()

    def _fetch(self) -> list[Work]:
        self.phase = Phase.FETCHING
        if (tag := self._tries.tag()) is not None:
            self._ref = self.channel.get_packet(self.replica.space.handle, tag)
            return []
        try:
            return self._open(self._tries.older())
        except RelayRefused as error:
            return [shut_out.told(self.replica.space.n, self.relay, error)]

    def _fetched(self, taken: tuple[Epoch | None, Received]) -> list[Work]:
        epoch, received = taken
        self.took(received)
        if epoch is None:
            self._tries.bare()
        if epoch is not None and self._tries.leads(epoch):
            return self._open(epoch)
        return self._fetch()

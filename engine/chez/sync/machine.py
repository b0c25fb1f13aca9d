"""Keeping one space in step with one relay over one connection, as a state machine.

The machine neither waits nor writes. It turns session events and local writes into
frames (through its `ClientSession`) and into *work*: a function for the store's
transaction and what to do with its result. The shell (`sync.link`) commits work in the
order given and hands results back; the simulation does the same with a seeded
scheduler. Work is saved before what it sends, so a crash between any two steps loses
nothing and repeats only bytes that are idempotent.

    start -> greeted -> resumed -> opened (or created, then opened) -> following
"""

import enum
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from chez.errors import RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.store.database import Connection
from chez.sync.events import AppendDone, Completed, EntriesArrived, Event, Refused, RolesEnded, SpacesOpened, Welcomed
from chez.sync.replica import Cursor, Received, Replica, Sealed
from chez.sync.session import ClientSession
from chez_wire.limits import DEFAULT_CREDIT
from chez_wire.login import Role

__all__ = ("Phase", "Progress", "SyncMachine", "Work")

WINDOW: Final = 4 * 1024 * 1024
"""Bytes of own entries under way to the relay: a few full frames keep both sides busy."""


@dataclass(frozen=True, slots=True)
class Work:
    """`run` in one transaction, then give its result to `then`, which may return more work.

    `repeatable`: if a crash undoes it, the relay leads to the same work again.
    """

    run: Callable[[Connection], Any]
    then: Callable[[Any], "list[Work]"]
    repeatable: bool = False


class Phase(enum.Enum):
    """How far a connection has come."""

    GREETING = enum.auto()
    OPENING = enum.auto()
    CREATING = enum.auto()
    FOLLOWING = enum.auto()


@dataclass(slots=True)
class Progress:
    """What was done on this connection so far; `end` is the last offset the relay showed."""

    sent: int = 0
    received: int = 0
    quarantined: int = 0
    position: int = 0
    end: int = 0
    reset: bool = False


@dataclass(slots=True)
class SyncMachine:
    """One space on one connection; `relay` is the relay's row in the store."""

    replica: Replica
    relay: int
    session: ClientSession
    phase: Phase = Phase.GREETING
    sealing: bool = False
    """Whether transactions seal what they write: once everything before is sealed, for
    entries are sealed in the order of their chain."""
    progress: Progress = field(default_factory=Progress)
    _queue: "OrderedDict[bytes, Sealed]" = field(default_factory=OrderedDict)
    _flying: "dict[int, Sealed]" = field(default_factory=dict)
    _bytes: int = 0
    _applying: int = 0
    _owed: int = 0
    _cursor: Cursor | None = None
    _ref: int = 0
    _until: int = 0
    """Nothing is sent before everything up to this offset was taken in: a restored copy of a
    home finds its own later entries there, and must not write over them."""

    @property
    def idle(self) -> bool:
        """Whether everything known of either side has reached the other."""
        return (self.phase is Phase.FOLLOWING and self.sealing and not self._queue and not self._flying
                and not self._applying and self.progress.position >= self.progress.end)

    def handle(self, event: Event) -> list[Work]:
        """React to one event of the session.

        Raises `RelayRefused` and `RelayMisbehaved`, which end the connection.
        """
        match event:
            case Welcomed():
                return [Work(lambda db: self.replica.resume(db, self.relay, event.incarnation), self._resumed)]
            case SpacesOpened():
                return self._opened(event)
            case Completed() if event.ref == self._ref and self.phase is Phase.CREATING:
                self._open()
            case EntriesArrived():
                return self._arrived(event)
            case AppendDone():
                return self._appended(event)
            case RolesEnded():
                raise RelayUnreachable("the keys of this space at the relay were replaced", "It is opened anew.")
            case Refused(retry=True):
                raise RelayUnreachable(f"the relay can't just now: {event.message}", "It is tried again.")
            case Refused():
                raise RelayRefused(f"the relay refused: {event.message}", reason=event.code)
        return []

    def send(self, sealed: list[Sealed]) -> None:
        """Send own entries that are durable here, as far as the window allows."""
        under_way = {entry.id for entry in self._flying.values()} if sealed else set()
        for entry in sealed:
            if entry.id not in under_way:
                self._queue.setdefault(entry.id, entry)
        if self.phase is not Phase.FOLLOWING or self.progress.position < self._until:
            return
        while self._queue and (not self._flying or self._bytes < WINDOW):
            _, entry = self._queue.popitem(last=False)
            role = Role.CONTROL if entry.control else Role.APPEND
            self._flying[self.session.append(self.replica.space.handle, role, entry.envelope)] = entry
            self._bytes += len(entry.envelope)

    # --- steps ------------------------------------------------------------------------

    def _resumed(self, result: tuple[Cursor, bool]) -> list[Work]:
        self._cursor, self.progress.reset = result
        self.progress.position = self._cursor.position
        self._open()
        return []

    def _open(self) -> None:
        self.phase = Phase.OPENING
        epoch, handle = self.replica.space.epoch, self.replica.space.handle
        claims = [(handle, Role.READ, epoch.read), (handle, Role.CONTROL, epoch.control)]
        if epoch.append is not None:
            claims.append((handle, Role.APPEND, epoch.append))
        self._ref = self.session.open(claims)

    def _opened(self, event: SpacesOpened) -> list[Work]:
        refusals = {space.error for space in event.spaces if space.error}
        if refusals == {"unknown"} and self.replica.space.admin is not None and self.phase is Phase.OPENING:
            self._create()
            return []
        if refusals:
            raise RelayRefused(f"the relay does not open this space ({', '.join(sorted(refusals))})",
                               "It may hold another epoch's credentials, or none.", reason=min(refusals))
        cursor = self._cursor or Cursor(0, bytes(32))
        end = max(space.offset for space in event.spaces)
        if end < cursor.position:
            raise RelayMisbehaved(f"the relay shows {end} entries where it had shown {cursor.position}",
                                  "Your data is still here. Its store was rolled back, or it hides entries.")
        self.progress.end = self._until = end
        self.phase = Phase.FOLLOWING
        self.session.subscribe(self.replica.space.handle, cursor.position, DEFAULT_CREDIT, head=cursor.head)
        return self._seal()

    def _seal(self) -> list[Work]:
        """Seal what waits, and from then on what is written; a home that became a new device reads first."""
        if self.sealing or (self.replica.unsettled and self.progress.position < self._until):
            return []
        return [Work(lambda db: self.replica.unacknowledged(db, self.relay), self._begin_sealing)]

    def _create(self) -> None:
        space = self.replica.space
        create, epoch = space.membership.create, space.epoch
        person = None if create is None else space.membership.state.persons.get(create.person)
        if space.admin is None or person is None or epoch.append is None:
            raise RelayRefused("the relay does not know this space", "Only an owner's device can create it there.",
                               reason="unknown")
        self.phase = Phase.CREATING
        self._ref = self.session.create_space(space.admin, person.relay_recovery, epoch.read.public,
                                              epoch.append.public, epoch.control.public)

    def _begin_sealing(self, sealed: list[Sealed]) -> list[Work]:
        self.sealing = True
        self.send(sealed)
        # What was written since that work and before this line was sealed by neither.
        return [Work(lambda db: self.replica.outgoing(db, self.relay), self._send)]

    def _send(self, sealed: list[Sealed]) -> list[Work]:
        self.send(sealed)
        return []

    def _arrived(self, event: EntriesArrived) -> list[Work]:
        self.progress.end = max(self.progress.end, event.end)
        if not event.entries:
            return []
        size = sum(len(entry.envelope) for entry in event.entries)
        self._applying += 1

        def done(received: Received) -> list[Work]:
            self._applying -= 1
            self.progress.received += received.applied
            self.progress.quarantined += received.quarantined
            self.progress.position = event.entries[-1].offset
            self._credit(event.handle, size)
            self.send([])
            return self._seal() if self.replica.unsettled else []

        return [Work(lambda db: self.replica.incoming(db, self.relay, event.entries, event.head), done,
                     repeatable=True)]

    def _credit(self, handle: bytes, size: int) -> None:
        """Give back credit in large pieces: a frame for each small entry costs both sides more than the entry."""
        self._owed += size
        if self._owed >= DEFAULT_CREDIT // 2:
            self.session.credit(handle, self._owed)
            self._owed = 0

    def _appended(self, event: AppendDone) -> list[Work]:
        entry = self._flying.pop(event.ref)
        if entry.id != event.entry:
            raise RelayMisbehaved("the relay acknowledged another entry than the one sent")
        self._bytes -= len(entry.envelope)
        self._applying += 1
        passed = Cursor(event.offset, event.head) if event.passed else None
        self.progress.end = max(self.progress.end, event.offset)

        def done(_: None) -> list[Work]:
            self._applying -= 1
            self.progress.sent += 1
            if passed is not None:
                self.progress.position = passed.position
            self.send([])
            return []

        return [Work(lambda db: self.replica.acknowledged(db, self.relay, entry, passed), done, repeatable=True)]

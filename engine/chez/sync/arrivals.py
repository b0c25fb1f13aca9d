"""What a relay's log brings for one space, worked off in turns.

Pages, and own entries that the relay passes over, move the cursor, so they are worked on in
their order. One turn is one transaction and takes in a bounded amount (`sync.intake.TURN`),
with the cursor behind it; a page need not be done in one. What an earlier page left over in
the store comes first, so that what waits there stays bounded too.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from chez.records.waiting import Budget
from chez.store.database import Connection
from chez.sync.events import EntriesArrived
from chez.sync.heads import Alarm
from chez.sync.intake import TURN
from chez.sync.received import Received
from chez.sync.replica import Replica
from chez.sync.sealed import Cursor, Sealed
from chez_wire.frames import Dropped, Entry

__all__ = ("Arrivals", "Moved")

_Done = list[Received | None]
"""What a turn led to: of what was left over, then of each arrival it worked on; None for an entry passed over."""


@dataclass(slots=True)
class Moved:
    """What a turn came to: the cursor's position (None: where it was), bytes of envelopes that are done with,
    entries applied, set aside, and passed over; whether a new epoch is owed, and what speaks against the relay."""

    position: int | None = None
    done: int = 0
    applied: int = 0
    quarantined: int = 0
    passed: int = 0
    owed: bool = False
    gap: bool = False
    """Whether it passed over entries that were dropped."""
    checkpoints: bool = False
    """Whether a manifest or a vouch came."""
    alarms: list[Alarm] = field(default_factory=list)
    spaces: list[int] = field(default_factory=list)
    """The rows of the spaces that it told of."""


@dataclass(slots=True)
class Arrivals:
    """The queue of one connection; `relay` is the relay's row in the store."""

    replica: Replica
    relay: int
    busy: bool = False
    """Whether a turn is under way."""
    _queue: "deque[EntriesArrived | Dropped | tuple[Sealed, Cursor]]" = field(default_factory=deque)

    @property
    def idle(self) -> bool:
        """Whether all is done, what was left over before included."""
        return not (self.busy or self._queue or self.replica.left)

    @property
    def brings(self) -> bool:
        """Whether entries of others are in the queue: acknowledgements alone show nothing."""
        return any(isinstance(arrived, EntriesArrived) for arrived in self._queue)

    @property
    def single(self) -> Entry | None:
        """The entry of another that is all there is in the queue, if it is one."""
        first = self._queue[0] if len(self._queue) == 1 else None
        return first.entries[0] if isinstance(first, EntriesArrived) and len(first.entries) == 1 else None

    def ahead(self, db: Connection, position: int) -> Callable[[], bool] | None:
        """What tells of what the turn that begins will show, if that is known before it (`sync.ahead`).

        `position` is where the cursor is.
        """
        entry = self.single
        return None if entry is None or entry.offset != position + 1 else self.replica.ahead(db, entry)

    @property
    def gathers(self) -> bool:
        """Whether something is in the queue, and no turn is under way."""
        return bool(self._queue) and not self.busy

    def page(self, event: EntriesArrived) -> None:
        """A page came. Ranges that were dropped are passed over in their turn."""
        if not event.dropped:
            self._queue.append(event)
            return
        run: list[Entry] = []
        for step in event.steps:
            if isinstance(step, Dropped):
                self._run(replace(event, head=b""), run)
                self._queue.append(step)
                run = []
            else:
                run.append(step)
        self._run(event, run)

    def _run(self, event: EntriesArrived, entries: list[Entry]) -> None:
        if entries:
            self._queue.append(replace(event, entries=tuple(entries), dropped=()))

    def passed(self, entry: Sealed, cursor: Cursor) -> None:
        """The relay holds an own entry, and what comes next is behind `cursor`."""
        self._queue.append((entry, cursor))

    def clear(self) -> None:
        """The relay is read anew, from the cursor on."""
        self._queue.clear()

    def begin(self) -> bool:
        """Begin a turn, if there is one to begin and none is under way."""
        if self.busy or self.idle:
            return False
        self.busy = True
        return True

    def turn(self, db: Connection) -> _Done:
        """One turn, in an open transaction. Raises `RelayUnreachable`, `HomeCopied`."""
        budget = Budget(TURN)
        done: _Done = [self.replica.go_on(db, budget) if self.replica.left else Received()]
        for arrived in tuple(self._queue):
            if budget.spent or self.replica.left:
                break
            if isinstance(arrived, EntriesArrived):
                done.append(self.replica.incoming(db, self.relay, arrived.entries, arrived.head, budget))
            elif isinstance(arrived, Dropped):
                done.append(self.replica.pass_over(db, self.relay, arrived))
            else:
                self.replica.author.acknowledged(db, self.relay, *arrived)
                done.append(None)
        return done

    def end(self, done: _Done) -> Moved:
        """A turn is committed."""
        self.busy = False
        moved = Moved()
        for number, received in enumerate(done):
            arrived = self._queue.popleft() if number else None
            if received is not None:
                moved.applied += received.applied
                moved.quarantined += received.quarantined
                moved.owed = moved.owed or received.owed
                moved.checkpoints = moved.checkpoints or received.checkpoints
                moved.alarms += received.alarms
                moved.spaces += received.spaces
            if isinstance(arrived, EntriesArrived) and received is not None:
                self._moved(arrived, received.entries, moved)
            elif isinstance(arrived, Dropped):
                moved.position = arrived.last
                moved.gap = True
            elif isinstance(arrived, tuple):
                moved.passed += 1
                moved.position = arrived[1].position
        return moved

    def _moved(self, page: EntriesArrived, count: int, moved: Moved) -> None:
        taken, rest = page.entries[:count], page.entries[count:]
        if rest:
            self._queue.appendleft(replace(page, entries=rest))
        if taken:
            moved.position = taken[-1].offset
            moved.done += sum(len(entry.envelope) for entry in taken)

"""Keeping one space in step with one relay over one connection, as a state machine.

The machine neither waits nor writes. It turns session events and local writes into
frames (through its `Channel`) and into *work*: a function for the store's
transaction and what to do with its result. The shell (`sync.driver`) commits work in the
order given and hands results back; the simulation does the same with a seeded
scheduler. Work is saved before what it sends, so a crash between any two steps loses
nothing and repeats only bytes that are idempotent.

What arrives is taken in in turns (`sync.arrivals`), and this device's own reads and writes
come in between. The relay gets credit for what was taken in, so what waits here is bounded.

    start -> greeted -> opened (`sync.admission`) -> following

While following, an owner's device replaces the relay's keys when a newer epoch is sealed
under, and what ends somebody's rights has left; then the space is opened anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from chez.errors import RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.keys.epochs import Epoch
from chez.store.database import Connection
from chez.sync.admission import SEND_AGAIN, Admission
from chez.sync.arrivals import Arrivals
from chez.sync.channel import Channel
from chez.sync.checkpoints.course import Course
from chez.sync.checkpoints.desk import Desk
from chez.sync.events import (
    AppendDone,
    EarlyArrived,
    EntriesArrived,
    Event,
    Refused,
    RolesEnded,
    Welcomed,
)
from chez.sync.flow import Credit
from chez.sync.heads import Alarm
from chez.sync.outgoing import Outgoing
from chez.sync.received import Received
from chez.sync.replacement import Replacement
from chez.sync.replica import Replica
from chez.sync.requests import NO_TOKEN
from chez.sync.sealed import Cursor, Sealed
from chez.sync.work import Phase, Progress, Work
from chez_wire.frames import Entry

__all__ = ("SyncMachine",)


@dataclass(slots=True)
class SyncMachine:
    """One space on one connection; `relay` is the relay's row in the store."""

    replica: Replica
    relay: int
    session: Channel
    share: int = 1
    """How many spaces share the connection: so much less may be under way for each."""
    gathers: bool = False
    """Whether acknowledgements alone wait for `go_on`, which the shell asks for a moment later."""
    sealing: bool = False
    """Whether transactions seal what they write: once everything before is sealed, for
    entries are sealed in the order of their chain."""
    progress: Progress = field(default_factory=Progress)
    admission: Admission = field(init=False)
    """How it comes to be open at the relay."""
    arrivals: Arrivals = field(init=False)
    """What came and was not worked on yet."""
    spaces: list[int] = field(default_factory=list)
    """The rows of the spaces that what came told of: for the shell to take out and open."""
    course: Course = field(init=False)
    """Its checkpoints."""
    outgoing: Outgoing = field(init=False)
    """Its own entries that the relay is to have."""
    replacement: Replacement = field(init=False)
    """The relay's keys being replaced by those of a newer epoch."""
    _credit: Credit = field(default_factory=Credit)
    _applying: int = 0
    _begun: bool = False
    """Whether what waits is being sealed."""
    _incarnation: bytes = b""
    _coming: tuple[Entry, Work] | None = None
    """The entry that the relay is storing, and what is done with it before it says that it has."""
    _behind: bool = False
    """Whether the relay passed over a gap, and what a checkpoint has of it is not here yet: nothing is sent before."""
    _until: int = 0
    """Nothing is sent before all up to this offset was taken in: a restored home finds own later entries there."""

    def __post_init__(self) -> None:
        self.admission = Admission(self.replica, self.relay, self.session, self._lend, self._resumed, self._told,
                               self._opened)
        self.arrivals = Arrivals(self.replica, self.relay)
        self.outgoing = Outgoing(self.replica, self.session)
        self.replacement = Replacement(self.replica, self.relay, self.session, self.admission, self.outgoing,
                                       self._flush, lambda: self.send([]))
        self.course = Course(Desk(self.replica, self.relay), self.session, self.send, self._took, self._whole)

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        return Phase.ROTATING if self.replacement.under_way else self.admission.phase

    @property
    def met(self) -> bool:
        """Whether it is known how far the relay was read."""
        return self.admission.cursor is not None

    @property
    def idle(self) -> bool:
        """Whether everything known of either side has reached the other."""
        return self._done and not self.outgoing.window.full

    @property
    def unsaid(self) -> bool:
        """Whether the relay has no room for what is said of the space."""
        return self.outgoing.window.mute

    @property
    def stuck(self) -> bool:
        """Whether all has but for what the relay has no room for."""
        return self._done and self.outgoing.window.full

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way: all has, but for what waits for room, or for what others said elsewhere."""
        return (self.phase is Phase.FOLLOWING and self.sealing and not self.outgoing.window.moves and not self._applying
                and self.arrivals.idle and self.progress.position >= self.progress.end
                and not self._behind and not self.course.busy)

    @property
    def _done(self) -> bool:
        return self.quiet and (self.unsaid or not self._rotates())

    @property
    def asks(self) -> bool:
        """Whether the relay was asked something that it did not answer, or did not bring all that it says to have."""
        return (self.admission.asks or self.replacement.under_way or self.outgoing.window.asks or self.course.asks
                or (self._follows and self.arrivals.idle and self.progress.position < self.progress.end))

    @property
    def gathering(self) -> bool:
        """Whether acknowledgements wait for `go_on`. While the space is opened anew nothing comes of asking for that.
        """
        return self._follows and self.arrivals.gathers

    @property
    def _follows(self) -> bool:
        return self.admission.phase is Phase.FOLLOWING

    @property
    def _epoch(self) -> Epoch | None:
        """Whose credentials the relay has, as far as is known."""
        return self.admission.epoch

    def handle(self, event: Event) -> list[Work]:
        """React to one event of the session.

        Raises `RelayRefused` and `RelayMisbehaved`, which end the connection.
        """
        for part in (self.course, self.admission):
            if part.mine(event):
                return part.handle(event)
        match event:
            case Welcomed():
                self._incarnation = event.incarnation
                return self._resume()
            case EntriesArrived():
                return self._arrived(event)
            case AppendDone():
                return self._appended(event)
            case EarlyArrived():
                return self._early(event.entry)
            case RolesEnded(code="rotated"):
                return self._resume()
            case RolesEnded():
                raise RelayUnreachable("this space was deleted at the relay", "It is asked again.")
            case Refused(code="rotated"):
                # What was under way is among what is sealed anew when the space is open again.
                self.outgoing.window.answered(event.ref)
                return []
            case Refused(code="quota") if (entry := self.outgoing.window.answered(event.ref)) is not None:
                return self._no_room(entry, event)
            case Refused(code="stale"):  # another device was first; if that ended our roles already, we are on it
                return self._resume() if self.replacement.under_way else []
            case Refused(code="token"):
                raise RelayRefused(f"the relay refused: {event.message}", NO_TOKEN, reason="token")
            case Refused(retry=True):
                raise RelayUnreachable(f"the relay can't just now: {event.message}", "It is tried again.")
            case Refused():
                raise RelayRefused(f"the relay refused: {event.message}", reason=event.code)
        return []

    def send(self, sealed: list[Sealed]) -> list[Work]:
        """Send own entries that are durable here, as far as the window allows; what is to be done next."""
        self.outgoing.window.add(sealed)
        self._flush()
        return self._rotate()

    def forward(self, *, at_once: bool) -> list[Work]:
        """Give the relay what another one brought a while ago, or `at_once` at any time, and this one does not show.

        Where changes have no room what is said of the space alone: sealed, they would wait for room on every device,
        and each would send them all once there is some. Keys that can't be replaced before the relay has heard why do
        not wait for a while to pass.
        """
        said, now = self.outgoing.window.full, at_once or self._rotates()
        return [] if not (self.replica.relays.carries and self.quiet) else [
            Work(lambda db: self.replica.author.overdue(db, self.relay, at_once=now, said=said), self._send)]

    def _flush(self) -> None:
        if self.phase is Phase.FOLLOWING and self.progress.position >= self._until and not (
                self._behind or self.replica.relays.waits_for_others(self.relay)):
            self.outgoing.flush(self.share)

    def _no_room(self, entry: Sealed, event: Refused) -> list[Work]:
        """The relay has no room for an entry, which waits, unless it may give room."""
        if self.outgoing.goes_on(entry):
            return []
        first = self.outgoing.hold(entry, RelayRefused(f"the relay refused: {event.message}", reason=event.code))
        if first:
            self.course.desk.drafting.weigh()
        return [*self.send([]), *(self.look() if first else [])]

    def retry(self) -> None:
        """Send the first entry that waits for room, which there may be: to be called now and then."""
        if self.phase is Phase.FOLLOWING:
            self.outgoing.retry()

    # --- steps ------------------------------------------------------------------------

    def _resume(self) -> list[Work]:
        """Begin, or begin anew: the relay's keys were replaced."""
        self.replacement.under_way = self.sealing = self._begun = False
        self.course.begin()
        self.outgoing.window.forget()
        return self.admission.begin(self._incarnation)

    def _resumed(self, cursor: Cursor, reset: bool) -> None:
        self._behind = self.replica.gapped
        self.arrivals.clear()
        self._coming = None
        self.progress.reset = self.progress.reset or reset
        self.progress.position = cursor.position

    def _lend(self) -> int:
        self._credit = Credit.shared(self.share)
        return self._credit.size

    def _told(self, received: Received) -> None:
        self.spaces += received.spaces

    def _opened(self, end: int) -> list[Work]:
        self.progress.end = self._until = end
        self.outgoing.writes = self._epoch is not None and self._epoch.append_seed is not None
        return [Work(lambda db: self._let_in(db), self._follow)]

    def _let_in(self, db: Connection) -> None:
        if self._epoch is not None:
            self.replica.access.let_in(db, self.relay, self._epoch)

    def _follow(self, _: None) -> list[Work]:
        more = [*self._seal(), *self.go_on()]
        if self._until <= self.progress.position:
            more += self._reached()
        return more

    def _reached(self) -> list[Work]:
        """All that the relay hands out was taken in; behind a gap that is not all there is."""
        return self.look() if self._behind else [self._caught_up()]

    def _caught_up(self) -> Work:
        end = self.progress.position
        return Work(lambda db: self.replica.caught_up(db, self.relay, end), self._settled)

    def _settled(self, found: list[Alarm]) -> list[Work]:
        self.replica.relays.was_read(self.relay, whole=True)
        self._alarmed(found)
        return [*self.send([]), *self.look()]

    def look(self) -> list[Work]:
        """Look whether there is something to do about checkpoints."""
        whole = self.phase is Phase.FOLLOWING and self.progress.position >= self._until
        return self.course.next() if whole else []

    def _due(self) -> list[Work]:
        """Look, if a checkpoint is to be made at this relay: one that is made at another comes first."""
        return self.look() if self.relay in self.replica.relays.checkpoints_due else []

    def _took(self, received: Received) -> list[Work]:
        """Entries are taken in that are at no place, as those of a checkpoint."""
        self.progress.received += received.applied
        self.progress.quarantined += received.quarantined
        self.spaces += received.spaces
        self._alarmed(received.alarms)
        return []

    def _whole(self) -> list[Work]:
        """Nothing is left to do about checkpoints: what could be had of a gap is here."""
        if not self._behind:
            return self.go_on()
        self._behind = False
        return [*self.send([]), *self._seal(), *self.go_on(), self._caught_up()]

    def _alarmed(self, found: list[Alarm]) -> None:
        """What was found is kept by now; the connection to the relay that it is about ends with it.

        It is hearsay, which a home that stays connected does not take for the last word: any member could stop it for
        good. Not by the word of who was taken out (`heads.hidden`): whoever reads the log anew would be stopped again.
        """
        right = self.replica.space.membership.state.right
        for alarm in found:
            if alarm.row != self.relay or right(alarm.author) is None:
                continue
            what = "does not show entries here that it showed" if alarm.hidden else "showed other entries to"
            raise RelayMisbehaved(f"the relay {what} another device of the space (at entry {alarm.offset})",
                                  f"What is here stays. {SEND_AGAIN}", hearsay=True)

    # --- what leaves, and what comes ----------------------------------------------------

    def _rotates(self) -> bool:
        return self.sealing and self.replacement.due

    def _rotate(self) -> list[Work]:
        may = self.phase is Phase.FOLLOWING and self.sealing and self.progress.position >= self._until
        return self.replacement.begin() if may else []

    def _seal(self) -> list[Work]:
        """Seal what waits, and from then on what is written; a home that became a new device reads first."""
        if self.phase is not Phase.FOLLOWING or self.sealing or self._begun or self._behind:
            return []  # while it is opened anew, what a page led to may still come
        if (self.replica.author.unsettled or self.relay in self.replica.relays.reseeding) and (
                self.replica.left or self.progress.position < self._until):
            return []
        self._begun = True
        return [Work(lambda db: self.replica.author.unacknowledged(db, self.relay), self._begin_sealing)]

    def _begin_sealing(self, sealed: list[Sealed]) -> list[Work]:
        if not self._begun:
            return []  # the relay's keys were replaced meanwhile
        self.sealing = True
        # What was written since that work and before this line was sealed by neither.
        more = [*self.send(sealed), Work(lambda db: self.replica.author.outgoing(db, self.relay), self._send)]
        return [*more, *self._due()]

    def _send(self, sealed: list[Sealed]) -> list[Work]:
        return self.send(sealed)

    def _arrived(self, event: EntriesArrived) -> list[Work]:
        self.progress.end = max(self.progress.end, event.end)
        if not event.entries and not event.dropped:
            return []
        self.arrivals.page(event)
        return self.go_on()

    def go_on(self) -> list[Work]:
        """The next turn of what arrived, or was left over before."""
        if not self._follows or not self.arrivals.begin():
            return []
        single, coming, self._coming = self.arrivals.single, self._coming, None
        early = coming[1] if coming and single is not None and single.envelope == coming[0].envelope else None
        return [Work(self.arrivals.turn, self._taken, shown_first=self.arrivals.brings,
                     ahead=None if single is None else self._ahead, instead=early)]

    def _ahead(self, db: Connection) -> Callable[[], bool] | None:
        return self.arrivals.ahead(db, self.progress.position)

    def _early(self, entry: Entry) -> list[Work]:
        """An entry that the relay is storing: what it shows is told, if all before it is here. One at a time: a relay
        may send as many as it likes, and each is opened while all else waits.
        """
        here = self.arrivals.idle and self.progress.position >= self.progress.end and not self._behind
        if not (self._follows and here) or self._coming is not None:
            return []
        work = Work(lambda db: self.replica.early(db, self.relay, entry), self._came_early, shown_first=True,
                    ahead=lambda db: self.replica.ahead(db, entry), early=True)
        self._coming = entry, work
        return [work]

    def _came_early(self, received: Received | None) -> list[Work]:
        """It was taken in without its place; None where that was not done."""
        return [] if received is None else self._took(received)

    def _taken(self, done: list[Received | None]) -> list[Work]:
        moved = self.arrivals.end(done)
        self.progress.received += moved.applied
        self.progress.quarantined += moved.quarantined
        self.progress.sent += moved.passed
        self.progress.read += moved.done
        self.spaces += moved.spaces
        before = self.progress.position
        if moved.position is not None:
            self.progress.position = moved.position
        if back := self._credit.taken(moved.done):
            self.session.credit(self.replica.space.handle, back)
        self._behind = self._behind or moved.gap
        more = self.send([])
        more += [] if self.sealing else self._seal()
        desk = self.course.desk
        waited = 0 < desk.dropping.unread <= self.progress.position
        more += self.look() if moved.checkpoints or moved.gap or waited else self._due()
        if desk.site.awaited:  # of what never comes: a step of the desk takes long where there are many checkpoints
            more.append(Work(desk.site.came, lambda freed: self.look() if freed else []))
        if moved.owed or before < self._until <= self.progress.position:
            more += self._reached()
        self._alarmed(moved.alarms)
        return more + self.go_on()

    def _appended(self, event: AppendDone) -> list[Work]:
        entry = self.outgoing.taken(event.ref, event.entry)
        self.progress.end = max(self.progress.end, event.offset)
        if event.passed:  # the cursor passes it in its turn, behind what came before
            self.arrivals.passed(entry, Cursor(event.offset, event.head))
            return [] if self.gathers and not self.arrivals.brings else self.go_on()
        self._applying += 1

        def done(_: None) -> list[Work]:
            self._applying -= 1
            self.progress.sent += 1
            return [*self.send([]), *self._due()]

        return [Work(lambda db: self.replica.author.acknowledged(db, self.relay, entry, None), done)]

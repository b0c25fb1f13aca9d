"""One space's side of sync, as functions over an open transaction: no sockets, no clock.

What leaves this device is its `Author`'s, the members and keys that are here are its `Access`. What a relay hands out
is checked and merged (`sync.intake`) in one transaction with the cursor that says how far it was read, and so is what
that leads to: statements to keys and new epochs, keys to entries that waited for them.

Time and randomness are arguments, so that a simulation replays exactly.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from chez import crypto
from chez.errors import RelayUnreachable
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.records.anew import unsettled
from chez.records.store import RecordStore
from chez.records.waiting import Budget
from chez.spaces.copies import copy_person, tell_private
from chez.spaces.handover import announce_end, announce_missed
from chez.spaces.permits import role_of
from chez.spaces.space import SpaceKeys, note_name
from chez.store.database import Connection
from chez.sync.access import Access
from chez.sync.ahead import Foreseen, Quiet, foresee
from chez.sync.author import Author
from chez.sync.chains import note_whole, regained
from chez.sync.checkpoints.making import lost
from chez.sync.checkpoints.taking import Reading
from chez.sync.copied import check_own
from chez.sync.heads import Alarm, forget_heads, head_after, hidden, note_head, note_heads, note_placed
from chez.sync.intake import TURN, Intake
from chez.sync.outbox import has_statements, say_last, stand_by
from chez.sync.outstanding import Outstanding, outstanding
from chez.sync.owing import owes, said_by, say_unread, untold
from chez.sync.received import Received
from chez.sync.requests import Rotation
from chez.sync.retiring import retire_expelled
from chez.sync.room import Bound
from chez.sync.rotating import Creation, creation_of, learn_epochs, rotation_at, start_epoch, take_packet
from chez.sync.sealed import Cursor, advance, begin_anew, places
from chez.sync.several import Several
from chez.sync.tally import Notice, Tally
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.frames import Dropped, Entry

__all__ = ("Replica",)


class Replica:
    """The sync logic of one space on one device.

    `now` gives Unix milliseconds (for history, never for order), `entropy` fresh random
    bytes; `note` writes a receipt, given its kind and body.
    """

    def __init__(self, space: SpaceKeys, device: DeviceKeys, records: RecordStore, now: Callable[[], int],
                 entropy: Callable[[int], bytes],
                 note: Callable[[Connection, str, dict[str, Any]], object] = lambda db, kind, body: None) -> None:
        self.access = Access(space, device)
        """The members and keys that are here, and what this device may do with them."""
        self.relays = Several()
        """What each relay is still to be given."""
        self.author = Author(self.access, records, self.relays, now, entropy)
        """What leaves this device."""
        self.room = Bound(self.access)
        """How much of a followed space is taken in."""
        self.entropy = entropy
        self.write_receipt = note
        self._records = records
        self._now = now
        self.anew = False
        """Whether a relay where the space was deleted is to have it again: the person says so."""
        self._left = True
        self._heard = False
        self._known: Quiet | None = None
        self._foreseen: Foreseen | None = None
        self.gapped = False
        """Whether a relay passed over entries that are not here yet, when it was met last."""
        self.automatic = False
        """Whether a checkpoint is made unasked when there is so much that it is worth it (`checkpoints.policy`)."""

    @property
    def space(self) -> SpaceKeys:
        """Its keys and members as they are now."""
        return self.access.space

    def refresh(self, db: Connection) -> None:
        """Read the members again if some work on them was undone."""
        self.access.refresh(db)

    def forget(self) -> None:
        """Some work was undone: what it taught of the members is read again from the store."""
        self.access.forget()
        self._known = None  # the store counts what was undone all the same
        self.relays.undone()

    def hear(self) -> None:
        """Statements or keys of the space came by another way than its entries: what waited for them is `left`."""
        self.access.forget()
        self._heard = True  # last: `go_on`, in the writer's thread, must read the store after it forgot this

    @property
    def left(self) -> bool:
        """Whether something that came before may wait for its turn; until `go_on` was asked, nobody knows."""
        return self._heard or self._left

    # --- epochs ---------------------------------------------------------------------

    def caught_up(self, db: Connection, relay: int, end: int) -> list[Alarm]:
        """A relay was read to its end: start the epoch that is owed, if it still is; what it does not show."""
        self.access.refresh(db)
        note_whole(db, self.space.n)
        regained(db, self.space, self.access.device)
        if retire_expelled(db, self.space, self.access.keys):
            self.recount(db)
        self.discharge(db, relay)
        say_last(db, self.space, self.access.device, self.access.epoch_at(db, relay).id)
        stand_by(db, self.space, self.access.device)
        announce_missed(db, self.space, self.access.device)
        right = self.space.membership.state.right
        return hidden(db, self.space.n, relay, end, believed=lambda author: right(author) is not None)

    def discharge(self, db: Connection, relay: int) -> None:
        """Start the epoch that is owed, if it still is."""
        self.access.refresh(db)
        if owes(db, self.space, self.access.keys, self.access.epoch_at(db, relay), first=False):
            self.rotate(db)

    def rotate(self, db: Connection) -> None:
        """Start a new epoch. Raises `NotAllowed`."""
        self.access.refresh(db)
        start_epoch(db, self.space, self.access.keys, self.entropy)
        self.access.current = self.space.epoch

    def rotation(self, db: Connection, relay: int,
                 at: Epoch) -> tuple[bool, tuple[crypto.SigningKey, Rotation] | None]:
        """Whether a relay is to hear statements first; who signs and what replaces the keys of the epoch `at` there.

        None when nothing does. A device that was taken out brings its own last epoch, if it said that before.
        """
        self.access.refresh(db)
        says = role_of(self.space, self.access.device) is not None
        if not says and not said_by(db, self.space, self.space.epoch.id, self.access.device):
            return False, None
        waits = untold(db, self.space.n, relay, says=says) or (says and say_unread(db, self.space, relay))
        return waits, rotation_at(self.space, at, self.access.signer, self.entropy)

    def creation(self, db: Connection, relay: int) -> Creation:
        """What a relay is asked for that does not know the space. Raises `RelayRefused` (`rotating.creation_of`)."""
        self.access.refresh(db)
        return creation_of(db, relay, self.space, self.access.signer, self.entropy)

    def take_packet(self, db: Connection, relay: int, box: bytes) -> tuple[Epoch | None, Received]:
        """The epoch in this device's packet, None when it is no packet for it; and what that unlocked."""
        self.access.refresh(db)
        under = self.space.epoch.id
        epoch = take_packet(db, self.space, box, self.access.opening, self.access.recovery)
        received = Received()
        if epoch is not None:
            budget = Budget(TURN) if self.room.bounds(db) else None
            with self.room.within(db, budget):
                self._unlock(db, relay, under, received, budget)
            self.relays.came(db, self.space.n, relay, received)
            note_placed(db, self.space.n, received.placed)
        self.access.current = self.space.epoch
        return epoch, received

    # --- in -------------------------------------------------------------------------

    def check_place(self, db: Connection, relay: int) -> None:
        """Raise `RelayUnreachable` when a space that a relay was read of is at another place meanwhile; `HomeCopied`.

        Another space's entry may have told of that in the transaction before: who keeps it in step is told after that.
        """
        check_own(db)
        if not places(db, self.space.n, relay):
            raise RelayUnreachable("the space was taken to another place", "It is looked for there.")

    def resume(self, db: Connection, relay: int, incarnation: bytes) -> tuple[Cursor, bool, Epoch]:
        """Where to go on reading a relay, whether its store is another than last time, and whose credentials it has.

        In that case, and where it is doubted, everything is read again, and then what it lacks is sent, whoever's it
        is: who wrote it may not come again. Raises `HomeCopied`, and `RelayUnreachable` as `check_place`.
        """
        check_own(db)
        self.access.refresh(db)
        (handle,) = db.execute("SELECT handle FROM space WHERE n = ?", (self.space.n,)).fetchone()
        if handle != self.space.handle:
            raise RelayUnreachable("the space was taken to another place", "It is looked for there.")
        self.room.check(db)
        copy_person(db, self.space.n, self.space.membership)
        self._left = self.leaves(db)
        self.gapped = self.behind(db, relay)
        self.author.unsettled = unsettled(db, self.space.n)
        row = db.execute("SELECT incarnation, position, head FROM cursor WHERE space = ? AND relay = ?",
                         (self.space.n, relay)).fetchone()
        doubted = relay in self.relays.doubted
        self.relays.doubted.discard(relay)
        if row is not None and row[0] == incarnation and not doubted:
            # Statements that wait may have come from elsewhere, and be in what is still to be read.
            self.relays.resume(db, self.space.n, relay, self.access.device, waits=has_statements(db, self.space.n))
            return Cursor(row[1], row[2]), False, self.access.epoch_at(db, relay)
        db.execute("INSERT OR REPLACE INTO cursor (space, relay, incarnation, position, head, acknowledged) "
                   "VALUES (?, ?, ?, 0, ?, 0)", (self.space.n, relay, incarnation, GENESIS_HEAD))
        self.reseed(db, relay)
        if row is not None and lost(db, self.space.n, relay):
            self.relays.want_checkpoint(db, self.space.n, {relay})
        return Cursor(0, GENESIS_HEAD), row is not None and not doubted, self.space.epoch

    def reseed(self, db: Connection, relay: int) -> None:
        """Read a relay from its beginning, then send it every entry that it turns out not to have."""
        forget_heads(db, self.space.n, relay)
        begin_anew(db, self.space.n, relay, self.access.device)
        self.relays.begin_anew(relay)

    def pass_over(self, db: Connection, relay: int, gap: Dropped) -> Received:
        """Entries that follow the cursor were dropped, for a checkpoint stands for them."""
        advance(db, self.space.n, relay, gap.first, Cursor(gap.last, gap.head))
        db.execute("INSERT OR REPLACE INTO gap (space, relay, first, last, head) VALUES (?, ?, ?, ?, ?)",
                   (self.space.n, relay, gap.first, gap.last, gap.head))
        return Received(alarms=note_head(db, self.space.n, relay, gap.last, gap.head))

    def incoming(self, db: Connection, relay: int, entries: Sequence[Entry], head: bytes,
                 budget: Budget | None = None) -> Received:
        """Take in entries that follow the cursor, as far as the budget goes, and move it to the last one taken.

        `head` is the relay's head after all of them; empty where a range that was dropped follows. Raises `SpaceFull`.
        """
        self.access.refresh(db)
        with self.room.within(db, budget):
            return self._incoming(db, relay, entries, head, budget)

    def _incoming(self, db: Connection, relay: int, entries: Sequence[Entry], head: bytes,
                  budget: Budget | None) -> Received:
        received = Received()
        if entries:
            found = self._found_in(db)
            (before,) = db.execute("SELECT head FROM cursor WHERE space = ? AND relay = ?",
                                   (self.space.n, relay)).fetchone()
            advance(db, self.space.n, relay, entries[0].offset,
                    Cursor(entries[-1].offset, head or head_after(before, entries)))
            intake = Intake(db, relay, self.space, self.access.device, self._records, budget, now=self._now(),
                            found=found, foreseen=self._foreseen)
            self._foreseen = None
            received = self._taken(db, relay, intake.take(entries), budget, intake)
            taken = entries[:received.entries]
            received.alarms += note_heads(db, self.space.n, relay, before, taken, received.placed)
            if len(taken) < len(entries):
                there = Cursor(entries[0].offset - 1 + len(taken), head_after(before, taken))
                advance(db, self.space.n, relay, entries[-1].offset + 1, there)
            self._know(db, intake)
        return received

    def _found_in(self, db: Connection) -> Outstanding | None:
        """What is outstanding, if nothing was written since that was found."""
        known = self._known
        return known.found if known is not None and known.changes == db.total_changes else None

    def _know(self, db: Connection, intake: Intake) -> None:
        """Keep what is known after a turn, for the next one."""
        found = intake.found if intake.plain and not self.author.unsettled else None
        self._known = None if found is None else Quiet(db.total_changes, found, intake.reached,
                                                       self._records.rows.calm)

    def early(self, db: Connection, relay: int, entry: Entry) -> Received:
        """Take in an entry of which was told what it shows (`ahead`), and which a relay has not said to have stored.

        It counts as lacking there until that shows it.
        """
        self.access.refresh(db)
        with self.room.within(db, None):
            intake = Intake(db, 0, self.space, self.access.device, self._records, now=self._now(),
                            found=self._found_in(db), foreseen=self._foreseen)
            self._foreseen = None
            received = self._taken(db, 0, intake.take((entry,)), None, intake)
            if received.first is not None:
                self.relays.unproven(db, relay, received.first)
            self._know(db, intake)
            return received

    def ahead(self, db: Connection, entry: Entry) -> Callable[[], bool] | None:
        """What tells of what an entry will show that follows the cursor, if that is known before it is taken in.

        To be asked while the writer's thread has nothing to do, just before it does that; writes nothing.
        """
        foreseen, self._foreseen = self._foreseen, None
        if self.access.stale or self.author.unsettled or self.left or self.space.public:
            return None
        if self._known is None or self._known.changes != db.total_changes:
            self._known = Quiet(db.total_changes, outstanding(db, self.space.n))
        earlier = foreseen.signed if foreseen is not None and foreseen.entry.envelope == entry.envelope else None
        self._foreseen = foreseen = foresee(db, self.space, self.access.device, self._records, entry, self._known,
                                            earlier)
        return None if foreseen is None or foreseen.shown is None else partial(self._records.ahead, foreseen.shown)

    def stand(self, db: Connection) -> None:
        """Work raised `SpaceFull`, and was undone: nothing more of the space is taken in."""
        self.room.stand(db)
        self._left = self._left and not self.room.is_full(db)

    def leaves(self, db: Connection, intake: Intake | None = None) -> bool:
        """Whether something that came before waits for its turn (`go_on`); `intake` is what this turn took in."""
        if self.room.is_full(db):
            return False
        if intake is None or not intake.plain:
            intake = Intake(db, 0, self.space, self.access.device, self._records)
        return intake.left()

    def go_on(self, db: Connection, budget: Budget) -> Received:
        """Take in what is `left`, as far as the budget goes. Raises `HomeCopied`."""
        self._heard = False
        self.access.refresh(db)
        if self.room.is_full(db):  # what waits here has its turn when there is room
            self._left = False
            return Received()
        with self.room.within(db, budget):
            intake = Intake(db, 0, self.space, self.access.device, self._records, budget, now=self._now())
            received = self._taken(db, 0, intake.go_on(), budget)
            note_placed(db, self.space.n, received.placed)
            return received

    def read_checkpoint(self, db: Connection, relay: int, reading: Reading) -> Received:
        """One turn on the entries of a checkpoint whose chains were folded. Raises `HomeCopied`."""
        self.access.refresh(db)
        budget = Budget(TURN)
        intake = Intake(db, relay, self.space, self.access.device, self._records, budget, now=self._now())
        reading.take(intake)
        received = self._taken(db, relay, intake.end(), budget)
        note_placed(db, self.space.n, received.placed)
        return received

    def behind(self, db: Connection, relay: int) -> bool:
        """Whether a relay passed over entries, and it was not seen to yet that they are here all the same."""
        return db.execute("SELECT 1 FROM gap WHERE space = ? AND relay = ? AND settled = 0",
                          (self.space.n, relay)).fetchone() is not None

    def recount(self, db: Connection) -> None:
        """A statement made here may decide which entries count: records follow, what is `left` of it in turns."""
        self.access.refresh(db)
        tally = Tally(db, self.space, self.access.device, self._records, Budget(TURN), outstanding(db, self.space.n))
        self._tell(db, tally.end())
        if tally.owed():
            self._left = self._records.writer.left = True

    def _tell(self, db: Connection, notices: list[Notice]) -> None:
        for kind, body in notices:
            self.write_receipt(db, kind, body)

    def _taken(self, db: Connection, relay: int, received: Received, budget: Budget | None,
               intake: Intake | None = None) -> Received:
        under = self.access.current.id
        if received.said:
            announce_end(db, self.space, self.access.device)
            self._unlock(db, relay, under, received, budget)
            at = self.access.epoch_at(db, relay)
            received.owed = owes(db, self.space, self.access.keys, at, first=True)
            say_last(db, self.space, self.access.device, at.id)
        if (private := tell_private(db, self.space.n, received.statements)) is not None:
            received.spaces.append(private)
        self._tell(db, received.notices)
        self._left = self.leaves(db, intake)
        received.left = self.left
        self.access.current = self.space.epoch
        if self.author.unsettled:
            self._records.settle(db, self.space.n)
        self.relays.came(db, self.space.n, relay, received)
        return received

    def _unlock(self, db: Connection, relay: int, under: bytes, received: Received,
                budget: Budget | None = None) -> None:
        """Statements lead to keys, keys to entries that were locked, and these to statements."""
        while True:
            learn_epochs(db, self.space, under)
            under = self.space.epoch.id
            intake = Intake(db, relay, self.space, self.access.device, self._records, budget, received, self._now())
            if not intake.take_locked():
                break
        note_name(db, self.space)

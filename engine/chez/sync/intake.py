"""Taking in what a relay hands out: each entry is checked, then held, accepted or set aside.

An entry is held (`parked`) until the one before it in its author's chain is there, and
the membership statements that it names. What fails a check goes to `quarantine` with the reason; the
chain of an author that broke a rule is set aside from there on. Nothing depends on the
order of arrival. The changes of a whole page are merged together, as far as one
transaction's budget goes: what a page leads to may be far more than its bytes tell. What is
left over stays where it is, on the page, parked or in the log, and is worked off in the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.errors import BadEntry
from chez.records.automerge import RawChange
from chez.records.store import Incoming, RecordStore
from chez.records.waiting import Budget
from chez.spaces.membership import Right
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Signed
from chez.store.database import Connection
from chez.sync import locking, parking
from chez.sync.ahead import Foreseen
from chez.sync.chains import Spot, back, branch_after, check_part, keep_entry, place_of, spot_of
from chez.sync.checkpoints.heard import hear
from chez.sync.checks import checked_changes, checked_right
from chez.sync.copied import home_copied
from chez.sync.entry import (
    CHANGES,
    CHECKPOINTS,
    JOURNAL_HEAD,
    STATEMENT,
    STATEMENTS,
    Inner,
    Item,
    SignedEntry,
    UnknownEpoch,
    read_kept,
    read_signed,
    unpacked_size,
    unseal,
)
from chez.sync.heads import check_claim
from chez.sync.offered import read_offers, take_offers
from chez.sync.outstanding import Outstanding, outstanding
from chez.sync.received import Received
from chez.sync.tally import Tally
from chez_wire.frames import Entry
from chez_wire.limits import MAX_STATEMENTS

__all__ = ("TURN", "Intake")

TURN: Final = 65_536
"""What one transaction takes in, in operations, before others have their turn: a few tenths of a second."""

_READ: Final = 64
"""Bytes of an entry that take as long to unpack, to hash and to read as an operation to merge."""


@dataclass(slots=True)
class Intake:
    """One page being taken in, inside one open transaction; `relay` is the relay's row in the store, 0
    for what was left over before.

    Without a budget, all of it and all that it leads to.
    """

    db: Connection
    relay: int
    space: SpaceKeys
    device: bytes
    records: RecordStore
    budget: Budget | None = None
    received: Received = field(default_factory=Received)
    now: int = 0
    """Unix milliseconds, for what is kept as evidence."""
    found: Outstanding | None = None
    """What is outstanding in the space, where that is known."""
    foreseen: Foreseen | None = None
    """An entry that was read before, where one was."""
    reached: tuple[bytes, int, bytes] | None = field(init=False, default=None)
    """Author, number and hash of the entry that was accepted last, where its author's chain ends with it."""
    _tally: Tally = field(init=False)
    _found: Outstanding = field(init=False)
    _entangled: int = field(init=False)
    _parked: bool = False
    _broken: bool = False
    """Whether some chain is set aside."""
    _held: bool = False
    """Whether a checkpoint is to be taken in first: what comes after it would build on what is not here."""
    _folding: bool = False
    """Whether what is taken in comes from that."""
    _unlocking: bool = False
    """Whether what is taken in came before, and waited for a key."""
    _unparking: bool = False
    """The same of what follows."""

    def __post_init__(self) -> None:
        self._found = self.found = found = self.found or outstanding(self.db, self.space.n)
        self._entangled = self.records.rows.entangled
        self._tally = Tally(self.db, self.space, self.device, self.records, self.budget, found)
        self._parked, self._held, self._broken = bool(found.parked), bool(found.held), bool(found.broken)

    def take(self, entries: Sequence[Entry]) -> Received:
        """Take in a page of the relay's log; what fails a check is set aside. Raises `HomeCopied`."""
        for entry in entries:
            if self._spent:
                break
            self._take(entry)
            self.received.entries += 1
        return self._end()

    def end(self) -> Received:
        """What was taken in one by one (`folded`) is shown."""
        return self._end()

    def go_on(self) -> Received:
        """Take in what was parked and left over, then what is left over of changes. Raises `HomeCopied`."""
        self._unpark()
        self.received.said = self.received.said or bool(locking.unlocked(self.db, self.space))
        self._merge()
        if self.budget is not None and not self._spent:
            self.received.quarantined += self.records.work_off(self.db, self.space.n, self.budget)
        return self._end()

    def _end(self) -> Received:
        self._tally.end()
        self.received.quarantined += self._tally.refused
        self.received.notices += self._tally.notices
        self._tally.refused, self._tally.notices = 0, []
        return self.received

    @property
    def plain(self) -> bool:
        """Whether each entry so far was taken in where it came, and no more than it: what is outstanding is as before.
        """
        took = self.received
        return took.applied == took.entries and self._tally.plain and self.records.rows.entangled == self._entangled \
            and not (self._parked or took.said or took.checkpoints)

    def left(self) -> bool:
        """Whether something that is here waits for its turn; to be asked while all that was taken in is `plain`."""
        return (bool(self._found.due) and self.records.owed(self.db, self.space.n)) or (
            bool(self._found.locked and locking.unlocked(self.db, self.space))) or self._tally.owed() or (
            self._parked and not self._held and parking.ready(self.db, self.space.n, len(self.space.membership)))

    @property
    def _spent(self) -> bool:
        return self.budget is not None and self.budget.spent

    def _spend(self, weight: int, changes: int = 1) -> None:
        if self.budget is not None:
            self.budget.spend(weight, changes)

    def _take(self, entry: Entry) -> None:
        before = self.received.applied
        try:
            signed = self._read(entry)
            if signed.inner.kind == CHANGES:
                self.received.placed.append((self.relay, entry.offset, signed.hash))
        except UnknownEpoch as error:
            locking.lock(self.db, self.space.n, error.epoch, self.relay, entry)
            return
        except ValueError as error:  # an envelope of another format
            self._quarantine(entry.offset or None, str(error), entry.envelope)
            return
        except BadEntry as error:
            self._quarantine(entry.offset or None, error.message, entry.envelope)
            return
        self._received(signed, before, entry.offset or None, entry.envelope)

    def _read(self, entry: Entry) -> SignedEntry:
        """Open an entry, and check what needs no other. Raises as `unseal` and `read_signed`."""
        if self.foreseen is not None and self.foreseen.entry.envelope == entry.envelope:
            self._spend(unpacked_size(self.foreseen.signed.packed) // _READ)
            return self.foreseen.signed
        packed = unseal(entry.envelope, self.space.handle, self.space.epochs)
        self._spend(unpacked_size(packed) // _READ)
        return read_signed(packed)

    def folded(self, signed: SignedEntry) -> None:
        """Take in an entry that was made again from a checkpoint, whose chain was folded. Raises `HomeCopied`."""
        self._folding = True
        self._spend(sum(len(item.data) for item in signed.inner.items) // _READ)
        self._received(signed, self.received.applied, None, signed.packed)

    def kept(self, author: bytes, sequence: int, hash: bytes) -> None:
        """Take in an entry that a checkpoint leaves in the log, where its place in the chain is, if it came already."""
        found = parking.take_one(self.db, self.space.n, author, sequence, hash)
        if found is not None:
            self._unparking = True
            self._received(read_kept(found.packed), self.received.applied, None, found.packed)
            self._unparking = False

    def _received(self, signed: SignedEntry, before: int, offset: int | None, data: bytes) -> None:
        try:
            self._accept(signed)
        except BadEntry as error:
            self._quarantine(offset, error.message, data, signed.inner.author)
        if self._parked:
            self._stir(signed, before)
            self._unpark()

    def take_locked(self) -> int:
        """Take in what was locked and can be opened now; how many entries that were. Raises `HomeCopied`."""
        taken = 0
        self._unlocking = True
        for epoch in locking.unlocked(self.db, self.space):
            if self._spent:
                break
            for relay, entry in locking.take(self.db, self.space.n, epoch):
                self.relay = relay
                self._take(entry)
                taken += 1
                if self._spent:
                    break
        self._unlocking = False
        self._end()
        return taken

    def _accept(self, signed: SignedEntry) -> None:
        """Accept an entry, or park it until what it follows is there. Raises `BadEntry`, `HomeCopied`."""
        inner = signed.inner
        if inner.space != self.space.id:
            raise BadEntry("the entry belongs to another space")
        spot = spot_of(self.db, self.space.n, inner.author, inner.sequence, inner.previous, signed.hash)
        parent = spot.parent
        try:
            self._learn(inner, signed.hash)
            items, offers = checked_changes(self.space, signed), read_offers(self.space, inner)
            if parent is not None:
                check_part(self.db, self.space.n, signed, parent.part)
        except BadEntry:
            if self._repeated(spot):
                return
            if inner.author == self.device:
                raise home_copied() from None
            if parent is None:
                self._park(signed)  # where it is in its author's chain is not known yet
                return
            self._set_aside(signed)
            raise
        if self._repeated(spot):
            return
        if inner.author == self.device and inner.sequence > (self.space.regains or (0, 0))[1]:
            raise home_copied()
        broken = parking.broken_before(self.db, self.space.n, inner.author, inner.sequence,
                                       inner.previous) if self._broken else None
        if broken is not None:
            self._set_aside(signed, broken)
            raise BadEntry(f"its author's chain is set aside from entry {broken} on")
        if parent is None or not self.space.membership.knows(inner.heads):
            self._park(signed)
            return
        if self._held and not self._folding and inner.kind == CHANGES:
            self._park(signed)
            parking.stir(self.db, self.space.n, inner.author, inner.sequence - 1, inner.previous)
            return
        try:
            right = checked_right(self.space, inner)
        except BadEntry:
            self._set_aside(signed)
            raise
        late = bool(offers) and self._late(inner, right)
        for reason in take_offers(self.db, offers, self.device, self.received.spaces, late=late):
            self._quarantine(None, reason, signed.packed, inner.author)
        branch, forks = branch_after(self.db, self.space.n, inner.author, parent, self.now, begun=spot.begun)
        self._keep(signed, items, branch, doubted=forks or right.cut is not None)

    def _keep(self, signed: SignedEntry, items: list[tuple[Item, RawChange]], branch: int, *, doubted: bool) -> None:
        """An entry has its place in its author's chain; `doubted`: it forks, or somebody took its author's right away.
        """
        inner = signed.inner
        row = keep_entry(self.db, self.space.n, signed, branch)
        ends = not (branch or doubted) and inner.part is None
        self.reached = (inner.author, inner.sequence, signed.hash) if ends else None
        if self.received.first is None:
            self.received.first = row
        if self._unlocking and not self._unparking:
            self._note_shown(signed.hash)
        if inner.author == self.device:  # read again, of a space that was erased here
            self.db.execute("UPDATE cursor SET acknowledged = max(acknowledged, ?) WHERE space = ? AND relay = ?",
                            (row, self.space.n, self.relay))
        self._witness(inner)
        self.received.alarms += check_claim(self.db, self.space.n, self.space.handle, inner)
        self.received.applied += 1
        if doubted or self._tally.doubtful(inner.author):
            self._tally.doubt(inner.author)
        if inner.part is None or inner.part.last:  # else it is shown together with what follows
            if inner.part is not None:
                self._gather(inner, inner.part.number)
            self._show(inner, items, row)

    def _gather(self, inner: Inner, count: int) -> None:
        """The changes of the `count` entries before the last one of a batch."""
        for row, packed in reversed(list(back(self.db, self.space.n, inner.author, inner.sequence, inner.previous,
                                              count))):
            signed = read_kept(packed)
            self._show(signed.inner, checked_changes(self.space, signed), row)

    def _show(self, inner: Inner, items: list[tuple[Item, RawChange]], row: int) -> None:
        """The changes of an entry are to be merged; `row` is the entry's."""
        self._spend(sum(change.weight for _, change in items), len(items))
        self._tally.add(inner.author, [Incoming(item.collection, item.id, change, row, None,
                                                max(0, inner.time - item.age)) for item, change in items])

    def _park(self, signed: SignedEntry) -> None:
        self._parked = True
        if not self._unparking:
            self._note_shown(signed.hash)
        parking.park(self.db, self.space.n, signed)

    def _note_shown(self, hash: bytes) -> None:
        self.received.shown.setdefault(hash, set()).add(self.relay)

    def _late(self, inner: Inner, right: Right) -> bool:
        """Whether an entry that is new here is beyond what a removal of its author accepted, or beside it."""
        cut = right.cut
        return cut is not None and (inner.sequence > cut.sequence or place_of(
            self.db, self.space.n, inner.author, cut.sequence, cut.hash) is not None)

    def _learn(self, inner: Inner, hash: bytes) -> None:
        """Take in membership statements, manifests and vouches: each is signed, whether its chain is whole or not."""
        if inner.kind == CHECKPOINTS:
            self.received.checkpoints = hear(self.db, self.space.n, inner, hash) or self.received.checkpoints
        if inner.kind != STATEMENTS:
            return
        said = [item.data for item in inner.items if item.kind == STATEMENT]
        if len(said) > MAX_STATEMENTS:
            raise BadEntry(f"the entry has {len(said):,} statements; at most {MAX_STATEMENTS:,} are judged in one go")
        statements = [Signed.read(data) for data in said]
        for statement in statements:
            # What was to be said here too has been said.
            self.db.execute("INSERT INTO statement (space, hash, body, sent) VALUES (?, ?, ?, 1) "
                            "ON CONFLICT (space, hash) DO UPDATE SET sent = 1 WHERE sent = 0",
                            (self.space.n, statement.hash, statement.raw))
        self.received.said = self.received.said or bool(statements)
        before = self.space.membership.looks
        self.received.statements += self.space.membership.add(statements)
        self._spend(self.space.membership.looks - before, len(statements))

    def _repeated(self, spot: Spot) -> bool:
        """Whether an entry is here already."""
        if spot.known is None:
            return False
        self.db.execute("DELETE FROM lacking WHERE relay = ? AND entry = ?", (self.relay, spot.known.row))
        self.received.again.append((self.relay, spot.known.row))
        self.received.duplicates += 1
        return True

    def _set_aside(self, signed: SignedEntry, first: int = 0) -> None:
        """An entry broke a rule, or follows one that did (the `first`): nothing that follows it is taken in.

        It counts as another entry of its author beside those that may follow the same one.
        """
        self._broken = True
        self.received.shown.pop(signed.hash, None)
        for parked in parking.break_off(self.db, self.space.n, signed, self.now):
            self.received.shown.pop(parked.hash, None)
            self._quarantine(None, f"its author's chain is set aside from entry {first or signed.inner.sequence} on",
                             parked.packed, signed.inner.author)
        self._tally.doubt(signed.inner.author)

    def _witness(self, inner: Inner) -> None:
        if not self.space.private:
            return
        for item in inner.items:
            if item.kind == JOURNAL_HEAD and len(item.data) == 40 and item.data[0] < 0x40:
                self.db.execute("INSERT OR REPLACE INTO witness (space, author, number, hash) VALUES (?, ?, ?, ?)",
                                (self.space.n, inner.author, int.from_bytes(item.data[:8], "big"), item.data[8:]))

    def _stir(self, signed: SignedEntry, before: int) -> None:
        """What was parked and waited for an entry is ready if that was accepted since `before` had been."""
        if self.received.applied != before:
            parking.stir(self.db, self.space.n, signed.inner.author, signed.inner.sequence, signed.hash)

    def _unpark(self) -> None:
        """Accept what was parked and is ready, one after the other."""
        if not self._parked or self._held:
            return
        while not self._spent:
            parking.hear(self.db, self.space.n, len(self.space.membership))
            parked = parking.take(self.db, self.space.n)
            if parked is None:
                break
            self._spend(unpacked_size(parked.packed) // _READ)
            before = self.received.applied
            signed = read_kept(parked.packed)
            self._unparking = True
            try:
                self._accept(signed)
            except BadEntry as error:
                self._quarantine(None, error.message, parked.packed, signed.inner.author)
            self._unparking = False
            self._stir(signed, before)

    def _merge(self) -> None:
        self._tally.merge()

    def _quarantine(self, offset: int | None, reason: str, data: bytes, author: bytes | None = None) -> None:
        url = None
        if offset is not None:
            url = self.db.execute("SELECT url FROM relay WHERE n = ?", (self.relay,)).fetchone()[0]
        self.db.execute("INSERT INTO quarantine (space, relay, position, reason, bytes, author) "
                        "VALUES (?, ?, ?, ?, ?, ?)", (self.space.n, url, offset, reason, data, author))
        self.received.quarantined += 1

"""Taking in what a relay hands out: each entry is checked, then held, accepted or set aside.

An entry is held (`parked`) until the one before it in its author's chain is there, and
the membership statements that it names. What fails a check goes to `quarantine` with the reason; the
chain of an author that broke a rule is set aside from there on. Nothing depends on the
order of arrival. The changes of a whole page are merged together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.errors import BadEntry, HomeCopied, InvalidValue
from chez.records.automerge import RawChange
from chez.records.derived import DEVICE_ID, check_derived
from chez.records.imported import IMPORT_ACTOR, check_identity_change
from chez.records.store import Incoming, RecordStore
from chez.records.values import check_collection, check_id
from chez.spaces.space import Space
from chez.spaces.statements import Role, Signed
from chez.store.database import Connection
from chez.sync.chains import keep_entry, last_entry
from chez.sync.entry import (
    CHANGE,
    CHANGES,
    JOURNAL_HEAD,
    STATEMENT,
    STATEMENTS,
    Inner,
    Item,
    SignedEntry,
    UnknownEpoch,
    read_signed,
    unseal,
)
from chez.sync.heads import Alarm, check_claim
from chez_wire.envelope import entry_id
from chez_wire.frames import Entry
from chez_wire.limits import MIB

__all__ = ("Intake", "Received")

_AT_ONCE: Final = 16 * MIB
"""Bytes of changes merged at once: a page of small envelopes may unfold to gigabytes."""


@dataclass(slots=True)
class Received:
    """What a page of entries led to."""

    applied: int = 0
    duplicates: int = 0
    quarantined: int = 0
    statements: list[Signed] = field(default_factory=list)
    said: bool = False
    """Whether any statement came, even one that has not all it builds on yet: it may lead to keys."""
    alarms: list[Alarm] = field(default_factory=list)
    """What shows that the relay showed another device other entries."""
    owed: bool = False
    """Whether the statements left a new epoch owed, which is this device's to start before others'."""


@dataclass(slots=True)
class Intake:
    """One page being taken in, inside one open transaction; `relay` is the relay's row in the store."""

    db: Connection
    relay: int
    space: Space
    device: bytes
    records: RecordStore
    received: Received = field(default_factory=Received)
    ready: list[Incoming] = field(default_factory=list)
    _size: int = 0
    """Bytes of the changes that are ready."""
    _parked: bool = False

    def __post_init__(self) -> None:
        self._parked = self.db.execute("SELECT EXISTS (SELECT 1 FROM parked)").fetchone()[0] == 1

    def take(self, entries: Sequence[Entry]) -> Received:
        """Take in a page of the relay's log; what fails a check is set aside. Raises `HomeCopied`."""
        for entry in entries:
            self._take(entry)
        self._merge()
        return self.received

    def _take(self, entry: Entry) -> None:
        certified = len(self.received.statements)
        try:
            signed = read_signed(unseal(entry.envelope, self.space.handle, self.space.epochs))
        except UnknownEpoch as error:
            self._lock(error.epoch, entry)
            return
        except ValueError as error:  # an envelope of another format
            self._quarantine(entry.offset, str(error), entry.envelope)
            return
        except BadEntry as error:
            self._quarantine(entry.offset, error.message, entry.envelope)
            return
        try:
            self._accept(signed)
        except BadEntry as error:
            self._quarantine(entry.offset, error.message, entry.envelope)
        if self._parked:
            self._unpark(signed.inner.author, certified)

    def _lock(self, epoch: bytes, entry: Entry) -> None:
        """Keep an entry until the key of its epoch is here: a device that was away meets these."""
        self.db.execute("INSERT OR IGNORE INTO locked (space, id, epoch, relay, position, envelope) "
                        "VALUES (?, ?, ?, ?, ?, ?)", (self.space.n, entry_id(entry.envelope), epoch, self.relay,
                                                      entry.offset, entry.envelope))

    def take_locked(self) -> int:
        """Take in what was locked and can be opened now; how many entries that were. Raises `HomeCopied`."""
        ready = [epoch for (epoch,) in self.db.execute("SELECT DISTINCT epoch FROM locked WHERE space = ?",
                                                       (self.space.n,)) if epoch in self.space.epochs]
        taken = 0
        for epoch in ready:
            rows = self.db.execute("SELECT id, position FROM locked WHERE space = ? AND epoch = ? ORDER BY position",
                                   (self.space.n, epoch)).fetchall()
            for id, position in rows:
                (envelope,) = self.db.execute("SELECT envelope FROM locked WHERE space = ? AND id = ?",
                                              (self.space.n, id)).fetchone()
                self._take(Entry(position, envelope))
            self.db.execute("DELETE FROM locked WHERE space = ? AND epoch = ?", (self.space.n, epoch))
            taken += len(rows)
        self._merge()
        return taken

    def _accept(self, signed: SignedEntry) -> None:
        """Accept an entry, or park it until what it follows is there. Raises `BadEntry`, `HomeCopied`."""
        inner = signed.inner
        if inner.space != self.space.id:
            raise BadEntry("the entry belongs to another space")
        sequence, previous, part = last_entry(self.db, self.space.n, inner.author)
        follows = inner.sequence == sequence + 1 and inner.previous == previous
        try:
            self._learn(inner)
            items = self._changes(signed)
            if follows:
                _check_part(inner, part)
        except BadEntry:
            if follows:
                self._set_aside(inner)
            raise
        if inner.sequence <= sequence:
            self._repeat(signed)
            return
        if inner.author == self.device:
            raise _copied()
        self._check_aside(inner)
        if inner.sequence > sequence + 1 or not self.space.membership.knows(inner.heads):
            self._parked = True
            self.db.execute(
                "INSERT OR IGNORE INTO parked (space, author, sequence, hash, inner) VALUES (?, ?, ?, ?, ?)",
                (self.space.n, inner.author, inner.sequence, signed.hash, signed.packed))
            return
        if not follows:
            raise BadEntry("the entry does not follow its author's last one")
        try:
            self._check_right(inner)
        except BadEntry:
            self._set_aside(inner)
            raise
        row = keep_entry(self.db, self.space.n, signed)
        self._witness(inner)
        self.received.alarms += check_claim(self.db, self.space.n, inner)
        self.received.applied += 1
        if inner.part is None or inner.part.last:  # else it is shown together with what follows
            if inner.part is not None:
                self._gather(inner, inner.part.number)
            self._show(inner, items, row)

    def _gather(self, inner: Inner, count: int) -> None:
        """The changes of the `count` entries before the last one of a batch."""
        for row, packed in self.db.execute(
                "SELECT n, inner FROM entry WHERE space = ? AND author = ? AND sequence >= ? AND sequence < ? "
                "ORDER BY sequence", (self.space.n, inner.author, inner.sequence - count, inner.sequence)).fetchall():
            signed = read_signed(packed)
            self._show(signed.inner, self._changes(signed), row)

    def _show(self, inner: Inner, items: list[tuple[Item, RawChange]], row: int) -> None:
        """The changes of an entry are to be merged; `row` is the entry's."""
        self.ready += [Incoming(item.collection, item.id, change, row, None, max(0, inner.time - item.age))
                       for item, change in items]
        self._size += sum(len(item.data) for item, _ in items)
        if self._size > _AT_ONCE:
            self._merge()

    def _check_aside(self, inner: Inner) -> None:
        """Nothing is taken in of a chain after an entry that is set aside: what follows builds on it."""
        row = self.db.execute("SELECT sequence FROM set_aside WHERE space = ? AND author = ?",
                              (self.space.n, inner.author)).fetchone()
        if row is not None:
            raise BadEntry(f"its author's chain is set aside from entry {row[0]} on")

    def _check_right(self, inner: Inner) -> None:
        """What an author says needs the right to, in what the entry itself knows of the members. Raises `BadEntry`."""
        right = self.space.membership.right(inner.author, inner.heads)
        if right.role is None:
            raise BadEntry("its author is no device of a member, by what the entry itself names")
        if inner.kind == CHANGES and right.role < Role.WRITER and any(item.kind == CHANGE for item in inner.items):
            raise BadEntry("its author may read here, not write")

    def _learn(self, inner: Inner) -> None:
        """Take in membership statements; each is signed, whoever's entry carries it."""
        if inner.kind != STATEMENTS:
            return
        statements = [Signed.read(item.data) for item in inner.items if item.kind == STATEMENT]
        for statement in statements:
            self.db.execute("INSERT OR IGNORE INTO statement (space, hash, body, sent) VALUES (?, ?, ?, 1)",
                            (self.space.n, statement.hash, statement.raw))
        self.received.said = self.received.said or bool(statements)
        effective = self.space.membership.add(statements)
        self.received.statements += effective

    def _repeat(self, signed: SignedEntry) -> None:
        inner = signed.inner
        known = self.db.execute("SELECT hash, n FROM entry WHERE space = ? AND author = ? AND sequence = ?",
                                (self.space.n, inner.author, inner.sequence)).fetchone()
        if known is None or known[0] != signed.hash:
            if inner.author == self.device:
                raise _copied()
            raise BadEntry(f"its author made two different entries number {inner.sequence}")
        self.db.execute("DELETE FROM lacking WHERE relay = ? AND entry = ?", (self.relay, known[1]))
        self.received.duplicates += 1

    def _set_aside(self, inner: Inner) -> None:
        """An author broke a rule in its next entry: its chain ends here, what is parked of it included.

        Entries that break one there may come any number of times.
        """
        key = (self.space.n, inner.author)
        self.db.execute("INSERT OR IGNORE INTO set_aside (space, author, sequence) VALUES (?, ?, ?)",
                        (*key, inner.sequence))
        for (packed,) in self.db.execute("SELECT inner FROM parked WHERE space = ? AND author = ?", key).fetchall():
            self._quarantine(None, f"its author's chain is set aside from entry {inner.sequence} on", packed)
        self.db.execute("DELETE FROM parked WHERE space = ? AND author = ?", key)

    def _changes(self, signed: SignedEntry) -> list[tuple[Item, RawChange]]:
        """An entry's changes, each checked against the entry's author. Raises `BadEntry`."""
        items = [item for item in signed.inner.items if item.kind == CHANGE]
        found = list(zip(items, signed.changes, strict=True))
        for item, change in found:
            self._check_change(signed.inner, item, change)
        return found

    def _check_change(self, inner: Inner, item: Item, change: RawChange) -> None:
        try:
            check_collection(item.collection)
            check_id(item.id)
        except InvalidValue as error:
            raise BadEntry(f"the entry names no record: {error.message}") from None
        if change.actor == IMPORT_ACTOR:
            check_identity_change(change, self.space.record_key, item.collection, item.id)
        elif change.actor != inner.author:
            # Or a member could spend another's sequence numbers, and devices would
            # differ by which change came first.
            if len(change.actor) == DEVICE_ID:
                raise BadEntry("the entry carries a change in another device's name")
            check_derived(change)

    def _witness(self, inner: Inner) -> None:
        for item in inner.items:
            if item.kind == JOURNAL_HEAD and len(item.data) == 40 and item.data[0] < 0x40:
                self.db.execute("INSERT OR REPLACE INTO witness (space, author, number, hash) VALUES (?, ?, ?, ?)",
                                (self.space.n, inner.author, int.from_bytes(item.data[:8], "big"), item.data[8:]))

    def _unpark(self, author: bytes, certified: int) -> None:
        """Accept what was parked and waited for an author's entry, or for statements (from `certified` on)."""
        authors = [author]
        while authors or certified < len(self.received.statements):
            if certified < len(self.received.statements):
                certified = len(self.received.statements)
                authors = [one for (one,) in self.db.execute("SELECT DISTINCT author FROM parked WHERE space = ?",
                                                             (self.space.n,))]
                continue
            author = authors.pop()
            before = last_entry(self.db, self.space.n, author)[0]
            rows = self.db.execute("SELECT hash, inner FROM parked WHERE space = ? AND author = ? AND sequence <= ? "
                                   "ORDER BY sequence, hash",
                                   (self.space.n, author, before + 1)).fetchall()
            for hash, packed in rows:
                if not self.db.execute("DELETE FROM parked WHERE space = ? AND author = ? AND hash = ?",
                                       (self.space.n, author, hash)).rowcount:
                    continue  # set aside with the one before
                try:
                    self._accept(read_signed(packed))
                except BadEntry as error:
                    self._quarantine(None, error.message, packed)
            authors += [author] if last_entry(self.db, self.space.n, author)[0] > before else []

    def _merge(self) -> None:
        ready, self.ready, self._size = self.ready, [], 0
        self.received.quarantined += len(self.records.merge(self.db, self.space.n, ready))

    def _quarantine(self, offset: int | None, reason: str, data: bytes) -> None:
        url = None
        if offset is not None:
            url = self.db.execute("SELECT url FROM relay WHERE n = ?", (self.relay,)).fetchone()[0]
        self.db.execute("INSERT INTO quarantine (space, relay, position, reason, bytes) VALUES (?, ?, ?, ?, ?)",
                        (self.space.n, url, offset, reason, data))
        self.received.quarantined += 1


def _check_part(inner: Inner, before: int | None) -> None:
    """The parts of a batch follow each other in their author's chain, from 0 to the last. Raises `BadEntry`."""
    number = None if inner.part is None else inner.part.number
    if number != (0 if before is None else before + 1) and not (number is None and before is None):
        raise BadEntry("the entry is no part of the batch that its author began")


def _copied() -> HomeCopied:
    return HomeCopied("this device's own name stands under entries that it did not write",
                      "Two copies of this home are in use, or it was restored from an older copy: "
                      "what is here stays. `chez doctor --as-new-device` makes this one a new device of its own.")

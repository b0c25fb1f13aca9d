"""One space's side of sync, as functions over an open transaction: no sockets, no clock.

Out: changes waiting in the outbox become entries of this device's chain, are signed,
sealed for a relay, and the sealed bytes are stored; only then may they be sent.

In: entries of other devices are opened and checked one by one, held until what they
follow is there, and their changes merged together. What fails a check is set aside in
`quarantine` with the reason; the rest goes on. Nothing depends on the order of arrival.

Time and randomness are arguments, so that a simulation replays exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from chez import crypto
from chez.errors import BadEntry, HomeCopied, InvalidValue, RelayUnreachable
from chez.keys.device import DeviceKeys
from chez.records.automerge import RawChange
from chez.records.imported import IMPORT_ACTOR, check_identity_change
from chez.records.store import Incoming, RecordStore
from chez.records.values import check_collection, check_id
from chez.spaces.space import Space, load_space
from chez.spaces.statements import Certify, Signed
from chez.store.database import Connection
from chez.sync.entry import (
    CHANGE,
    CHANGES,
    GENESIS,
    JOURNAL_HEAD,
    STATEMENT,
    STATEMENTS,
    Inner,
    Item,
    RelayHead,
    SignedEntry,
    read_signed,
    seal,
    sign_entry,
    unseal,
)
from chez_wire.envelope import GENESIS_HEAD, entry_id
from chez_wire.frames import Entry
from chez_wire.limits import MAX_ITEMS, TARGET_INNER

__all__ = ("Cursor", "Received", "Replica", "Sealed")

_Waiting = tuple[int, str, str, bytes, str | None]
"""A change in the outbox: row, collection, id, bytes, origin."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An own entry, sealed for a relay and durable here, ready to be sent."""

    row: int
    id: bytes
    envelope: bytes = field(repr=False)
    control: bool


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a relay's log was read: the offset of the last entry and the head there."""

    position: int
    head: bytes


@dataclass(slots=True)
class Received:
    """What a page of entries led to."""

    applied: int = 0
    duplicates: int = 0
    quarantined: int = 0
    statements: list[Signed] = field(default_factory=list)


class Replica:
    """The sync logic of one space on one device.

    `now` gives Unix milliseconds (for history, never for order), `entropy` fresh random
    bytes.
    """

    def __init__(self, space: Space, device: DeviceKeys, records: RecordStore, now: Callable[[], int],
                 entropy: Callable[[int], bytes]) -> None:
        self.space = space
        self._device = device
        self._records = records
        self._now = now
        self._entropy = entropy
        self._stale = False

    def forget(self) -> None:
        """Some work was undone: what it taught of the members is read again from the store."""
        self._stale = True

    def refresh(self, db: Connection) -> None:
        """Read the members again if some work on them was undone."""
        if self._stale:
            self.space = load_space(db, self.space.n)
            self._stale = False

    # --- out ------------------------------------------------------------------------

    def pending(self, db: Connection) -> bool:
        """Whether something waits that is in no entry yet."""
        row = db.execute("SELECT EXISTS (SELECT 1 FROM change WHERE state = 1) "
                         "OR EXISTS (SELECT 1 FROM statement WHERE space = ? AND sent = 0)", (self.space.n,)).fetchone()
        return bool(row[0])

    def collect(self, db: Connection) -> list[tuple[int, SignedEntry]]:
        """Put everything that waits into entries of this device's chain; (row, entry) each."""
        self.refresh(db)
        made = []
        statements = db.execute("SELECT body FROM statement WHERE space = ? AND sent = 0 ORDER BY n",
                                (self.space.n,)).fetchall()
        if statements:
            items = [Item(STATEMENT, "", "", body) for (body,) in statements]
            made.append(self._append(db, STATEMENTS, items))
            db.execute("UPDATE statement SET sent = 1 WHERE space = ?", (self.space.n,))
        while rows := db.execute(
            # CROSS JOIN: the few changes that wait come first, not every record of the space.
            "SELECT change.n, collection, id, bytes, origin FROM change INDEXED BY outbox "
            "CROSS JOIN record ON record.n = change.record WHERE state = 1 AND record.space = ? "
            "ORDER BY change.n LIMIT ?", (self.space.n, MAX_ITEMS - 1)).fetchall():
            batch = self._batch(rows)
            items = [Item(CHANGE, collection, id, data) for _, collection, id, data, _ in batch]
            made.append(self._append(db, CHANGES, items + self._journal_head(db)))
            entry = made[-1][0]
            db.executemany("UPDATE change SET state = 0, entry = ? WHERE n = ?", [(entry, row[0]) for row in batch])
        if not made and (head := self._journal_head(db)):
            made.append(self._append(db, CHANGES, head))  # receipts alone are witnessed too
        return made

    def _batch(self, rows: "list[_Waiting]") -> "list[_Waiting]":
        # One origin an entry: what an outsider wrote is never compressed together with
        # anything else, or the size would tell what the other content repeats of it.
        size, count = 0, 0
        for row in rows:
            size += len(row[1]) + len(row[2]) + len(row[3])
            if row[4] != rows[0][4] or (count and size > TARGET_INNER):
                break
            count += 1
        return rows[:count]

    def _journal_head(self, db: Connection) -> list[Item]:
        """The head of this device's journal, when it moved since an entry last said it."""
        head = db.execute("SELECT number, hash FROM receipt ORDER BY number DESC LIMIT 1").fetchone()
        said = db.execute("SELECT number FROM witness WHERE space = ? AND author = ?",
                          (self.space.n, self._device.id)).fetchone()
        if head is None or (said is not None and said[0] >= head[0]):
            return []
        db.execute("INSERT OR REPLACE INTO witness (space, author, number, hash) VALUES (?, ?, ?, ?)",
                   (self.space.n, self._device.id, *head))
        return [Item(JOURNAL_HEAD, "", "", head[0].to_bytes(8, "big") + head[1])]

    def _append(self, db: Connection, kind: int, items: list[Item]) -> tuple[int, SignedEntry]:
        sequence, previous = self._chain(db, self._device.id)
        seen = db.execute("SELECT incarnation, position, head FROM cursor WHERE space = ? ORDER BY relay LIMIT 1",
                          (self.space.n,)).fetchone()
        heads = sorted(self.space.membership.heads)[:64]
        entry = sign_entry(Inner(1, self.space.id, self._device.id, sequence + 1, previous, self._now(), kind, items,
                                 heads, RelayHead(*seen) if seen else None), self._device.signing)
        return self._store(db, entry), entry

    def _chain(self, db: Connection, author: bytes) -> tuple[int, bytes]:
        """The sequence number and hash of an author's last accepted entry."""
        row = db.execute("SELECT sequence, hash FROM entry WHERE space = ? AND author = ? "
                         "ORDER BY sequence DESC LIMIT 1", (self.space.n, author)).fetchone()
        return (row[0], row[1]) if row is not None else (0, GENESIS)

    def _store(self, db: Connection, entry: SignedEntry) -> int:
        inner = entry.inner
        n: int = db.execute("INSERT INTO entry (space, author, sequence, hash, kind, inner) VALUES (?, ?, ?, ?, ?, ?)",
                            (self.space.n, inner.author, inner.sequence, entry.hash, inner.kind,
                             entry.packed)).lastrowid
        return n

    def outgoing(self, db: Connection, relay: int) -> list[Sealed]:
        """Collect what waits and seal it for a relay; the bytes returned are stored first."""
        return [self._seal(db, relay, row, entry.packed, entry.inner.kind) for row, entry in self.collect(db)]

    def unacknowledged(self, db: Connection, relay: int) -> list[Sealed]:
        """Everything of this device that a relay has not acknowledged, in chain order.

        Bytes sealed before are repeated as they were; entries never sealed for this
        relay (it is new, or lost its store) are sealed now.
        """
        self.collect(db)
        rows = db.execute(
            "SELECT entry.n, kind, inner, sealed.id, envelope, sealed.entry IS NULL FROM entry "
            "LEFT JOIN sealed ON sealed.entry = entry.n AND sealed.relay = ? "
            "WHERE space = ? AND author = ? AND (sealed.entry IS NULL OR envelope IS NOT NULL) ORDER BY sequence",
            (relay, self.space.n, self._device.id)).fetchall()
        out = []
        for n, kind, packed, id, envelope, fresh in rows:
            out.append(self._seal(db, relay, n, packed, kind) if fresh else Sealed(n, id, envelope, kind == STATEMENTS))
        return out

    def _seal(self, db: Connection, relay: int, row: int, packed: bytes, kind: int) -> Sealed:
        envelope = seal(packed, self.space.handle, self.space.epoch, self._entropy(crypto.NONCE_BYTES))
        id = entry_id(envelope)
        db.execute("INSERT INTO sealed (entry, relay, id, envelope) VALUES (?, ?, ?, ?)", (row, relay, id, envelope))
        return Sealed(row, id, envelope, kind == STATEMENTS)

    def acknowledged(self, db: Connection, relay: int, rows: Sequence[int]) -> None:
        """A relay holds these own entries durably."""
        db.executemany("UPDATE sealed SET envelope = NULL WHERE relay = ? AND entry = ?", [(relay, n) for n in rows])

    # --- in -------------------------------------------------------------------------

    def resume(self, db: Connection, relay: int, incarnation: bytes) -> tuple[Cursor, bool]:
        """Where to go on reading a relay, and whether its store is another than last time.

        In that case everything is read, and everything of this device sent, again.
        """
        row = db.execute("SELECT incarnation, position, head FROM cursor WHERE space = ? AND relay = ?",
                         (self.space.n, relay)).fetchone()
        if row is not None and row[0] == incarnation:
            return Cursor(row[1], row[2]), False
        db.execute("INSERT OR REPLACE INTO cursor (space, relay, incarnation, position, head) VALUES (?, ?, ?, 0, ?)",
                   (self.space.n, relay, incarnation, GENESIS_HEAD))
        if row is not None:
            db.execute("DELETE FROM sealed WHERE relay = ? AND entry IN (SELECT n FROM entry WHERE space = ?)",
                       (relay, self.space.n))
        return Cursor(0, GENESIS_HEAD), row is not None

    def incoming(self, db: Connection, relay: int, entries: Sequence[Entry], head: bytes) -> Received:
        """Take in entries that follow the cursor, and move it to the last of them."""
        self.refresh(db)
        position = db.execute("SELECT position FROM cursor WHERE space = ? AND relay = ?",
                              (self.space.n, relay)).fetchone()[0]
        if entries and entries[0].offset != position + 1:
            # The page before was not taken in: going on would skip it for ever.
            raise RelayUnreachable("an earlier page of entries was not taken in", "It is read again.")
        received = Received()
        ready: list[Incoming] = []
        for entry in entries:
            self._take(db, relay, entry, ready, received)
        self._merge(db, ready, received)
        if entries:
            db.execute("UPDATE cursor SET position = ?, head = ? WHERE space = ? AND relay = ?",
                       (entries[-1].offset, head, self.space.n, relay))
        return received

    def _take(self, db: Connection, relay: int, entry: Entry, ready: list[Incoming], received: Received) -> None:
        id = entry_id(entry.envelope)
        if db.execute("SELECT 1 FROM sealed JOIN entry ON entry.n = sealed.entry WHERE sealed.id = ? AND relay = ? "
                      "AND entry.space = ?", (id, relay, self.space.n)).fetchone():
            return  # this device's own, coming back
        certified = len(received.statements)
        try:
            signed = read_signed(unseal(entry.envelope, self.space.handle, self.space.epochs))
        except ValueError as error:  # an envelope of another format
            self._quarantine(db, relay, entry.offset, str(error), entry.envelope, received)
            return
        except BadEntry as error:
            self._quarantine(db, relay, entry.offset, error.message, entry.envelope, received)
            return
        try:
            self._accept(db, signed, ready, received)
        except BadEntry as error:
            self._quarantine(db, relay, entry.offset, error.message, entry.envelope, received)
        self._unpark(db, signed.inner.author, certified, ready, received)

    def _accept(self, db: Connection, signed: SignedEntry, ready: list[Incoming], received: Received) -> None:
        """Accept an entry, or park it until what it follows is there. Raises `BadEntry`, `HomeCopied`."""
        inner = signed.inner
        if inner.space != self.space.id:
            raise BadEntry("the entry belongs to another space")
        self._learn(db, inner, received)
        sequence, previous = self._chain(db, inner.author)
        if inner.sequence <= sequence:
            self._repeat(db, signed, received)
            return
        if inner.author == self._device.id:
            raise _copied()
        self._check_aside(db, inner)
        if inner.sequence > sequence + 1 or inner.author not in self.space.membership.devices:
            db.execute("INSERT OR IGNORE INTO parked (space, author, sequence, hash, inner) VALUES (?, ?, ?, ?, ?)",
                       (self.space.n, inner.author, inner.sequence, signed.hash, signed.packed))
            return
        if inner.previous != previous:
            raise BadEntry("the entry does not follow its author's last one")
        try:
            items = self._changes(signed)
        except BadEntry:
            self._set_aside(db, inner, received)
            raise
        row = self._store(db, signed)
        self._witness(db, inner)
        ready += [Incoming(item.collection, item.id, change, row) for item, change in items]
        received.applied += 1

    def _check_aside(self, db: Connection, inner: Inner) -> None:
        """Nothing is taken in of a chain after an entry that is set aside: what follows builds on it."""
        row = db.execute("SELECT sequence FROM set_aside WHERE space = ? AND author = ?",
                         (self.space.n, inner.author)).fetchone()
        if row is not None:
            raise BadEntry(f"its author's chain is set aside from entry {row[0]} on")

    def _learn(self, db: Connection, inner: Inner, received: Received) -> None:
        """Take in membership statements; each is signed, whoever's entry carries it."""
        if inner.kind != STATEMENTS:
            return
        statements = [Signed.read(item.data) for item in inner.items if item.kind == STATEMENT]
        for statement in statements:
            db.execute("INSERT OR IGNORE INTO statement (space, hash, body, sent) VALUES (?, ?, ?, 1)",
                       (self.space.n, statement.hash, statement.raw))
        effective = self.space.membership.add(statements)
        received.statements += effective

    def _repeat(self, db: Connection, signed: SignedEntry, received: Received) -> None:
        inner = signed.inner
        known = db.execute("SELECT hash FROM entry WHERE space = ? AND author = ? AND sequence = ?",
                           (self.space.n, inner.author, inner.sequence)).fetchone()
        if known is None or known[0] != signed.hash:
            if inner.author == self._device.id:
                raise _copied()
            raise BadEntry(f"its author made two different entries number {inner.sequence}")
        received.duplicates += 1

    def _set_aside(self, db: Connection, inner: Inner, received: Received) -> None:
        """An author broke a rule in its next entry: its chain ends here, what is parked of it included."""
        key = (self.space.n, inner.author)
        db.execute("INSERT INTO set_aside (space, author, sequence) VALUES (?, ?, ?)", (*key, inner.sequence))
        for (packed,) in db.execute("SELECT inner FROM parked WHERE space = ? AND author = ?", key).fetchall():
            self._quarantine(db, None, None, f"its author's chain is set aside from entry {inner.sequence} on", packed,
                             received)
        db.execute("DELETE FROM parked WHERE space = ? AND author = ?", key)

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
            raise BadEntry("the entry carries a change in another device's name")

    def _witness(self, db: Connection, inner: Inner) -> None:
        for item in inner.items:
            if item.kind == JOURNAL_HEAD and len(item.data) == 40 and item.data[0] < 0x40:
                db.execute("INSERT OR REPLACE INTO witness (space, author, number, hash) VALUES (?, ?, ?, ?)",
                           (self.space.n, inner.author, int.from_bytes(item.data[:8], "big"), item.data[8:]))

    def _unpark(self, db: Connection, author: bytes, certified: int, ready: list[Incoming],
                received: Received) -> None:
        """Accept what was parked and waited for an author's entry, or for a certificate (from `certified` on)."""
        authors = [author]
        while authors or certified < len(received.statements):
            authors += [statement.body.device for statement in received.statements[certified:]
                        if isinstance(statement.body, Certify)]
            certified = len(received.statements)
            author = authors.pop() if authors else b""
            if author not in self.space.membership.devices:
                continue
            rows = db.execute("SELECT hash, inner FROM parked WHERE space = ? AND author = ? AND sequence <= ? "
                              "ORDER BY sequence, hash",
                              (self.space.n, author, self._chain(db, author)[0] + 1)).fetchall()
            for hash, packed in rows:
                db.execute("DELETE FROM parked WHERE space = ? AND author = ? AND hash = ?",
                           (self.space.n, author, hash))
                try:
                    self._accept(db, read_signed(packed), ready, received)
                except BadEntry as error:
                    self._quarantine(db, None, None, error.message, packed, received)
            authors += [author] if rows else []

    def _merge(self, db: Connection, ready: list[Incoming], received: Received) -> None:
        for refusal in self._records.merge(db, self.space.n, ready):
            self._quarantine(db, None, None, refusal.reason, refusal.incoming.change.bytes, received)

    def _quarantine(self, db: Connection, relay: int | None, offset: int | None, reason: str, data: bytes,
                    received: Received) -> None:
        url = None if relay is None else db.execute("SELECT url FROM relay WHERE n = ?", (relay,)).fetchone()[0]
        db.execute("INSERT INTO quarantine (space, relay, position, reason, bytes) VALUES (?, ?, ?, ?, ?)",
                   (self.space.n, url, offset, reason, data))
        received.quarantined += 1


def _copied() -> HomeCopied:
    return HomeCopied("this device's own name stands under entries that it did not write",
                      "Two copies of this home are in use, or it was restored from an older copy: "
                      "what is here stays; join as a new device to go on.")

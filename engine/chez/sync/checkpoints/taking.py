"""Reading a checkpoint: its parts are put aside, its chains folded and compared, its entries made again and taken in.

Bundle by bundle, in turns of bounded work, each of which is a transaction that leaves behind how far it came: a
crash costs one turn. Nothing of a bundle is taken in before all of it was checked: that its
entries chain up to the hashes that their authors signed, and that it holds nothing else. What was
put aside is let go entry by entry, once nothing more is asked of it: all at once it would be one transaction
as large as the bundle, whose pages SQLite keeps in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Final

import msgspec

from chez.errors import BadEntry
from chez.records import automerge
from chez.records.flat import check_flat
from chez.records.rows import PURGED, WAITING
from chez.records.waiting import Budget
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync.chains import place_of
from chez.sync.checkpoints.format import BundleNote, Frame, Manifest, Record, Upto, frames_of, open_part, read_manifest
from chez.sync.entry import (
    CHANGE,
    CHANGES,
    GENESIS,
    Inner,
    Item,
    SignedEntry,
    check_signature,
    entry_hash,
    folded,
    read_kept,
)
from chez.sync.intake import Intake
from chez.sync.short import expanded

__all__ = ("COMPARE", "TAKE", "Reading", "UnreadEntry", "begin", "clear", "kept_at", "placed", "readers", "reading")

TAKE, COMPARE = 0, 1  # purposes
_PARTS, _FOLD, _TAKE = 0, 1, 2  # stages
_READ: Final = 64
_PUT_ASIDE: Final = ("folding", "staged_entry", "staged_change")
_frames = msgspec.msgpack.Decoder(Frame)


def begin(db: Connection, space: int, relay: int, checkpoint: bytes, purpose: int) -> None:
    """Begin to read a checkpoint at a relay, whatever was being read there before."""
    clear(db, space, relay)
    db.execute("INSERT INTO fetching (space, relay, checkpoint, purpose, bundle, part, stage) "
               "VALUES (?, ?, ?, ?, 0, 0, 0)", (space, relay, checkpoint, purpose))


def clear(db: Connection, space: int, *relays: int) -> None:
    """Read it no further at these relays."""
    for relay in relays:
        for table in _PUT_ASIDE:
            db.execute(f"DELETE FROM {table} WHERE reading IN (SELECT n FROM fetching WHERE space = ? AND relay = ?)",
                       (space, relay))
        db.execute("DELETE FROM fetching WHERE space = ? AND relay = ?", (space, relay))


def readers(db: Connection, space: int) -> set[int]:
    """The relays at which a checkpoint is being read."""
    return {relay for (relay,) in db.execute("SELECT relay FROM fetching WHERE space = ?", (space,))}


def reading(db: Connection, space: SpaceKeys, relay: int) -> "Reading | None":
    """What is being read of a space at a relay, if anything is."""
    row = db.execute("SELECT n, checkpoint, purpose, bundle, part, stage, body FROM fetching "
                     "JOIN checkpoint ON checkpoint.space = fetching.space AND entry = checkpoint "
                     "WHERE fetching.space = ? AND relay = ?", (space.n, relay)).fetchone()
    if row is None:
        return None
    n, checkpoint, purpose, number, part, stage, body = row
    return Reading(db, space, n, checkpoint, purpose, number, part, stage, read_manifest(body))


class UnreadEntry(BadEntry):
    """An entry that a checkpoint leaves in the log is not here, or not yet: until then its chain does not fold."""

    def __init__(self, author: bytes, sequence: int, hash: bytes) -> None:
        super().__init__("an entry that a checkpoint leaves in the log is not on this device")
        self.place = author, sequence, hash


@dataclass(slots=True)
class Reading:
    """A checkpoint that is being read, in an open transaction; `n` is its row."""

    db: Connection
    space: SpaceKeys
    n: int
    checkpoint: bytes
    purpose: int
    number: int
    part: int
    stage: int
    manifest: Manifest

    @property
    def bundle(self) -> BundleNote:
        """The bundle that is being read."""
        return self.manifest.bundles[self.number]

    def wanted(self) -> list[bytes]:
        """The ids of the segments that are to come next; none while there is work to do on what came."""
        while not self.done and self.stage == _PARTS and self.part == 0 and self._known():
            self._next()
        if self.done:
            return []
        return self.bundle.parts[self.part] if self.stage == _PARTS else []

    @property
    def folding(self) -> bool:
        """Whether all parts of the bundle are here, and its chains are to be folded."""
        return self.stage == _FOLD

    @property
    def done(self) -> bool:
        """Whether all was read."""
        return self.number >= len(self.manifest.bundles)

    def arrived(self, segments: Sequence[bytes]) -> None:
        """The segments that were wanted came. Raises `BadEntry`, `UnknownEpoch`."""
        packed = open_part(segments, self.space.id, self.space.epochs)
        for run in packed.runs:
            self._stage("staged_entry (reading, author, sequence, frame) VALUES (?, ?, ?, ?)", [
                (self.n, run.author, frame.sequence, msgspec.msgpack.encode(frame)) for frame in frames_of(run)])
        for record in packed.records:
            self._stage("staged_change (reading, author, ordinal, collection, id, bytes) VALUES (?, ?, ?, ?, ?, ?)", [
                (self.n, author, ordinal, record.collection, record.id, data)
                for author, ordinal, data in placed(record, packed.authors)])
        self.part += 1
        if self.part == len(self.bundle.parts):
            self.part, self.stage = 0, _FOLD
            self._rewind()
        self._keep()

    def fold(self, budget: Budget) -> None:
        """Fold the chains of the bundle, as far as the budget goes.

        Raises `BadEntry` when it is not what it says, `UnreadEntry` while that can't be told.
        """
        for upto in self.bundle.upto:
            sequence, hash, ordinal = self._at(upto.author)
            while sequence < upto.sequence:
                if budget.spent:
                    self._went(upto.author, sequence, hash, ordinal)
                    return
                sequence += 1
                frame = self._frame(upto.author, sequence)
                if frame is None:
                    raise BadEntry("a checkpoint leaves an entry out")
                if frame.kept is not None:
                    if sequence == upto.sequence:
                        raise BadEntry("a checkpoint ends with an entry that it does not stand for")
                    self._check_kept(upto.author, sequence, hash, frame.kept)
                    hash = frame.kept
                else:
                    inner = self._inner(upto, sequence, hash, frame, ordinal)
                    ordinal += frame.changes
                    hash = entry_hash(inner)
                    budget.spend(sum(len(item.data) for item in inner.items) // _READ, 1 + frame.changes // 4)
                    if sequence == upto.sequence:
                        if hash != upto.hash:
                            raise BadEntry("a checkpoint holds other entries than their author signed")
                        check_signature(inner, hash, upto.signature)
                if self.purpose == COMPARE:
                    self._let_go(upto.author, sequence, ordinal - frame.changes, frame.changes)
                else:
                    self.db.execute("UPDATE staged_entry SET hash = ? WHERE reading = ? AND author = ? "
                                    "AND sequence = ?", (hash, self.n, upto.author, sequence))
            self._went(upto.author, sequence, hash, ordinal)
        self._check_whole()
        if self.purpose == COMPARE:
            self._compare()
            self._next()
        else:
            self.stage = _TAKE
            self._rewind()
            self._keep()

    def take(self, intake: Intake) -> None:
        """Take in the entries of the bundle, as far as the intake's budget goes. Raises `HomeCopied`."""
        uptos = {upto.author: upto for upto in self.bundle.upto}
        heap = [(self._time(author, at[0] + 1), author, at) for author in uptos
                if (at := self._at(author))[0] < uptos[author].sequence]
        heapify(heap)
        early: list[tuple[int, bytes, tuple[int, bytes, int]]] = []
        while (heap or early) and not (intake.budget is not None and intake.budget.spent):
            one = heappop(heap) if heap else early.pop(0)  # who claims that it built on what is not there waits last
            _, author, (sequence, previous, ordinal) = one
            upto, sequence = uptos[author], sequence + 1
            frame = self._frame(author, sequence)
            assert frame is not None  # it was there when the chain was folded
            if len(uptos) > 1 and heap and not self._ripe(author, ordinal, frame):
                early.append(one)
                continue
            for each in early:
                heappush(heap, each)
            early.clear()
            (hash,) = self.db.execute("SELECT hash FROM staged_entry WHERE reading = ? AND author = ? AND sequence = ?",
                                      (self.n, author, sequence)).fetchone()
            if frame.kept is not None:
                intake.kept(author, sequence, hash)
            elif place_of(self.db, self.space.n, author, sequence, hash) is None:
                intake.folded(self._entry(upto, sequence, previous, hash, frame, ordinal))
            at = sequence, hash, ordinal + frame.changes
            self._let_go(author, sequence, ordinal, frame.changes)
            self._went(author, *at)
            if sequence < upto.sequence:
                heappush(heap, (self._time(author, sequence + 1), author, at))
        if not heap and not early:
            self._next()

    def _ripe(self, author: bytes, ordinal: int, frame: Frame) -> bool:
        """Whether what an entry's changes build on is here: else what is written together would show in parts."""
        inside: set[bytes] = set()
        for collection, id, data in self.db.execute(
                "SELECT collection, id, bytes FROM staged_change WHERE reading = ? AND author = ? AND ordinal >= ? AND "
                "ordinal < ? ORDER BY ordinal", (self.n, author, ordinal, ordinal + frame.changes)).fetchall():
            change = automerge.read_change(data)
            inside.add(change.hash)
            if all(hash in inside for hash in change.dependencies):
                continue
            row = self.db.execute("SELECT n, deleted FROM record WHERE space = ? AND collection = ? AND id = ?",
                                  (self.space.n, collection, id)).fetchone()
            if row is None:
                return False
            if row[1] != PURGED and any(hash not in inside and self.db.execute(
                    "SELECT 1 FROM change WHERE record = ? AND hash = ? AND state <> ?",
                    (row[0], hash, WAITING)).fetchone() is None for hash in change.dependencies):
                return False
        return True

    # --- helpers ------------------------------------------------------------------------

    def _known(self) -> bool:
        """Whether all that the bundle stands for is here, and need not be read."""
        return self.purpose == TAKE and all(
            place_of(self.db, self.space.n, one.author, one.sequence, one.hash) is not None for one in self.bundle.upto)

    def _stage(self, into: str, rows: list[tuple[object, ...]]) -> None:
        if rows and self.db.executemany(f"INSERT OR IGNORE INTO {into}", rows).rowcount != len(rows):
            raise BadEntry("a checkpoint has something twice")

    def _frame(self, author: bytes, sequence: int) -> Frame | None:
        row = self.db.execute("SELECT frame FROM staged_entry WHERE reading = ? AND author = ? AND sequence = ?",
                              (self.n, author, sequence)).fetchone()
        return None if row is None else _frames.decode(row[0])

    def _time(self, author: bytes, sequence: int) -> int:
        frame = self._frame(author, sequence)
        return 0 if frame is None else frame.time

    def _inner(self, upto: Upto, sequence: int, previous: bytes, frame: Frame, ordinal: int) -> Inner:
        rows = self.db.execute("SELECT collection, id, bytes FROM staged_change WHERE reading = ? AND author = ? "
                               "AND ordinal >= ? AND ordinal < ? ORDER BY ordinal",
                               (self.n, upto.author, ordinal, ordinal + frame.changes)).fetchall()
        if len(rows) != frame.changes:
            raise BadEntry("a checkpoint leaves a change out")
        changes = iter(rows)
        items = []
        for at, age in enumerate(frame.ages):
            if (other := frame.others.get(at)) is not None:
                items.append(msgspec.structs.replace(other, age=age))
            else:
                collection, id, data = next(changes)
                items.append(Item(CHANGE, collection, id, data, age))
        relay = upto.relay if sequence == upto.sequence else None
        return Inner(1, self.space.id, upto.author, sequence, previous, frame.time, CHANGES, items,
                     list(frame.heads), relay, frame.part)

    def _entry(self, upto: Upto, sequence: int, previous: bytes, hash: bytes, frame: Frame,
               ordinal: int) -> SignedEntry:
        signature = upto.signature if sequence == upto.sequence else b""
        # Read as any other is: what its author signed may be out of bounds all the same.
        return read_kept(folded(self._inner(upto, sequence, previous, frame, ordinal), hash, signature).packed)

    def _let_go(self, author: bytes, sequence: int, ordinal: int, changes: int) -> None:
        """Nothing is asked any more of an author's entry and its changes, which are so many from this count on.

        Of these alone: what else was put aside is to be found by `_check_whole`.
        """
        self.db.execute("DELETE FROM staged_entry WHERE reading = ? AND author = ? AND sequence = ?",
                        (self.n, author, sequence))
        self.db.execute("DELETE FROM staged_change WHERE reading = ? AND author = ? AND ordinal >= ? AND ordinal < ?",
                        (self.n, author, ordinal, ordinal + changes))

    def _check_kept(self, author: bytes, sequence: int, previous: bytes, hash: bytes) -> None:
        """An entry that the bundle leaves in the log is to be of those that are left there, after the one folded last.

        What comes before it has no other signature than its: a hash alone would stand for any chain before it, and
        for a change that is left out. Raises `BadEntry`, and `UnreadEntry` while the entry is not here.
        """
        packed = kept_at(self.db, self.space.n, author, sequence, hash)
        if packed is None and self.purpose == TAKE:
            raise UnreadEntry(author, sequence, hash)
        inner = None if packed is None else read_kept(packed).inner
        if inner is None or inner.kind == CHANGES or inner.previous != previous:
            raise BadEntry("a checkpoint names an entry as left in the log that is not, or is of another chain")

    def _check_whole(self) -> None:
        """Raises `BadEntry` when something was put aside that is in no entry."""
        (entries,) = self.db.execute("SELECT count(*) FROM staged_entry WHERE reading = ?", (self.n,)).fetchone()
        (changes,) = self.db.execute("SELECT count(*) FROM staged_change WHERE reading = ?", (self.n,)).fetchone()
        if self.purpose == TAKE:  # else those that were compared are not there any more
            entries -= sum(one.sequence - self._before(one.author)[0] for one in self.bundle.upto)
            changes -= sum(self._at(one.author)[2] for one in self.bundle.upto)
        if entries or changes:
            raise BadEntry("a checkpoint has more than the entries that it stands for")

    def _compare(self) -> None:
        """Raises `BadEntry` unless this device has by itself what the bundle stands for."""
        for one in self.bundle.upto:
            place = place_of(self.db, self.space.n, one.author, one.sequence, one.hash)
            if place is None or place.branch != 0:
                raise BadEntry("a checkpoint stands for entries that are not those here")

    def _before(self, author: bytes) -> tuple[int, bytes]:
        """Where an author's chain stands at the beginning of the bundle."""
        for bundle in reversed(self.manifest.bundles[:self.number]):
            for one in bundle.upto:
                if one.author == author:
                    return one.sequence, one.hash
        return 0, GENESIS

    def _rewind(self) -> None:
        self.db.execute("DELETE FROM folding WHERE reading = ?", (self.n,))
        self.db.executemany("INSERT INTO folding (reading, author, sequence, hash, ordinal) VALUES (?, ?, ?, ?, 0)",
                            [(self.n, one.author, *self._before(one.author)) for one in self.bundle.upto])

    def _at(self, author: bytes) -> tuple[int, bytes, int]:
        row: tuple[int, bytes, int] = self.db.execute(
            "SELECT sequence, hash, ordinal FROM folding WHERE reading = ? AND author = ?",
            (self.n, author)).fetchone()
        return row

    def _went(self, author: bytes, sequence: int, hash: bytes, ordinal: int) -> None:
        self.db.execute("UPDATE folding SET sequence = ?, hash = ?, ordinal = ? WHERE reading = ? AND author = ?",
                        (sequence, hash, ordinal, self.n, author))

    def _next(self) -> bool:
        """Go on with the next bundle; whether that was the last one."""
        for table in _PUT_ASIDE:
            self.db.execute(f"DELETE FROM {table} WHERE reading = ?", (self.n,))
        self.number, self.part, self.stage = self.number + 1, 0, _PARTS
        self._keep()
        return self.done

    def _keep(self) -> None:
        self.db.execute("UPDATE fetching SET bundle = ?, part = ?, stage = ? WHERE n = ?",
                        (self.number, self.part, self.stage, self.n))


def kept_at(db: Connection, space: int, author: bytes, sequence: int, hash: bytes) -> bytes | None:
    """The packed bytes of an entry that is here, whether its chain is or not; None where it is not."""
    row = db.execute("SELECT inner FROM entry WHERE space = ?1 AND author = ?2 AND sequence = ?3 AND hash = ?4 "
                     "UNION ALL SELECT inner FROM parked WHERE space = ?1 AND author = ?2 AND sequence = ?3 "
                     "AND hash = ?4", (space, author, sequence, hash)).fetchone()
    return None if row is None else bytes(row[0])


def placed(record: Record, authors: Sequence[bytes]) -> list[tuple[bytes, int, bytes]]:
    """Each change of a record at each of its places: author, count, bytes. Raises `BadEntry`."""
    try:
        if record.saved:
            if len(record.data) != 1:
                raise BadEntry("a record of a checkpoint is not one document")
            check_flat(record.data[0])
            changes = [held.bytes for held in automerge.history(automerge.load(record.data[0], bytes(32)))]
        else:
            changes = expanded(record.data)
        if not len(changes) == len(record.who) == len(record.at):
            raise BadEntry("a record of a checkpoint has no place for each of its changes")
        last: dict[int, int] = {}
        out = []
        for data, who, step in zip(changes, record.who, record.at, strict=True):
            last[who] = last.get(who, 0) + step
            out.append((authors[who], last[who], data))
        return out + [(authors[who], ordinal, changes[change]) for change, who, ordinal in record.more]
    except (IndexError, ValueError) as error:
        raise BadEntry(f"a record of a checkpoint can't be read: {error}") from None

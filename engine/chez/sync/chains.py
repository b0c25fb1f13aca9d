"""Accepted entries in the store: every author's chain of them, and its branches.

An honest author's entries are one chain, branch 0. One that made two different entries on
the same one has as many branches as that, numbered as they arrived; which of them counts
does not depend on the numbers (`sync.standing`).
"""

from collections.abc import Iterator

import msgspec

from chez.errors import BadEntry
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync.entry import GENESIS, SignedEntry, read_kept
from chez_wire.limits import MAX_BATCH_OPERATIONS

__all__ = ("End", "Place", "Spot", "back", "branch_after", "check_part", "follow_up", "keep_entry", "known_whole",
           "last_counted", "last_entry", "note_named", "note_whole", "place_of", "regained", "relearn", "spot_of")


class Place(msgspec.Struct, frozen=True):
    """Where an accepted entry is in its author's chain: its row, number, branch, and its part if more must follow."""

    row: int
    sequence: int
    branch: int
    part: int | None


class End(msgspec.Struct, frozen=True):
    """Where an author's chain, its branch 0, ends: the last number, its hash, and what was named last, in one."""

    sequence: int
    hash: bytes
    named: bytes | None


_START = Place(0, 0, 0, None)
"""Before an author's first entry."""


class Spot(msgspec.Struct, frozen=True):
    """What is here where an entry belongs in its author's chain: the entry that it follows, and itself."""

    parent: Place | None
    known: Place | None
    begun: bool
    """Whether branch 0 has an entry of this number."""


def last_entry(db: Connection, space: int, author: bytes) -> tuple[int, bytes, int | None]:
    """The sequence number and hash of an author's last accepted entry; (0, zeros) before the first.

    Third, the number of the part that it is, when more of its batch must follow. Of a chain that
    forks this is the end of the branch that arrived first.
    """
    row = db.execute("SELECT sequence, hash, part FROM entry WHERE space = ? AND author = ? AND branch = 0 "
                     "ORDER BY sequence DESC LIMIT 1", (space, author)).fetchone()
    return (row[0], row[1], row[2]) if row is not None else (0, GENESIS, None)


def last_counted(db: Connection, space: int, author: bytes) -> tuple[int, bytes]:
    """The sequence number and hash of an author's last entry that counts; (0, zeros) when none does."""
    row = db.execute("SELECT sequence, hash FROM entry WHERE space = ? AND author = ? AND standing = 0 "
                     "ORDER BY sequence DESC LIMIT 1", (space, author)).fetchone()
    return (row[0], row[1]) if row is not None else (0, GENESIS)


def note_whole(db: Connection, space: int) -> None:
    """A relay was read to the end: whoever wrote something before is known here."""
    db.execute("UPDATE space SET whole = 1 WHERE n = ? AND whole = 0", (space,))


def known_whole(db: Connection, space: SpaceKeys, device: bytes) -> bool:
    """Whether a device made a space, or read it to the end once.

    Else it can't tell what of somebody's counts: nothing that it did not read would, for ever.
    """
    create = space.membership.create
    made = create is not None and create.issuer == device
    return made or bool(db.execute("SELECT whole FROM space WHERE n = ?", (space.n,)).fetchone()[0])


def place_of(db: Connection, space: int, author: bytes, sequence: int, hash: bytes) -> Place | None:
    """Where an entry is, None when it is not here; (0, zeros) is before the first."""
    if sequence == 0 and hash == GENESIS:
        return _START
    row = db.execute("SELECT n, branch, part FROM entry WHERE space = ? AND author = ? AND sequence = ? AND hash = ?",
                     (space, author, sequence, hash)).fetchone()
    return None if row is None else Place(row[0], sequence, row[1], row[2])


def spot_of(db: Connection, space: int, author: bytes, sequence: int, previous: bytes, hash: bytes) -> Spot:
    """Where an entry of this number and hash belongs, which follows the one of the hash `previous`: asked at once."""
    parent, known, begun = _START if sequence == 1 and previous == GENESIS else None, None, False
    for number, row, branch, part, found in db.execute(
            "SELECT sequence, n, branch, part, hash FROM entry WHERE space = ?1 AND author = ?2 "
            "AND sequence BETWEEN ?3 - 1 AND ?3 AND (hash IN (?4, ?5) OR branch = 0)",
            (space, author, sequence, previous, hash)):
        if number == sequence:
            begun = begun or branch == 0
            known = Place(row, number, branch, part) if found == hash else known
        elif found == previous:
            parent = Place(row, number, branch, part)
    return Spot(parent, known, begun)


def back(db: Connection, space: int, author: bytes, sequence: int, previous: bytes, count: int) -> Iterator[
        tuple[int, bytes]]:
    """The `count` entries before number `sequence`, whose hash is `previous`, last one first: row and packed bytes."""
    for number in range(sequence - 1, sequence - 1 - count, -1):
        row = db.execute("SELECT n, inner FROM entry WHERE space = ? AND author = ? AND sequence = ? AND hash = ?",
                         (space, author, number, previous)).fetchone()
        yield row[0], row[1]
        previous = read_kept(row[1]).inner.previous


def check_part(db: Connection, space: int, signed: SignedEntry, before: int | None) -> None:
    """The parts of a batch follow each other in their author's chain, from 0 to the last. Raises `BadEntry`.

    `before` is the part that the entry before this one is, if more must follow that.
    """
    inner = signed.inner
    number = None if inner.part is None else inner.part.number
    if number != (0 if before is None else before + 1) and not (number is None and before is None):
        raise BadEntry("the entry is no part of the batch that its author began")
    if number:
        weight = _weight_before(db, space, inner.author, inner.sequence, inner.previous, number) + signed.weight
        if weight > MAX_BATCH_OPERATIONS:
            raise BadEntry(f"the batch has more than {MAX_BATCH_OPERATIONS:,} operations, which show together")


def _weight_before(db: Connection, space: int, author: bytes, sequence: int, previous: bytes, count: int) -> int:
    """The weight of the `count` entries before number `sequence`, whose hash is `previous`, along its branch."""
    (branches,) = db.execute("SELECT EXISTS (SELECT 1 FROM branch WHERE space = ?1 AND author = ?2) OR EXISTS "
                             "(SELECT 1 FROM entry WHERE space = ?1 AND author = ?2 AND sequence >= ?3)",
                             (space, author, sequence)).fetchone()
    if branches:
        rows = [row for row, _ in back(db, space, author, sequence, previous, count)]
        return sum(db.execute("SELECT weight FROM entry WHERE n = ?", (row,)).fetchone()[0] for row in rows)
    (weight,) = db.execute("SELECT sum(weight) FROM entry WHERE space = ? AND author = ? AND sequence >= ?",
                           (space, author, sequence - count)).fetchone()
    return int(weight)


def branch_after(db: Connection, space: int, author: bytes, parent: Place, now: int, *,
                 begun: bool) -> tuple[int, bool]:
    """The branch of a new entry that follows `parent`, and whether its author forks there.

    `now` is kept with a branch that begins (Unix milliseconds); `begun` as in its `Spot`.
    """
    if parent.branch:
        (begun,) = db.execute("SELECT EXISTS (SELECT 1 FROM entry WHERE space = ? AND author = ? AND sequence = ? "
                              "AND branch = ?)", (space, author, parent.sequence + 1, parent.branch)).fetchone()
    if not begun:
        return parent.branch, False
    (number,) = db.execute("SELECT coalesce(max(branch), 0) + 1 FROM branch WHERE space = ? AND author = ?",
                           (space, author)).fetchone()
    db.execute("INSERT INTO branch (space, author, branch, parent, sequence, found) VALUES (?, ?, ?, ?, ?, ?)",
               (space, author, number, parent.branch, parent.sequence + 1, now))
    return number, True


def keep_entry(db: Connection, space: int, entry: SignedEntry, branch: int = 0) -> int:
    """Store an entry at the end of a branch of its author's chain, which counts so far; returns its row."""
    n = _insert(db, space, entry, branch)
    note_named(db, space, entry.inner.author, branch, entry.inner.sequence, entry.inner.heads)
    return n


def follow_up(db: Connection, space: int, entry: SignedEntry, end: End) -> int:
    """As `keep_entry`, of the next entry after the end of its author's chain."""
    if b"".join(entry.inner.heads) != end.named:
        return keep_entry(db, space, entry)
    return _insert(db, space, entry, 0)


def _insert(db: Connection, space: int, entry: SignedEntry, branch: int) -> int:
    inner = entry.inner
    part = None if inner.part is None or inner.part.last else inner.part.number
    n: int = db.execute(
        "INSERT INTO entry (space, author, sequence, hash, kind, part, weight, branch, inner) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (space, inner.author, inner.sequence, entry.hash, inner.kind, part, entry.weight, branch, entry.packed),
    ).lastrowid
    return n


def regained(db: Connection, space: SpaceKeys, device: bytes) -> None:
    """A relay was read to its end: what this device wrote before the space was erased here is back, if it is all."""
    if space.regains is not None and last_entry(db, space.n, device)[0] >= space.regains[0]:
        db.execute("UPDATE space SET least = 0, most = 0 WHERE n = ?", (space.n,))
        space.regains = None


def relearn(db: Connection, space: int, now: int) -> None:
    """Write down anew, from the entries that are here, what they name and where chains fork."""
    found = {(author, branch): when for author, branch, when in db.execute(
        "SELECT author, branch, found FROM branch WHERE space = ?", (space,))}
    for table in ("named", "branch"):
        db.execute(f"DELETE FROM {table} WHERE space = ?", (space,))
    begun: set[tuple[bytes, int]] = set()
    for n, author, sequence, branch in db.execute("SELECT n, author, sequence, branch FROM entry WHERE space = ? "
                                                  "ORDER BY author, sequence", (space,)).fetchall():
        inner = read_kept(db.execute("SELECT inner FROM entry WHERE n = ?", (n,)).fetchone()[0]).inner
        note_named(db, space, author, branch, sequence, inner.heads)
        if branch and (author, branch) not in begun:
            begun.add((author, branch))
            parent = place_of(db, space, author, sequence - 1, inner.previous)
            db.execute("INSERT INTO branch (space, author, branch, parent, sequence, found) VALUES (?, ?, ?, ?, ?, ?)",
                       (space, author, branch, 0 if parent is None else parent.branch, sequence,
                        found.get((author, branch), now)))


def note_named(db: Connection, space: int, author: bytes, branch: int, sequence: int, heads: list[bytes]) -> None:
    """Keep which statements an entry names, if they are others than those of the one before it on its branch."""
    named = b"".join(heads)
    known = db.execute("SELECT heads FROM named WHERE space = ? AND author = ? AND branch = ? AND sequence < ? "
                       "ORDER BY sequence DESC LIMIT 1", (space, author, branch, sequence)).fetchone()
    if known is None or known[0] != named:
        db.execute("INSERT OR REPLACE INTO named (space, author, branch, sequence, heads) VALUES (?, ?, ?, ?, ?)",
                   (space, author, branch, sequence, named))

"""Changes in the log whose turn has not come, found by what they wait for.

A change waits while something that it builds on is not in the document; then it is *due*,
and waits for its turn: one transaction applies a bounded amount. Each is kept with the
hashes that it misses, so what arrives touches what it releases and nothing else, however
many wait (Kahn 1962, with the edges in the store).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chez.store.database import Connection

__all__ = ("PER_CHANGE", "Budget", "Due", "Wanting", "due", "fulfil", "owed", "owing", "park", "read", "refuse",
           "undisturbed", "wanting", "wants")

PER_CHANGE = 16
"""What a change costs besides its operations, in operations: it is read, checked and logged."""


@dataclass(slots=True)
class Budget:
    """How much one transaction may still merge, in operations; the last thing taken in may overdraw it."""

    left: int

    @property
    def spent(self) -> bool:
        """Whether the rest is for the next transaction."""
        return self.left <= 0

    def spend(self, weight: int, changes: int = 1) -> None:
        """Some changes are worked on."""
        self.left -= weight + PER_CHANGE * changes


@dataclass(frozen=True, slots=True)
class Due:
    """A change that waited: its row in the log, what is there of it, and the last operation it builds on."""

    row: int
    hash: bytes
    floor: int
    weight: int
    refused: bool
    entry: int | None
    origin: str | None
    time: int
    bytes: bytes = field(repr=False)


@dataclass(slots=True)
class Wanting:
    """A change that waits, seen from one that it builds on."""

    row: int
    missing: int
    floor: int
    weight: int


_DUE = ("SELECT change.n, hash, floor, weight, refused, entry, origin, time, bytes FROM waiting "
        "JOIN change ON change.n = waiting.change WHERE ")


def park(db: Connection, record: int, row: int, floor: int, needs: Iterable[bytes]) -> None:
    """Let a change in a record's log wait for others; for its turn alone if there are none."""
    missing = set(needs)
    db.execute("INSERT INTO waiting (change, record, missing, floor, refused) VALUES (?, ?, ?, ?, 0)",
               (row, record, len(missing), floor))
    db.executemany("INSERT INTO missing (record, hash, change) VALUES (?, ?, ?)",
                   [(record, hash, row) for hash in missing])


def wants(db: Connection, record: int) -> tuple[bool, bool]:
    """Whether any change of a record waits for another, and whether the turn of any has come."""
    waits, is_due = db.execute("SELECT EXISTS (SELECT 1 FROM missing WHERE record = ?1), "
                               "EXISTS (SELECT 1 FROM waiting WHERE record = ?1 AND missing = 0)", (record,)).fetchone()
    return bool(waits), bool(is_due)


def undisturbed(db: Connection, record: int, hash: bytes) -> bool:
    """Whether no change of a record waits, for another or for its turn, and the one of this hash is not in its log."""
    found = db.execute("SELECT EXISTS (SELECT 1 FROM missing WHERE record = ?1) "
                       "OR EXISTS (SELECT 1 FROM waiting WHERE record = ?1 AND missing = 0) "
                       "OR EXISTS (SELECT 1 FROM change WHERE record = ?1 AND hash = ?2)", (record, hash)).fetchone()
    return not found[0]


def wanting(db: Connection, record: int, hash: bytes) -> list[Wanting]:
    """The changes of a record that wait for one."""
    return [Wanting(*row) for row in db.execute(
        "SELECT waiting.change, waiting.missing, floor, weight FROM missing "
        "JOIN waiting ON waiting.change = missing.change JOIN change ON change.n = waiting.change "
        "WHERE missing.record = ? AND missing.hash = ? ORDER BY waiting.change",
        (record, hash))]


def fulfil(db: Connection, record: int, hash: bytes, last: int) -> None:
    """A change is in the document, whose last operation is `last`: nothing waits for it any more."""
    db.execute("UPDATE waiting SET missing = missing - 1, floor = max(floor, ?) "
               "WHERE change IN (SELECT change FROM missing WHERE record = ? AND hash = ?)", (last, record, hash))
    db.execute("DELETE FROM missing WHERE record = ? AND hash = ?", (record, hash))


def refuse(db: Connection, record: int, hash: bytes) -> None:
    """A change was refused: so are to be, each in its turn, those that wait for it."""
    rows = db.execute("SELECT change FROM missing WHERE record = ? AND hash = ?", (record, hash)).fetchall()
    db.executemany("UPDATE waiting SET missing = 0, refused = 1 WHERE change = ?", rows)
    db.executemany("DELETE FROM missing WHERE change = ?", rows)


def read(db: Connection, row: int) -> Due:
    """A change that waits, by its row."""
    return _due(db.execute(_DUE + "change.n = ?", (row,)).fetchone())


def due(db: Connection, record: int, budget: Budget | None) -> list[Due]:
    """The changes of a record whose turn it is, as many as the budget allows, which they are taken from."""
    out: list[Due] = []
    for row in db.execute(_DUE + "waiting.record = ? AND missing = 0 ORDER BY waiting.change", (record,)):
        if budget is not None and budget.spent:
            break
        out.append(_due(row))
        if budget is not None:
            budget.spend(0 if out[-1].refused else out[-1].weight)
    return out


def owing(db: Connection, space: int, after: int) -> tuple[int, str, str] | None:
    """The next record of a space behind the row `after` of which something is due: row, collection and id."""
    row: tuple[int, str, str] | None = db.execute(
        "SELECT record.n, collection, id FROM waiting JOIN record ON record.n = waiting.record "
        "WHERE missing = 0 AND waiting.record > ? AND space = ? ORDER BY waiting.record LIMIT 1",
        (after, space)).fetchone()
    return row


def owed(db: Connection, but: Iterable[int], space: int) -> bool:
    """Whether something is due in a space, of other records than these."""
    aside = set(but)
    return any(n not in aside for (n,) in db.execute(
        "SELECT DISTINCT record.n FROM waiting JOIN record ON record.n = waiting.record "
        "WHERE missing = 0 AND space = ?", (space,)))


def _due(row: tuple[int, bytes, int, int, int, int | None, str | None, int, bytes]) -> Due:
    n, hash, floor, weight, refused, entry, origin, time, data = row
    return Due(n, hash, floor, weight, bool(refused), entry, origin, time, data)

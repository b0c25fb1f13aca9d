"""Saving what can be read of a damaged store into a new one.

SQLCipher authenticates each page, so a damaged page is an error and never a wrong row; but
after an error a connection gives nothing more. So a table is read in order until it breaks;
the next row that can be read is looked for by doubling the distance and halving it again,
each time on a connection of its own, and reading goes on from there. Tables without row
numbers, which are short, are read from both ends.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlcipher3

from chez.errors import ChezError, Damaged
from chez.store.database import Connection
from chez.store.file import connect, migrate

__all__ = ("Salvage", "require", "salvage")

DERIVED: Final = ("search", "decimal_field", "unused_index", "blob_reference")
"""Tables that are made again from others."""

FARTHEST: Final = 2**40
"""Row numbers between the last row that was read and the next one looked for, at the most."""


@dataclass(slots=True)
class Salvage:
    """Rows saved, and in which tables reading broke off, and how often."""

    saved: int = 0
    lost: dict[str, int] = field(default_factory=dict)


def salvage(old: Path, new: Path, key: bytes, step: Callable[[int, int], Any]) -> Salvage:
    """Copy all readable rows of the store `old` into a new one. Raises `Damaged` when it does not open at all.

    References may lead nowhere afterwards; those rows are the caller's to settle.
    """
    result = Salvage()
    source = _Source(old, key)
    target = connect(new, key)
    try:
        migrate(target)
        target.execute("PRAGMA foreign_keys = OFF")
        target.execute("BEGIN")
        tables = [row for row in target.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
                  if row[0] not in DERIVED and not row[0].startswith("sqlite_")]
        for done, (table, sql) in enumerate(tables):
            step(done, len(tables))
            _copy(source, target, table, "WITHOUT ROWID" not in sql.upper(), result)
        target.execute("COMMIT")
        step(len(tables), len(tables))
    finally:
        source.close()
        target.close()
    return result


class _Source:
    """The damaged store; opened again after each error."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._db: Connection | None = connect(path, key)

    def read(self, sql: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]] | None:
        """All rows, or None when one of them can't be read."""
        try:
            if self._db is None:
                self._db = connect(self._path, self._key)
            return list(self._db.execute(sql, params).fetchall())
        except (sqlcipher3.Error, ChezError, MemoryError, UnicodeDecodeError):
            self.close()
            return None

    def stream(self, sql: str, params: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Rows until one can't be read: then `_Broken` is raised."""
        try:
            if self._db is None:
                self._db = connect(self._path, self._key)
            yield from self._db.execute(sql, params)
        except (sqlcipher3.Error, ChezError, MemoryError, UnicodeDecodeError):
            self.close()
            raise _Broken from None

    def close(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            db.close()


class _Broken(Exception):
    """The rest of a table can't be read in this direction."""


def _copy(source: _Source, target: Connection, table: str, numbered: bool, result: Salvage) -> None:
    columns = [row[1] for row in target.execute(f"PRAGMA table_info({table})").fetchall()]
    # Several may be one row: what was read from one end is met again from the other.
    insert = f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    if numbered:
        _copy_numbered(source, target, table, columns, insert, result)
    else:
        _copy_from_both_ends(source, target, table, columns, insert, result)


def _copy_numbered(source: _Source, target: Connection, table: str, columns: list[str], insert: str,
                   result: Salvage) -> None:
    select = f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid >= ? ORDER BY rowid"
    start = -(2**63)
    while True:
        last = max(start - 1, 0)
        try:
            for row in source.stream(select, (start,)):
                result.saved += target.execute(insert, row[1:]).rowcount
                last = row[0]
            return
        except _Broken:
            # The driver reads one row ahead, so the row before the damage is read alone.
            rows = source.read(select + " LIMIT 1", (last + 1,))
        if rows is None:
            result.lost[table] = result.lost.get(table, 0) + 1
            found = _next(source, select + " LIMIT 1", last)
            rows = [] if found is None else source.read(select + " LIMIT 1", (found,)) or []
        if not rows:
            return
        result.saved += target.execute(insert, rows[0][1:]).rowcount
        start = rows[0][0] + 1


def _next(source: _Source, select: str, last: int) -> int | None:
    """The least row number after a damaged place from which there is something to read, be it that nothing follows."""
    distance = 1
    while source.read(select, (last + distance,)) is None:
        distance *= 2
        if distance > FARTHEST:
            return None
    bad, good = last + distance // 2, last + distance
    while good - bad > 1:
        middle = (bad + good) // 2
        if source.read(select, (middle,)) is None:
            bad = middle
        else:
            good = middle
    return good


def _copy_from_both_ends(source: _Source, target: Connection, table: str, columns: list[str], insert: str,
                         result: Salvage) -> None:
    keys = [row[1] for row in sorted(target.execute(f"PRAGMA table_info({table})").fetchall(), key=lambda r: r[5])
            if row[5]]
    for way in ("ASC", "DESC"):
        order = ", ".join(f"{name} {way}" for name in keys)
        select, read = f"SELECT {', '.join(columns)} FROM {table} ORDER BY {order}", 0
        try:
            for row in source.stream(select):
                result.saved += target.execute(insert, row).rowcount
                read += 1
            return
        except _Broken:
            result.lost[table] = 1
        # As above: the row before the damage.
        for row in source.read(f"{select} LIMIT 1 OFFSET ?", (read,)) or []:
            result.saved += target.execute(insert, row).rowcount


def require(db: Connection) -> None:
    """What a home is nothing without must have been saved. Raises `Damaged`."""
    meta = {row[0] for row in db.execute("SELECT key FROM meta")}
    lacks = {"person", "device.signing", "device.sealing", "device.name", "private"} - meta
    if lacks or not db.execute("SELECT 1 FROM space").fetchone() or not db.execute("SELECT 1 FROM epoch").fetchone():
        raise Damaged("the part of the store that holds its keys is lost",
                      "Restore a backup, or join again from another device: the relay still holds the entries.")

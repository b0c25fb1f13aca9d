"""Scenario: a relay brings up to date a store of the version before, which lies as a killed relay left it.

There is one version yet, so those after it are made up: a table that is rewritten, and another that is filled from it.
SQLite keeps few pages meanwhile, as of a store that is larger than that: some are in the log before the commit.
"""

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest

from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage import checking, sqlite
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME, looking
from chez_relay.storage.migrations import migrate, steps
from chez_relay.storage.sqlite import SqliteStorage
from tests.durability.relaying import ENTRIES, GROUPS, stored
from tests.durability.scene import Place, Scenario
from tests.relay.support import seed

__all__ = ("UPGRADING",)

REWRITTEN: Final = """\
CREATE TABLE rewritten (
    place INTEGER PRIMARY KEY, entry BLOB NOT NULL, head BLOB NOT NULL, control INTEGER NOT NULL, envelope BLOB NOT NULL
) STRICT;
INSERT INTO rewritten SELECT * FROM entries;
DROP TABLE entries;
ALTER TABLE rewritten RENAME TO entries;
"""
FILLED: Final = """\
CREATE TABLE sizes (place INTEGER PRIMARY KEY, size INTEGER NOT NULL) STRICT;
INSERT INTO sizes SELECT place, length(envelope) FROM entries;
"""

OLD: Final = len(steps())
NEW: Final = OLD + 2
BEFORE: Final = f"{FILE_NAME}.before-{OLD + 1:04}"
CUT_OFF: Final = f"{BEFORE}.partial-1"
"""A copy that was cut off. It stays where the disk refuses to remove it: that is tried once."""

STORE: Final = seed("the store before")
"""The store's incarnation."""

SAID: Final = tuple(f"group {number}" for number in range(len(GROUPS)))
"""What was acknowledged before."""


def _newer() -> list[str]:
    return [*steps(), REWRITTEN, FILLED]


@contextmanager
def _a_newer_relay() -> Iterator[None]:
    """The relay of this process is of the later version while the block lasts."""
    with patch.object(sqlite, "steps", _newer), patch.object(checking, "steps", _newer):
        yield


async def _left_by_a_kill(folder: Path) -> None:
    """A store whose log is not written back, and a copy that was cut off."""
    storage = await SqliteStorage.open(folder / "served", random=lambda size: STORE[:size])
    try:
        for group in GROUPS:
            await storage.perform(group)
        (folder / "data").mkdir()
        for name in (FILE_NAME, f"{FILE_NAME}-wal"):
            shutil.copy(folder / "served" / name, folder / "data")
    finally:
        await storage.close()
    shutil.rmtree(folder / "served")
    (folder / "data" / CUT_OFF).write_bytes(b"cut off")


async def _upgrade(place: Place) -> None:
    sqlite.CACHE_KIB = 16  # type: ignore[misc]
    with _a_newer_relay():
        try:
            storage = await SqliteStorage.open(place.folder / "data")
        except (StorageFailed, StoreUnusable) as error:
            assert error.hint
            place.relieve()
            storage = await SqliteStorage.open(place.folder / "data")
        place.say("upgraded")
        await storage.close()


async def _upgraded(folder: Path, acknowledged: Sequence[str]) -> None:
    data = folder / "data"
    version, schema = _looked_at(data / FILE_NAME)
    assert (version, schema) in ((NEW, _schema(_newer())), (OLD, _schema(steps())))
    assert version == NEW or not acknowledged
    names = {path.name for path in data.iterdir()}
    assert BEFORE in names or version == OLD, "it was changed before there was a copy"
    if BEFORE in names:
        await _can_go_back(data / BEFORE, folder / "back")
    with _a_newer_relay():
        await stored(folder, SAID)
        assert check(data / FILE_NAME).sound and _looked_at(data / FILE_NAME) == (NEW, _schema(_newer()))
    with pytest.raises(StoreUnusable, match="newer"):
        await SqliteStorage.open(data)
    assert _incarnation(data / FILE_NAME) == STORE
    assert {path.name for path in data.glob("*.before-*")} - {CUT_OFF} == {BEFORE}
    if version == OLD:  # the copy was made just now
        await _can_go_back(data / BEFORE, folder / "back again")


async def _can_go_back(copy: Path, folder: Path) -> None:
    """A copy is whole, and serves as another store of the version before."""
    assert _looked_at(copy) == (OLD, _schema(steps()))
    assert check(copy).sound and check(copy).entries == ENTRIES[-1] and _incarnation(copy) != STORE
    (folder / "data").mkdir(parents=True)
    shutil.copy(copy, folder / "data" / FILE_NAME)
    await stored(folder, SAID)
    assert _incarnation(folder / "data" / FILE_NAME) not in (STORE, _incarnation(copy))


def _looked_at(path: Path) -> tuple[int, set[str]]:
    """The version of a store, and the SQL of what is in it."""
    with looking(path) as db:
        return db.execute("PRAGMA user_version").fetchone()[0], _sql(db)


def _schema(known: Sequence[str]) -> set[str]:
    """What is in a store of these steps."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        migrate(db, Path(FILE_NAME), known)
        return _sql(db)


def _sql(db: sqlite3.Connection) -> set[str]:
    return {sql for (sql,) in db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")}


def _incarnation(path: Path) -> bytes:
    with looking(path) as db:
        found: bytes = db.execute("SELECT value FROM facts WHERE name = 'incarnation'").fetchone()[0]
        return found


UPGRADING = Scenario(_left_by_a_kill, _upgrade, _upgraded)

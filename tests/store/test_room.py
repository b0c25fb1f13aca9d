"""Room in the log: its commits let no file grow, and what it holds is what was committed."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.store.database import Connection, Database
from chez.store.file import connect
from chez.store.log import CHECKPOINT, ROOM
from tests.disks import WITHOUT_ROOM, take_room

KEY = bytes(32)


def _held(path: Path) -> list[str]:
    db = connect(path, KEY)
    try:
        return [key for (key,) in db.execute("SELECT key FROM meta WHERE key LIKE 'room%' ORDER BY key")]
    finally:
        db.close()


async def _play(folder: Path, steps: list[str]) -> None:
    """Some commits, with room made among them; after each the files, as a crash would leave them, have all of it."""
    path, written = folder / "chez.db", list[str]()
    database = await Database.open(path, KEY)
    try:
        for number, step in enumerate(steps):
            key = f"room {number:03}"

            def work(db: Connection, key: str = key) -> None:
                db.execute("INSERT INTO meta (key, value) VALUES (?, zeroblob(9000))", (key,))

            if step == "room":
                await database.make_room()
            elif step == "back":
                await database.write(lambda db: None)
                await database.look(lambda db: db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())
            else:
                await database.submit(work, shown_first=step == "shown")
                written.append(key)
            left = folder / f"left{number}"
            left.mkdir()
            for file in folder.glob("chez.db*"):
                shutil.copy(file, left)
            assert _held(left / "chez.db") == written
    finally:
        await database.close()
    assert _held(path) == written


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from(("write", "shown", "room", "room", "back")), max_size=8))
def test_what_was_committed_is_there_wherever_room_was_made(steps: list[str]) -> None:
    """Before the first commit, behind others, where the log was written back and begins anew; and again."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(Path(folder), steps))


async def test_no_commit_lets_the_log_grow_until_it_is_written_back(tmp_path: Path) -> None:
    """So its sync has no new size to write; and it does not grow beyond that either."""
    database = await Database.open(tmp_path / "chez.db", KEY)
    log = tmp_path / "chez.db-wal"
    try:
        await database.make_room()
        sizes = set()
        for number in range(CHECKPOINT // 2):
            await database.submit(lambda db, n=number: db.execute(  # type: ignore[misc]
                "INSERT OR REPLACE INTO meta (key, value) VALUES ('one', zeroblob(9000 + ?))", (n % 2,)),
                shown_first=number % 2 == 0)
            sizes.add(log.stat().st_size)
        assert sizes == {ROOM}
    finally:
        await database.close()


@pytest.mark.parametrize("why", WITHOUT_ROOM)
async def test_a_disk_without_that_room_costs_nothing_but_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """The last of a disk is not for zeros."""
    log = tmp_path / "chez.db-wal"
    database = await Database.open(tmp_path / "chez.db", KEY)
    try:
        await database.write(lambda db: db.execute("INSERT INTO meta (key, value) VALUES ('room 1', x'01')"))
        before = log.read_bytes()
        with monkeypatch.context() as patch:
            take_room(patch, why, ROOM)
            await database.make_room()
        assert log.read_bytes() == before
        await database.write(lambda db: db.execute("INSERT INTO meta (key, value) VALUES ('room 2', x'01')"))
    finally:
        await database.close()
    assert _held(tmp_path / "chez.db") == ["room 1", "room 2"]

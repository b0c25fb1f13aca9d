"""Room in the store's log: its commits let no file grow, and what it holds is what was acknowledged."""

import shutil
from pathlib import Path

import pytest

from chez_relay import storage as s
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.sqlite import SqliteStorage
from chez_relay.storage.writeback import ROOM_BYTES
from tests.disks import WITHOUT_ROOM, take_room
from tests.relay.test_storage import create, entry


async def add(store: SqliteStorage, *numbers: int) -> None:
    """Entries, each a commit of its own."""
    for number in numbers:
        (stored,) = await store.perform([entry(number)])
        assert isinstance(stored, s.Stored) and stored.offset == number


def left_by_a_kill(folder: Path, to: Path) -> Path:
    """What the files of a relay that runs hold, in another folder."""
    to.mkdir()
    for file in folder.glob(f"{FILE_NAME}*"):
        shutil.copy(file, to)
    return to


async def test_no_commit_lets_the_log_grow_until_it_is_written_back(tmp_path: Path) -> None:
    """So its sync has no new size to write; and it does not grow beyond that either."""
    store, log = await SqliteStorage.open(tmp_path), tmp_path / f"{FILE_NAME}-wal"
    sizes = {log.stat().st_size}
    await store.perform([create()])
    for number in range(1, 300):
        await add(store, number)
        sizes.add(log.stat().st_size)
    await store.close()
    assert sizes == {ROOM_BYTES}


async def test_what_was_acknowledged_is_there_however_often_a_relay_was_killed(tmp_path: Path) -> None:
    """Each start makes room behind what the last one left in the log."""
    folder, count = tmp_path / "0", 0
    for start in range(4):
        store = await SqliteStorage.open(folder)
        if not start:
            await store.perform([create()])
        await add(store, *range(count + 1, count + 8))
        count += 7
        folder = left_by_a_kill(folder, tmp_path / str(start + 1))
        await store.close()
        assert (report := check(left_by_a_kill(folder, tmp_path / f"{start + 1} looked at") / FILE_NAME)).sound
        assert report.entries == count


@pytest.mark.parametrize("why", WITHOUT_ROOM)
async def test_a_disk_without_that_room_costs_nothing_but_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """The last of a disk is not for zeros."""
    log = tmp_path / f"{FILE_NAME}-wal"
    with monkeypatch.context() as patch:
        take_room(patch, why, ROOM_BYTES)
        store = await SqliteStorage.open(tmp_path)
    assert log.stat().st_size < 100_000
    await store.perform([create()])
    await add(store, 1, 2)
    await store.close()
    assert (report := check(tmp_path / FILE_NAME)).sound and report.entries == 2

"""What a process that is gone wrote, and the disk gave up: whoever opens the store next reads it all the same.

An fsync failed, and the process was killed, or could not close its store. The kernel shows what was
written, says yes to each fsync from then on, and the disk has none of it: so a log that is found is
written anew before anything that follows in it is believed.
"""

import asyncio
import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

import chez
from chez_durable.folders import sync_folder
from chez_relay import storage as s
from chez_relay.errors import StorageFailed
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME, looking
from chez_relay.storage.sqlite import SqliteStorage
from tests.durability.images import Disk
from tests.durability.running import record
from tests.durability.scene import PASSPHRASE, Place, everything, made, opened
from tests.durability.tape import Fault
from tests.relay.test_storage import READ, SPACE, create, entry


def seen_and_held(tmp_path: Path) -> tuple[Path, Path]:
    """A folder as programs see it, and as the disk has it."""
    return tmp_path / "seen", tmp_path / "held"


def cut_at_the_last_word(act: Callable[[Place], Awaitable[None]], seen: Path, held: Path) -> Path:
    """Do something where both differ, and cut the power once the last of it was acknowledged; what is left."""
    left = seen.with_name("left")
    disk = Disk.of(held)
    found = record(act, seen)
    assert found.ended == "done", found.error
    disk.play(found.ops[: found.last])
    disk.leave(left, "none", Random(1))
    return left


async def relay_goes_on(place: Place) -> None:
    """The next entry, on a store that was left."""
    storage = await SqliteStorage.open(place.folder / "data")
    (stored,) = await storage.perform([entry(3)])
    assert isinstance(stored, s.Stored) and stored.offset == 3
    place.say("stored")
    await storage.close()


async def relay_is_asked_again(place: Place) -> None:
    """The entry that may have failed once more: it is there, and acknowledged."""
    storage = await SqliteStorage.open(place.folder / "data")
    (stored,) = await storage.perform([entry(2)])
    assert isinstance(stored, s.Stored) and (stored.offset, stored.fresh) == (2, False)
    place.say("stored")
    await storage.close()


async def entries_left(folder: Path) -> int:
    """How many entries a store holds."""
    storage = await SqliteStorage.open(folder / "data")
    (page,) = await storage.perform([s.ReadPage(SPACE.handle, 0, 100_000, READ)])
    await storage.close()
    assert isinstance(page, s.Page)
    return len(page.entries)


async def a_relays_store_left(tmp_path: Path) -> tuple[Path, Path]:
    """A store that was killed: the disk has one entry of the two that it shows."""
    seen, held = seen_and_held(tmp_path)
    storage = await SqliteStorage.open(tmp_path / "first" / "data")
    await storage.perform([create(), entry(1)])
    shutil.copytree(tmp_path / "first", held)
    await storage.perform([entry(2)])
    shutil.copytree(tmp_path / "first", seen)
    await storage.close()
    return seen, held


async def test_a_relay_stores_behind_what_the_disk_gave_up(tmp_path: Path) -> None:
    """What is acknowledged next stands behind it in the log: it must not fall with it."""
    left = cut_at_the_last_word(relay_goes_on, *await a_relays_store_left(tmp_path))
    assert await entries_left(left) == 3


async def test_a_relay_acknowledges_what_it_found(tmp_path: Path) -> None:
    """A device that asks again hears yes: so it is on the disk."""
    left = cut_at_the_last_word(relay_is_asked_again, *await a_relays_store_left(tmp_path))
    assert await entries_left(left) == 2


async def relay_writes_back(place: Place) -> None:
    """Its log is written back twice: as far as a reader lets it, which syncs nothing, and then all of it."""
    path = place.folder / "data" / FILE_NAME
    storage = await SqliteStorage.open(path.parent)
    try:
        await storage.perform([create(), entry(1, 9000)])
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            with looking(path) as reader:
                reader.execute("SELECT count(*) FROM entries").fetchone()
                await storage.perform([entry(2), entry(3)])
                storage._writing_back._pass(db)
            place.say("stored")
            storage._writing_back._pass(db)
    finally:
        await storage.close()
    sync_folder(path.parent)  # as the system does by itself soon: a log that was removed is gone


def test_what_a_relay_wrote_back_may_be_lost_with_a_sync_that_failed_later(tmp_path: Path) -> None:
    """Also what an earlier pass had done, which none does again: it is in the log, which stays for the next start."""
    first, held = tmp_path / "first", tmp_path / "held"
    held.mkdir()
    first.mkdir()
    syncs = record(relay_writes_back, first).syncs
    for at in syncs:
        seen, left = tmp_path / f"seen{at}", tmp_path / f"left{at}"
        seen.mkdir()
        found = record(relay_writes_back, seen, Fault("eio", at))
        if found.acknowledged():
            disk = Disk.of(held)
            disk.play(found.ops)
            disk.leave(left, "none", Random(at))
            assert asyncio.run(entries_left(left)) == 3, (at, found.struck)
            assert check(left / "data" / FILE_NAME).sound
    assert len(syncs) > 5


_fsync = os.fsync


def refuse(file: int) -> None:
    """As the fsync of a file on a failing disk; folders are synced before, and are sound."""
    if not stat.S_ISDIR(os.fstat(file).st_mode):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    _fsync(file)


async def test_a_relay_does_not_start_while_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so, and starts once it does no more."""
    seen, _ = await a_relays_store_left(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageFailed, match=r"relay\.sqlite-wal can't be written anew: Input/output error"):
            await SqliteStorage.open(seen / "data")
    assert await entries_left(seen) == 2


async def home_goes_on(place: Place) -> None:
    """The next record, in a home that was left."""
    async with chez.open(place.home, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"n": 3}, id="three")
        place.say("written")


async def test_a_home_writes_behind_what_the_disk_gave_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written next stands behind it in the log: it must not fall with it."""
    seen, held = seen_and_held(tmp_path)
    first = tmp_path / "first" / "home"
    await made(first)
    async with chez.open(first, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"n": 1}, id="one")
        shutil.copytree(first.parent, held)
        await home.collection("notes").put({"n": 2}, id="two")
        shutil.copytree(first.parent, seen)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(chez.errors.StorageFailed, match="can't be made durable: Input/output error"):
            await opened(seen / "home").__aenter__()
    left = cut_at_the_last_word(home_goes_on, seen, held)
    async with opened(left / "home") as home:
        assert {id for (_, id) in await everything(home)} >= {"one", "two", "three"}

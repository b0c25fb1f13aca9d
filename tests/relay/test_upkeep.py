"""What an operator does to a store: bring it up to date, copy it, check it."""

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from chez.sync.connection import connect
from chez_relay import storage as s
from chez_relay.config import load
from chez_relay.doctor import examine
from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage.backup import backup
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.migrations import migrate, steps
from chez_relay.storage.sqlite import SqliteStorage
from chez_wire.login import Role
from tests.relay.storing import INBOX, READ, SPACE, chunk, create, entry
from tests.relay.support import relay

FIRST = "CREATE TABLE things (name TEXT NOT NULL) STRICT; INSERT INTO things VALUES ('kept');"
SECOND = "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 4;"
BROKEN = "UPDATE things SET size = 5; CREATE TABLE things (name TEXT);"


def store_of(path: Path, known: Sequence[str]) -> sqlite3.Connection:
    """A store brought up to these steps."""
    db = sqlite3.connect(path, isolation_level=None)
    migrate(db, path, known)
    return db


def test_a_store_is_copied_before_it_is_brought_up_to_date(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """All lacking steps are done, and the store of the earlier version lies beside it, whole; the log says so, for a
    large one takes its time."""
    caplog.set_level(logging.INFO)
    path = tmp_path / FILE_NAME
    store_of(path, [FIRST]).close()
    assert not caplog.messages
    (tmp_path / f"{FILE_NAME}.before-0002.partial-1").touch()  # of a start that was cut off
    with closing(store_of(path, [FIRST, SECOND, "CREATE TABLE more (x INTEGER) STRICT;"])) as db:
        assert db.execute("SELECT * FROM things").fetchall() == [("kept", 4)]
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
    with closing(sqlite3.connect(tmp_path / f"{FILE_NAME}.before-0002")) as before:
        assert before.execute("SELECT * FROM things").fetchall() == [("kept",)]
        assert before.execute("PRAGMA user_version").fetchone() == (1,)
    assert sorted(file.name for file in tmp_path.iterdir()) == [FILE_NAME, f"{FILE_NAME}.before-0002"]
    begun, ended = caplog.messages
    assert f"{FILE_NAME}.before-0002" in begun and ended == "the store is up to date"
    store_of(path, [FIRST, SECOND, "CREATE TABLE more (x INTEGER) STRICT;"]).close()
    assert len(caplog.messages) == 2


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """Not one statement of a failing step stays, the error names the copy, and a mended step can be tried again."""
    path = tmp_path / FILE_NAME
    store_of(path, [FIRST]).close()
    for _ in range(2):
        with pytest.raises(StoreUnusable, match="before-0002"):
            store_of(path, [FIRST, SECOND, BROKEN])
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT * FROM things").fetchall() == [("kept",)]
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
    with closing(store_of(path, [FIRST, SECOND])) as db:
        assert db.execute("SELECT * FROM things").fetchall() == [("kept", 4)]


def test_without_room_for_the_copy_nothing_is_migrated(tmp_path: Path) -> None:
    """Where the copy can't be made, the store stays of its version, with a word on what to do."""
    path = tmp_path / FILE_NAME
    store_of(path, [FIRST]).close()
    (tmp_path / f"{FILE_NAME}.before-0002").mkdir()  # nothing can take its name
    with pytest.raises(StorageFailed, match="room"):
        store_of(path, [FIRST, SECOND])
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)


async def test_a_backup_beside_a_writing_relay_is_whole_and_another_store(tmp_path: Path) -> None:
    """Made while entries come in, it has those acknowledged before it, each whole, and an incarnation of its own."""
    store = await SqliteStorage.open(tmp_path / "data")
    await store.perform([create(2), *(entry(n) for n in range(50)), chunk(1, 5000), INBOX,
                         s.AddItem(INBOX.inbox, b"x", INBOX.write_key)])
    copying = asyncio.create_task(asyncio.to_thread(backup, tmp_path / "data", tmp_path / "copy"))
    number = 50
    while not copying.done():
        await store.perform([entry(number)])
        number += 1
    report = await copying
    incarnation = store.incarnation
    await store.close()
    assert report.sound and report.entries >= 50 and (report.chunks, report.packets, report.items) == (1, 2, 1)
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    (tmp_path / "back").mkdir()
    (tmp_path / "copy").rename(tmp_path / "back" / FILE_NAME)
    back = await SqliteStorage.open(tmp_path / "back")
    (page,) = await back.perform([s.ReadPage(SPACE.handle, 0, 2**20, READ)])
    assert isinstance(page, s.Page) and page.end == report.entries
    assert [one.envelope for one in page.entries] == [entry(n).envelope for n in range(page.end)]
    assert back.incarnation != incarnation
    await back.close()


async def begun(folder: Path, copy: Path) -> bytes:
    """The incarnation of a store that begins with a copy."""
    folder.mkdir()
    shutil.copy(copy, folder / FILE_NAME)
    return await incarnation_of(folder)


async def incarnation_of(folder: Path) -> bytes:
    store = await SqliteStorage.open(folder)
    await store.close()
    return store.incarnation


async def test_a_copy_that_is_put_in_place_again_is_again_another_store(tmp_path: Path) -> None:
    """What came after it the first time is lacking the second time: else honest devices would call the relay a liar.

    The same holds of the copy that is made before a store is brought up to date.
    """
    store = await SqliteStorage.open(tmp_path / "data")
    await store.perform([create(), entry(1)])
    await store.close()
    backup(tmp_path / "data", tmp_path / "copy")
    store_of(tmp_path / "data" / FILE_NAME, [*steps(), "CREATE TABLE more (x INTEGER) STRICT;"]).close()
    before = tmp_path / "data" / f"{FILE_NAME}.before-{len(steps()) + 1:04}"
    known = {store.incarnation}
    for number, copy in enumerate((tmp_path / "copy", tmp_path / "copy", before, before)):
        folder = tmp_path / f"back {number}"
        known.add(await begun(folder, copy))
        known.add(await incarnation_of(folder))
        assert len(known) == number + 2
        assert check(folder / FILE_NAME).sound


async def test_a_copy_is_not_served_with_the_log_of_the_store_before(tmp_path: Path) -> None:
    """Put over the file of a relay that was killed, its log still there: SQLite would mix the two. The relay and all
    commands say what lies there and what to do, nothing is touched, and with the log away the copy is served whole."""
    data, copy, log = tmp_path / "data", tmp_path / "copy", tmp_path / "data" / f"{FILE_NAME}-wal"
    async with relay(data) as process, connect(process.url) as device:
        await device.create_space(SPACE.admin, *SPACE.others)
        await device.open(SPACE.claims(Role.APPEND))
        await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
        backup(data, copy)
        for number in range(2, 9):
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(number))
        await process.kill()
    shutil.copy(copy, data / FILE_NAME)
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    for looks in (backup, check_in):
        with pytest.raises(StoreUnusable, match=f"{FILE_NAME}-wal"):
            looks(data, tmp_path / "another")
    with pytest.raises(StoreUnusable, match=f"{FILE_NAME}-wal") as caught:
        await SqliteStorage.open(data)
    assert "move" in caught.value.hint and before == {path.name: path.read_bytes() for path in data.iterdir()}
    log.unlink()
    log.with_name(f"{FILE_NAME}-shm").unlink()
    async with relay(data) as process, connect(process.url) as device:
        await device.open(SPACE.claims())
        assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(2))).offset == 2
    assert check(data / FILE_NAME).sound


def check_in(folder: Path, _: Path) -> None:
    """Look at every row of a folder's store."""
    check(folder / FILE_NAME)


async def test_two_backups_that_are_made_for_one_name_are_both_made(tmp_path: Path) -> None:
    """One that takes longer than it is until the next: neither takes the other's file away, or says of the store that
    it is damaged. What one left that was cut off days ago is removed, and what may be under way is not."""
    store = await SqliteStorage.open(tmp_path / "data")
    await store.perform([create(), entry(1)])
    await store.close()
    kept, left = tmp_path / "copy.partial-1", tmp_path / "copy.partial-2"
    kept.touch()
    left.touch()
    os.utime(left, (0, 0))
    reports = []

    def late(size: int) -> bytes:
        """Called while a backup is under way: another begins, and ends."""
        if not reports:
            reports.append(None)
            reports[0] = backup(tmp_path / "data", tmp_path / "copy")
        return bytes(size)

    reports.append(backup(tmp_path / "data", tmp_path / "copy", late))
    assert [report is not None and report.sound and report.entries for report in reports] == [1, 1]
    assert check(tmp_path / "copy").sound and kept.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "copy.partial-1", "data"]


async def test_a_backup_replaces_nothing_and_is_not_made_of_a_damaged_store(tmp_path: Path) -> None:
    """A file in its place, no store, a damaged one, a folder that is not there: typed, and nothing is left behind."""
    store = await SqliteStorage.open(tmp_path / "data")
    await store.perform([create(), entry(1)])
    await store.close()
    (tmp_path / "there").touch()
    with pytest.raises(StoreUnusable, match="already"):
        backup(tmp_path / "data", tmp_path / "there")
    with pytest.raises(StoreUnusable, match="no relay's store"):
        backup(tmp_path / "nothing", tmp_path / "copy")
    with pytest.raises(StorageFailed):
        backup(tmp_path / "data", tmp_path / "nowhere" / "copy")
    path = tmp_path / "data" / FILE_NAME
    data = path.read_bytes()
    path.write_bytes(data.replace(entry(1).envelope, entry(2).envelope))
    with pytest.raises(StoreUnusable, match="damaged"):
        backup(tmp_path / "data", tmp_path / "copy")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["data", "there"]


async def test_of_a_store_with_a_broken_page_each_command_says_what_it_looked_at(tmp_path: Path) -> None:
    """Zeros amid its entries: the doctor, who reads no entry, promises none and names what does; so does a backup,
    which is not made; and that finds them."""
    store = await SqliteStorage.open(tmp_path / "data")
    await store.perform([create(), *(entry(n, 1000) for n in range(100))])
    await store.close()
    path = tmp_path / "data" / FILE_NAME
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(bytes(4096))
    (found,) = [one for one in examine(load({"data": str(tmp_path / "data"), "listen": "127.0.0.1:0"}, {}))
                if one.what == "store"]
    assert found.level == 0 and "not looked at" in found.text and "chez-relay check" in found.text
    with pytest.raises(StorageFailed, match="can't be copied") as caught:
        backup(tmp_path / "data", tmp_path / "copy")
    assert "chez-relay check" in caught.value.hint and not (tmp_path / "copy").exists()
    assert not check(path).sound


async def test_check_and_backup_from_the_command_line(tmp_path: Path) -> None:
    """Beside a running relay both say what they saw; of a damaged store `check` ends with 3 and says where."""
    data, copy = tmp_path / "data", tmp_path / "copy"
    async with relay(data) as process, connect(process.url) as device:
        await device.create_space(SPACE.admin, *SPACE.others)
        await device.open(SPACE.claims(Role.APPEND))
        await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
        assert await run("check", "--data", str(data)) == (
            0, "looked at 1 entry, 0 chunks, 0 packets and 0 items: all are whole\n")
        code, output = await run("backup", "--data", str(data), str(copy))
        assert code == 0 and "copied 1 entry" in output and check(copy).sound
    path = data / FILE_NAME
    path.write_bytes(path.read_bytes().replace(SPACE.envelope(1), SPACE.envelope(2)))
    code, output = await run("check", "--data", str(data))
    assert code == 3 and "damaged: space 1: the entry at offset 1" in output
    code, output = await run("check", "--data", str(data), "--json")
    assert code == 3 and json.loads(output)["damaged"] == 1
    assert SPACE.handle.hex() not in output


def test_the_real_schema_is_a_store_of_its_version(tmp_path: Path) -> None:
    """The steps that ship make a store, and a second start changes nothing."""
    path = tmp_path / FILE_NAME
    for _ in range(2):
        with closing(store_of(path, steps())) as db:
            assert db.execute("PRAGMA user_version").fetchone() == (len(steps()),)
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


async def run(*arguments: str) -> tuple[int | None, str]:
    """Run `chez-relay` to its end: exit code and output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_relay", *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return process.returncode, output.decode()

"""The store's log is written back beside the commits: it begins anew under a load without a pause, and after a reader.

(What a kill or a power cut leaves in between: the scenario "relay log" of `tests/durability`.)
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from chez_relay import storage as s
from chez_relay.errors import StorageFailed
from chez_relay.storage import sqlite
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME, looking
from chez_relay.storage.integrity import unsound
from chez_relay.storage.sqlite import SqliteStorage
from chez_relay.storage.writeback import PAGE_BYTES, WriteBack
from tests.relay.test_storage import READ, SPACE, create, entry

LOG_PAGES = 64
KEPT_BYTES = 2 * LOG_PAGES * PAGE_BYTES
PATIENCE = 20_000

short = partial(WriteBack, log_pages=LOG_PAGES, part_pages=16)


class Load:
    """Appends to a store without a pause."""

    def __init__(self, store: SqliteStorage, folder: Path) -> None:
        self._store = store
        self._log = folder / f"{FILE_NAME}-wal"
        self.count = 0

    @property
    def begun(self) -> int:
        """How often the log has begun anew: its header's bytes 12 to 15 (sqlite.org/walformat.html)."""
        with open(self._log, "rb") as file:
            return int.from_bytes(file.read(16)[12:], "big")

    @property
    def bytes(self) -> int:
        """How large the log's file is."""
        return self._log.stat().st_size

    async def one(self) -> None:
        """One entry, a commit of its own."""
        self.count += 1
        (stored,) = await self._store.perform([entry(self.count)])
        assert isinstance(stored, s.Stored) and stored.offset == self.count

    async def until(self, reached: Callable[[], bool]) -> None:
        """Entries until something is so."""
        for _ in range(PATIENCE):
            if reached():
                return
            await self.one()
        raise AssertionError("it never was")


async def test_the_log_begins_anew_under_constant_load(tmp_path: Path) -> None:
    """Though no commit waits for the write-back, and another one always follows; all entries are in the file after."""
    store = await SqliteStorage.open(tmp_path, writing_back=short)
    await store.perform([create()])
    load = Load(store, tmp_path)
    begun = load.begun
    await load.until(lambda: load.begun >= begun + 3)
    await store.close()
    assert not (tmp_path / f"{FILE_NAME}-wal").exists()
    assert (report := check(tmp_path / FILE_NAME)).sound and report.entries == load.count


async def test_a_reader_holds_the_log_and_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody reads the log grows by what is written, and the reader sees what it saw; then the log begins anew,
    cut to its size."""
    monkeypatch.setattr(sqlite, "KEPT_BYTES", KEPT_BYTES)
    monkeypatch.setattr(sqlite, "ROOM_BYTES", 0)
    store = await SqliteStorage.open(tmp_path, writing_back=short)
    await store.perform([create()])
    load = Load(store, tmp_path)
    await load.one()
    with looking(tmp_path / FILE_NAME) as reader:
        assert reader.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        held = load.begun
        await load.until(lambda: load.bytes > 2 * KEPT_BYTES)
        assert reader.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        assert load.begun == held
    await load.until(lambda: load.begun > held)
    assert load.bytes <= KEPT_BYTES
    (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 10_000_000, READ)])
    assert isinstance(page, s.Page) and len(page.entries) == load.count
    await store.close()


async def test_after_the_disk_failed_a_write_back_nothing_is_acknowledged(tmp_path: Path) -> None:
    """Not even what its own commit calls durable, for a failed fsync may have lost that; reading goes on."""
    store = await SqliteStorage.open(tmp_path, writing_back=short)
    await store.perform([create(), entry(1)])

    def beginning(db: sqlite3.Connection) -> None:
        working(db)
        store._writing_back.unsound = True

    working = store._writing_back.finish
    store._writing_back.finish = beginning  # type: ignore[method-assign]
    for number in (2, 3):  # during the commit, and ever after
        with pytest.raises(StorageFailed):
            await store.perform([entry(number)])
    (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 100_000, READ)])
    assert isinstance(page, s.Page) and [one.envelope for one in page.entries][:1] == [entry(1).envelope]
    await store.close()


async def test_why_a_log_can_t_be_written_back_is_told_once_in_sqlites_words(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An operator sees at the first line that it is the disk that has no room."""
    class Full:
        def execute(self, statement: str) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    store = await SqliteStorage.open(tmp_path, writing_back=short)
    for _ in range(2):
        store._writing_back._pass(cast("sqlite3.Connection", Full()))
    await store.close()
    assert caplog.text.count("can't be written back into its file: database or disk is full") == 1


@pytest.mark.parametrize(("name", "failing"), [
    ("SQLITE_IOERR_FSYNC", True), ("SQLITE_IOERR_READ", True), ("SQLITE_CORRUPT_INDEX", True), ("SQLITE_NOTADB", True),
    ("SQLITE_IOERR_WRITE", False), ("SQLITE_IOERR_SHMSIZE", False), ("SQLITE_FULL", False), ("SQLITE_BUSY", False)])
def test_a_failing_disk_is_told_from_one_that_takes_no_more(name: str, failing: bool) -> None:
    """After the one nothing is written before an operator looked; a full disk or quota needs room and nothing else."""
    error = sqlite3.OperationalError("some words")
    error.sqlite_errorname = name
    assert unsound(error) is failing


def test_a_schema_that_is_no_text_is_a_failing_disk() -> None:
    """As SQLite's own words of it can't be read, Python says so instead; of anything else nothing is concluded."""
    assert unsound(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")) and not unsound(OSError("some words"))

"""When a commit shows and when it is durable: never later than what was promised of it."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Sequence
from itertools import groupby
from pathlib import Path

import pytest
import sqlcipher3
from hypothesis import given
from hypothesis import strategies as st

from chez.errors import StorageFailed
from chez.store.database import Connection, Database
from chez.store.file import connect
from chez.store.log import Log
from chez.store.writes import Write, carry_out, part_of


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An open store."""
    opened = await Database.open(tmp_path / "chez.db", bytes(32))
    yield opened
    await opened.close()


class Story:
    """What happened to a store, in order: "shown" (readers see it), "durable" (synced by hand)."""

    def __init__(self, database: Database, patch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        database.after_commit = lambda: self.events.append("shown")
        sync = Log.sync

        def durable(of: Log) -> None:
            sync(of)
            self.events.append("durable")

        patch.setattr(Log, "sync", durable)


def _note(db: Connection) -> str:
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('note', x'01')")
    return "full" if db.execute("PRAGMA synchronous").fetchone() == (2,) else "normal"


async def test_an_ordinary_write_is_durable_before_it_shows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite syncs its log inside the commit; nothing is left to do after it."""
    story = Story(database, monkeypatch)
    assert await database.write(_note) == "full"
    assert story.events == ["shown"]


async def test_what_a_relay_holds_shows_first_and_is_durable_when_it_returns(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader does not wait for the disk; whoever awaits the write does. The next ordinary write syncs again."""
    story = Story(database, monkeypatch)
    assert await database.submit(_note, shown_first=True) == "normal"
    assert story.events == ["shown", "durable"]
    assert await database.write(_note) == "full"


async def test_one_ordinary_write_makes_its_whole_group_durable_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes that share a commit with a promise share the promise."""
    story = Story(database, monkeypatch)
    both = database.submit(_note, shown_first=True), database.submit(_note)
    assert [await write for write in both] == ["full", "full"]
    assert story.events == ["shown"]


async def test_what_leaves_after_a_commit_is_durable_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes sealed in a transaction may be sent once it is told of: by then they have survived."""
    story = Story(database, monkeypatch)
    database.before_commit = lambda db: db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('sealed', x'02')")
    await database.submit(_note, shown_first=True)
    assert story.events == ["durable", "shown"]


async def test_a_disk_that_does_not_sync_is_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that fails is an error of the write, not a silence."""
    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", fails)
        with pytest.raises(StorageFailed, match="Input/output"):
            await database.submit(_note, shown_first=True)
        with pytest.raises(StorageFailed, match="Input/output"):  # until it is durable, nothing goes on
            await database.write(lambda db: None)
    story = Story(database, monkeypatch)
    await database.write(lambda db: None)
    assert story.events == ["durable", "shown"]


async def test_what_a_failed_sync_gave_up_is_written_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel says yes to the sync after one that failed, whatever it lost: so it gets the whole log again."""
    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fdatasync", fails)
        with pytest.raises(StorageFailed):
            await database.submit(_note, shown_first=True)
    log = (database.path.with_name("chez.db-wal")).read_bytes()
    written: list[tuple[int, bytes]] = []
    pwrite = os.pwrite

    def watched(file: int, data: bytes, at: int) -> int:
        written.append((at, bytes(data)))
        return pwrite(file, data, at)

    monkeypatch.setattr("os.pwrite", watched)
    await database.write(lambda db: None)
    assert b"".join(data for _, data in written) == log and written[0][0] == 0
    written.clear()
    await database.submit(_note, shown_first=True)
    assert written == []


async def test_the_log_is_written_back_after_it_was_synced(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite would sync the log first and hide that it failed, so commits that show first write back by themselves."""
    def fill(db: Connection) -> int:
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (hex(randomblob(8)), randomblob(400000))")
        found: int = db.execute("PRAGMA wal_autocheckpoint").fetchone()[0]
        return found

    file, log = database.path, database.path.with_name("chez.db-wal")
    assert {await database.submit(fill, shown_first=True) for _ in range(40)} == {0}
    assert file.stat().st_size > 8_000_000 and log.stat().st_size < 8_000_000
    assert await database.write(fill) > 0


Part = tuple[str, bool]


class Puts:
    """Work that is done for several parts at once; what it was called with. A part that is bad makes it fail."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def all(self, db: Connection, parts: Sequence[Part]) -> list[str]:
        """Note each, and answer its name."""
        self.calls.append([name for name, _ in parts])
        for name, good in parts:
            db.execute("INSERT INTO meta (key, value) VALUES (?, x'01')", (name,))
            if not good:
                raise ValueError(name)
        return [name for name, _ in parts]


@given(st.lists(st.one_of(st.none(), st.booleans()), min_size=1, max_size=12))
def test_parts_that_wait_together_are_done_by_one_call_and_fail_alone(kinds: list[bool | None]) -> None:
    """Parts that follow each other share a call; those that fail, and no others, leave no trace. None: other work."""
    db = sqlcipher3.connect(":memory:", isolation_level=None)
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
    puts, undone = Puts(), []

    async def waiting() -> list[Write]:
        done = asyncio.get_running_loop().create_future
        return [Write(lambda db: "other", done()) if good is None else part_of(puts.all, (str(n), good), done())
                for n, good in enumerate(kinds)]

    writes = asyncio.run(waiting())
    db.execute("BEGIN")
    carry_out(db, writes, lambda: undone.append(1))
    db.execute("COMMIT")
    for n, (good, write) in enumerate(zip(kinds, writes, strict=True)):
        assert (str(write.error) if good is False else write.result) == ("other" if good is None else str(n))
    kept = [key for (key,) in db.execute("SELECT key FROM meta ORDER BY CAST(key AS INTEGER)")]
    assert kept == [str(n) for n, good in enumerate(kinds) if good]
    runs = [list(run) for other, run in groupby(enumerate(kinds), lambda kind: kind[1] is None) if not other]
    assert len(puts.calls) == sum(1 if len(run) == 1 or all(good for _, good in run) else 1 + len(run) for run in runs)
    assert len(undone) == kinds.count(False) + sum(
        len(run) > 1 and not all(good for _, good in run) for run in runs)


def test_what_ended_the_transaction_of_parts_is_what_is_told() -> None:
    """On a full disk SQLite may undo all of it by itself: nothing is undone twice, and the error is that one."""
    db = sqlcipher3.connect(":memory:", isolation_level=None)

    def full(db: Connection, parts: Sequence[object]) -> list[str]:
        db.execute("ROLLBACK")
        raise OSError(errno.ENOSPC, "no room")

    async def waiting() -> list[Write]:
        return [part_of(full, n, asyncio.get_running_loop().create_future()) for n in range(2)]

    db.execute("BEGIN")
    with pytest.raises(OSError, match="no room"):
        carry_out(db, asyncio.run(waiting()), lambda: None)


async def test_the_parts_of_a_commit_are_durable_when_they_answer(database: Database) -> None:
    """Each that waited in one group has its own answer or error, and what is kept can be read."""
    puts = Puts()
    asked = [database.submit_part(puts.all, (str(n), n != 3)) for n in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [str(answer) for answer in answers] == list("01234") and isinstance(answers[3], ValueError)
    found = await database.read(lambda db: db.execute("SELECT key FROM meta").fetchall())
    assert {key for (key,) in found} & set("01234") == set("0124")


async def test_of_a_long_row_of_parts_a_share_is_in_each_commit(database: Database) -> None:
    """More than others share one, the fewer the fewer are left; what is no part among them keeps them to that."""
    puts = Puts()
    asked = [database.submit_part(puts.all, (str(n), True)) for n in range(6000)]
    await asyncio.gather(*asked)
    counts = [len(call) for call in puts.calls]
    assert counts[:5] == [512, 1024, 1024, 860, 645] and counts[-2] == 512
    assert counts[3:] == sorted(counts[3:], reverse=True)
    puts.calls.clear()
    await asyncio.gather(*[database.submit_part(puts.all, (f"b{n}", True)) if n != 700 else
                           database.submit(lambda db: "") for n in range(3000)])
    assert [len(call) for call in puts.calls][:3] == [512, 188, 323]


async def test_a_glance_is_taken_only_while_the_writer_has_nothing_to_do(database: Database) -> None:
    """What it works with is the writer's: not while it writes or looks, nor while it still does for one who left."""
    def here(_: Connection) -> int:
        return threading.get_ident()

    begun, end = threading.Event(), threading.Event()

    def long(_: Connection) -> None:
        begun.set()
        end.wait(90)

    assert database.glance(here) == threading.get_ident()
    written = database.submit(here)
    assert database.glance(here) is None
    assert await written != threading.get_ident()
    assert database.glance(here) == threading.get_ident()
    looking = asyncio.create_task(database.look(long))
    await asyncio.to_thread(begun.wait, 30)
    assert database.glance(here) is None
    looking.cancel()
    assert isinstance((await asyncio.gather(looking, return_exceptions=True))[0], asyncio.CancelledError)
    assert database.glance(here) is None
    end.set()
    await database.look(here)
    assert database.glance(here) == threading.get_ident()
    await database.close()
    assert database.glance(here) is None


@pytest.mark.parametrize("how", ["read", "ask"])
async def test_who_reads_finds_what_was_told_while_it_waited(database: Database, how: str) -> None:
    """A read waits for a write that was told ahead; as that ends another one is told, and held."""
    def held(value: bytes) -> None:
        done = database.submit(lambda db: db.execute("INSERT OR REPLACE INTO meta VALUES ('note', ?)", (value,)),
                               ahead=True)
        if value == b"first":
            done.add_done_callback(lambda _: database.hold(lambda: held(b"second")))

    database.hold(lambda: held(b"first"))
    assert await getattr(database, how)(
        lambda db: db.execute("SELECT value FROM meta WHERE key = 'note'").fetchone()) == (b"second",)


async def test_work_aside_that_begins_as_the_store_is_closed_finds_no_damage(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection was opened with the key that was zeros by then: the person was sent to a backup. The key is
    wiped once nobody works under it."""
    begun, closed = threading.Event(), threading.Event()

    def late(path: Path, key: bytearray, *, read_only: bool) -> Connection:
        begun.set()
        closed.wait(10)
        return connect(path, key, read_only=read_only)

    database = await Database.open(tmp_path / "chez.db", b"k" * 32)
    monkeypatch.setattr("chez.store.database.connect", late)
    aside = asyncio.create_task(database.aside(lambda db, check: db.execute("SELECT 1").fetchone()))
    await asyncio.to_thread(begun.wait, 10)
    closing = asyncio.create_task(database.close())
    await asyncio.sleep(0.01)
    assert database.key == b"k" * 32
    closed.set()
    with pytest.raises(StorageFailed, match="closed"):
        await aside
    await closing
    assert database.key == bytes(32)

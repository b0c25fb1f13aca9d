"""A disk that damages what it keeps, or has no room: nothing wrong is handed out, and what is whole still is."""

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chez.errors import RelayRefused
from chez.sync.connection import connect
from chez_relay import storage as s
from chez_relay.committer import Committer
from chez_relay.errors import Code, StorageFailed, StoreUnusable
from chez_relay.server import serving
from chez_relay.storage.backup import backup
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.integrity import SQLITE_ERRORS
from chez_relay.storage.memory import MemoryStorage
from chez_relay.storage.sqlite import SqliteStorage
from chez_relay.storage.tables import Tables
from chez_wire.envelope import GENESIS_HEAD, fold_head
from chez_wire.login import Role
from tests.relay.storing import INBOX, READ, SPACE, Clock, chunk, codes, create, entry, new_store, table
from tests.relay.support import Space, seed
from tests.tries import tries

OTHER = Space("other")
QUESTIONS: tuple[s.Request, ...] = (
    s.Lookup((SPACE.handle,)), s.Lookup((INBOX.inbox,)), s.ReadPage(SPACE.handle, 0, 100_000, READ),
    s.ReadPage(SPACE.handle, 2, 700, READ), s.ReadPage(SPACE.handle, 6, 1, READ),
    s.ReadChunk(SPACE.handle, chunk(1, 9000).chunk, READ), s.ReadChunk(SPACE.handle, chunk(2).chunk, READ),
    s.ReadItems(INBOX.inbox, 0, 100_000), s.ReadPacket(SPACE.handle, table(3)[1].tag),
    s.Lookup((OTHER.handle,)), s.ReadPage(OTHER.handle, 0, 10, OTHER.keys.read),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's file with something of everything, all of it in the main file."""
    path = tmp_path_factory.mktemp("filled") / FILE_NAME
    with new_store(path) as db:
        results = Tables(db, s.Quotas(), Clock()).perform([
            create(3), *(entry(n) for n in range(5)), entry(9, 1500), chunk(1, 9000), chunk(2), INBOX,
            s.AddItem(INBOX.inbox, b"first item", INBOX.write_key),
            s.AddItem(INBOX.inbox, b"second item", INBOX.write_key),
            s.AddSpace(OTHER.handle, OTHER.keys)])
        assert set(codes(results)) == {None}
    assert check(path).sound
    return path


def answers(path: Path, questions: Sequence[s.Request] = QUESTIONS) -> Sequence[s.Result | None]:
    """Each question asked alone; None where the store failed or could not be opened at all."""
    found: list[s.Result | None] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        tables = Tables(db, s.Quotas(), Clock())
        for question in questions:
            try:
                found += tables.perform([question])
            except SQLITE_ERRORS:
                found.append(None)
    return found


def damage(path: Path, at: int) -> None:
    """Turn over the bits of one byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def damaged(filled: Path, folder: Path, what: bytes) -> Path:
    """A copy of the store in which the last byte of each place where these bytes are is another."""
    path = folder / FILE_NAME
    shutil.copy(filled, path)
    data = path.read_bytes()
    at = data.find(what)
    assert at >= 0
    while at >= 0:
        damage(path, at + len(what) - 1)
        at = data.find(what, at + 1)
    return path


PARTS: dict[str, tuple[bytes, set[int]]] = {
    "an envelope": (SPACE.envelope(3), {2, 3}),
    "an entry's id": (entry(3).entry, {2, 3}),
    "a chunk": (chunk(2).data[:200], {6}),
    "an item": (b"first item", {7}),
    "a packet": (table(3)[1].box[:200], {8}),
    "a space's key": (SPACE.keys.append, {0, 2, 3, 4, 5, 6}),
    "another space's key": (OTHER.keys.control, {9, 10}),
    "an inbox's key": (INBOX.write_key, {1, 7}),
}
"""What the disk damages, and which of the questions can't be answered any more."""


@pytest.mark.parametrize("part", PARTS)
def test_what_is_damaged_is_refused_alone(filled: Path, tmp_path: Path, part: str) -> None:
    """Whatever row is damaged: what rests on it is refused as damaged, all else answered as ever, and `check` tells."""
    what, hurt = PARTS[part]
    path = damaged(filled, tmp_path, what)
    for number, (before, after) in enumerate(zip(answers(filled), answers(path), strict=True)):
        if number not in hurt:
            assert after == before, number
        elif isinstance(after, s.Found):
            assert isinstance(after.known[0], s.Refused) and after.known[0].code is Code.DAMAGED
        else:
            assert isinstance(after, s.Refused) and after.code is Code.DAMAGED, number
    assert not check(path).sound


@pytest.mark.parametrize(("part", "again", "question"), [
    ("an envelope", entry(3), QUESTIONS[2]), ("a chunk", chunk(2), QUESTIONS[6]),
    ("an item", s.AddItem(INBOX.inbox, b"first item", INBOX.write_key), QUESTIONS[7]),
], ids=["entry", "chunk", "item"])
def test_what_is_put_again_is_whole_again(
        filled: Path, tmp_path: Path, part: str, again: s.Request, question: s.Request) -> None:
    """Who sends once more what the disk lost, and hears that it is there, is told the truth."""
    path = damaged(filled, tmp_path, PARTS[part][0])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        results = Tables(db, s.Quotas(), Clock()).perform([again, question])
    assert codes(results) == [None, None] and results[1:] == answers(filled, [question])
    assert check(path).sound


@settings(max_examples=tries(150), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True))
@example(at=0.0)
@example(at=0.30826720410183106)  # a place of an entry: those before it are all that is found
def test_no_damaged_byte_is_ever_handed_out(filled: Path, tmp_path: Path, at: float) -> None:
    """Whichever byte of the file is another: each answer is the right one, the beginning of it that is whole, or a
    refusal, and `check` is not hurt."""
    path = tmp_path / FILE_NAME
    shutil.copy(filled, path)
    damage(path, int(at * path.stat().st_size))
    for before, after in zip(answers(filled), answers(path), strict=True):
        nothing = after == s.Found((None,))  # an index that leads nowhere: as if it had never been there
        held = isinstance(after, s.Found) and isinstance(after.known[0], s.Refused)
        if isinstance(after, s.Page) and begins(before, after):
            (behind,) = answers(path, [s.ReadPage(SPACE.handle, after.entries[-1].offset, 100_000, READ)])
            assert behind is None or isinstance(behind, s.Refused)
        else:
            assert after == before or after is None or isinstance(after, s.Refused) or nothing or held
    with suppress(StoreUnusable):
        check(path)


def begins(whole: s.Result | None, found: s.Page) -> bool:
    """Whether a page has some entries of another one, from its first on but not all, and the head behind them."""
    if not isinstance(whole, s.Page) or not 0 < len(found.entries) < len(whole.entries):
        return False
    head = GENESIS_HEAD
    for number in (*range(5), 9)[:found.entries[-1].offset]:
        head = fold_head(head, entry(number, 1500 if number == 9 else 300).entry)
    return (found.entries, found.dropped, found.head, found.end) == (
        whole.entries[:len(found.entries)], whole.dropped, head, whole.end)


@pytest.mark.parametrize(("change", "found"), [
    ("DELETE FROM entries WHERE entry = :end", [5, None]),
    ("DELETE FROM entries WHERE entry >= x''", [None, None]),
    ("UPDATE entries SET entry = :other, head = :head, envelope = :envelope WHERE entry = :end", [None, None]),
    ("UPDATE entries SET entry = :other, envelope = :envelope WHERE entry = :third", [None, 1]),
    ("UPDATE entries SET head = zeroblob(32) WHERE entry = :third", [None, 1]),
], ids=["without its last entry", "without any", "another entry at its end", "another in its midst", "another head"])
def test_a_log_that_is_another_is_not_handed_out(
        filled: Path, tmp_path: Path, change: str, found: list[int | None]) -> None:
    """Nor one that lost its end as a shorter one: what is whole is handed out, and nothing is said of the rest."""
    path = tmp_path / FILE_NAME
    shutil.copy(filled, path)
    whole, other = answers(filled, QUESTIONS[2:3])[0], entry(20)
    assert isinstance(whole, s.Page)
    before = reduce(fold_head, [entry(n).entry for n in range(5)], GENESIS_HEAD)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute(change, {
            "end": entry(9, 1500).entry, "third": entry(2).entry, "other": other.entry,
            "head": fold_head(before, other.entry), "envelope": other.envelope}).rowcount
    pages = answers(path, [s.ReadPage(SPACE.handle, after, 100_000, READ) for after in (0, 5)])
    assert [len(one.entries) if isinstance(one, s.Page) else None for one in pages] == found
    assert all(one and (isinstance(one, s.Page) or codes([one]) == [Code.DAMAGED]) for one in pages)
    assert not isinstance(pages[0], s.Page) or begins(whole, pages[0])
    assert not check(path).sound


def test_an_entry_sent_again_makes_a_damaged_one_whole(filled: Path, tmp_path: Path) -> None:
    """A device that repeats an entry repairs it: the answer is as for any repetition, and the page is whole again."""
    path = damaged(filled, tmp_path, SPACE.envelope(3))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        tables = Tables(db, s.Quotas(), Clock())
        (stored,) = tables.perform([entry(3)])
        assert isinstance(stored, s.Stored) and (stored.offset, stored.fresh) == (4, False)
    assert answers(path) == answers(filled) and check(path).sound


async def test_a_file_that_is_no_tree_any_more_takes_nothing_and_hands_out_what_is_whole(
    filled: Path, tmp_path: Path
) -> None:
    """A broken page: what lies on it is refused, the rest is read; nothing is written, which could destroy more."""
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / FILE_NAME
    shutil.copy(filled, path)
    with closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'chunks'").fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    damage(path, (root - 1) * size)  # the byte that says what kind of page it is
    store = await SqliteStorage.open(tmp_path / "data", clock=Clock())
    torn, page = await store.perform([
        s.ReadChunk(SPACE.handle, chunk(1, 9000).chunk, READ), s.ReadPage(SPACE.handle, 0, 100_000, READ)])
    assert isinstance(torn, s.Refused) and torn.code is Code.DAMAGED
    assert isinstance(page, s.Page) and page.end == 6
    with pytest.raises(StorageFailed, match="check"):
        await store.perform([entry(20)])
    assert isinstance((await store.perform([s.ReadPage(SPACE.handle, 0, 1, READ)]))[0], s.Page)
    await store.close()
    report = check(path)
    assert report.structure and not report.sound


async def test_a_full_disk_is_a_typed_refusal_and_reading_goes_on(tmp_path: Path) -> None:
    """Without room an append is refused with `storage`; reading goes on, and writing once there is room."""
    store = await SqliteStorage.open(tmp_path)
    async with serving(store, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{server.port}") as device:
        await device.create_space(SPACE.admin, *SPACE.others)
        await device.open(SPACE.claims(Role.READ, Role.APPEND))
        await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
        pages = await pragma(store, "page_count")
        await pragma(store, f"max_page_count = {pages}")
        with pytest.raises(RelayRefused) as caught:
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(2, 900_000))
        assert caught.value.reason == "storage"
        page = await device.read(SPACE.handle, 0)
        assert [one.envelope for one in page.entries] == [SPACE.envelope(1)]
        await pragma(store, "max_page_count = 1000000")
        assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(2, 900_000))).offset == 2
    await store.close()


async def pragma(store: SqliteStorage, text: str) -> int:
    """Ask the store's own connection, on its thread."""
    async with store._db.execute(f"PRAGMA {text}") as rows:
        row = await rows.fetchone()
    assert row is not None
    return int(row[0])


class Full(MemoryStorage):
    """A storage whose disk is full."""

    async def perform(self, requests: Sequence[s.Request]) -> list[s.Result]:
        if not all(isinstance(request, s.READING) for request in requests):
            raise StorageFailed("the disk is full")
        return await super().perform(requests)


@pytest.mark.parametrize("name", [FILE_NAME, f"{FILE_NAME}-wal"])
@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "removed"])
async def test_nothing_is_acknowledged_that_goes_into_a_file_that_is_away(
        tmp_path: Path, name: str, replaced: bool) -> None:
    """Whoever removes the store's file under a relay, or puts a copy there, is told: all that was written from then on
    would be gone with the relay. What it has is read until then."""
    store = await SqliteStorage.open(tmp_path)
    try:
        await store.perform([create(), entry(0)])
        (tmp_path / name).rename(tmp_path / "away")
        if replaced:
            shutil.copy(tmp_path / "away", tmp_path / name)
        for number in (1, 2):
            with pytest.raises(StorageFailed):
                await store.perform([entry(number)])
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 1, READ)])
        assert isinstance(page, s.Page) and page.entries == (s.Entry(1, entry(0).envelope),)
    finally:
        await store.close()


async def test_nothing_is_acknowledged_once_a_copy_was_written_over_the_file(tmp_path: Path) -> None:
    """`cp` keeps the file that it writes over: a backup that is put in place so, under a relay that serves, is told as
    one that replaces the file is."""
    store = await SqliteStorage.open(tmp_path / "data")
    try:
        await store.perform([create(), entry(0)])
        backup(tmp_path / "data", tmp_path / "copy")
        await store.perform([entry(1)])
        shutil.copy(tmp_path / "copy", tmp_path / "data" / FILE_NAME)
        for number in (2, 3):
            with pytest.raises(StorageFailed):
                await store.perform([entry(number)])
        (page,) = await store.perform([s.ReadPage(SPACE.handle, 0, 1, READ)])
        assert isinstance(page, s.Page) and page.entries == (s.Entry(1, entry(0).envelope),)
    finally:
        await store.close()


async def test_what_only_reads_is_answered_beside_what_can_t_be_written() -> None:
    """A group of both on a full disk: each that writes is refused, each that reads gets its own answer."""
    storage = Full(seed("incarnation"))
    storage.perform_now([create(), entry(1)])
    committer = Committer(storage, lambda growth: None)
    found: list[s.Result] = []
    group = (entry(2), s.ReadPage(SPACE.handle, 0, 10, READ), entry(3), s.Lookup((seed("nowhere"),)))
    for request in group:
        committer.submit(request, found.append)
    running = asyncio.create_task(committer.run())
    await committer.idle()
    running.cancel()
    assert codes(found) == [Code.STORAGE, None, Code.STORAGE, None]
    assert isinstance(found[1], s.Page) and found[1].end == 1 and found[3] == s.Found((None,))

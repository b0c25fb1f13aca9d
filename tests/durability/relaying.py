"""Scenarios: a relay's store, which is a SQLite of its own, under appends and chunks; and its log written back."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from chez_relay import storage as s
from chez_relay.errors import StorageFailed
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.sqlite import SqliteStorage
from chez_relay.storage.writeback import WriteBack
from tests.durability.scene import Place, Scenario
from tests.relay.test_storage import INBOX, READ, SPACE, chunk, create, entry

__all__ = ("ENTRIES", "GROUPS", "STORING", "WRITING_BACK", "stored")

GROUPS: Final[tuple[tuple[s.Request, ...], ...]] = (
    (create(),), (entry(1),), tuple(entry(n, 1500) for n in range(2, 6)), (chunk(1, 9000), chunk(2)),
    (INBOX, s.AddItem(INBOX.inbox, b"item", INBOX.write_key)), (entry(6),))
"""What is asked, a group at a time. The last is an entry: one that is lost in a cut at the last word is missed."""

ENTRIES: Final = (0, 1, 5, 5, 5, 6)
"""How many entries there are once each is done."""

CHUNKS: Final = 3
"""After which group the chunks are there."""


async def _nothing(folder: Path) -> None:
    pass


async def _store(place: Place) -> None:
    for number, group in enumerate(GROUPS):
        try:
            await _asked(place, number, group)
        except StorageFailed:  # and from then on of everything, until the relay is started again
            place.relieve()
            await _asked(place, number, group)


async def _asked(place: Place, number: int, group: Sequence[s.Request]) -> None:
    storage = await SqliteStorage.open(place.folder / "data")
    try:
        results = await storage.perform(group)
        assert not any(isinstance(result, s.Refused) for result in results)
        place.say(f"group {number}")  # before it is closed, which makes durable what the commit only wrote
    finally:
        await storage.close()


async def stored(folder: Path, acknowledged: Sequence[str]) -> None:
    """What must hold of the store in `folder`/data after so many groups: it is whole, and goes on."""
    done = len(acknowledged)
    storage = await SqliteStorage.open(folder / "data")
    try:
        held = await _entries(storage)
        assert held in ({0, *ENTRIES} if not done else ENTRIES[done - 1 : done + 1]), (done, held)
        (found,) = await storage.perform([s.FindChunks(SPACE.handle, (chunk(1, 9000).chunk, chunk(2).chunk), READ)])
        there = isinstance(found, s.FoundChunks) and found.held
        assert there in ((True, True), (False, False), False) and (there == (True, True) or done <= CHUNKS)
        for group in GROUPS:  # repeating what was done answers the same and stores nothing
            assert not any(isinstance(result, s.Refused) for result in await storage.perform(group))
        assert await _entries(storage) == ENTRIES[-1]
        (data,) = await storage.perform([s.ReadChunk(SPACE.handle, chunk(1, 9000).chunk, READ)])
        assert data == s.ChunkData(chunk(1, 9000).data)
    finally:
        await storage.close()
    with sqlite3.connect(folder / "data" / FILE_NAME) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


async def _entries(storage: SqliteStorage) -> int:
    """How many entries the space holds, the first ones of those that were asked, each whole and in its place."""
    (page,) = await storage.perform([s.ReadPage(SPACE.handle, 0, 100_000, READ)])
    if isinstance(page, s.Refused):
        return 0
    assert isinstance(page, s.Page)
    wanted = [request.envelope for group in GROUPS for request in group if isinstance(request, s.AddEntry)]
    assert [(one.offset, one.envelope) for one in page.entries] == list(enumerate(wanted, 1))[: len(page.entries)]
    return len(page.entries)


STORING = Scenario(_nothing, _store, stored)


async def _write_much(place: Place) -> None:
    """One store, group after group: its log of a few pages is written back and begins anew every other one."""
    opened = partial(SqliteStorage.open, place.folder / "data",
                     writing_back=partial(WriteBack, log_pages=12, part_pages=4))
    storage = None
    for number, group in enumerate(GROUPS):
        try:
            storage = storage or await opened()
            await storage.perform(group)
        except StorageFailed:
            if storage is not None:
                await storage.close()
            place.relieve()
            storage = await opened()
            await storage.perform(group)
        place.say(f"group {number}")
    if storage is not None:
        await storage.close()


WRITING_BACK = Scenario(_nothing, _write_much, stored)

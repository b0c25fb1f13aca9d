"""What is read of records' pasts, all of them or one, while others write or where some are damaged."""

import asyncio
from typing import Any

import pytest

from chez.store import database
from chez.store.file import connect
from tests.home.test_import_twice import Pair, pair

__all__ = ("pair",)


async def edited(notes: Any, times: int) -> None:
    """Write a note again and again, in one commit."""
    await asyncio.gather(*[notes.put({"n": number}, id="a") for number in range(times)])


async def test_a_past_is_of_one_state(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot that is taken while a record's past is read takes none of its changes away from who reads."""
    notes, loop = pair.laptop.collection("notes"), asyncio.get_running_loop()
    for _ in range(5):
        await edited(notes, 38)
    await pair.meet()
    begun: list[str] = []

    def meanwhile(statement: str) -> None:
        if not begun and statement.startswith("SELECT bytes FROM change"):
            begun.append(statement)
            asyncio.run_coroutine_threadsafe(edited(notes, 20), loop).result()

    def watched(*given: Any, **named: Any) -> Any:
        db = connect(*given, **named)
        db.set_trace_callback(meanwhile)
        return db

    monkeypatch.setattr(database, "connect", watched)
    assert len(await notes.history("a", limit=1000)) == 190
    assert begun and len(await notes.history("a", limit=1000)) == 210

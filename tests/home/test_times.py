"""What is committed together has one time, in the store and for everybody else."""

import asyncio
from itertools import count
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.home import assembly as module
from chez.store.database import Connection
from tests.home.pairing import PASSPHRASE


async def test_a_transactions_writes_have_one_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the clock ticks meanwhile, a commit has one time; the next one, or one after a failure, a later."""
    ticks = count(1_800_000_000_000)
    monkeypatch.setattr(module, "unix_milliseconds", lambda: next(ticks))
    await chez.create(tmp_path, passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
    async with chez.open(tmp_path, passphrase=PASSPHRASE) as home:
        notes = home.collection("notes")

        def times(db: Connection) -> list[list[int]]:
            rows = db.execute("SELECT id, time FROM record JOIN change ON change.record = record.n "
                              "WHERE collection = 'notes' ORDER BY change.n").fetchall()
            return [[time for id, time in rows if id.startswith(name)] for name in ("first", "next", "last")]

        await home.transaction(lambda tx: [tx.put(notes, {"n": n}, id=f"first {n}") for n in range(20)])
        await asyncio.gather(*(notes.put({"n": n}, id=f"next {n}") for n in range(20)))
        with pytest.raises(ZeroDivisionError):
            await home.transaction(lambda tx: [tx.put(notes, {"n": 1}, id="gone"), 1 // 0])
        await notes.put({"n": 1}, id="last")
        first, following, last = await home._database.read(times)
        assert len(first) == len(following) == 20 and len(last) == 1
        assert len({*first}) == 1 and len({*following}) < 5
        assert max(first) < min(following) and max(following) < last[0] - 1

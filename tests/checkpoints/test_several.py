"""Checkpoints of a home at two relays: one has the checkpoint, the other its log whole; neither hinders the other."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chez_relay.storage.copies import FILE_NAME
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.test_homes import shown, written
from tests.people.persons import persons
from tests.people.support import join, open_again
from tests.relay.within import Within, relay


async def gapped(*relays: Within) -> None:
    """One of the relays let go of entries."""
    for _ in range(200):
        for one in relays:
            assert one.data is not None
            with closing(sqlite3.connect(f"file:{one.data / FILE_NAME}?mode=ro", uri=True)) as db:
                if db.execute("SELECT count(*) FROM dropped").fetchone()[0]:
                    return
        await asyncio.sleep(0.05)
    raise AssertionError("no relay let go of anything")


async def test_who_was_away_catches_up_at_two_relays(tmp_path: Path, server: Within,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of one has a gap, and its checkpoint's segments are at that one alone; nothing is refused or lacking."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with relay(tmp_path / "second", *AT_ONCE) as second, persons(tmp_path, "anna", relay=server.url) as (anna,):
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            for home in (anna, phone):
                await home.relays.add(second.url)
            await written(phone.space(), "phone", 4)
        for number in range(3):
            for _ in range(2):
                await written(anna.space(), f"anna {number}", 6)
                await anna.sync()
            done = await anna.space().checkpoint()
            assert done is not None and done.vouched and done.dropped
        await gapped(server, second)
        async with open_again(tmp_path / "phone") as phone:
            report = await phone.sync()
            assert not report.problems
            await anna.sync()
            assert await shown(phone.space()) == await shown(anna.space()) != {}
            kinds = {receipt.kind for receipt in await phone.journal.receipts()}
            assert not {"checkpoint-refused", "entries-missing"} & kinds
            assert await phone.audit() == []

"""A home that stays connected makes checkpoints by itself."""

import asyncio
from pathlib import Path

import pytest

from tests.checkpoints.test_homes import written
from tests.people.persons import persons
from tests.relay.within import Within


async def test_a_home_in_the_background_makes_one_when_it_is_worth_it(tmp_path: Path, server: Within,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """With the next connection after enough was written, one is made, read back and dropped; nobody asked."""
    monkeypatch.setattr("chez.sync.checkpoints.policy.ENOUGH", 4096)
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        for _ in range(6):
            await written(anna.space(), "anna", 3)
            await anna.sync()
        assert not [one for one in await anna.journal.receipts() if one.kind == "checkpoint-made"]
        async with anna.connect() as link:
            await link.synced(timeout=90)
            kinds: set[str] = set()
            for _ in range(100):
                kinds = {one.kind for one in await anna.journal.receipts()}
                if "entries-dropped" in kinds:
                    break
                await asyncio.sleep(0.05)
            assert {"checkpoint-made", "entries-dropped"} <= kinds

"""What is dropped stays for its grace: who comes meanwhile, who comes after, and a checkpoint between the two."""

import asyncio
from pathlib import Path

import pytest

from chez_relay.storage.census import census
from tests.checkpoints.test_homes import shown, shrunk, written
from tests.people.persons import persons
from tests.people.support import join
from tests.relay.within import relay

GRACE = 3


@pytest.mark.slow
async def test_newcomers_within_and_after_the_grace_have_everything(tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """One device comes while what a checkpoint stands for waits to be dropped, another checkpoint is made meanwhile,
    and one device comes when all of that is gone. All have the same, and the relay has its room back."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    settings = "--set", f"quotas.grace={GRACE}", "--set", "limits.expiry_interval=0.1"
    async with relay(tmp_path / "relay", *settings) as server, persons(
            tmp_path, "anna", relay=server.url) as (anna,):
        space = anna.space()
        for _ in range(6):
            await written(space, "anna", 4)
            await anna.sync()
        before = census(server.data)
        first = await space.checkpoint()
        assert first is not None and first.dropped
        assert census(server.data).entries >= before.entries, "it waits"
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            await phone.sync(server.url)
            assert await shown(phone.space()) == await shown(space) != {}
            for _ in range(6):
                await written(phone.space(), "phone", 4)
                await phone.sync()
            await anna.sync()
            held = census(server.data)
            second = await space.checkpoint()
            assert second is not None and second.dropped and second != first
            assert census(server.data).entries >= held.entries > before.entries, "both wait"
            await asyncio.sleep(GRACE)
            await shrunk(server, held.bytes * 2 // 3)
            assert census(server.data).entries < held.entries, "both are gone"
            await written(space, "later", 4)
            await anna.sync()
            async with join(anna, tmp_path / "tablet", "tablet", server.url) as tablet:
                await tablet.sync(server.url)
                await written(tablet.space(), "tablet", 4)
                await tablet.sync()
                for home in (anna, phone):
                    await home.sync()
                assert await shown(anna.space()) == await shown(phone.space()) == await shown(tablet.space())
                assert len(await shown(tablet.space())) == 16
                assert [await home.audit() for home in (anna, phone, tablet)] == [[], [], []]

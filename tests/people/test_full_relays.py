"""Of several relays one has no room for a space: the others go on, and what keeps it behind is told of it alone."""

import random
from pathlib import Path

import chez
from tests.people.persons import persons
from tests.relay.within import Within, relay


async def _filled(space: chez.Space) -> None:
    for number in range(4):
        await space.collection("notes").put({"of": random.randbytes(8000).hex()}, id=f"long {number}")


async def test_a_relay_without_room_says_why_it_is_behind(tmp_path: Path, server: Within) -> None:
    """By a sync, and while the home is connected; the relay that has some is in step, and so is the space."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        async with relay(tmp_path / "small", "--space-quota", "20000") as small:
            await anna.relays.add(small.url)
            await anna.sync()
            await _filled(anna.space())
            report = await anna.sync()
            told = {one.url: one for one in report.relays}
            assert report.relay == server.url and not told[server.url].problem and told[server.url].lacks == 0
            assert "20000 bytes" in told[small.url].problem and told[small.url].lacks
            async with anna.connect() as link:
                await link.synced()
                behind = next(one for one in anna._syncing.links if one is not link)
                while not behind.problems:
                    await behind.turn()
                told = {one.url: one for one in (await anna.status()).relays}
                assert "20000 bytes" in told[small.url].problem and not told[server.url].problem
                (space,) = (await anna.status()).spaces
                assert space.link == "synced" and not space.problem

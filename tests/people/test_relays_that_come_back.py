"""A relay that a home let go of for a while, or did not ask for once, is given all of what came meanwhile."""

from pathlib import Path

from tests.home.pairing import paired
from tests.relay.within import Within


async def test_a_home_whose_relay_is_read_anew_is_sound(tmp_path: Path, server: Within) -> None:
    """The last entry that is here is another device's: nothing of this one's is missing for that."""
    async with paired(tmp_path, server.url) as (a, b):
        await a.sync(server.url)
        await b.collection("notes").put({"n": 1}, id="last")
        await b.sync(server.url)
        for _ in range(2):
            await a.sync(server.url)
        await a.sync(server.url, reseed=True)
        assert await a.examine() == []

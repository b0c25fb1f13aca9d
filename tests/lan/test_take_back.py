"""Spaces are taken back from a stolen device while that one and an honest one meet on their network."""

import asyncio
from pathlib import Path

import pytest

import chez
from tests.home.pairing import PASSPHRASE
from tests.lan.street import Street
from tests.lan.test_homes import here, on_street
from tests.people.recovering import founded
from tests.people.support import ids, join, open_again
from tests.relay.support import relay


@pytest.mark.slow
async def test_who_met_the_thief_meanwhile_has_all_and_the_thief_nothing_more(tmp_path: Path) -> None:
    """What the honest device wrote beside the thief reaches the one that took back, by the network alone; what is
    written from then on reaches both, and the thief none of it, who has the former keys and is on the same network."""
    street = Street()
    async with relay(tmp_path / "relay") as server, founded(tmp_path, server.url, "thief") as (thief, words):
        async with join(thief, tmp_path / "left", "left", server.url):
            await thief.collection("notes").put({}, id="before")
        async with join(thief, tmp_path / "honest", "honest", server.url) as honest:
            async with on_street(street, thief, honest):
                await honest.collection("notes").put({}, id="beside the thief")
                await here(thief, "beside the thief")
                taking = asyncio.create_task(chez.take_back(
                    tmp_path / "left", words, passphrase=PASSPHRASE, expel=("thief",)))
                for n in range(5):
                    await honest.collection("notes").put({"n": n}, id=f"meanwhile {n}")
                    await thief.collection("notes").put({"n": n}, id=f"of the thief {n}")
                result = await taking
                assert result.problem == "" and [info.name for info in result.expelled] == ["thief"]
                async with open_again(tmp_path / "left") as left:
                    async with on_street(street, left):
                        await here(left, "before", "beside the thief", *(f"meanwhile {n}" for n in range(5)))
                        await left.collection("notes").put({}, id="after, of left")
                        await here(honest, "after, of left")
                        await honest.collection("notes").put({}, id="after, of honest")
                        await here(left, "after, of honest")
                    await left.sync()
                    await honest.sync()
                    await left.sync()
                    assert await ids(left) == await ids(honest)
                    assert {"thief"} == {one.name for one in await left.devices.all() if not one.active}
            assert not {"after, of left", "after, of honest"} & await ids(thief)

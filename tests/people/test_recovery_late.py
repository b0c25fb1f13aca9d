"""A recovery whose first sync fails: the home goes on by itself, whatever others start meanwhile."""

from pathlib import Path

import pytest

import chez
from chez.errors import RelayRefused, RelayUnreachable
from chez.home import recovery
from chez.home.returning import kept
from tests.people.recovering import back, founded
from tests.people.support import ids, open_again
from tests.relay.within import Within


async def _cut_off(*_: object, **__: object) -> None:
    raise RelayUnreachable("the line broke")


async def _keeps(home: chez.Home) -> bool:
    return await home._database.read(kept) is not None


@pytest.mark.parametrize("out", [False, True])
async def test_who_rotates_before_the_relay_heard_locks_nobody_out(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, out: bool) -> None:
    """The home finds the new keys by the recovery key, which it keeps until the relay has heard of it."""
    async with founded(tmp_path, server.url) as (a, words):
        trip = await a.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="trip")
        await a.sync()
        with monkeypatch.context() as patch:
            patch.setattr(recovery, "sync_back", _cut_off)
            result = await back(tmp_path / "c", words, server.url, expel_others=out)
        assert "the line broke" in result.problem
        await a.devices.rotate(everywhere=True)
        await a.collection("notes").put({"n": 2}, id="meanwhile")
        await a.sync()
        async with open_again(tmp_path / "c") as c:
            assert await _keeps(c)
            await c.collection("notes").put({"n": 3}, id="mine")
            report = await c.sync()
            assert not report.problems and not await _keeps(c)
            assert await ids(c) == {"mine"} | (set() if out else {"meanwhile"})
            if out:
                with pytest.raises(RelayRefused):
                    await a.sync()
            else:
                assert not (await a.sync()).problems and await ids(a) == {"meanwhile", "mine"}
                await a.devices.rotate(everywhere=True)
                await a.sync()
            assert not (await c.sync()).problems
    async with open_again(tmp_path / "c") as c:
        assert not await _keeps(c) and not (await c.sync()).problems


async def test_a_recovery_that_ends_well_keeps_no_key(tmp_path: Path, server: Within) -> None:
    """The first sync told the relay: nothing of the words is in the store."""
    async with founded(tmp_path, server.url) as (_, words):
        assert (await back(tmp_path / "c", words, server.url)).problem == ""
    async with open_again(tmp_path / "c") as c:
        assert not await _keeps(c)

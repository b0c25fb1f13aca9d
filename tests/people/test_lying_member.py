"""A member says that a relay had shown it what nobody has: all are told, and go on when that member is out."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

import chez
from chez.errors import RelayMisbehaved
from chez.sync.entry import RelayHead, log_name
from tests.people.persons import persons, shared, values
from tests.people.support import turned_until
from tests.relay.within import Within


async def _lie(liar: chez.Home, space: chez.Space, monkeypatch: pytest.MonkeyPatch, offset: int) -> None:
    """Write a note that says to have seen a head at an offset of the relay's log which nobody finds there."""
    replica = space._held.replica
    (incarnation,) = await liar._database.read(lambda db: db.execute(
        "SELECT incarnation FROM cursor WHERE space = ?", (replica.space.n,)).fetchone())
    claim = RelayHead(log_name(incarnation, replica.space.handle), offset, bytes(32))
    with monkeypatch.context() as patched:
        patched.setattr("chez.sync.author.seen_last", lambda *_: claim)
        await space.collection("notes").put({"of": "the liar", "at": offset}, id="one")
        await liar.sync()


async def test_who_lies_of_a_relay_stops_nobody_once_it_is_out(tmp_path: Path, server: Within,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """It claims entries that are not there, for ever: the relay is named, and no more when the member is removed."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,), (his,) = [await shared(trip, anna, guest) for guest in (berta, carl)]
        await _lie(berta, hers, monkeypatch, 2**40)
        for home in (anna, carl):
            report = await home.sync()
            assert ["does not show" in one.problem for one in report.problems] == [True]
        await trip.remove(next(one.id for one in await trip.members() if one.name == "berta"))
        for _ in range(2):
            for home in (anna, carl):
                report = await home.sync()
        assert not report.problems
        await trip.collection("notes").put({"of": "anna"}, id="two")
        for home in (anna, carl):
            assert not (await home.sync()).problems
        assert await values(his) == await values(trip) and "two" in await values(his)


async def test_who_was_away_until_the_liar_was_out_is_not_stopped(tmp_path: Path, server: Within,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """It said otherwise what the log begins with: who reads that after the removal goes on at once."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,), (his,) = [await shared(trip, anna, guest) for guest in (berta, carl)]
        await carl.sync()
        await _lie(berta, hers, monkeypatch, 1)
        assert ["showed other entries" in one.problem for one in (await anna.sync()).problems] == [True]
        await trip.remove(next(one.id for one in await trip.members() if one.name == "berta"))
        for _ in range(2):
            assert not (await anna.sync()).problems
        assert not (await carl.sync()).problems
        assert await values(his) == await values(trip)


async def test_who_lies_of_a_relay_keeps_no_connected_home_from_going_on(tmp_path: Path, server: Within,
                                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that stays connected names the relay, and what others write comes all the same, contact after contact."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,), (his,) = [await shared(trip, anna, guest) for guest in (berta, carl)]
        async with anna.connect() as link, asyncio.timeout(90):
            await link.synced()

            async def named() -> None:
                """It is a problem until the space was read again, perhaps before the liar's own sync is over."""
                while not any("showed other entries" in str(problem) for problem in link.problems.values()):
                    await link.turn()

            async def heard() -> bool:
                return "two" in await values(trip)

            naming = asyncio.create_task(named())
            await _lie(berta, hers, monkeypatch, 1)
            await naming
            await his.collection("notes").put({"of": "carl"}, id="two")
            with suppress(RelayMisbehaved):
                await carl.sync()
            await turned_until(link, heard)
            assert (await anna.alarms())[0].author == berta.device_id


@pytest.mark.slow
async def test_who_lies_of_a_relay_over_and_over_is_kept_a_few_times(tmp_path: Path, server: Within,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry says otherwise what the log had at another place: what is told of that stays short."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        for n in range(30):
            await trip.collection("notes").put({"n": n}, id=f"{n}")
            await anna.sync()
        await berta.sync()
        for offset in range(1, 26):
            await _lie(berta, hers, monkeypatch, offset)
        assert ["showed other entries" in one.problem for one in (await anna.sync()).problems] == [True]
        found = await anna.alarms()
        assert len(found) == 16 == len({alarm.offset for alarm in found})
        assert {alarm.author for alarm in found} == {berta.device_id}

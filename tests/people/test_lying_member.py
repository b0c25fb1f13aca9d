"""A member says that a relay had shown it what nobody has: all are told, and go on when that member is out."""

from pathlib import Path

import pytest

from chez.sync.entry import RelayHead, log_name
from tests.people.persons import persons, shared, values
from tests.relay.within import Within


async def test_who_lies_of_a_relay_stops_nobody_once_it_is_out(tmp_path: Path, server: Within,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """It claims entries that are not there, for ever: the relay is named, and no more when the member is removed."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,), (his,) = [await shared(trip, anna, guest) for guest in (berta, carl)]
        replica = hers._held.replica
        (incarnation,) = await berta._database.read(lambda db: db.execute(
            "SELECT incarnation FROM cursor WHERE space = ?", (replica.space.n,)).fetchone())
        claim = RelayHead(log_name(incarnation, replica.space.handle), 2**40, bytes(32))
        with monkeypatch.context() as patched:
            patched.setattr("chez.sync.author.seen_last", lambda *_: claim)
            await hers.collection("notes").put({"of": "berta"}, id="one")
            await berta.sync()
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
        replica = hers._held.replica
        (incarnation,) = await berta._database.read(lambda db: db.execute(
            "SELECT incarnation FROM cursor WHERE space = ?", (replica.space.n,)).fetchone())
        claim = RelayHead(log_name(incarnation, replica.space.handle), 1, bytes(32))
        with monkeypatch.context() as patched:
            patched.setattr("chez.sync.author.seen_last", lambda *_: claim)
            await hers.collection("notes").put({"of": "berta"}, id="one")
            await berta.sync()
        assert ["showed other entries" in one.problem for one in (await anna.sync()).problems] == [True]
        await trip.remove(next(one.id for one in await trip.members() if one.name == "berta"))
        for _ in range(2):
            assert not (await anna.sync()).problems
        assert not (await carl.sync()).problems
        assert await values(his) == await values(trip)

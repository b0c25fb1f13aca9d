"""Who has no relay is in step with those that the spaces of others are at, and keeps the private space to itself."""

import asyncio
from pathlib import Path

import pytest

from chez.errors import NotFound, RelayRefused, RelayUnreachable
from tests.people.guests import asked, invited
from tests.people.persons import persons, shared, values
from tests.people.support import raw_entries
from tests.relay.within import Within


async def test_a_guest_that_has_no_relay_reads_and_writes_what_was_shared(tmp_path: Path, server: Within) -> None:
    """A guest that never heard of relays comes by an invitation: a sync has what is there, gives what it writes, and
    nothing of its private space goes to a relay that somebody else named."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        await anna.set_relay(server.url)
        trip = await anna.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        link = await invited(trip, anna)
        await asked(berta, link)
        await anna.sync()
        await berta.collection("diary").put({"n": 0}, id="mine")
        hers = await berta.join(link)
        report = await berta.sync()
        assert (report.relay, report.problems, await values(hers)) == (server.url, (), {"a": {"n": 1}})
        before = len(raw_entries(server.data))
        await hers.collection("notes").put({"n": 2}, id="b")
        assert (await berta.sync(reseed=True, everywhere=True)).sent == 1
        assert len(raw_entries(server.data)) == before + 1
        await anna.sync()
        assert set(await values(trip)) == {"a", "b"}
        (private, shown) = (await berta.status()).spaces
        assert (private.relay, berta.relay, shown.relay) == (None, None, server.url)


async def test_who_has_no_relay_stays_connected_to_those_of_the_spaces(tmp_path: Path, server: Within) -> None:
    """Connected, what others write comes by itself; that the private space is in step can't be waited for; once a relay
    is set, it goes there too, over the connection that stands."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        await anna.set_relay(server.url)
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await berta.collection("diary").put({"n": 0}, id="mine")
        async with asyncio.timeout(60), berta.connect() as link:
            await trip.collection("notes").put({"n": 1}, id="a")
            await anna.sync()
            async for notes in hers.collection("notes").where().live():
                if notes:
                    break
            with pytest.raises(NotFound, match="no relay is set"):
                await berta.synced()
            assert (await berta.sync()).relay == link.url == server.url
            await berta.set_relay(server.url)
            await berta.synced()
            assert (await berta.status()).pending == 0 and berta.relays.list()[0].url == server.url


async def test_when_the_last_space_at_a_relay_is_gone_there_is_none(tmp_path: Path, server: Within) -> None:
    """Connected still, a sync says that no relay is set; a space that comes then is in step as the first one was."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        await anna.set_relay(server.url)
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        async with asyncio.timeout(60), berta.connect():
            await hers.leave()
            await berta.sync()
            await hers.forget()
            with pytest.raises(NotFound, match="no relay is set"):
                await berta.sync(progress=lambda done, total: None)
            house = await anna.create_space("House")
            await house.collection("notes").put({"n": 1}, id="a")
            (again,) = await shared(house, anna, berta)
            assert await values(again) == {"a": {"n": 1}}


async def test_a_guest_that_was_taken_out_of_its_one_space_is_told_of_which(tmp_path: Path, server: Within) -> None:
    """Nothing else is there that could be in step: what the sync raises names the space."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        await anna.set_relay(server.url)
        trip = await anna.create_space("Trip")
        await shared(trip, anna, berta)
        await trip.remove("berta")
        await anna.sync()
        for _ in range(2):
            with pytest.raises(RelayRefused, match="'Trip'"):
                await berta.sync()


async def test_a_sync_without_any_relay_says_so(tmp_path: Path) -> None:
    """Where neither the home nor a space has a relay, none is set; where a space's can't be reached, that is said."""
    async with persons(tmp_path, "anna") as (anna,):
        for syncing in (anna.sync, lambda: anna.sync(reseed=True), anna.connect().__aenter__):
            with pytest.raises(NotFound, match="no relay is set"):
                await syncing()
        await anna.create_space("Trip", relay="ws://127.0.0.1:9")
        with pytest.raises(RelayUnreachable):
            await anna.sync(timeout=5)

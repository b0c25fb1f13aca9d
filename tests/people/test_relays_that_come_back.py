"""A relay that a home let go of for a while, or did not ask for once, is given all of what came meanwhile."""

import asyncio
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import RelayRefused
from chez.lan.service import Service
from chez.sync import lookout
from tests.home.pairing import PASSPHRASE, paired
from tests.people.persons import persons, shared, values
from tests.people.proxy import Proxy, behind, proxy
from tests.people.support import ids, join, open_again
from tests.relay.within import Within, relay


@pytest.mark.parametrize("connected", [False, True])
async def test_a_relay_that_is_added_again_is_given_what_others_wrote_meanwhile(
        tmp_path: Path, server: Within, connected: bool) -> None:
    """They know another relay alone: who knows that one only has all of it afterwards."""
    async with relay(tmp_path / "second") as second, paired(tmp_path, server.url) as (a, b):
        await a.set_relay(server.url)
        await a.relays.add(second.url, here=True)
        await a.sync()
        async with a.connect() if connected else nullcontext():
            await a.relays.remove(second.url, here=True)
            await b.collection("notes").put({"n": 1}, id="meanwhile")
            await b.sync(server.url)
            await a.sync()
            await a.relays.add(second.url, here=True)
            lacks = {one.url: one.lacks for one in (await a.status()).relays}
            assert connected or lacks[second.url] >= 1
            await a.sync(everywhere=True)
        assert {one.lacks for one in (await a.status()).relays} == {0}
        await server.kill()
        async with join(a, tmp_path / "c", "c", second.url) as c:
            assert await ids(c) == {"meanwhile"}


async def test_a_relay_lacks_nothing_of_what_is_not_kept_there_any_more(tmp_path: Path, server: Within) -> None:
    """It has one space of its own still: of the others, what was written since was told as missing there for ever."""
    async with relay(tmp_path / "second") as second, persons(tmp_path, "a", relay=server.url) as (a,):
        await a.relays.add(second.url)
        space = await a.create_space("there", relay=second.url)
        await a.sync(everywhere=True)
        await a.relays.remove(second.url)
        await a.collection("notes").put({"n": 1})
        await space.collection("notes").put({"n": 2})
        assert (await a.status()).relays[1].lacks == 1
        report = await a.sync(everywhere=True)
        assert [one.lacks for one in report.relays] == [one.lacks for one in (await a.status()).relays] == [0, 0]


async def test_a_relay_that_is_named_for_one_sync_is_given_all_by_the_next_that_names_it(
        tmp_path: Path, server: Within) -> None:
    """The home is not kept there, and what came in between is given to it all the same."""
    async with relay(tmp_path / "second") as second, paired(tmp_path, server.url) as (a, b):
        await a.set_relay(server.url)
        await a.sync(second.url)
        await b.collection("notes").put({"n": 1}, id="between")
        await b.sync(server.url)
        await a.sync()
        await a.sync(second.url)
        await server.kill()
        async with join(a, tmp_path / "c", "c", second.url) as c:
            assert await ids(c) == {"between"}


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


async def test_relays_that_are_read_anew_are_waited_for(tmp_path: Path, server: Within) -> None:
    """Connected, a home ends its connections for that: none passes for one to a relay that is away, however often."""
    async with relay(tmp_path / "second") as second, paired(tmp_path, server.url) as (a, _):
        await a.set_relay(server.url)
        await a.relays.add(second.url)
        async with a.connect():
            await a.synced(everywhere=True)
            for _ in range(8):  # each time the pause before the next connection was twice as long
                report = await a.sync(reseed=True)
                assert [(one.problem, one.lacks) for one in report.relays] == [("", 0), ("", 0)]


async def test_who_can_replaces_the_keys_for_whoever_removed_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device is removed by one that can't reach one of two relays. Another that stands connected to both hears of it
    by the other relay, tells the first one why, replaces the keys there as well, and is in step."""
    monkeypatch.setattr(lookout, "TICK", 0.2)
    async with (proxy() as front, behind(front, tmp_path / "r"), relay(tmp_path / "second") as second,
                paired(tmp_path, front.url) as (a, b), join(a, tmp_path / "c", "c", front.url) as gone):
        await a.set_relay(front.url)
        await a.relays.add(second.url)
        for home in (a, b, gone):
            await home.sync(everywhere=True)
        async with a.connect() as link:
            await link.synced(30)
            there, front.target = front.target, "ws://127.0.0.1:1"
            await b.devices.remove("c")
            assert [bool(one.problem) for one in (await b.sync()).relays] == [True, False]
            await a.sync(everywhere=True, timeout=20)
            front.target = there
            await second.kill()
            with pytest.raises(RelayRefused, match="this device was removed"):
                await gone.sync(front.url)


async def test_a_home_is_left_soon_when_no_relay_answers_any_more(tmp_path: Path) -> None:
    """As after the network went: whoever locks the home would wait for the goodbye of each relay, for ten seconds."""
    async with (proxy() as front, behind(front, tmp_path / "r"), persons(tmp_path, "anna", relay=front.url) as (anna,),
                asyncio.timeout(60)):
        async with anna.connect() as link:
            await link.synced()
            front.frozen = True
            began = time.monotonic()
        assert time.monotonic() - began < 8


async def test_who_is_ended_while_a_home_disconnects_hears_of_it(tmp_path: Path) -> None:
    """As the owner of a home whose relay was set anew just before it is locked: it went on, with all keys, for ever."""
    left = asyncio.Event()

    async def stay(home: chez.Home, front: Proxy) -> None:
        async with home.connect() as link:
            await link.synced()
            front.frozen = True
        left.set()
        await asyncio.Event().wait()  # as long as it is not told to end

    async with (proxy() as front, behind(front, tmp_path / "r"), persons(tmp_path, "anna", relay=front.url) as (anna,),
                asyncio.timeout(60)):
        task = asyncio.create_task(stay(anna, front))
        while not front.frozen or anna._syncing.links:  # noqa: ASYNC110 (nothing announces it)
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait((task,), timeout=20)
        assert task.cancelled() and not left.is_set()


async def test_who_is_ended_while_a_home_leaves_its_network_hears_of_it(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home's own relay there takes a while to end: so long the same could pass for a home that goes on."""
    leaving = asyncio.Event()

    async def run(service: Service) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            leaving.set()
            await asyncio.sleep(0.05)

    async def stay(home: chez.Home) -> None:
        async with home.connect() as link:
            await link.synced()
        await asyncio.Event().wait()

    monkeypatch.setattr(Service, "run", run)
    async with persons(tmp_path, "anna", relay=server.url) as (anna,), asyncio.timeout(60):
        await anna.lan.on()
        task = asyncio.create_task(stay(anna))
        await leaving.wait()
        task.cancel()
        await asyncio.wait((task,), timeout=20)
        assert task.cancelled()


async def test_a_space_that_is_found_waits_for_no_relay_that_is_away(tmp_path: Path) -> None:
    """A new device finds a space when its other relay was given up: what it has to say there leaves for the first one.

    It was kept until that other one was read, which nobody did any more, for half as long as the sync might take.
    """
    async with (proxy() as first, proxy() as second, behind(first, tmp_path / "first"),
                persons(tmp_path, "a", relay=first.url) as (a,)):
        async with behind(second, tmp_path / "second"):
            await a.relays.add(second.url)
            await a.create_space("Trip")
            await a.sync()
            async with a.pair() as pairing:
                joined = asyncio.create_task(chez.join(tmp_path / "b", pairing.code, passphrase=PASSPHRASE, name="b",
                                                       kdf=Kdf.minimum()))
                await pairing.confirm()
                await joined
        async with open_again(tmp_path / "b") as b:
            first.passes.clear()
            syncing = asyncio.create_task(b.sync(timeout=40))
            await asyncio.sleep(1)
            first.passes.set()
            begun = time.monotonic()
            await syncing
            assert time.monotonic() - begun < 10
            assert (await b.status()).spaces[1].name == "Trip"


async def test_one_sync_gives_a_relay_what_its_keys_wait_for(tmp_path: Path) -> None:
    """Another relay brings a new epoch after this one was read: it hears how that began, then has its keys."""
    async with (proxy() as first, proxy() as second, behind(first, tmp_path / "first"),
                paired(tmp_path, first.url) as (a, b)):
        async with behind(second, tmp_path / "second"):
            await a.set_relay(first.url)
            await a.relays.add(second.url)
            for home in (a, b, a):
                await home.sync()
            trip = await a.create_space("Trip")
            for home in (a, b, a):
                await home.sync(everywhere=True)
        await trip.rotate()
        await a.sync()
        async with behind(second, tmp_path / "second"):
            first.passes.clear()
            syncing = asyncio.create_task(b.sync(everywhere=True, timeout=20))
            await asyncio.sleep(1)
            first.passes.set()
            begun = time.monotonic()
            await syncing
            assert time.monotonic() - begun < 10
        assert b.space("Trip")._held.space.epoch.id == trip._held.space.epoch.id


async def test_guests_who_find_a_relay_empty_are_in_step_soon_after_an_owner_filled_it(tmp_path: Path) -> None:
    """A member and a follower can't make the space there again. While nobody has they are told so, and ask again."""
    async with (proxy() as front, behind(front, tmp_path / "r") as first,
                persons(tmp_path, "anna", "berta", relay=front.url) as (anna, berta)):
        trip, news = await anna.create_space("Trip"), await anna.create_space("News", public=True)
        (hers,) = await shared(trip, anna, berta)
        read = await berta.follow(news.address)
        async with berta.connect() as link:
            await berta.synced()
            await first.kill()
            async with behind(front, tmp_path / "empty"):
                link.check()
                async with asyncio.timeout(20):
                    while len(link.problems) < 2:
                        await link.turn()
                for space in (trip, news):
                    await space.collection("notes").put({"n": 1}, id="new")
                await anna.sync()
                async with asyncio.timeout(20):
                    while link.problems or not (await values(hers) and await values(read)):
                        await link.turn()

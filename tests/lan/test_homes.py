"""Homes on one network, each with its own relay as a process, and no other relay that can be reached."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest

import chez
from chez.lan.discovery import Neighbour
from chez.lan.service import Service
from chez.sync.connection import connect
from chez.sync.link import Link
from chez.sync.meeting import Acquaintances
from tests.home.pairing import paired
from tests.lan.street import Street
from tests.lan.support import needs_ipv6
from tests.people.persons import in_step, persons, shared
from tests.people.proxy import behind, proxy
from tests.people.support import ids, join
from tests.relay.support import relay, seed


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The relays of homes listen on loopback alone."""
    monkeypatch.setenv("CHEZ_LAN", "127.0.0.1")


@asynccontextmanager
async def alone(tmp_path: Path) -> AsyncIterator[tuple[chez.Home, chez.Home]]:
    """Two devices of one person whose relay is gone for ever."""
    async with AsyncExitStack() as stack:
        async with relay(tmp_path / "relay") as server:
            a, b = await stack.enter_async_context(paired(tmp_path, server.url))
            await a.set_relay(server.url)
            await b.set_relay(server.url)
        yield a, b


@asynccontextmanager
async def on_street(street: Street, *homes: chez.Home) -> AsyncIterator[None]:
    """These homes are connected, and on the network."""
    async with AsyncExitStack() as stack:
        for home in homes:
            home._network.find = street.looker
            await home.lan.on()
            await stack.enter_async_context(home.connect())
        yield


async def here(home: chez.Home, *wanted: str, space: str | None = None) -> None:
    """Wait until a home has these notes."""
    async with asyncio.timeout(90):
        for id in wanted:
            async for note in home.space(space).collection("notes").live(id):
                if note is not None:
                    break


async def test_two_devices_meet_and_have_each_others_records(tmp_path: Path) -> None:
    """What either wrote before they met, and what it writes meanwhile, is at the other, and no relay is there."""
    async with alone(tmp_path) as (a, b):
        await a.collection("notes").put({}, id="of a")
        await b.collection("notes").put({}, id="of b")
        async with on_street(Street(), a, b):
            await here(a, "of b")
            await here(b, "of a")
            await b.collection("notes").put({}, id="later")
            await here(a, "later")
            await a.collection("notes").put({}, id="last")
            await here(b, "last")
        assert await ids(a) == await ids(b) == {"of a", "of b", "later", "last"}
        for home in (a, b):  # what is on the network alone is at no relay
            status = await home.status()
            assert 2 <= status.pending <= (status.relays[0].lacks or 0)


async def test_a_space_in_which_devices_met_is_deleted(tmp_path: Path) -> None:
    """At the relay, here, and on the device that was met: that one's own relay is none to be asked."""
    async with proxy() as front, AsyncExitStack() as stack:
        async with behind(front, tmp_path / "relay"):
            a, b = await stack.enter_async_context(paired(tmp_path, front.url))
            for home in (a, b):
                await home.set_relay(front.url)
            await a.create_space("Trip")
            await in_step(a, b)
        async with on_street(Street(), a, b):
            await a.space("Trip").collection("notes").put({}, id="of a")
            await here(b, "of a", space="Trip")
            dialled = a if (await a.lan.status()).devices else b
        async with behind(front, tmp_path / "relay"):
            await dialled.space("Trip").delete()
            await in_step(a, b)
        assert [space.name for space in (*await a.spaces(), *await b.spaces())] == ["private", "private"]


@needs_ipv6
async def test_two_devices_meet_by_the_newer_family_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where devices are announced by IPv6 only they meet as well, and each has what the other wrote."""
    monkeypatch.setenv("CHEZ_LAN", "::1")
    async with alone(tmp_path) as (a, b):
        await a.collection("notes").put({}, id="of a")
        await b.collection("notes").put({}, id="of b")
        async with on_street(Street("::1"), a, b):
            await here(a, "of b")
            await here(b, "of a")


@pytest.mark.slow
async def test_a_third_device_in_between_is_not_needed_twice(tmp_path: Path) -> None:
    """What reaches one device from a relay while another is away reaches that one when they meet again."""
    street = Street()
    async with relay(tmp_path / "relay") as server, paired(tmp_path, server.url) as (a, b):
        async with join(a, tmp_path / "c", "c", server.url) as c:
            await a.sync(server.url)
            await a.set_relay(server.url)
            await b.set_relay("ws://127.0.0.1:9")  # nobody answers there
            async with on_street(street, a, b):
                await a.collection("notes").put({}, id="together")
                await here(b, "together")
            await c.collection("notes").put({}, id="of c")
            await c.sync(server.url)
            await a.sync(server.url)
            async with on_street(street, a, b):
                await here(b, "of c")


@pytest.mark.slow
async def test_a_space_that_is_made_meanwhile_is_met_as_well(tmp_path: Path) -> None:
    """A space made while two devices are together comes to the other, and so does what is written in it."""
    async with alone(tmp_path) as (a, b), on_street(Street(), a, b):
        await b.collection("notes").put({}, id="first")
        await here(a, "first")
        trip = await a.create_space("Trip")
        await trip.collection("notes").put({}, id="inside")
        async with asyncio.timeout(90):
            while len(spaces := await b.spaces()) < 2:
                await turned(b)
        there = next(space for space in spaces if space.name == "Trip")
        await arrived(there, "inside")
        await there.collection("notes").put({}, id="answer")
        await arrived(trip, "answer")


async def turned(home: chez.Home) -> None:
    """Wait until some link of a home went on."""
    waits = [asyncio.create_task(link.turn()) for link in home._syncing.links]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


@pytest.mark.slow
async def test_a_removed_device_is_a_stranger(tmp_path: Path) -> None:
    """A device that was taken out is neither let in nor told anything, and what is written then never reaches it."""
    async with alone(tmp_path) as (a, b):
        await a.devices.remove("b")
        await a.collection("notes").put({}, id="after")
        street = Street()
        async with on_street(street, a, b):
            async with asyncio.timeout(90):
                while not (await strangers(a) or await strangers(b)):
                    pass  # each look takes a turn of the database's thread
            for home in (a, b):
                status = await home.lan.status()
                assert (status.devices, status.guests) == ((), 0)
        assert await ids(b) == set()


async def strangers(home: chez.Home) -> int:
    return (await home.lan.status()).strangers


@pytest.mark.slow
async def test_a_removal_while_all_are_together_puts_one_out_alone(tmp_path: Path) -> None:
    """One of three devices is taken out while they are together: the second gets the new keys over the network, and
    what is written then reaches it and not the third."""
    async with relay(tmp_path / "relay") as server, paired(tmp_path, server.url) as (a, b):
        async with join(a, tmp_path / "c", "c", server.url) as c:
            await b.sync(server.url)
            for home in (a, b, c):
                await home.set_relay(server.url)
            await server.kill()
            async with on_street(Street(), a, b, c):
                await a.collection("notes").put({}, id="before")
                await here(b, "before")
                await here(c, "before")
                await a.devices.remove("c")
                await a.collection("notes").put({}, id="after")
                await here(b, "after")
                await b.collection("notes").put({}, id="of b")
                await here(a, "of b")
            assert await ids(c) == {"before"}


@pytest.mark.slow
async def test_its_relay_is_started_again_when_it_was_killed(tmp_path: Path) -> None:
    """A relay process that dies is told of, started again and met again, under another name."""
    street = Street()
    async with alone(tmp_path) as (a, b), on_street(street, a, b):
        await a.collection("notes").put({}, id="one")
        await here(b, "one")
        async with asyncio.timeout(90):
            while not all([(await home.lan.status()).port for home in (a, b)]):
                pass  # each look takes a turn of the database's thread
        before = set(street.there)
        for home in (a, b):
            service = home._network._service
            assert service is not None and service._child is not None
            service._child._process.kill()
        await a.collection("notes").put({}, id="two")
        await here(b, "two")
        await b.collection("notes").put({}, id="three")
        await here(a, "three")
        assert before != set(street.there)


@asynccontextmanager
async def sharing(tmp_path: Path) -> AsyncIterator[tuple[chez.Home, chez.Home, chez.Space, chez.Space]]:
    """Anna made a space and let Berta in; their relay is gone for ever."""
    async with AsyncExitStack() as stack:
        anna, berta = await stack.enter_async_context(persons(tmp_path, "anna", "berta"))
        async with relay(tmp_path / "shared") as server:
            for home in (anna, berta):
                await home.set_relay(server.url)
            trip = await anna.create_space("Trip")
            (hers,) = await shared(trip, anna, berta)
            await anna.sync()
        yield anna, berta, trip, hers


async def arrived(space: chez.Space, id: str) -> None:
    """Wait until a space has this note."""
    async with asyncio.timeout(90):
        async for note in space.collection("notes").live(id):
            if note is not None:
                return


async def test_people_who_share_a_space_meet_in_that_alone(tmp_path: Path) -> None:
    """Two persons exchange what they share, and neither learns of the other's own spaces."""
    async with sharing(tmp_path) as (anna, berta, trip, hers):
        await anna.collection("notes").put({}, id="anna's own")
        async with on_street(Street(), anna, berta):
            await trip.collection("notes").put({}, id="shared")
            await arrived(hers, "shared")
            met = [link.met for home in (anna, berta)
                   for link in home._network._service.met if link.met]  # type: ignore[union-attr]
            assert all(one == {trip._held.space.handle} for one in met)
        assert await ids(berta) == set()


@pytest.mark.slow
async def test_two_guests_need_nobody_who_made_the_space(tmp_path: Path) -> None:
    """Two guests of a space, one of whom only reads, meet while no device of who made it is there: what either has, and
    the one writes, is at the other. When who made it comes after all, it has everything from either."""
    street = Street()
    async with persons(tmp_path, "anna", "berta", "carla") as (anna, berta, carla):
        async with relay(tmp_path / "shared") as server:
            for home in (anna, berta, carla):
                await home.set_relay(server.url)
            trip = await anna.create_space("Trip")
            (hers,) = await shared(trip, anna, berta)
            (reads,) = await shared(trip, anna, carla, role="reader")
            for home in (anna, berta):
                await home.sync()
        await hers.collection("notes").put({}, id="before they met")
        async with on_street(street, berta, carla):
            await arrived(reads, "before they met")
            await hers.collection("notes").put({}, id="while together")
            await arrived(reads, "while together")
        async with on_street(street, carla, anna):
            await arrived(trip, "while together")


async def test_who_came_in_is_recognised_and_nobody_by_what_is_public(tmp_path: Path) -> None:
    """A newcomer and each other device of a space share a secret from then on; of a public space there is none."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta), relay(tmp_path / "shared") as server:
        for home in (anna, berta):
            await home.set_relay(server.url)
        trip = (await anna.create_space("Trip"))._held.space
        news = (await anna.create_space("News", public=True))._held.space
        served = anna._network._served().secrets
        assert len(served[trip.handle]) == 1 and news.handle not in served
        (hers,) = await shared(anna.space("Trip"), anna, berta)
        found = anna._network._served().secrets[trip.handle]
        assert len(found) == 2 and found == berta._network._served().secrets[hers._held.space.handle]


@pytest.mark.slow
async def test_a_guests_relay_has_the_space_before_anybody_comes(tmp_path: Path) -> None:
    """A relay of somebody who didn't make a space has it as soon as a member comes, and who made it finds it there."""
    street = Street()
    async with sharing(tmp_path) as (anna, berta, trip, hers), on_street(street, berta):
        service = berta._network._service
        assert service is not None
        async with asyncio.timeout(90):
            while not service.port:
                await berta.lan.status()
        url = f"wss://127.0.0.1:{service.port}"
        async with connect(url, known=Acquaintances(dict(anna._network._served().secrets))) as somebody:
            assert somebody.met == {hers._held.space.handle}
            own = await filled(berta)
            async with asyncio.timeout(90):
                while own.status_of(hers._held.space.id) != "synced":
                    await own.turn()
        async with on_street(street, anna):
            await hers.collection("notes").put({}, id="of berta")
            await arrived(trip, "of berta")


async def filled(home: chez.Home) -> Link:
    """The link of a home to its own relay, which is there since somebody came by it."""
    async with asyncio.timeout(90):
        while True:
            for link in home._syncing.links:
                if link.near:
                    return link
            await home.lan.status()


@pytest.mark.slow
async def test_a_name_that_anybody_announces_leads_nowhere(tmp_path: Path) -> None:
    """Announcements that lead to nobody, or to what is no relay, are tried and told of, and disturb no meeting."""
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    street = Street()
    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, alone(tmp_path) as (a, b):
        for number, at in ((1, port), (2, 9)):
            street.announce(Neighbour(bytes((number,)) * 32, ("127.0.0.1",), at))
            street.announce(Neighbour(bytes((255 - number,)) * 32, ("127.0.0.1",), at))
        async with on_street(street, a, b):
            await a.collection("notes").put({}, id="all the same")
            await here(b, "all the same")


async def test_what_is_said_just_now_is_heard_on_the_network(tmp_path: Path) -> None:
    """Ephemeral messages of devices that met reach each other, once, with no other relay."""
    async with alone(tmp_path) as (a, b):
        heard: dict[str, list[object]] = {"a": [], "b": []}
        news = {"a": asyncio.Event(), "b": asyncio.Event()}

        async def listen(home: chez.Home) -> None:
            async for message in home.space().ephemeral("t"):
                heard[home.name].append(message.value)
                news[home.name].set()

        async with on_street(Street(), a, b):
            await a.collection("notes").put({}, id="of a")
            await here(b, "of a")
            listening = [asyncio.create_task(listen(home)) for home in (a, b)]
            async with asyncio.timeout(90):
                for home, other in ((a, "b"), (b, "a")):
                    while not news[other].is_set():  # nobody listens before the relays know each other's guests
                        await home.space().broadcast("t", "last")
                        with suppress(TimeoutError):
                            await asyncio.wait_for(news[other].wait(), 0.1)
            for task in listening:
                task.cancel()
        assert set(heard["a"]) == set(heard["b"]) == {"last"}


@pytest.mark.slow
async def test_attachments_come_from_who_has_them(tmp_path: Path) -> None:
    """An attachment that no relay has is fetched from the device that added it, whichever of the two dialled."""
    async with alone(tmp_path) as (a, b), on_street(Street(), a, b):
        for giver, taker, name in ((a, b, "of a"), (b, a, "of b")):
            content = seed(name) * 40_000  # of several pieces
            await giver.collection("notes").put({"file": await giver.blobs.add(content)}, id=name)
            await here(taker, name)
            note = await taker.collection("notes").get(name)
            assert note is not None
            async with asyncio.timeout(90):
                while not taker._network.places():  # who was dialled knows where the other is from its announcement
                    await taker.lan.status()
            assert b"".join([part async for part in taker.blobs.read(note.value["file"])]) == content
        stores = [*tmp_path.glob("?/lan/*/relay.sqlite")]
        assert len(stores) == 2 and all(stored(store) == 0 for store in stores)


def stored(store: Path) -> int:
    """How many pieces a relay has stored: those of its home it reads where they are."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        found: int = db.execute("SELECT count(*) FROM chunks").fetchone()[0]
        return found


@pytest.mark.slow
async def test_a_device_that_missed_a_removal_is_still_known(tmp_path: Path) -> None:
    """A device is taken out while another is away: they meet for the first time since, with no other relay, and it gets
    the new keys; the one that was taken out gets nothing that is written since."""
    async with relay(tmp_path / "relay") as server, paired(tmp_path, server.url) as (a, b):
        async with join(a, tmp_path / "c", "c", server.url) as c:
            await b.sync(server.url)
            for home in (a, b, c):
                await home.set_relay(server.url)
            await server.kill()
            await a.devices.remove("c")
            await a.collection("notes").put({}, id="after")
            async with on_street(Street(), a, b, c):
                await here(b, "after")
                await b.collection("notes").put({}, id="of b")
                await here(a, "of b")
            assert await ids(c) == set()


async def test_who_switches_it_off_as_the_home_disconnects_waits_until_it_ended(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its relay had stored was deleted before that ended, which wrote on: there it was again."""
    ending, go_on, running = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slowly(service: Service) -> None:
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            ending.set()
            await go_on.wait()
            service.folder.mkdir(parents=True)

    monkeypatch.setattr(Service, "run", slowly)
    async with persons(tmp_path, "anna", relay="wss://127.0.0.1:9") as (anna,), asyncio.timeout(30):
        anna._network.find = Street().looker
        await anna.lan.on()

        async def connected() -> None:
            async with anna.connect():
                await running.wait()

        connecting = asyncio.create_task(connected())
        await ending.wait()
        off = asyncio.create_task(anna.lan.off())
        await asyncio.wait((off,), timeout=0.2)
        assert not off.done()
        go_on.set()
        await off
        await connecting
        assert not (anna.path / "lan").exists()


@pytest.mark.slow
async def test_a_wiped_home_leaves_nothing_of_it(tmp_path: Path) -> None:
    """What a home's relay stored goes with the home."""
    async with alone(tmp_path) as (a, b):
        async with on_street(Street(), a, b):
            await a.collection("notes").put({}, id="one")
            await here(b, "one")
        assert [*tmp_path.glob("a/lan/*/relay.sqlite")]
        (tmp_path / "a" / "lan" / "of another device").mkdir()
        async with on_street(Street(), a):
            assert not (tmp_path / "a" / "lan" / "of another device").exists()
    done = await chez.wipe(tmp_path / "a")
    assert done.left == () and not (tmp_path / "a").exists()

"""A home whose relays are let go of, or whose network is switched, while something else of it is on its way."""

import asyncio
import sqlite3
import threading
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from chez.blobs import tables
from chez.blobs.transfer import Sender
from chez.crypto import random_bytes
from chez.errors import Misuse
from chez.home.lan import Network
from chez.home.syncing import Syncing
from chez.lan.service import Service
from chez.sync import socket
from tests.people.persons import persons
from tests.people.proxy import behind, proxy
from tests.relay.within import Within, relay


def _links() -> int:
    """How many links run, whoever has them."""
    return sum("Link._run" in repr(task.get_coro()) for task in asyncio.all_tasks())


def _chunks(server: Within) -> int:
    with closing(sqlite3.connect(server.data / "relay.sqlite")) as db:
        return int(db.execute("SELECT count(*) FROM chunks").fetchone()[0])


async def test_who_disconnects_while_a_relay_is_let_go_of_leaves_no_link(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """The links to the others were looked at after that, and as ended ones begun again, which nobody ended any more."""
    monkeypatch.setattr(socket, "GOODBYE", 0.05)
    async with (proxy() as front, behind(front, tmp_path / "second"), relay(tmp_path / "third") as third,
                persons(tmp_path, "a", relay=server.url) as (a,)):
        for url in (front.url, third.url):
            await a.relays.add(url)
        async with a.connect():
            await a.synced(everywhere=True, timeout=30)
            front.passes.clear()
            await a.collection("notes").put({"n": 1}, id="one")
            removing = asyncio.create_task(a.relays.remove(front.url))
            while (await a.journal.receipts("relay-changed"))[-1].body["what"] != "removed":  # noqa: ASYNC110
                await asyncio.sleep(0)
            await asyncio.sleep(0.05)  # it is said to the relay, which does not answer
        front.passes.set()
        await removing
        assert _links() == 0


async def test_who_gives_up_letting_go_of_a_relay_leaves_no_link(tmp_path: Path, server: Within) -> None:
    """At whatever moment: of a link that was in no list any more, and not ended yet, nobody knew."""
    async with relay(tmp_path / "second") as second, persons(tmp_path, "a", relay=server.url) as (a,):
        await a.relays.add(second.url)
        async with a.connect():
            await a.synced(everywhere=True, timeout=30)
            removing = asyncio.create_task(a.relays.remove(second.url))
            while len(a.relays.list()) == 2:  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(0)
            removing.cancel()
            await asyncio.wait((removing,))
            assert _links() == 1
        assert _links() == 0


async def test_no_attachment_goes_on_to_a_relay_that_was_let_go_of(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was sent to its end over a connection of its own, after the person heard that the relay is removed."""
    begun, go_on, read = asyncio.Event(), asyncio.Event(), Sender._read
    async with relay(tmp_path / "second") as second, persons(tmp_path, "a", relay=server.url) as (a,):
        async def slowly(sender: Sender, row: tables.Row) -> bytes | None:
            if sender._url == second.url:
                begun.set()
                await go_on.wait()
            return await read(sender, row)

        monkeypatch.setattr(Sender, "_read", slowly)
        await a.relays.add(second.url)
        async with a.connect():
            blob = await a.blobs.add(random_bytes(1_000_000))
            await a.collection("files").put({"blob": blob}, id="x")
            async with asyncio.timeout(30):
                await begun.wait()
            await a.relays.remove(second.url)
            go_on.set()
            await asyncio.sleep(0.2)
            assert _chunks(second) == 0
            assert (await a.blobs.status()).problem == "" and not any(one.problem for one in (await a.status()).spaces)
            await a.relays.add(second.url)
            await a.sync()
            assert _chunks(second) == _chunks(server) > 0


@pytest.fixture
def tidying(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Set when a home is about to be on its network, where nothing is; and what it waits for then."""
    asked, go_on, tidy = threading.Event(), threading.Event(), Network._tidy

    def slowly(network: Network) -> None:
        asked.set()
        assert go_on.wait(30)
        tidy(network)

    async def run(service: Service) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Network, "_tidy", slowly)
    monkeypatch.setattr(Service, "run", run)
    return asked, go_on


async def test_who_disconnects_while_the_network_is_switched_on_is_not_on_it(
        tmp_path: Path, server: Within, tidying: tuple[threading.Event, threading.Event]) -> None:
    """The home's own relay for its network was begun after that, and ran on with a home that was not connected."""
    async with persons(tmp_path, "a", relay=server.url) as (a,):
        async with a.connect():
            switching = asyncio.create_task(a.lan.on())
            await asyncio.to_thread(tidying[0].wait, 30)
        tidying[1].set()
        await switching
        status = await a.lan.status()
        assert status.on and not status.working


async def test_a_network_that_is_switched_off_while_the_home_connects_stays_off(
        tmp_path: Path, server: Within, tidying: tuple[threading.Event, threading.Event]) -> None:
    """The home was on it all the same, until it was disconnected: whoever said that it is to be found no more was."""
    async with persons(tmp_path, "a", relay=server.url) as (a,):
        await a.lan.on()

        async def stay() -> None:
            async with a.connect():
                await asyncio.Event().wait()

        staying = asyncio.create_task(stay())
        await asyncio.to_thread(tidying[0].wait, 30)
        switching = asyncio.create_task(a.lan.off())
        await asyncio.sleep(0.05)
        tidying[1].set()
        await switching
        await a.sync()  # it is connected
        status = await a.lan.status()
        assert not (status.on or status.working)
        staying.cancel()
        await asyncio.wait((staying,))


async def test_of_two_that_connect_at_once_one_is_told_so(tmp_path: Path, server: Within) -> None:
    """Neither goes on as if it had the home's links for itself."""
    async with persons(tmp_path, "a", relay=server.url) as (a,):
        async def once() -> str:
            async with a.connect() as link:
                await asyncio.sleep(0.05)
                return link.url

        one, other = await asyncio.gather(once(), once(), return_exceptions=True)
        assert one == server.url and isinstance(other, Misuse)
        assert await once() == server.url and _links() == 0


async def test_a_sync_that_begins_just_before_the_home_is_connected_is_in_step_with_it(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an owner process does by itself when a relay is set: whoever asks for a sync then hears that it is done."""
    catch_up = Syncing.catch_up
    async with persons(tmp_path, "a", relay=server.url) as (a,), AsyncExitStack() as stack:
        async def meanwhile(syncing: Syncing) -> None:
            await catch_up(syncing)
            monkeypatch.setattr(Syncing, "catch_up", catch_up)
            await stack.enter_async_context(a.connect())

        monkeypatch.setattr(Syncing, "catch_up", meanwhile)
        await a.collection("notes").put({"n": 1}, id="one")
        assert (await a.sync()).relay == server.url
        assert (await a.status()).pending == 0

"""Homes on one network, each with its own relay as a process, and no other relay that can be reached."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

import chez
from tests.home.pairing import paired
from tests.lan.street import Street
from tests.people.support import ids
from tests.relay.support import relay


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


async def here(home: chez.Home, *wanted: str) -> None:
    """Wait until a home has these notes."""
    async with asyncio.timeout(30):
        for id in wanted:
            async for note in home.collection("notes").live(id):
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

"""Homes that sleep, change their network, or come into one that wants them to log in, and are told by nobody."""

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from chez.errors import NotARelay, RelayRefused
from chez.sync.link import Link
from chez.sync.patience import FIRST_PAUSE, LONGEST_PAUSE
from tests.people.persons import persons
from tests.people.proxy import behind, proxy
from tests.people.support import turned_until
from tests.relay.within import relay
from tests.sync.test_failures import PAGE, REDIRECTION

NOW = 1000.0
NAMES = ("anna", "berta", "carla")


async def in_step_anew(link: Link, connections: int) -> None:
    """Wait until a link is in step over another connection than those that it had so far."""
    async def reached() -> bool:
        return link.connections > connections and link.status == "synced"

    async with asyncio.timeout(60):
        await turned_until(link, reached)


@pytest.mark.parametrize("what", ["slept", "moved"])
async def test_who_slept_or_is_in_another_network_gives_a_dead_connection_up_by_itself(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """What it sends comes to nobody, and nobody says so: the next look has it ask, and dial anew."""
    clock, ways = SimpleNamespace(ahead=0.0), ["192.0.2.7"]
    monkeypatch.setattr("chez.sync.lookout.TICK", 0.05)
    monkeypatch.setattr("chez.sync.lookout.ANSWER", 0.2)
    monkeypatch.setattr("chez.sync.lookout.time", SimpleNamespace(time=lambda: time.time() + clock.ahead))
    monkeypatch.setattr("chez.sync.lookout.ways_out", lambda: tuple(ways))
    async with (proxy() as front, behind(front, tmp_path / "r"), persons(tmp_path, "anna", relay=front.url) as (anna,),
                anna.connect() as link):
        await link.synced(60)
        before = link.connections
        front.forget()
        await anna.collection("notes").put({"n": 1}, id="into the void")
        await asyncio.sleep(0.12)  # some looks, at which nothing is to be seen
        assert link.connections == before
        if what == "slept":
            clock.ahead = 60.0
        else:
            ways[:] = ["198.51.100.7"]
        await in_step_anew(link, before)


async def paused(link: Link) -> float:
    """Wait until a link waits before its next attempt; for how long, by a clock that stands still at `NOW`."""
    turns = link.turns
    while link.next_try is None:
        await link.turn(turns)
        turns = link.turns
    return link.next_try - NOW


async def test_those_who_lost_the_same_relay_do_not_come_again_at_once(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each draws the pause that it takes: by a clock that stands still no two of them try at the same time."""
    monkeypatch.setattr("chez.sync.pauses.time", SimpleNamespace(time=lambda: NOW))
    async with (proxy() as front, behind(front, tmp_path / "r"), persons(tmp_path, *NAMES, relay=front.url) as homes,
                homes[0].connect() as one, homes[1].connect() as two, homes[2].connect() as three,
                asyncio.timeout(60)):
        links = (one, two, three)
        for link in links:
            await link.synced(60)
        waiting = [asyncio.ensure_future(paused(link)) for link in links]
        await asyncio.sleep(0)
        front.cut()
        pauses = await asyncio.gather(*waiting)
    assert len(set(pauses)) == len(NAMES)
    assert all(0 < pause <= FIRST_PAUSE * 1.01 for pause in pauses)


async def test_those_whom_a_relay_refused_do_not_ask_again_at_once(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its operator gave it another name: each takes a long pause of its own."""
    monkeypatch.setattr("chez.sync.pauses.time", SimpleNamespace(time=lambda: NOW))
    async with (relay(tmp_path / "r", "--name", "relay.example:443") as server,
                persons(tmp_path, *NAMES, relay=server.url) as homes, homes[0].connect() as one,
                homes[1].connect() as two, homes[2].connect() as three, asyncio.timeout(60)):
        pauses = [await paused(link) for link in (one, two, three)]
        assert all(link.ended and isinstance(link.error, RelayRefused) for link in (one, two, three))
    assert len(set(pauses)) == len(NAMES) and all(LONGEST_PAUSE / 2 <= pause <= LONGEST_PAUSE for pause in pauses)


@pytest.mark.parametrize("page", [PAGE, REDIRECTION], ids=["page", "redirection"])
async def test_a_home_comes_back_from_a_network_that_wants_one_to_log_in(tmp_path: Path, page: bytes) -> None:
    """Its connection ends, and a page answers in the relay's place: that is said, and once the page is gone the home is
    in step again, without a word from anybody."""
    async with (proxy() as front, behind(front, tmp_path / "r"), persons(tmp_path, "anna", relay=front.url) as (anna,),
                anna.connect() as link):
        await link.synced(60)
        before, front.page = link.connections, page
        front.cut()

        async def told() -> bool:
            return isinstance(link.error, NotARelay) and link.next_try is not None

        async with asyncio.timeout(60):
            await turned_until(link, told)
        assert "is no relay" in str(link.error) and link.status == "connecting" and not link.ended
        (space,) = (await anna.status()).spaces
        assert space.link == "connecting" and "is no relay" in space.problem
        await anna.collection("notes").put({"n": 1}, id="meanwhile")
        front.page = b""
        await in_step_anew(link, before)
        assert link.error is None

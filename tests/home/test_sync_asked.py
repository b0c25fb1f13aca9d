"""A person who asks for a sync while the home is connected: what would be tried again later is tried now."""

import asyncio
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

import chez
from chez.errors import RelayUnreachable
from chez.sync.patience import Backoff
from chez_relay.storage.sqlite import FILE_NAME
from tests.home.pairing import paired
from tests.people.persons import persons
from tests.people.proxy import behind, proxy
from tests.people.support import ids, raw_entries
from tests.relay.within import relay


async def test_a_space_alone_that_a_relay_refused_is_asked_for_again(tmp_path: Path) -> None:
    """Its operator put it right, and no device hears of that: the sync does not tell what the relay said before."""
    async with relay(tmp_path / "relay") as server, paired(tmp_path, server.url) as (a, b):
        trip = await a.create_space("Trip")
        await a.sync(server.url)
        await b.sync(server.url)
        whole = raw_entries(server.data)
        await trip.collection("notes").put({"n": 1}, id="a")
        await a.sync(server.url)
        new = [entry for entry in raw_entries(server.data) if entry not in whole]
        _replace(server.data, [(bytes(len(entry)), entry) for entry in new])
        async with b.connect(server.url):
            for _ in range(2):  # asked, and asked again
                assert [(space.name, space.link) for space in (await b.sync()).problems] == [("Trip", "failed")]
            _replace(server.data, [(entry, bytes(len(entry))) for entry in new])
            assert (await b.sync()).problems == ()
            assert await ids(b.space("Trip")) == {"a"}


def _replace(data: Path, entries: list[tuple[bytes, bytes]]) -> None:
    """Have the relay's disk hold other bytes: pairs of those, and what is there."""
    with closing(sqlite3.connect(data / FILE_NAME)) as db, db:
        db.executemany("UPDATE entries SET envelope = ? WHERE envelope = ?", entries)


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_relay_that_is_back_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               everywhere: bool) -> None:
    """The next attempt would be made in minutes: whoever asks does not wait for it, of two relays neither."""
    monkeypatch.setattr("chez.sync.pauses.Backoff", partial(Backoff, first=200.0, longest=200.0))
    async with relay(tmp_path / "first") as first, persons(tmp_path, "anna", relay=first.url) as (anna,):
        async with relay(tmp_path / "second") as second:
            await anna.relays.add(second.url)
            async with anna.connect():
                await anna.sync(everywhere=True)
                await second.kill()
                link = _link(anna, second.url)
                async with asyncio.timeout(30):
                    while link.next_try is None:
                        await link.turn()
                await anna.collection("notes").put({"n": 1})
                async with relay(tmp_path / "second", "--set", f"listen=127.0.0.1:{second.url.rpartition(':')[2]}"):
                    await anna.sync(everywhere=everywhere)
                    assert {one.lacks for one in (await anna.status()).relays} == {0}
                    assert {one.link for one in (await anna.status()).relays} == {"synced"}


async def test_a_relay_that_is_away_still_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried, and what came of that is said."""
    monkeypatch.setattr("chez.sync.pauses.Backoff", partial(Backoff, first=200.0, longest=200.0))
    async with relay(tmp_path / "relay") as server, persons(tmp_path, "anna", relay=server.url) as (anna,):
        async with anna.connect() as link:
            await link.synced(30)
            await server.kill()
            async with asyncio.timeout(30):
                while link.next_try is None:
                    await link.turn()
            with pytest.raises(RelayUnreachable):
                await anna.sync(timeout=0.5)


async def test_a_relay_that_went_silent_is_not_said_to_be_in_step(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """All was in step, and then the network is there no more and tells nobody: a sync that is asked for finds out."""
    monkeypatch.setattr("chez.home.exchange.ANSWER_SECONDS", 0.3)
    async with proxy() as front, behind(front, tmp_path / "relay"), persons(tmp_path, "anna", relay=front.url) as (
            anna,):
        async with anna.connect() as link:
            await anna.sync()
            front.frozen = True
            with pytest.raises(RelayUnreachable):
                await anna.sync(timeout=0.5)
            assert (await anna.status()).link == link.status == "connecting"
            assert isinstance(link.error, RelayUnreachable) and "does not answer" in str(link.error)
            front.frozen = False
            front.cut()  # what was dialled meanwhile comes to nothing
            assert (await anna.sync()).problems == ()


async def test_who_has_no_time_for_an_answer_gives_nobody_up(tmp_path: Path) -> None:
    """The relay is there, behind a line that is slow just then: the sync says that it did not answer, the connection
    stands, and the next sync finds all in step."""
    async with proxy() as front, behind(front, tmp_path / "relay"), persons(tmp_path, "anna", relay=front.url) as (
            anna,):
        async with anna.connect() as link:
            await anna.sync()
            front.passes.clear()
            with pytest.raises(RelayUnreachable, match="did not answer within"):
                await anna.sync(timeout=0.1)
            front.passes.set()
            assert (await anna.sync()).problems == ()
            assert link.connections == 1


def _link(home: chez.Home, url: str) -> "chez.sync.link.Link":
    return next(link for link in home._syncing.links if link.url == url)

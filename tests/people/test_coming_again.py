"""A device whose connection ended comes again: at what price, and that nothing is missed."""

import asyncio
from pathlib import Path

import pytest

import chez
from chez.sync.link import Link
from tests.home.pairing import paired
from tests.people.proxy import Proxy, behind, proxy
from tests.people.support import ids, open_again, turned_until


async def _put(home: chez.Home, id: str) -> None:
    await home.collection("notes").put({"n": id}, id=id)


async def _kept(link: Link) -> None:
    """Wait for the relay's word that it keeps what is followed, and until that is stored."""
    assert link._keeping is not None
    async with asyncio.timeout(90):
        while not link._keeping.handles or link._keeping.unsaved:
            await link.turn()


async def _again(link: Link, front: Proxy) -> int:
    """Cut the connection, wait until all is in step on the next one; the bytes that took."""
    before, carried = link.connections, front.carried
    front.cut()
    async with asyncio.timeout(90):
        while link.connections == before or link.status != "synced":
            await link.turn()
    return front.carried - carried


@pytest.mark.slow
async def test_coming_again_costs_little_and_misses_nothing(tmp_path: Path) -> None:
    """With twenty spaces a cut connection is taken up for a fifth of the bytes, and entries go both ways."""
    async with proxy() as front, behind(front, tmp_path / "r"), paired(tmp_path, front.url) as (a, b):
        for number in range(20):
            await a.create_space(f"space {number}")
        await a.sync(front.url)
        carried = front.carried
        async with a.connect(front.url) as link:
            await link.synced(90)
            first = front.carried - carried
            await _kept(link)
            assert await _again(link, front) < first / 5
            await _put(b, "of b")
            await b.sync(front.url)
            await _again(link, front)
            await _put(a, "of a")
            await link.synced(90)
            await b.sync(front.url)
            assert await ids(a) == await ids(b) == {"of a", "of b"}


async def test_a_program_that_is_started_anew_takes_up_what_was_kept(tmp_path: Path) -> None:
    """What the relay keeps is in the store: a home that was closed and opened comes again for as little."""
    async with proxy() as front, behind(front, tmp_path / "r"):
        async with paired(tmp_path, front.url) as (a, _):
            for number in range(20):
                await a.create_space(f"space {number}")
            carried = front.carried
            async with a.connect(front.url) as link:
                await link.synced(90)
                await _kept(link)
            first = front.carried - carried
        for kind in ("connected", "once"):
            async with open_again(tmp_path / "a") as a:
                carried = front.carried
                if kind == "once":
                    await a.sync(front.url)
                else:
                    async with a.connect(front.url) as link:
                        await link.synced(90)
                assert front.carried - carried < first / 5


async def test_a_space_that_is_erased_is_in_nothing_that_was_kept(tmp_path: Path) -> None:
    """What was kept names every space: it is let go of with one of them, and the next connection keeps the rest."""
    async with proxy() as front, behind(front, tmp_path / "r"), paired(tmp_path, front.url) as (a, _):
        space = await a.create_space("to be forgotten")
        async with a.connect(front.url) as link:
            await link.synced(90)
            await _kept(link)
        await space.delete()
        assert await a._database.read(lambda db: db.execute("SELECT count(*) FROM kept").fetchone()) == (0,)
        await a.sync(front.url)


async def test_a_relay_that_was_started_anew_is_logged_in_to(tmp_path: Path) -> None:
    """It kept nothing over its restart: the device comes again all the same, and what happened meanwhile arrives."""
    async with proxy() as front, behind(front, tmp_path / "r") as first, paired(tmp_path, front.url) as (a, b):
        async with a.connect(front.url) as link:
            await link.synced(90)
            await first.kill()
            async with behind(front, tmp_path / "r"):
                await _put(b, "meanwhile")
                await b.sync(front.url)
                await _put(a, "of a")

                async def heard() -> bool:
                    return await ids(a) == {"meanwhile", "of a"}

                async with asyncio.timeout(90):
                    await turned_until(link, heard)
                await link.synced(90)
                await b.sync(front.url)
                assert await ids(b) == {"meanwhile", "of a"}


async def test_a_connection_that_died_silently_is_noticed_by_a_look(tmp_path: Path) -> None:
    """After a sleep, or in another network, one look gives up a connection on which nobody answers."""
    async with proxy() as front, behind(front, tmp_path / "r"), paired(tmp_path, front.url) as (a, _):
        async with a.connect(front.url) as link:
            await link.synced(90)
            link.check(5.0)
            await _put(a, "one")
            await link.synced(90)
            assert link.connections == 1  # it was alive
            front.frozen = True
            link.check(0.1)
            async with asyncio.timeout(90):
                while link.status != "connecting":
                    await link.turn()
            front.frozen = False
            await link.synced(90)
            assert link.connections == 2


async def test_the_status_tells_since_when_why_and_what_next(tmp_path: Path) -> None:
    """While a relay is away the status has the reason and the next attempt; when it is back, neither."""
    async with proxy() as front, behind(front, tmp_path / "r") as first, paired(tmp_path, front.url) as (a, _):
        await a.set_relay(front.url)
        (off,) = (await a.status()).relays
        assert (off.url, off.link, off.since) == (front.url, "off", None)
        async with a.connect() as link:
            async with asyncio.timeout(90):
                while link.status != "synced":
                    await link.turn()
            (there,) = (await a.status()).relays
            assert (there.link, there.problem, there.next_try) == ("synced", "", None)
            assert there.since is not None
            await first.kill()
            async with asyncio.timeout(90):
                while link.next_try is None:
                    await link.turn()
            (away,) = (await a.status()).relays
            assert away.link == "connecting" and away.problem and away.since is not None
            assert away.since >= there.since and away.next_try is not None and away.next_try > away.since
            async with behind(front, tmp_path / "r"):
                link.check()
                async with asyncio.timeout(90):
                    while link.status != "synced":
                        await link.turn()
                (back,) = (await a.status()).relays
                assert (back.link, back.problem, back.next_try) == ("synced", "", None)

"""A relay that forks, rolls back, hides, repeats or loses its store is caught and named, and nothing is lost."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.errors import RelayMisbehaved
from chez.sync.driver import Driver
from tests.home.pairing import paired
from tests.people.proxy import behind, proxy
from tests.people.support import ids, join
from tests.relay.within import Within, relay


async def _put(home: chez.Home, id: str, url: str | None = None) -> None:
    await home.collection("notes").put({"n": id}, id=id)
    if url is not None:
        await home.sync(url)


async def _copied(server: Within, folder: Path) -> None:
    """The store of a running relay, as it is now."""
    await server.kill()
    shutil.copytree(server.data, folder)


async def test_a_fork_is_caught_at_the_first_contact_across_it(tmp_path: Path) -> None:
    """A relay shows two devices two logs: whatever one wrote that reaches the other tells, by the heads inside."""
    async with proxy() as front, behind(front, tmp_path / "r") as first, paired(tmp_path, front.url) as (a, b):
        await _put(a, "common", front.url)
        await b.sync(front.url)
        await _copied(first, tmp_path / "fork")
        async with behind(front, tmp_path / "fork") as two, behind(front, tmp_path / "r") as one:
            await _put(a, "a1", front.url)
            await _put(a, "a2", front.url)
            front.target = two.url
            await _put(b, "b1", front.url)
            await _put(b, "b2", front.url)
            # An entry of A, which names the head that A was shown, crosses to B: as many as B has seen of its own.
            front.target = one.url
            with pytest.raises(RelayMisbehaved, match=r"other entries|rolled back"):
                await b.sync(front.url)
            assert await ids(b) == {"common", "b1", "b2"}
        async with relay(tmp_path / "new") as honest:
            for home in (a, b, a, b):
                await home.sync(honest.url)
            assert await ids(a) == await ids(b) == {"common", "a1", "a2", "b1", "b2"}
            found = [alarm for home in (a, b) for alarm in await home.alarms()]
            assert found and {alarm.relay for alarm in found} == {front.url}


async def test_a_fork_is_told_by_what_the_other_device_had_seen(tmp_path: Path) -> None:
    """Two logs of one store under two addresses: an entry that names a head of the other log raises the alarm."""
    async with (proxy() as front, proxy() as side, behind(front, tmp_path / "r") as first,
                paired(tmp_path, front.url) as (a, b)):
        await _put(a, "common", front.url)
        await b.sync(front.url)
        await _copied(first, tmp_path / "fork")
        async with behind(front, tmp_path / "fork", side) as two, behind(front, tmp_path / "r"):
            for number in range(3):
                await _put(a, f"a{number}", front.url)
            front.target = two.url
            for number in range(3):
                await _put(b, f"b{number}", front.url)
            # A tells of the log that it was shown in an entry that it gives to the other one.
            await _put(a, "told")
            with pytest.raises(RelayMisbehaved):
                await a.sync(front.url)
            await a.sync(side.url)
            with pytest.raises(RelayMisbehaved, match="another device"):
                await b.sync(front.url)
            found = await b.alarms()
            assert {alarm.author for alarm in found} == {a.device_id} and "told" in await ids(b)


async def test_a_rollback_is_caught_and_reseeding_repairs_it(tmp_path: Path) -> None:
    """A store set back to an earlier state is named; reseeding sends it all that it lost, others' entries too."""
    async with proxy() as front, behind(front, tmp_path / "r") as first, paired(tmp_path, front.url) as (a, b):
        await _put(a, "early", front.url)
        await _copied(first, tmp_path / "old")
        async with behind(front, tmp_path / "r"):
            await _put(b, "late", front.url)
            await a.sync(front.url)
        async with behind(front, tmp_path / "old"):
            with pytest.raises(RelayMisbehaved, match="rolled back") as caught:
                await a.sync(front.url)
            assert await ids(a) == {"early", "late"} and "--reseed" in caught.value.hint
            await a.sync(front.url, reseed=True)
            async with join(a, tmp_path / "c", "c", front.url) as c:
                assert await ids(c) == {"early", "late"}
            await b.sync(front.url, reseed=True)
            assert await ids(b) == {"early", "late"}


async def test_a_relay_that_lost_everything_is_filled_again_by_one_device(tmp_path: Path) -> None:
    """A new store behind the same address: one device's sync brings back every entry, those of others included."""
    async with proxy() as front, behind(front, tmp_path / "r"), paired(tmp_path, front.url) as (a, b):
        await _put(b, "of b", front.url)
        await _put(a, "of a", front.url)
        async with behind(front, tmp_path / "empty"):
            report = await a.sync(front.url)
            assert report.reset or report.sent >= 2
            async with join(a, tmp_path / "c", "c", front.url) as c:
                assert await ids(c) == {"of a", "of b"}


async def test_nothing_is_sent_twice_by_reseeding_a_whole_relay(tmp_path: Path, server: Within) -> None:
    """A relay that lacks nothing is read again, and sent nothing."""
    async with paired(tmp_path, server.url) as (a, b):
        await _put(a, "one", server.url)
        await b.sync(server.url)
        before = (await a.sync(server.url)).offset
        report = await a.sync(server.url, reseed=True)
        assert report.sent == 0 and report.offset == before and await ids(a) == {"one"}


async def test_a_live_link_is_begun_anew_by_reseeding(tmp_path: Path, server: Within) -> None:
    """With a link open reseeding reads everything again over a new connection, and the link goes on."""
    async with paired(tmp_path, server.url) as (a, b), a.connect(server.url) as link:
        await _put(a, "one")
        await link.synced(90)
        await a.sync(server.url, reseed=True)
        await _put(a, "two")
        await link.synced(90)
        await b.sync(server.url)
        assert await ids(b) == {"one", "two"}


@pytest.mark.parametrize("lingers", [0.0, 0.2])
@pytest.mark.slow
async def test_reseeding_repairs_a_rollback_while_the_home_is_connected(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lingers: float) -> None:
    """The link ended with what the relay did; who asks for it has it begun again, also while the connection that came
    to it is not quite over: what it raises then is of before."""
    leave = Driver.__aexit__

    async def leaving(driver: Driver, *raised: Any) -> None:
        await asyncio.sleep(lingers)
        await leave(driver, *raised)

    monkeypatch.setattr(Driver, "__aexit__", leaving)
    async with proxy() as front, behind(front, tmp_path / "r") as first, paired(tmp_path, front.url) as (a, b):
        await _put(a, "early", front.url)
        await _copied(first, tmp_path / "old")
        async with behind(front, tmp_path / "r"):
            await _put(a, "late", front.url)
        async with behind(front, tmp_path / "old"), a.connect(front.url) as link, asyncio.timeout(60):
            while link.status != "failed":
                await link.turn()
            with pytest.raises(RelayMisbehaved, match="rolled back"):
                await a.sync(front.url)
            await a.sync(front.url, reseed=True)
            assert link.status in ("synced", "syncing")
            await b.sync(front.url, reseed=True)
            assert await ids(b) == {"early", "late"}


async def test_a_relay_that_is_put_right_is_met_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It showed a store that was rolled back, and has the right one again: nobody has to ask for it."""
    monkeypatch.setattr("chez.sync.pauses.LONGEST_PAUSE", 1.0)
    async with proxy() as front, behind(front, tmp_path / "r") as first, paired(tmp_path, front.url) as (a, b):
        await _put(a, "early", front.url)
        await _copied(first, tmp_path / "old")
        async with behind(front, tmp_path / "r"):
            await _put(a, "late", front.url)
        async with a.connect(front.url) as link, asyncio.timeout(60):
            async with behind(front, tmp_path / "old"):
                while link.status != "failed":
                    await link.turn()
                assert isinstance(link.error, RelayMisbehaved) and link.next_try is not None
                await a.collection("notes").put({"n": 1}, id="meanwhile")
            async with behind(front, tmp_path / "r"):
                while link.status != "synced":
                    await link.turn()
                assert link.error is None
                await b.sync(front.url)
        assert await ids(b) == {"early", "late", "meanwhile"}


async def test_a_space_that_leaves_a_bad_relay_leaves_the_others_to_be_tried_again(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is moved away while the relay is at fault: when it is put right the others are in step by themselves."""
    monkeypatch.setattr("chez.sync.pauses.LONGEST_PAUSE", 3.0)
    async with proxy() as front, behind(front, tmp_path / "r") as first, relay(tmp_path / "other") as other, \
            paired(tmp_path, front.url) as (a, b):
        await a.set_relay(front.url)
        trip = await a.create_space("Trip")
        for space in (a.space(), trip):
            await space.collection("notes").put({"n": 1}, id="early")
        await a.sync()
        await _copied(first, tmp_path / "old")
        async with behind(front, tmp_path / "r"):
            for space in (a.space(), trip):
                await space.collection("notes").put({"n": 1}, id="late")
            await a.sync()
        async with a.connect() as link, asyncio.timeout(60):
            async with behind(front, tmp_path / "old"):
                while link.status != "failed":
                    await link.turn()
                await trip.move(relay=other.url)
            async with behind(front, tmp_path / "r"):
                await a.collection("notes").put({"n": 1}, id="meanwhile")
                while link.status != "synced":
                    await link.turn()
                assert [one.url for one in (await a.status()).relays] == [front.url, other.url]
                await b.sync(front.url)
        assert await ids(b) == {"early", "late", "meanwhile"}

"""A space that is full at its relay: what is there and what others say comes as ever, and a checkpoint gives room."""

import asyncio
import random
from pathlib import Path

import pytest

import chez
from chez.errors import RelayRefused
from chez.sync.checkpoints.drafting import Drafting
from chez.sync.link import Link
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.test_homes import shown
from tests.people.guests import invited
from tests.people.persons import persons, shared
from tests.people.support import join
from tests.relay.within import relay


async def _filled(space: chez.Space, link: Link) -> None:
    """Written to until the relay has no room for it, and a little more."""
    for n in range(300):
        await space.collection("notes").put({"n": n}, id=f"{n % 7}")
        if n % 10 == 9:
            await link.synced(90)
            if link.problems:
                return
    raise AssertionError("it never was full")


async def _until_alike(one: chez.Space, other: chez.Space, *links: Link) -> None:
    """Until both show the same, and no relay refuses anything of them."""
    for _ in range(600):
        if await shown(one) == await shown(other) and not any(link.problems for link in links):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{[link.problems for link in links]} {await shown(one)} {await shown(other)}")


@pytest.mark.slow
async def test_a_full_space_is_written_smaller_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What says that its entries may be dropped finds room; what waited is sent then, on the same connection."""
    monkeypatch.setattr("chez.sync.lookout.TICK", 0.2)
    async with relay(tmp_path / "relay", *AT_ONCE, "--space-quota", "120000") as server, persons(
            tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        async with anna.connect() as link, berta.connect() as other:
            await _filled(trip, link)
            ((space, error),) = link.problems.items()
            assert isinstance(error, RelayRefused) and error.reason == "quota"
            assert link.status_of(space) == "failed" and link.status == "synced"
            done = await trip.checkpoint()
            assert done is not None
            await _until_alike(trip, hers, link, other)
            assert "entries-dropped" in {one.kind for one in await anna.journal.receipts()}
            await hers.collection("notes").put({"of": "berta"}, id="berta")
            await _until_alike(trip, hers, link, other)
            assert link.status_of(space) == "synced"
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            assert await shown(phone.space("Trip")) == await shown(trip) != {}


async def test_who_has_no_room_hears_of_others(tmp_path: Path) -> None:
    """A member whose own entries wait is told of who comes and goes meanwhile, and may be taken out."""
    async with relay(tmp_path / "relay", "--space-quota", "60000") as server, persons(
            tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        async with anna.connect() as link, berta.connect() as other:
            await _filled(hers, other)
            await link.synced(90)
            person = next(one.id for one in await trip.members() if one.name == "berta")
            await trip.remove(person)
            for _ in range(600):
                if hers.status().removed:
                    break
                await asyncio.sleep(0.05)
            assert hers.status().removed and not trip.status().removed


async def test_who_has_no_room_lets_guests_in(tmp_path: Path) -> None:
    """By a link and by a code: what is said of a guest is at the relay, whatever waits for room there."""
    async with relay(tmp_path / "relay", "--space-quota", "60000") as server, persons(
            tmp_path, "anna", "berta", "carl", "dora", relay=server.url) as (anna, berta, carl, dora):
        trip = await anna.create_space("Trip")
        invitation = await invited(trip, anna)
        async with anna.connect() as link:
            await _filled(trip, link)
            assert (await berta.join(invitation, timeout=60)).role == "writer"
            async with trip.invite_by_code() as hosting:
                coming = asyncio.create_task(carl.join(hosting.code))
                await hosting.joined()
                await coming
            assert link.problems
        async with trip.invite_by_code("reader") as hosting:  # and while the home is not connected
            coming = asyncio.create_task(dora.join(hosting.code))
            await hosting.joined()
            assert (await coming).role == "reader"


async def test_what_is_tried_now_and_then_waits_all_the_while(tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry for which there is no room: the space is told as full while it is tried, and not looked at again."""
    looked = 0
    weigh = Drafting.weigh

    def counted(drafting: Drafting) -> None:
        nonlocal looked
        looked += 1
        weigh(drafting)

    monkeypatch.setattr("chez.sync.lookout.TICK", 0.05)
    monkeypatch.setattr(Drafting, "weigh", counted)
    async with relay(tmp_path / "relay", "--space-quota", "60000") as server, persons(
            tmp_path, "anna", relay=server.url) as (anna,):
        trip = await anna.create_space("Trip")
        async with anna.connect() as link:
            await link.synced(90)
            await trip.collection("notes").put({"n": random.Random(1).randbytes(80_000)}, id="large")
            while not link.problems:
                await link.turn()
            (full,) = link.problems
            for _ in range(20):
                await link.turn()
                assert full in link.problems
            assert looked == 1

"""Segments that no longer serve leave the relay: the room for chunks stays near the size of the last checkpoint."""

import asyncio
from pathlib import Path

import pytest

from chez_relay.storage.census import census
from tests.checkpoints.test_homes import shown, written
from tests.people.persons import persons, shared
from tests.people.support import join
from tests.relay.within import Within


async def released(server: Within, upto: int) -> int:
    """The bytes of chunks that the relay holds, once they are no more than that."""
    assert server.data is not None
    for _ in range(200):
        now = census(server.data).blob_bytes
        if now <= upto:
            return now
        await asyncio.sleep(0.05)
    raise AssertionError(f"the relay still holds {now} bytes of chunks")


async def test_what_is_written_anew_is_released(tmp_path: Path, server: Within,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    """After several checkpoints the relay holds the segments of the last one alone; a newcomer has everything."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        space = anna.space()
        sizes = []
        for _ in range(4):
            await written(space, "anna", 6)
            await anna.sync()
            done = await space.checkpoint()
            assert done is not None and done.dropped
            sizes.append(done.bytes)
        assert sum(sizes[:-1]) > sizes[-1]  # each was written anew
        announced = await anna._database.read(lambda db: db.execute("SELECT count(*) FROM announced").fetchone()[0])
        assert announced == 1  # what led to a checkpoint is not kept, and read, for ever
        await released(server, sizes[-1])
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            assert await shown(phone.space()) == await shown(space) != {}


async def test_what_another_person_never_vouched_for_is_released_after_a_later_drop(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints made while the other person was away go once a later one stands; both hold the same all the while."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        last = 0
        for _ in range(3):
            await written(trip, "anna", 6)
            await anna.sync()
            done = await trip.checkpoint()
            assert done is not None and not done.dropped
            last = done.bytes
        await berta.sync()
        await anna.sync()
        await released(server, last)
        await written(hers, "berta", 6)
        await berta.sync()
        await anna.sync()
        assert await shown(trip) == await shown(hers) != {}


@pytest.mark.parametrize("removed", [False, True])
async def test_what_its_maker_can_not_release_goes_by_an_owners_device(
        tmp_path: Path, server: Within, removed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member who owns nothing made checkpoints that nobody compared before a later one stood: its own word releases
    nothing, so they would stay for ever, whether it is a member yet or not."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        for _ in range(3):
            await written(hers, "berta", 6)
            await berta.sync()
            done = await hers.checkpoint()
            assert done is not None and not done.dropped
        if removed:
            await trip.remove("berta")
            await anna.sync()
            await written(trip, "anna", 6)
            await anna.sync()
            done = await trip.checkpoint()
            assert done is not None and done.dropped
        await anna.sync()
        await released(server, done.bytes)
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            (there,) = [one for one in await phone.spaces() if one.name == "Trip"]
            assert await shown(there) == await shown(trip) != {}

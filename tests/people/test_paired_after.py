"""A device that is let in after its person's part in a space ended: nobody there knows of it, and it is told all the
same."""

from pathlib import Path

import pytest

from chez.errors import NotAllowed
from chez.home.syncing import Syncing
from tests.people.persons import in_step, persons, shared, values
from tests.people.support import join, open_again
from tests.relay.within import Within


@pytest.mark.slow
@pytest.mark.parametrize("how", ["removed", "left"])
async def test_a_device_paired_after_the_end_is_told(tmp_path: Path, server: Within, how: str) -> None:
    """The one that lets it in found a farewell, or left: the new one shows the space as over, and writes nothing there;
    let in again, both go on."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await hers.collection("notes").put({"n": 1}, id="before")
        await in_step(berta, anna)
        if how == "removed":
            await trip.remove("berta")
            await anna.sync()
        else:
            await hers.leave()
        await in_step(berta, anna, berta)
        assert hers.status().removed
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            await in_step(berta, phone)
            status = phone.space("Trip").status()
            assert status.removed and status.removed_by == ("anna" if how == "removed" else "berta")
            assert status.left == (how == "left")
            with pytest.raises(NotAllowed):
                await phone.space("Trip").collection("notes").put({"n": 2})
            await trip.add(await phone.card())
            await anna.sync()
            await phone.join(trip.link())
            await in_step(phone, berta, phone)
            again = phone.space("Trip")
            assert not again.status().removed and not hers.status().removed
            await again.collection("notes").put({"n": 2}, id="after")
            await in_step(phone, anna, berta)
            assert set(await values(trip)) == set(await values(hers)) == {"before", "after"}


async def test_a_device_paired_after_a_move_finds_the_space_at_its_place(tmp_path: Path, server: Within) -> None:
    """The private space tells of both places, one after the other: the new device is at the one that counts."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await berta.sync()
        await trip.move()
        await anna.sync()
        await berta.join(trip.link())
        await in_step(berta, anna)
        async with join(berta, tmp_path / "phone", "phone", server.url) as phone:
            await in_step(phone, berta, phone)
            theirs = phone.space("Trip")
            assert theirs.link() == hers.link() == trip.link()
            await theirs.collection("notes").put({"n": 1}, id="after")
            await in_step(phone, anna)
            assert set(await values(trip)) == {"after"}


async def test_killed_after_it_was_told_of_a_space_it_finds_it_at_its_place(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told of both places is durable, and the space was never opened: the next start has it where it is."""
    async def nothing(self: Syncing, n: int) -> None:
        """The process is killed before it gets there."""

    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await shared(trip, anna, berta)
        await berta.sync()
        await trip.move()
        await anna.sync()
        await berta.join(trip.link())
        await in_step(berta, anna)
        with monkeypatch.context() as patch:
            patch.setattr(Syncing, "found", nothing)
            async with join(berta, tmp_path / "phone", "phone", server.url):
                pass
        async with open_again(tmp_path / "phone") as phone:
            assert phone.space("Trip").link() == trip.link()
            await in_step(phone, berta, phone)
            await phone.space("Trip").collection("notes").put({"n": 1}, id="after")
            await in_step(phone, anna)
            assert set(await values(trip)) == {"after"}

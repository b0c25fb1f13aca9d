"""What was deleted everywhere leaves the relay too, and gives its room back; what anybody may name again stays."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import chez
from chez_relay.storage.census import census
from tests.blobs.support import read, settled
from tests.checkpoints.conftest import AT_ONCE
from tests.people.persons import persons
from tests.people.support import join, open_again
from tests.relay.within import Within, relay

PHOTO = bytes(range(256)) * 5000
CHUNKS = 4
"""Three of the content, and the manifest."""


@pytest.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Within]:
    """A relay that lets go at once of what is dropped."""
    async with relay(tmp_path / "quick", *AT_ONCE) as running:
        yield running


async def held(server: Within, upto: int | None = None) -> int:
    """The chunks that a relay holds; waited for until they are no more than that."""
    assert server.data is not None
    for _ in range(100):
        found = census(server.data).chunks
        if upto is None or found <= upto:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"the relay still holds {found} chunks")


async def attached(home: chez.Home, id: str = "summer") -> chez.Blob:
    """A note with a photo, at the relay."""
    photo = await home.blobs.add(PHOTO, name="photo.jpg")
    await home.collection("notes").put({"title": id, "photo": photo}, id=id)
    await home.sync()
    return photo


async def let_go(home: chez.Home, id: str = "summer") -> None:
    """Take the photo out of a note."""
    await home.collection("notes").put({"title": id, "photo": None}, id=id)


async def freed(folder: Path) -> None:
    """The home is opened again, for what was added in a session stays in it; and what no record holds is freed."""
    async with open_again(folder) as home:
        await settled(home)
        for _ in range(3):
            await home.blobs.collect()


async def said(home: chez.Home, name: str) -> None:
    """A few entries, one after the other: the first may be made before what is new is read."""
    for n in range(3):
        await home.collection("notes").put({"title": f"{name} {n}"}, id=name)
        await home.sync()


async def releases(home: chez.Home) -> int:
    """How often it asked the relay to release something, being in step with it."""
    for _ in range(3):
        await home.sync()
    return [receipt.kind for receipt in await home.journal.receipts()].count("chunks-released")


async def test_what_no_record_holds_leaves_the_relay(tmp_path: Path, quick: Within) -> None:
    """With one device: after it was freed here, it is released in step, and the relay's room is given back."""
    async with persons(tmp_path, "anna", relay=quick.url) as (anna,):
        await attached(anna)
        assert await held(quick) == CHUNKS
        await let_go(anna)
    await freed(tmp_path / "anna")
    async with open_again(tmp_path / "anna") as anna:
        await anna.sync()
        await anna.sync()  # once nothing of its own is on its way any more
        assert await held(quick, 0) == 0
        photo = await attached(anna, "again")  # it is added and sent as new
        assert await held(quick) == CHUNKS
    async with open_again(tmp_path / "anna") as anna:
        await anna.sync()
        assert await held(quick) == CHUNKS and await read(anna, photo) == PHOTO


async def test_it_stays_until_every_device_has_seen_it_gone(tmp_path: Path, quick: Within) -> None:
    """Another device's unsent note holds it: it stays while that is away, and as long as one of them may name it."""
    async with persons(tmp_path, "anna", relay=quick.url) as (anna,):
        photo = await attached(anna)
        async with join(anna, tmp_path / "phone", "phone", quick.url) as phone:
            await phone.collection("notes").put({"mine": photo}, id="phone")  # and is away
        await let_go(anna)
    await freed(tmp_path / "anna")
    async with open_again(tmp_path / "anna") as anna:
        await said(anna, "anna")
        assert await releases(anna) == 0 and await held(quick) == CHUNKS
        async with open_again(tmp_path / "phone") as phone:
            await said(phone, "phone says")
            await said(anna, "anna again")
            assert await releases(anna) == 0 and await held(quick) == CHUNKS
            assert await read(anna, photo) == PHOTO
            await phone.collection("notes").put({"mine": None}, id="phone")
            await phone.sync()
        await anna.sync()
    await freed(tmp_path / "anna")
    async with open_again(tmp_path / "anna") as anna, open_again(tmp_path / "phone") as phone:
        # The phone may hold it in what it did not send.
        assert await releases(anna) == 0 and await held(quick) == CHUNKS
        await said(phone, "phone says more")
        assert await releases(anna) == 1 and await held(quick, 0) == 0


async def test_who_names_it_again_sends_it_again(tmp_path: Path, quick: Within) -> None:
    """A device that has the content still, and puts it into a record after all released it, brings it back: it had sent
    it there itself, and heard of the release."""
    async with persons(tmp_path, "anna", relay=quick.url) as (anna,):
        photo = await attached(anna)
        await anna.blobs.pin(photo)
        async with join(anna, tmp_path / "phone", "phone", quick.url) as phone:
            assert await read(phone, photo) == PHOTO
        await let_go(anna)
        await anna.sync()
    async with open_again(tmp_path / "phone") as phone:
        await phone.sync()
    await freed(tmp_path / "phone")
    async with open_again(tmp_path / "anna") as anna, open_again(tmp_path / "phone") as phone:
        for _ in range(2):
            await phone.sync()
        await said(anna, "anna")
        await phone.sync()
        assert await held(quick, 0) == 0
        await anna.collection("notes").put({"mine": photo}, id="back")
        await anna.sync()
        assert await held(quick) == CHUNKS
        await phone.sync()
        assert await read(phone, photo) == PHOTO

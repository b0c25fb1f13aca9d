"""A person sees how much room a space takes at a relay, and how much it may, before it is full."""

from pathlib import Path

import pytest

import chez
from chez.errors import NotFound
from tests.people.persons import persons, shared
from tests.relay.within import Within, relay


async def test_usage_grows_and_is_given_back(tmp_path: Path) -> None:
    """Records and attachments are counted apart, each with its limit; a checkpoint gives the room of entries back."""
    limits = ("--set", "quotas.space_bytes=1MiB", "--set", "quotas.control_bytes=64KiB", "--set",
              "quotas.blob_bytes=10MiB", "--set", "quotas.grace=0.001", "--set", "limits.expiry_interval=0.05")
    async with relay(tmp_path / "relay", *limits) as server, persons(tmp_path, "anna", relay=server.url) as (anna,):
        await anna.sync()
        before = await anna.space().usage()
        assert (before.relay, before.entries_limit, before.control_limit, before.attachments_limit) == (
            server.url, 1 << 20, 64 << 10, 10 << 20)
        for n in range(20):
            await anna.collection("notes").put({"n": n, "text": str(n) * 500}, id="one")
            await anna.sync()
        photo = await anna.blobs.add(b"photo" * 5000, name="photo.jpg")
        await anna.collection("notes").put({"photo": photo}, id="two")
        await anna.sync()
        full = await anna.space().usage(relay=server.url)
        assert before.entries + 20 * 1024 <= full.entries <= full.entries_limit
        assert before.attachments + 25_000 <= full.attachments
        await anna.space().checkpoint()
        while (await anna.space().usage()).entries >= full.entries:
            await anna.sync()


async def test_members_ask_and_others_do_not(tmp_path: Path, server: Within) -> None:
    """A reader sees it as an owner does; a relay that the space is not at is told apart."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        hers = await anna.create_space("Trip")
        (theirs,) = await shared(hers, anna, berta, role="reader")
        assert await hers.usage() == await theirs.usage()
        with pytest.raises(NotFound, match="is not at ws://elsewhere:1"):
            await hers.usage(relay="ws://elsewhere:1")
    async with persons(tmp_path / "alone", "carla") as (carla,):
        assert isinstance(carla, chez.Home)
        with pytest.raises(NotFound, match="any relay"):
            await carla.space().usage()

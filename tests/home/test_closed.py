"""A home that was closed: what is asked of it afterwards says so, and nobody waits for ever."""

import asyncio
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import NotAllowed, StorageFailed
from tests.home.conftest import PASSPHRASE


@pytest.fixture
async def closed(path: Path) -> chez.Home:
    """A home that was open."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        return home


async def test_nobody_listens_in_a_closed_home(closed: chez.Home) -> None:
    """Who listens, or says something, after the end is told so: there is nobody who would end the waiting."""
    space = closed.space()
    async with asyncio.timeout(5):
        with pytest.raises(StorageFailed, match="closed"):
            await anext(space.ephemeral())
    with pytest.raises(StorageFailed, match="closed"):
        await space.broadcast("presence", 1)


async def test_nobody_is_asked_for_a_closed_home(closed: chez.Home) -> None:
    """Not the relay either."""
    with pytest.raises(StorageFailed, match="closed"):
        await closed.space().usage(relay="ws://127.0.0.1:1")


async def test_a_closed_home_is_not_served_and_makes_nothing_shared(closed: chez.Home) -> None:
    """What would be made for it would be ended by nobody."""
    with pytest.raises(StorageFailed, match="closed"):
        async with chez.serve(closed):
            pass
    with pytest.raises(StorageFailed, match="closed"):
        await closed.shared("sandbox", asyncio.Lock)


async def test_nobody_is_let_in_by_a_home_that_is_only_read(path: Path) -> None:
    """Before anything is left at a relay; here none is even there."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.set_relay("ws://127.0.0.1:1")
        trip = await home.create_space("Trip")
    async with chez.open(path, passphrase=PASSPHRASE, read_only=True) as home:
        with pytest.raises(NotAllowed, match="reading only"):
            async with home.pair():
                pass
        with pytest.raises(NotAllowed, match="reading only"):
            async with home.space(trip.id).invite_by_code():
                pass


async def test_of_two_who_make_a_home_at_once_one_is_told_that_there_is_one(tmp_path: Path) -> None:
    """It stands there by the time the other's is to be moved there: that says nothing about the disk."""
    made = await asyncio.gather(*(chez.create(tmp_path / "home", passphrase=PASSPHRASE, kdf=Kdf.minimum())
                                  for _ in range(2)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in made) == ["HomeExists", "str"]
    assert [one.name for one in tmp_path.iterdir()] == ["home"]

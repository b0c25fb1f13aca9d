"""A publisher that writes without end meets the room that a follower gives it."""

import random
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

import chez
from chez.errors import InvalidValue, NotAllowed
from chez.opendata.following import _check_room, add_catalogue, find, named, subscribe
from chez.sync.room import DEFAULT_BYTES, LEAST_BYTES
from chez_relay.storage.census import census
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.test_homes import shrunk
from tests.opendata.support import about, address, put_up, stations, table
from tests.opendata.test_flow import follow
from tests.people.persons import persons
from tests.people.support import open_again
from tests.relay.support import Process
from tests.relay.within import relay

if TYPE_CHECKING:
    from chez.home.transaction import Transaction

MIB = 1024 * 1024


def size(folder: Path) -> int:
    """Bytes of a home's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


async def flood(home: chez.Home, name: str, count: int, each: int) -> None:
    """Write records that nobody asked for into a space: texts that do not compress."""
    rows, noise = home.space(name).collection("open_velov"), random.Random(count)

    def work(transaction: "Transaction") -> None:
        for number in range(count):
            transaction.put(rows, {"noise": noise.randbytes(each // 2).hex()}, id=f"x{count}-{number}")

    await home.transaction(work)
    await home.sync()


@pytest.mark.slow
async def test_a_publisher_gone_bad_fills_its_room_and_no_more(server: Process, tmp_path: Path) -> None:
    """Of a space that a publisher fills far beyond its bound, a follower takes in as much as the bound says, tells it,
    also after a restart, and asks for no more; other spaces go on; more room brings the rest."""
    async with persons(tmp_path, "city", "anna", relay=server.url) as (city, anna):
        await put_up(city, about(), file=table(tmp_path, stations(20)))
        await put_up(city, about("bus"), file=table(tmp_path, stations(20)))
        space = anna.space(await follow(city, anna))
        await follow(city, anna, "bus")
        room = await space.room()
        assert room is not None and (room.bytes_limit, room.records, room.full) == (DEFAULT_BYTES, 21, False)
        assert 0 < room.bytes < MIB and await anna.space("private").room() is None
        with pytest.raises(InvalidValue):
            await space.give_room(bytes=LEAST_BYTES - 1)
        with pytest.raises(NotAllowed):
            await anna.space("private").give_room(bytes=MIB)
        await space.give_room(bytes=room.bytes + 2 * MIB)
        before = size(tmp_path / "anna")

        for count in (300, 301, 302):
            await flood(city, "velov", count, 8 * 1024)  # 7 MB in all, and as much again in other forms
        await put_up(city, about("bus"), file=table(tmp_path, stations(30)))
        report = await anna.sync()
        (problem,) = report.problems
        assert problem.id == space.id and "wants more room" in problem.problem
        room = await space.room()
        assert room is not None and room.full and 0 < room.bytes <= room.bytes_limit
        assert (await named(anna, "bus", check=True)).rows == 30 and (await named(anna, "velov")).full is not None

    async with open_again(tmp_path / "anna") as anna:
        assert size(tmp_path / "anna") < before + 5 * MIB
        space = anna.space("velov")
        assert "wants more room" in space.status().problem and (await named(anna, "velov")).full is not None
        stands = await anna.sync()
        assert [one.id for one in stands.problems] == [space.id] and stands.received == 0
        assert await space.room() == room
        async with anna.connect():
            await space.give_room(bytes=200 * MIB)
            await anna.synced()
            assert space.status().problem == ""
        room = await space.room()
        assert room is not None and not room.full and room.records > 900


async def test_a_dataset_that_will_not_fit_is_told_before_it_is_subscribed(server: Process, tmp_path: Path) -> None:
    """By what its publisher says of its size, a dataset that takes more than a space has is subscribed with more room
    only; and what it says holds for nobody: the room does."""
    async with persons(tmp_path, "city", "anna", relay=server.url) as (city, anna):
        await put_up(city, about(), file=table(tmp_path, stations(5)))
        listing = city.space("Open data").collection("chez.datasets")
        said = (await listing.get("velov")).value
        assert said["size"] > 0
        await add_catalogue(anna, address(city))
        await anna.sync()
        listed = (await find(anna, "velov")).metadata
        large = msgspec.structs.replace(listed, size=DEFAULT_BYTES)
        with pytest.raises(NotAllowed, match="takes about 1,281 MiB"):
            _check_room(large, None)
        _check_room(large, 2 * DEFAULT_BYTES)
        with pytest.raises(InvalidValue):
            await subscribe(anna, "velov", room=LEAST_BYTES - 1)
        id = await subscribe(anna, "velov", room=3 * MIB)
        await anna.sync()
        room = await anna.space(id).room()
        assert room is not None and room.bytes_limit == 3 * MIB and (await named(anna, "velov", check=True)).rows == 5


@pytest.mark.slow
async def test_a_checkpoint_that_is_a_flood_meets_the_room(tmp_path: Path) -> None:
    """What a publisher gone bad hides in a checkpoint, from which its entries are read once the relay let go of them,
    is bounded as they are: what is put aside to be checked counts, the disk is not filled, other spaces go on, a
    restart asks for no more, and more room brings all of it."""
    async with relay(tmp_path / "relay", *AT_ONCE) as server:
        async with persons(tmp_path, "city", "anna", relay=server.url) as (city, anna):
            await put_up(city, about(), file=table(tmp_path, stations(20)))
            await put_up(city, about("bus"), file=table(tmp_path, stations(20)))
            space = anna.space(await follow(city, anna))
            await follow(city, anna, "bus")
            room = await space.room()
            assert room is not None
            await space.give_room(bytes=room.bytes + 2 * MIB)
            before, whole = size(tmp_path / "anna"), census(server.data).bytes
            for count in (300, 301, 302):
                await flood(city, "velov", count, 8 * 1024)
            flooded = census(server.data).bytes
            done = await city.space("velov").checkpoint()
            assert done is not None and done.vouched and done.dropped
            assert await shrunk(server, flooded) < whole + MIB  # what is read is the checkpoint
            await put_up(city, about("bus"), file=table(tmp_path, stations(30)))

            report = await anna.sync()
            assert [one.id for one in report.problems] == [space.id]
            stands = await space.room()
            assert stands is not None and stands.full and 0 < stands.bytes <= stands.bytes_limit
            assert (await named(anna, "bus", check=True)).rows == 30
        async with open_again(tmp_path / "anna") as anna:
            space = anna.space("velov")
            report = await anna.sync()
            assert [one.id for one in report.problems] == [space.id] and await space.room() == stands
            assert size(tmp_path / "anna") < before + 5 * MIB
            await space.give_room(bytes=200 * MIB)
            assert (await anna.sync()).problems == ()
            room = await space.room()
            assert room is not None and not room.full and room.records > 900

"""Checkpoints between homes and a real relay: room is given back, newcomers and those who were away have everything."""

import asyncio
from itertools import count
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import NotAllowed
from chez_relay.storage.census import census
from tests.home.pairing import PASSPHRASE
from tests.people.persons import persons, shared
from tests.people.support import join, open_again
from tests.relay.within import Within

_numbers = count(1)


async def written(space: chez.Space, name: str, rounds: int = 12) -> None:
    """A few notes, edited again and again, in entries of their own."""
    notes = space.collection("notes")
    for n in range(rounds):
        await notes.put({"title": f"{name} {next(_numbers)}", "text": "words " * n}, id=f"{name} {n % 4}")


async def shown(space: chez.Space) -> dict[str, object]:
    """All notes of a space."""
    return {note.id: note.value async for note in space.collection("notes")}


async def shrunk(server: Within, before: int) -> int:
    """The bytes of entries that the relay holds, once they are fewer than before."""
    for _ in range(200):
        now = census(server.data).bytes
        if now < before:
            return now
        await asyncio.sleep(0.05)
    raise AssertionError(f"the relay still holds {now} bytes")


async def test_a_space_of_one_person_is_written_smaller(tmp_path: Path, server: Within) -> None:
    """One device makes, reads back, vouches and has dropped; a new device has all of it, and what came after."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        space = anna.space()
        for _ in range(8):
            await written(space, "anna", 3)
            await anna.sync(server.url)
        before = census(server.data).bytes
        done = await space.checkpoint()
        assert done is not None and done.vouched and done.dropped
        assert await shrunk(server, before) < before
        assert await space.checkpoint() == done
        await written(space, "later")
        await anna.sync()
        kinds = {receipt.kind for receipt in await anna.journal.receipts()}
        assert {"checkpoint-made", "entries-dropped"} <= kinds
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            assert await shown(phone.space()) == await shown(space) != {}
            await written(phone.space(), "phone")
            await phone.sync(server.url)
            await anna.sync()
            assert await shown(phone.space()) == await shown(space)
            assert await phone.audit() == []


async def test_another_person_vouches_where_there_is_one(tmp_path: Path, server: Within) -> None:
    """The maker's own word drops nothing; once the other was there, who was away and wrote meanwhile has everything."""
    async with persons(tmp_path, "anna", "berta", "carl", relay=server.url) as (anna, berta, carl):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        (his,) = await shared(trip, anna, carl, role="reader")
        for _ in range(4):
            await written(trip, "anna", 3)
            await anna.sync()
        await berta.sync()
        await written(hers, "berta")  # and is away from here on
        await carl.sync()
        for _ in range(4):
            await written(trip, "anna", 3)
            await anna.sync()
        with pytest.raises(NotAllowed):
            await his.checkpoint()
        done = await trip.checkpoint()
        assert done is not None and not done.vouched and not done.dropped
        before = census(server.data).bytes
        await carl.sync()
        await anna.sync()
        await shrunk(server, before)
        await berta.sync()
        await anna.sync()
        await carl.sync()
        assert await shown(trip) == await shown(hers) == await shown(his) != {}
        assert [await one.audit() for one in (anna, berta, carl)] == [[], [], []]


async def test_what_stands_for_what_was_dropped_is_read_though_its_maker_is_nobody_since(tmp_path: Path,
                                                                                         server: Within) -> None:
    """A device is removed by one that is offline, and restored of its backup meanwhile: the new device, let in by the
    removed one, makes a checkpoint that is dropped on. It is nobody once the removal arrives; a newcomer has it all."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            for _ in range(4):
                await written(anna.space(), "anna", 3)
                await anna.sync()
            await phone.sync(server.url)
            await phone.backup(tmp_path / "backup")
        await anna.devices.remove("phone")
        await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        async with open_again(tmp_path / "again") as again:
            await again.sync(server.url)
            done = await again.space().checkpoint()
            assert done is not None and done.dropped
        await asyncio.sleep(0.2)  # the relay's grace is over
        await anna.sync()
        before = await shown(anna.space())
        assert [one.active for one in await anna.devices.all()] == [True, False]
        async with join(anna, tmp_path / "late", "late", server.url) as late:
            assert await shown(late.space()) == before != {}

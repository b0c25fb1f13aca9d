"""A device of one's own that went bad says more of its person than a statement has room to name: others go on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import chez
from chez.crypto import random_bytes
from chez.keys.device import DeviceKeys
from chez.spaces.copies import say_everywhere
from chez.spaces.enrolment import own_certificate
from chez.spaces.statements import RenameDevice, Signed, sign_statement
from chez.store.database import Connection
from tests.people.recovering import founded
from tests.people.support import ids, join, open_again
from tests.people.test_take_back import taken_back
from tests.relay.within import Within

Words = Callable[[chez.Home], Iterator[Signed]]


async def _say(home: chez.Home, words: Words) -> None:
    """Say all of it, as a device of the person, and let the others have it."""
    def work(db: Connection) -> None:
        for one in words(home):
            say_everywhere(db, [home._replica.space], one)

    await home._database.write(work)
    await home.sync()


def certificates(home: chez.Home) -> Iterator[Signed]:
    """More certificates than a removal can name."""
    for number in range(300):
        heads = home._replica.space.membership.person_heads(home.person_id)
        yield own_certificate(home.person_id, heads, home._device.signing,
                              DeviceKeys.from_seeds(random_bytes(32), random_bytes(32)), f"mine {number}")


def names(home: chez.Home) -> Iterator[Signed]:
    """More at once than a statement can name."""
    heads = home._replica.space.membership.person_heads(home.person_id)
    for number in range(150):
        yield sign_statement(RenameDevice(home.person_id, heads, home._device.id, home._device.id, f"n{number}"),
                             home._device.signing)


@pytest.mark.parametrize("words", [certificates, names])
@pytest.mark.slow
async def test_it_is_taken_out_and_a_space_is_made_all_the_same(
        tmp_path: Path, server: Within, words: Words) -> None:
    """The others hear of it, the home opens again, and what the device let in first stays."""
    async with founded(tmp_path, server.url, "laptop") as (laptop, _):
        async with (join(laptop, tmp_path / "thief", "thief", server.url) as thief,
                    join(thief, tmp_path / "phone", "phone", server.url) as phone):
            await _say(thief, words)
            for home in (laptop, phone):
                await home.sync()
            await laptop.devices.remove(thief.device_id)
            await (await laptop.create_space("Trip")).collection("notes").put({"n": 1}, id="trip")
            await laptop.collection("notes").put({"n": 1}, id="after")
            await laptop.sync()
            await phone.sync()
            assert await ids(phone) == {"after"}
            assert thief.device_id not in phone._replica.space.membership.devices
            assert [space.name for space in await phone.spaces()] == ["private", "Trip"]
    async with open_again(tmp_path / "laptop") as laptop:
        assert await ids(laptop) == {"after"}


@pytest.mark.slow
async def test_it_is_taken_out_by_the_words_all_the_same(tmp_path: Path, server: Within) -> None:
    """So does the person's root."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        async with join(thief, tmp_path / "left", "left", server.url) as left:
            await _say(thief, certificates)
            await left.sync()
        result = await taken_back(tmp_path / "left", words, expel=[thief.device_id.hex()])
        assert result.problem == ""
    async with open_again(tmp_path / "left") as left:
        await left.sync()

"""Names that others chose do not stand in for ids."""

from pathlib import Path

import pytest

from chez.errors import InvalidValue
from chez.spaces.saying import say
from chez.spaces.statements import Rename
from tests.home.pairing import paired
from tests.people.persons import persons
from tests.relay.within import Within


async def test_a_space_called_private_is_not_the_private_one(tmp_path: Path) -> None:
    """An owner elsewhere gives a space this name, or one like another's id: what was meant is found, or nothing."""
    async with persons(tmp_path, "anna") as (anna,):
        mine, theirs = await anna.create_space("Mine"), await anna.create_space("Theirs")

        async def name(text: str) -> None:
            space = theirs._held.space
            await anna._database.write(lambda db: say(db, space, anna._device.signing, Rename(
                space.id, space.membership.named_heads, anna.device_id, text)))
            space.name = text

        await name("private")
        assert anna.space("private").id == anna.space().id
        await name(mine.id[:8])
        with pytest.raises(InvalidValue, match="2 spaces"):
            anna.space(mine.id[:8])
        await name(mine.id)
        assert anna.space(mine.id) == mine


async def test_a_thief_calls_another_device_by_the_stolen_ones_id(tmp_path: Path, server: Within) -> None:
    """Whoever removes the stolen device by the beginning of its id does not remove the other one in its place."""
    async with paired(tmp_path, server.url) as (a, b):
        await b.devices.rename(a.device_id, b.device_id.hex()[:8])
        with pytest.raises(InvalidValue, match="2 devices"):
            await b.devices.find(b.device_id.hex()[:8])
        assert (await b.devices.find(b.device_id.hex())).id == b.device_id

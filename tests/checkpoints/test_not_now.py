"""A relay that can't hand out segments for a while (its cluster has no answer, its disk fails), and says so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import chez
from chez.errors import RelayUnreachable
from chez_relay.errors import Code
from chez_relay.storage import ReadChunk, Refused, Result
from chez_relay.storage.census import census
from chez_relay.storage.tables import Tables
from tests.checkpoints.test_homes import shown, shrunk, written
from tests.people.persons import persons
from tests.people.support import join, open_again
from tests.relay.within import Within


class Failing:
    """How often reading a segment fails from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        plain = Tables._read_chunk

        def read_chunk(tables: Tables, request: ReadChunk) -> Result:
            if self.times == 0:
                return plain(tables, request)
            self.times -= 1
            return Refused(Code.STORAGE, "no answer", retry=True)

        monkeypatch.setattr(Tables, "_read_chunk", read_chunk)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """A relay that does not fail yet."""
    return Failing(monkeypatch)


async def filled(anna: chez.Home) -> None:
    """Notes in entries enough for a checkpoint."""
    for _ in range(8):
        await written(anna.space(), "anna", 3)
        await anna.sync()


@asynccontextmanager
async def away(tmp_path: Path, server: Within, failing: Failing) -> AsyncIterator[tuple[chez.Home, chez.Home]]:
    """One who has notes of which the relay has a checkpoint alone, and one who was away and lacks them."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        async with join(anna, tmp_path / "phone", "phone", server.url):
            pass
        await filled(anna)
        before = census(server.data).bytes
        done = await anna.space().checkpoint()
        assert done is not None and done.dropped
        await shrunk(server, before)
        async with open_again(tmp_path / "phone") as phone:
            yield anna, phone


@pytest.mark.parametrize("times", [1, 4])
async def test_who_lacks_what_they_hold_is_not_in_step(tmp_path: Path, server: Within, failing: Failing,
                                                       times: int) -> None:
    """It hears that the relay can't just now, and has everything once it can: it was told that all is here, and what
    the checkpoint stands for was not."""
    async with away(tmp_path, server, failing) as (anna, phone):
        failing.times = times
        while failing.times:
            with pytest.raises(RelayUnreachable, match="can't just now"):
                await phone.sync()
            assert await shown(phone.space()) == {}
        await phone.sync()
        assert await shown(phone.space()) == await shown(anna.space()) != {}
        assert "entries-missing" not in {receipt.kind for receipt in await phone.journal.receipts()}


async def test_who_stays_connected_asks_again_by_itself(tmp_path: Path, server: Within, failing: Failing) -> None:
    """With the next connection, after a pause."""
    async with away(tmp_path, server, failing) as (anna, phone):
        failing.times = 2
        async with phone.connect() as link:
            await link.synced(90)
        assert failing.times == 0 and await shown(phone.space()) == await shown(anna.space()) != {}


async def test_who_has_it_all_only_vouches_later(tmp_path: Path, server: Within, failing: Failing) -> None:
    """Reading a checkpoint back is no reason to part from the relay: everything else goes on, and it is vouched for
    another time."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        await filled(anna)
        failing.times = 1
        done = await anna.space().checkpoint()
        assert failing.times == 0 and done is not None and not done.vouched
        done = await anna.space().checkpoint()
        assert done is not None and done.vouched and done.dropped

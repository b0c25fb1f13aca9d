"""A message that was taken is left at the relay until the person has it elsewhere: no device takes it with itself."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

import chez
from chez.deposits.address import read_address
from chez.home.deposits import intake, taking
from chez_relay.storage.sqlite import FILE_NAME
from tests.deposits.support import Insurer, given, message, policy, put, values
from tests.people.persons import persons
from tests.people.support import join
from tests.relay.support import Process


@asynccontextmanager
async def two(folder: Path, insurer: Insurer, server: Process) -> AsyncIterator[tuple[chez.Home, chez.Home]]:
    """Two devices of one person, in step, with an address that the insurer has."""
    async with AsyncExitStack() as stack:
        (laptop,) = await stack.enter_async_context(persons(folder, "laptop", relay=server.url))
        phone = await stack.enter_async_context(join(laptop, folder / "phone", "phone", server.url))
        await given(laptop, insurer, "left")
        for home in (laptop, phone, laptop):
            await home.sync()
        yield laptop, phone


def waiting(server: Process) -> int:
    """How many items of two KiB or more wait in inboxes: deposits, and no acknowledgements."""
    assert server.data is not None
    with closing(sqlite3.connect(f"file:{server.data / FILE_NAME}?mode=ro", uri=True)) as db:
        (found,) = db.execute("SELECT count(*) FROM items WHERE length(item) > 2048").fetchone()
    return int(found)


@pytest.mark.parametrize("synced", [False, True])
async def test_what_a_device_took_that_is_out_since_is_taken_again(
        tmp_path: Path, insurer: Insurer, server: Process, synced: bool) -> None:
    """A device takes a message, and is taken out by one that has read nothing of that: what it wrote counts for
    nothing, whether a relay has it or not. The other one finds the message where it was left."""
    async with two(tmp_path, insurer, server) as (laptop, phone):
        before = waiting(server)
        await insurer.leave("left", [policy("l1")], "first")
        if synced:
            assert (await phone.sync()).deposits.messages == 1
        else:
            assert (await phone.deposits.take()).messages == 1
        await laptop.devices.remove("phone")
        report = await laptop.sync()
        assert report.deposits.messages == 1 and await values(laptop) == {"l1": policy("l1")}
        assert waiting(server) == before  # nobody else is there to take it


async def test_what_another_device_has_is_let_go_of(tmp_path: Path, insurer: Insurer, server: Process) -> None:
    """The device that took a message leaves it, looks again, and says nothing twice; the next one that has read of it
    lets it go. What nobody else could take is left nowhere."""
    async with two(tmp_path, insurer, server) as (laptop, phone):
        before = waiting(server)
        await insurer.leave("left", [policy("l1")], "first")
        assert (await phone.sync()).deposits.acknowledged == 1
        for _ in range(2):
            again = (await phone.sync()).deposits
            assert (again.messages, again.dropped, again.acknowledged) == (0, 0, 0)
        assert waiting(server) == before + 1
        assert (await laptop.sync()).deposits.messages == 0 and waiting(server) == before
        assert await values(laptop) == await values(phone) == {"l1": policy("l1")}
        await laptop.devices.remove("phone")
        await insurer.leave("left", [policy("l2")], "second")
        assert (await laptop.sync()).deposits.messages == 1 and waiting(server) == before


async def test_what_is_left_has_an_end(
        tmp_path: Path, insurer: Insurer, server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the other devices do not come an inbox has room for what does: many are not left, and none for long."""
    monkeypatch.setattr(taking, "MOST_LEFT", 2)
    async with two(tmp_path, insurer, server) as (laptop, phone):
        before, text = waiting(server), (await phone.deposits.address("left")).text
        assert text is not None
        to = read_address(text)
        await put(to, *(message(to, insurer.keys, [policy(f"l{n}")], number=n) for n in range(1, 6)))
        assert (await phone.sync()).deposits.messages == 5 and waiting(server) == before + 2
        monkeypatch.setattr(intake, "LEFT", 0)
        await phone.sync()
        assert waiting(server) == before and len(await values(phone)) == 5
        await laptop.sync()
        assert await values(laptop) == await values(phone)

"""Real processes, killed (SIGKILL) at one step of a checkpoint: who begins again finishes it, and nothing is lost."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from chez.errors import ChezError
from chez_relay.storage.checking import check
from chez_relay.storage.copies import FILE_NAME
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.dying import Kill, killed
from tests.checkpoints.falling import FALLS
from tests.checkpoints.test_homes import shown, written
from tests.checkpoints.test_releasing import released
from tests.people.persons import persons
from tests.people.support import join, open_again
from tests.relay.support import Process, relay

MAKING = tuple(Kill(where, step, count) for where, step, count in (
    ("within", "Again", 1), ("committed", "Again", 2), ("within", "Put", 1), ("committed", "Put", 1),
    ("answered", "Put", 1), ("within", "Send", 1), ("committed", "Send", 1),
    ("committed", "Get", 1), ("answered", "Get", 1), ("within", "Send", 2), ("committed", "Send", 2),
    ("within", "Drop", 1), ("committed", "Drop", 1), ("answered", "Drop", 1),
    ("within", "Send", 3), ("committed", "Send", 3), ("committed", "Drop", 2), ("answered", "Drop", 2)))
"""A draft's turns, its segments, the manifest (the first entry that is made); it is read back and compared; the vouch
(the second entry), the drop; then the vouch that releases what no longer serves, and its drop."""

TAKING = tuple(Kill(where, step, count) for where, step, count in (
    ("within", "Again", 1), ("committed", "Again", 1), ("within", "Get", 1), ("committed", "Get", 1),
    ("answered", "Get", 1), ("within", "Again", 1), ("committed", "Again", 2), ("within", "Again", 1)))
"""It begins to read the checkpoint, its parts come, its chains are folded, its entries taken in."""


async def killings(tmp_path: Path, server: Process, kills: tuple[Kill, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """A home is killed at each of these, one after the other; then it finishes, and a new device has everything."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        for _ in range(3):
            await written(anna.space(), "anna", 4)
            await anna.sync()
        assert await anna.space().checkpoint() is not None
        expected = await shown(anna.space())
    for number, kill in enumerate(kills):
        async with open_again(tmp_path / "anna") as anna:
            await written(anna.space(), f"kill {number}", 6)
            expected = await shown(anna.space())
            await anna.sync()
        assert await killed(tmp_path / "anna", kill), f"it came by no {kill}"
    async with open_again(tmp_path / "anna") as anna:
        await anna.sync()
        await written(anna.space(), "last", 6)
        await anna.sync()
        done = await anna.space().checkpoint()
        assert done is not None and done.vouched and done.dropped
        expected |= await shown(anna.space())
        assert await shown(anna.space()) == expected and await anna.audit() == []
        await released(server, done.bytes)
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            assert await shown(phone.space()) == expected


@pytest.mark.slow
async def test_a_device_is_killed_where_a_checkpoint_becomes_one(
        tmp_path: Path, server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between what its store says and what the relay has: it goes on from there."""
    await killings(tmp_path, server, (MAKING[4], MAKING[10], MAKING[13]), monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_device_is_killed_at_every_step_of_a_checkpoint(
        tmp_path: Path, server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same at every step, one kill after the other, of one home."""
    await killings(tmp_path, server, MAKING, monkeypatch)


async def caught_up(tmp_path: Path, server: Process, kills: tuple[Kill, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was away is killed at each of these while it takes a checkpoint in; then it has everything."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        await written(anna.space(), "before", 3)
        await anna.sync()
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            await written(phone.space(), "phone", 4)  # and is away from here on, with what it did not send
        for number in range(2):
            for _ in range(2):
                await written(anna.space(), f"anna {number}", 6)
                await anna.sync()
            done = await anna.space().checkpoint()
            assert done is not None and done.dropped
        await released(server, done.bytes)
        for kill in kills:
            assert await killed(tmp_path / "phone", kill, sync=True), f"it came by no {kill}"
        async with open_again(tmp_path / "phone") as phone:
            await phone.sync()
            await anna.sync()
            assert await shown(phone.space()) == await shown(anna.space()) != {}
            assert await phone.audit() == []
            kinds = {receipt.kind for receipt in await phone.journal.receipts()}
            assert "entries-missing" not in kinds and "checkpoint-refused" not in kinds


@pytest.mark.slow
async def test_a_device_that_was_away_is_killed_while_it_catches_up(
        tmp_path: Path, server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it took in is whole, what it wrote is sent after it; it begins where it was."""
    await caught_up(tmp_path, server, TAKING[4::2], monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_device_is_killed_at_every_step_of_catching_up(
        tmp_path: Path, server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same at every step, one kill after the other."""
    await caught_up(tmp_path, server, TAKING, monkeypatch)


async def fallen(tmp_path: Path, fall: str) -> None:
    """A relay is killed at a step of a drop; the next one over its store is whole, and the drop is done in the end."""
    data = tmp_path / "relay"
    async with persons(tmp_path, "anna") as (anna,):
        async with relay(data, *AT_ONCE) as server:
            await anna.set_relay(server.url)
            for _ in range(4):
                await written(anna.space(), "anna", 6)
                await anna.sync()
            assert await anna.space().checkpoint() is not None
            await written(anna.space(), "more", 12)
            await anna.sync()
        command = (sys.executable, "-m", "tests.checkpoints.falling", fall)
        async with relay(data, *AT_ONCE, command=command) as server:
            await anna.set_relay(server.url)
            with suppress(ChezError):
                await anna.space().checkpoint(timeout=60)
            assert await asyncio.wait_for(server.process.wait(), 90) == -9
        report = check(data / FILE_NAME)
        assert not report.findings and not report.structure
        async with relay(data, *AT_ONCE) as server:
            await anna.set_relay(server.url)
            await anna.sync()
            done = await anna.space().checkpoint()
            assert done is not None and done.dropped
            await released(server, done.bytes)
            async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
                assert await shown(phone.space()) == await shown(anna.space()) != {}
        assert check(data / FILE_NAME).sound


@pytest.mark.slow
async def test_a_relay_is_killed_where_a_drop_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answer is lost: the device learns from the next one that it was done."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    await fallen(tmp_path, "after drop")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fall", FALLS)
async def test_a_relay_is_killed_at_every_step_of_a_drop(tmp_path: Path, fall: str,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """The same at every step."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    await fallen(tmp_path, fall)

"""Homes that came by a checkpoint are homes like any other: recovered, examined, and a source for an empty relay."""

from pathlib import Path

import pytest

import chez
from chez_relay.storage.backup import backup
from chez_relay.storage.census import census
from chez_relay.storage.copies import FILE_NAME
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.test_homes import shown, shrunk, written
from tests.checkpoints.test_releasing import released
from tests.people.persons import persons
from tests.people.recovering import back, founded
from tests.people.support import join, open_again
from tests.ports import free_port
from tests.relay.within import Within, relay


async def _dropped(anna: chez.Home, server: Within) -> None:
    """Notes of which the relay has a checkpoint alone, and some after it."""
    for _ in range(8):
        await written(anna.space(), "anna", 3)
        await anna.sync()
    before = census(server.data).bytes
    done = await anna.space().checkpoint()
    assert done is not None and done.dropped
    await shrunk(server, before)
    await written(anna.space(), "later", 4)
    await anna.sync()


async def test_the_24_words_bring_back_what_only_a_checkpoint_has(tmp_path: Path, server: Within) -> None:
    """A home that comes back from the words has what was dropped, nothing is wrong with its store, and it writes on."""
    async with founded(tmp_path, server.url) as (anna, words):
        await _dropped(anna, server)
        expected = await shown(anna.space())
    await back(tmp_path / "new", words, server.url)
    async with open_again(tmp_path / "new") as home:
        await home.sync()
        assert await shown(home.space()) == expected
        assert [finding for finding in await home.examine() if finding.harm] == []
        await written(home.space(), "new", 4)
        await home.sync()
        assert len(await shown(home.space())) > len(expected)


async def test_an_empty_relay_is_filled_by_who_came_by_a_checkpoint(tmp_path: Path, server: Within) -> None:
    """Without the entries' signatures it sends a checkpoint of its own, and whoever comes next has everything."""
    async with founded(tmp_path, server.url) as (anna, _):
        await _dropped(anna, server)
        async with join(anna, tmp_path / "phone", "phone", server.url):
            expected = await shown(anna.space())
    async with relay(tmp_path / "other", *AT_ONCE) as other, open_again(tmp_path / "phone") as phone:
        await phone.set_relay(other.url)
        await phone.sync()
        async with join(phone, tmp_path / "tablet", "tablet", other.url) as tablet:
            assert await shown(tablet.space()) == expected
            assert [finding for finding in await tablet.examine() if finding.harm] == []


async def test_a_store_of_another_incarnation_is_written_smaller_as_before(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay came back from its backup, or a cluster's store was renewed: its log has what was dropped, under another
    name. The next checkpoint is dropped on, what the one before was in is released, a newcomer has everything."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    address = ("--listen", f"127.0.0.1:{free_port()}")
    async with persons(tmp_path, "anna") as (anna,):
        async with relay(tmp_path / "first", *address, *AT_ONCE) as first:
            await anna.set_relay(first.url)
            await _dropped(anna, first)
            (tmp_path / "second").mkdir()
            backup(tmp_path / "first", tmp_path / "second" / FILE_NAME)
        async with relay(tmp_path / "second", *address, *AT_ONCE) as second:
            for number in range(2):
                await written(anna.space(), f"after {number}", 6)
                await anna.sync()
                done = await anna.space().checkpoint()
                assert done is not None and done.vouched and done.dropped
            await released(second, done.bytes)
            async with join(anna, tmp_path / "phone", "phone", second.url) as phone:
                assert await shown(phone.space()) == await shown(anna.space()) != {}
                assert await anna.audit() == []

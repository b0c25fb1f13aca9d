"""Checkpoints of a home at several relays: each gets one of its own, and lets go; none hinders another."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import chez
from chez.store.database import Connection
from chez.sync.checkpoints.desk import Desk
from chez.sync.received import Received
from chez_relay.storage.copies import FILE_NAME
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.dying import Kill, killed
from tests.checkpoints.test_homes import shown, written
from tests.people.persons import persons, shared
from tests.people.support import join, open_again
from tests.relay.within import Within, relay

FULL = ("--blob-quota", "1KiB")


async def _grown(home: chez.Home) -> None:
    """Its own space has grown enough for a checkpoint to be due, in four goes."""
    for _ in range(4):
        await written(home.space(), "anna", 6)
        await home.sync()


async def gapped(*relays: Within) -> None:
    """Each of the relays let go of entries."""
    for one in relays:
        assert one.data is not None
        for _ in range(200):
            with closing(sqlite3.connect(f"file:{one.data / FILE_NAME}?mode=ro", uri=True)) as db:
                if db.execute("SELECT count(*) FROM dropped").fetchone()[0]:
                    break
            await asyncio.sleep(0.05)
        else:
            raise AssertionError(f"the relay at {one.url} let go of nothing")


async def _told(home: chez.Home, kind: str) -> list[str]:
    """Of which relays a home's receipts of one kind are."""
    return [receipt.body["url"] for receipt in await home.journal.receipts() if receipt.kind == kind]


@pytest.mark.slow
async def test_who_was_away_catches_up_at_two_relays(tmp_path: Path, server: Within,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """The logs of both have a gap, and each has segments of its own; nothing is refused or lacking."""
    monkeypatch.setattr("chez.sync.checkpoints.drafting.LEAST", 1024)
    async with relay(tmp_path / "second", *AT_ONCE) as second, persons(tmp_path, "anna", relay=server.url) as (anna,):
        async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
            for home in (anna, phone):
                await home.relays.add(second.url)
            await written(phone.space(), "phone", 4)
        for number in range(3):
            for _ in range(2):
                await written(anna.space(), f"anna {number}", 6)
                await anna.sync()
            done = await anna.space().checkpoint()
            assert done is not None and done.vouched and done.dropped
        await gapped(server, second)
        async with open_again(tmp_path / "phone") as phone:
            report = await phone.sync()
            assert not report.problems
            await anna.sync()
            assert await shown(phone.space()) == await shown(anna.space()) != {}
            kinds = {receipt.kind for receipt in await phone.journal.receipts()}
            assert not {"checkpoint-refused", "entries-missing"} & kinds
            assert await phone.audit() == []


async def test_a_relay_that_was_away_gets_its_checkpoint_when_it_is_back(tmp_path: Path, server: Within) -> None:
    """Asked for once, while it was down: it is made with a later sync, of another process; each relay is whole then."""
    data = tmp_path / "second"
    async with relay(data, *AT_ONCE) as second:
        url = second.url
        async with persons(tmp_path, "anna", relay=server.url) as (anna,):
            await anna.relays.add(url)
            for _ in range(4):
                await written(anna.space(), "anna", 6)
                await anna.sync(everywhere=True)
    async with open_again(tmp_path / "anna") as anna:
        done = await anna.space().checkpoint()
        assert done is not None and done.vouched and done.dropped
        assert await _told(anna, "entries-dropped") == [server.url]
    async with relay(data, *AT_ONCE, "--set", f"listen={url[5:]}") as second:
        async with open_again(tmp_path / "anna") as anna:
            await anna.sync(everywhere=True)
            assert await _told(anna, "entries-dropped") == [server.url, url]
            assert await _told(anna, "chunks-released") == []  # neither holds what the other one's is in
            expected = await shown(anna.space())
            await gapped(server, second)
            for one in (server, second):
                async with join(anna, tmp_path / f"phone {one.url[-5:]}", "phone", one.url) as phone:
                    assert await shown(phone.space()) == expected != {}


async def test_a_full_relay_hinders_no_other(tmp_path: Path, server: Within) -> None:
    """It takes no segments, and the other one gets its checkpoint all the same, with the same sync."""
    async with relay(tmp_path / "second", *AT_ONCE, *FULL) as second, persons(
            tmp_path, "anna", relay=second.url) as (anna,):
        await anna.relays.add(server.url)
        await _grown(anna)
        await anna.space().checkpoint()
        assert await _told(anna, "entries-dropped") == [server.url]


async def test_relays_that_are_all_full_are_tried_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither takes segments: each is tried a few times for a wish, and they don't give each other turns for ever."""
    tries, plain = [], Desk.full

    def full(self: Desk, db: Connection) -> Received:
        tries.append(self.relay)
        return plain(self, db)

    monkeypatch.setattr(Desk, "full", full)
    async with relay(tmp_path / "one", *AT_ONCE, *FULL) as one, relay(tmp_path / "two", *AT_ONCE, *FULL) as two:
        async with persons(tmp_path, "anna", relay=one.url) as (anna,):
            await anna.relays.add(two.url)
            await _grown(anna)
            async with anna.connect():
                await anna.synced(everywhere=True)
                assert await anna.space().checkpoint() is None
                async with asyncio.timeout(60):
                    while len(set(tries)) < 2:  # noqa: ASYNC110 (nothing announces it)
                        await asyncio.sleep(0.05)
                await asyncio.sleep(1)
            assert len(tries) < 10 and len(set(tries)) == 2


async def test_a_connected_home_makes_one_at_each(tmp_path: Path, server: Within) -> None:
    """While connections stand the second relay has its turn as soon as the first has its checkpoint."""
    async with relay(tmp_path / "second", *AT_ONCE) as second, persons(tmp_path, "anna", relay=server.url) as (anna,):
        await anna.relays.add(second.url)
        await _grown(anna)
        async with anna.connect():
            await anna.synced(everywhere=True)
            await anna.space().checkpoint()
            for _ in range(600):
                if len(told := await _told(anna, "entries-dropped")) == 2:
                    break
                await asyncio.sleep(0.05)
            assert sorted(told) == sorted([server.url, second.url])


async def test_each_relay_lets_go_on_another_persons_word_for_it(tmp_path: Path, server: Within) -> None:
    """Of a shared space neither drops on its maker's word; where the other person came to one alone, that one does."""
    async with relay(tmp_path / "second", *AT_ONCE) as second, persons(
            tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await anna.relays.add(second.url)
        for _ in range(4):
            await written(trip, "anna", 6)
            await anna.sync()
        done = await trip.checkpoint()
        assert done is not None and not done.vouched
        assert await _told(anna, "entries-dropped") == []
        await berta.sync()  # she knows the first one alone
        await anna.sync()
        assert await _told(anna, "entries-dropped") == [server.url]
        assert await shown(hers) == await shown(trip) != {}


async def test_a_draft_whose_relay_lost_its_store_is_made_anew(tmp_path: Path) -> None:
    """Its segments were there already and are nowhere now: the new store gets whole ones, and lets go."""
    async with relay(tmp_path / "old", *AT_ONCE) as old, persons(tmp_path, "anna", relay=old.url) as (anna,):
        url = old.url
        await _grown(anna)
    async with relay(tmp_path / "old", *AT_ONCE, "--set", f"listen={url[5:]}"):
        assert await killed(tmp_path / "anna", Kill("within", "Send", 2))
    async with relay(tmp_path / "new", *AT_ONCE, "--set", f"listen={url[5:]}"):
        async with open_again(tmp_path / "anna") as anna:
            await anna.sync()
            await anna.sync()
            assert await _told(anna, "entries-dropped") == [url]

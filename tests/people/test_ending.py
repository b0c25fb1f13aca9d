"""A space that ends: forgotten by who left or was taken out, deleted by who is alone in it."""

import shutil
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import chez
from chez.errors import ChezError, NotAllowed, NotFound, RelayUnreachable
from chez.home.erasing import erase
from chez.home.syncing import Syncing
from chez.spaces.space import load_space
from chez.store.database import Connection
from chez_relay.storage.sqlite import FILE_NAME
from tests.home.pairing import PASSPHRASE, paired
from tests.people.persons import in_step, persons, shared, values
from tests.people.support import open_again
from tests.records.pair import pair
from tests.relay.within import Within, relay


def test_every_table_that_names_a_space_is_emptied() -> None:
    """What refers to a space, its records or its entries is deleted with it: a row left over would keep the space from
    being forgotten, or what was in it in the store."""
    db, said = pair()[0].db, list[str]()
    db.set_trace_callback(said.append)
    erase(db, 1, lambda collection, id: None)
    db.set_trace_callback(None)
    deleted = {line.split()[2] for line in said if line.startswith("DELETE FROM ")}
    refers = {table for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
              for key in db.execute(f'PRAGMA foreign_key_list("{table}")').fetchall()
              if key[2] in ("space", "record", "entry", "fetching", "parting") and key[6] == "NO ACTION"}
    assert refers - deleted == {"blob", "search"}  # row by row, each with what belongs to it


async def rows_of(home: chez.Home, n: int) -> dict[str, int]:
    """How many rows each table of a home's store has for the space in row `n`; none that has none."""
    def count(db: Connection) -> dict[str, int]:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for table in tables:
            columns = [row[1] for row in db.execute(f'PRAGMA table_info("{table}")')]
            if "space" in columns:
                (found[table],) = db.execute(f'SELECT count(*) FROM "{table}" WHERE space = ?', (n,)).fetchone()
        return {table: rows for table, rows in found.items() if rows}

    return await home._database.read(count)


async def test_who_left_forgets_the_space_here_alone(tmp_path: Path, server: Within) -> None:
    """Nothing of it is left in the store, searches and attachments included; others keep all; it stays gone."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        notes = hers.collection("notes", search=["text"])
        photo = await hers.blobs.add(b"x" * 100_000)
        await notes.put({"text": "red tea", "photo": photo}, id="a")
        await berta.collection("notes").put({"text": "mine"}, id="own")
        assert [hit.record.id for hit in await notes.search("red")] == ["a"]
        await in_step(berta, anna)
        with pytest.raises(NotAllowed, match="member"):
            await hers.forget()
        with pytest.raises(NotAllowed, match="is yours, and stays"):
            await berta.space().forget()
        n = hers._held.space.n
        await hers.leave()
        with pytest.raises(NotAllowed, match="Sync first"):
            await hers.forget()
        await in_step(berta, anna)
        assert "record" in await rows_of(berta, n)
        await hers.forget()
        assert await rows_of(berta, n) == {}
        assert [space.name for space in await berta.spaces()] == ["private"]
        assert (await berta.sql("SELECT _id FROM notes")).rows == [("own",)]
        for step in (notes.put({"text": "x"}), hers.blobs.add(b"x"), hers.leave(), hers.forget()):
            with pytest.raises(NotFound):
                await step
        assert set(await values(trip)) == {"a"}
        assert [one.body["name"] for one in await berta.journal.receipts("space-forgotten")] == ["Trip"]
        assert [finding async for finding in _findings(berta)] == []
        again = await berta.create_space("Trip")
        assert again._held.space.n != n and await again.collection("notes").count() == 0
        await berta.sync()
    async with open_again(tmp_path / "berta") as berta:
        assert {space.id for space in await berta.spaces()} == {berta.space().id, again.id}


async def _findings(home: chez.Home):  # type: ignore[no-untyped-def]
    for finding in await home.examine():
        yield finding


async def test_who_is_no_member_has_nothing_to_repair(tmp_path: Path, server: Within) -> None:
    """Who left, follows, or was taken out by another device of the person, has its keys; who stays, nothing aside."""
    async with paired(tmp_path, server.url) as (a, b), persons(tmp_path, "anna", relay=server.url) as (anna,):
        for home in (a, b):
            await home.set_relay(server.url)
        trip, news = await anna.create_space("Trip"), await anna.create_space("News", public=True)
        (hers,) = await shared(trip, anna, a)
        await hers.collection("notes").put({"n": 1}, id="a")
        await a.follow(news.address)
        await in_step(a, anna)
        await hers.leave()
        await in_step(a, anna)
        assert await a.examine() == [] and await anna.examine() == []
        await a.devices.remove("b")
        await in_step(a)
        with pytest.raises(ChezError):
            await b.sync()
        assert (await b.status()).removed and await b.examine() == []


async def _taken_out(trip: chez.Space, anna: chez.Home, berta: chez.Home) -> None:
    """Berta writes in a space of Anna's, is taken out, and forgets it."""
    (hers,) = await shared(trip, anna, berta)
    await hers.collection("notes").put({"n": 1}, id="a")
    await in_step(berta, anna)
    await trip.remove("berta")
    await in_step(anna, berta)
    await hers.forget()


async def _let_in_again(trip: chez.Space, anna: chez.Home, berta: chez.Home) -> chez.Space:
    """Berta is a member again, and has the space, of which nothing was read yet."""
    await trip.add(await berta.card())
    await anna.sync()
    return await berta.join(trip.link())


async def test_who_was_taken_out_forgets_and_may_come_back(tmp_path: Path, server: Within) -> None:
    """After a removal the space is forgotten; let in again, the person joins it by the link and reads all of it."""
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await _taken_out(trip, anna, berta)
        again = await _let_in_again(trip, anna, berta)
        await berta.sync()
        assert again.id == trip.id and await values(again) == {"a": {"n": 1}}
        await again.collection("notes").put({"n": 2}, id="b")
        await in_step(berta, anna)
        assert set(await values(trip)) == {"a", "b"} and await anna.audit() == []


async def test_a_space_is_deleted_everywhere(tmp_path: Path, server: Within) -> None:
    """Its only member deletes it: the relay has nothing of it, both devices forget it, and it does not come back."""
    async with paired(tmp_path, server.url) as (a, b):
        await a.set_relay(server.url)
        await b.set_relay(server.url)
        trip, house = await a.create_space("Trip"), await a.create_space("House")
        await trip.collection("notes").put({"n": 1}, id="a")
        await trip.rotate()
        await in_step(a, b)
        n = b.space("Trip")._held.space.n
        await b.space("Trip").collection("notes").put({"n": 2}, id="unsent")
        await trip.delete()
        assert [space.name for space in await a.spaces()] == ["private", "House"]
        report = await b.sync()
        assert [problem.name for problem in report.problems] in ([], ["Trip"])
        await in_step(a, b)
        assert [space.name for space in await b.spaces()] == ["private", "House"] and await rows_of(b, n) == {}
        await house.collection("notes").put({"n": 3}, id="goes on")
        await in_step(a, b)
        assert set(await values(b.space("House"))) == {"goes on"}
        with sqlite3.connect(tmp_path / "relay" / FILE_NAME) as db:
            (spaces,) = db.execute("SELECT count(*) FROM spaces").fetchone()
        assert spaces == 2


@pytest.mark.parametrize("known", [True, False])
async def test_a_space_is_deleted_where_it_was_before_it_was_moved(
        tmp_path: Path, server: Within, known: bool) -> None:
    """At each of its places that can be reached, whether the last one has it yet: who followed it is told."""
    async with (relay(tmp_path / "other") as other,
                persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta)):
        news = await anna.create_space("News", public=True)
        await news.collection("notes").put({"n": 1}, id="a")
        await anna.sync()
        hers = await berta.follow(news.address)
        await berta.sync()
        async with relay(tmp_path / "gone") as gone:
            for url in (other.url, gone.url, server.url):
                await news.rotate()
                await news.move(relay=url)
                if known or url != server.url:
                    await anna.sync()
        await news.delete()
        assert [space.name for space in await anna.spaces()] == ["private"]
        for folder, left in (("relay", 2), ("other", 0)):
            with sqlite3.connect(tmp_path / folder / FILE_NAME) as db:
                assert db.execute("SELECT count(*) FROM spaces").fetchone() == (left,)
        (told,) = (await berta.sync()).problems
        assert "was deleted at the relay" in told.problem and await values(hers) == {"a": {"n": 1}}


async def test_a_space_that_one_device_moved_and_another_deleted_meanwhile_is_deleted(
        tmp_path: Path, server: Within) -> None:
    """At the new place, of which who deleted it had not heard: who moved it does that, and leaves alone what others are
    in."""
    async with paired(tmp_path, server.url) as (a, b), persons(tmp_path, "carl", relay=server.url) as (carl,):
        for home in (a, b):
            await home.set_relay(server.url)
        spaces = [await a.create_space(name) for name in ("News", "Trip")]
        await in_step(a, b)
        for space in spaces:
            await space.move()
            await space.collection("notes").put({"n": 1}, id="a")
        (his,) = await shared(spaces[1], a, carl)
        for space in spaces:
            await b.space(space.id).delete()
        await in_step(b, a)
        assert [space.name for home in (a, b) for space in await home.spaces()] == ["private", "private"]
        with sqlite3.connect(tmp_path / "relay" / FILE_NAME) as db:
            assert db.execute("SELECT count(*) FROM spaces").fetchone() == (3,)  # two private ones, and Carl's
        await his.collection("notes").put({"n": 2}, id="b")
        assert (await carl.sync()).problems == ()


async def test_a_space_that_came_and_ended_meanwhile_is_nowhere(tmp_path: Path, server: Within) -> None:
    """Another device hears in one sync that a space was made, and that it was deleted: it has none."""
    async with paired(tmp_path, server.url) as (a, b):
        for home in (a, b):
            await home.set_relay(server.url)
        await in_step(a, b)
        trip = await a.create_space("Trip")
        await trip.collection("notes").put({"n": 1})
        await a.sync()
        await trip.delete()
        await a.sync()
        report = await b.sync()
        assert report.problems == () and [space.name for space in await b.spaces()] == ["private"]


@pytest.mark.parametrize("again", ["opened", "synced"])
async def test_what_was_told_of_spaces_is_done_by_whoever_comes_next(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, again: str) -> None:
    """A device that was cut off when it had read that spaces were made and deleted opens and erases them later on."""
    async with paired(tmp_path, server.url) as (a, b), AsyncExitStack() as stack:
        for home in (a, b):
            await home.set_relay(server.url)
        trip = await a.create_space("Trip")
        await trip.collection("notes").put({"n": 1})
        await in_step(a, b)
        await trip.delete()
        await a.create_space("House")
        await a.sync()

        async def cut_off(self: Syncing, n: int) -> None:
            raise RelayUnreachable("the line is cut")

        with monkeypatch.context() as patched:
            patched.setattr(Syncing, "found", cut_off)
            with pytest.raises(RelayUnreachable):
                await b.sync()
        if again == "opened":
            copy = tmp_path / "as it was killed"
            shutil.copytree(tmp_path / "b", copy)
            b = await stack.enter_async_context(open_again(copy))
        else:
            await b.sync()
        assert [space.name for space in await b.spaces()] == ["private", "House"]
        assert set((await b.status()).spaces[1:]) == {b.space("House").status()}


async def test_a_deletion_that_was_cut_short_is_finished_by_the_next_sync(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is killed when the relay has deleted a space, and it has not: its next sync does that, and tells
    the person's other devices. One that only heard from the relay that it is deleted keeps what it has."""
    async with paired(tmp_path, server.url) as (a, b):
        for home in (a, b):
            await home.set_relay(server.url)
        trip = await a.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        await in_step(a, b)

        async def killed(self: Syncing, held: object, word: object) -> None:
            raise RelayUnreachable("killed")

        with monkeypatch.context() as patched:
            patched.setattr(Syncing, "erase", killed)
            with pytest.raises(RelayUnreachable, match="killed"):
                await trip.delete()
        (told,) = (await b.sync()).problems
        assert told.name == "Trip" and await values(b.space("Trip")) == {"a": {"n": 1}}
        assert told.problem.startswith("this space was deleted at the relay. What is here stays.")
        shutil.copytree(tmp_path / "a", tmp_path / "as it was killed")
        async with open_again(tmp_path / "as it was killed") as again:
            assert [space.name for space in await again.spaces()] == ["private", "Trip"]
            assert (await again.sync()).problems == ()
            assert [space.name for space in await again.spaces()] == ["private"]
            assert len(await again.journal.receipts("space-deleted")) == 1
        await b.sync()
        assert [space.name for space in await b.spaces()] == ["private"]


async def test_deleting_needs_the_relay_and_to_be_alone(tmp_path: Path) -> None:
    """With others in it, as a writer, or while its relay is away, nothing is deleted; without a relay, at once."""
    async with persons(tmp_path, "anna", "berta") as (anna, berta):
        trip = await anna.create_space("Trip")
        async with relay(tmp_path / "relay") as server:
            await anna.set_relay(server.url)
            await berta.set_relay(server.url)
            (hers,) = await shared(trip, anna, berta)
            for space, why in ((trip, "others"), (hers, "owner"), (anna.space(), "yours alone")):
                with pytest.raises(NotAllowed, match=why):
                    await space.delete()
            await trip.remove("berta")
            await anna.sync()
        with pytest.raises(RelayUnreachable):
            await trip.delete()
        assert anna.space("Trip") == trip and await trip.collection("notes").put({"n": 1})
        lone = await anna.create_space("Lone")
        await lone.delete()
        assert [space.name for space in await anna.spaces()] == ["private", "Trip"]


async def test_a_new_device_comes_back_into_a_space_that_the_former_forgot(tmp_path: Path, server: Within) -> None:
    """A home that forgot a space, and became a new device, joins it as that one, and waits for nothing."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        trip = await anna.create_space("Trip")
        async with persons(tmp_path, "berta", relay=server.url) as (berta,):
            await _taken_out(trip, anna, berta)
        await chez.become_new_device(tmp_path / "berta", passphrase=PASSPHRASE, name="new")
        async with open_again(tmp_path / "berta") as berta:
            again = await _let_in_again(trip, anna, berta)
            with pytest.raises(NotFound):
                await again.collection("notes").get("a")
            await berta.sync()
            await again.collection("notes").put({"n": 2}, id="b")
            await in_step(berta, anna)
            assert set(await values(trip)) == set(await values(again)) == {"a", "b"}


async def test_a_space_that_came_back_is_read_before_it_is_written(tmp_path: Path, server: Within) -> None:
    """Until this device's own entries were read again nothing is written in a space that it had forgotten.

    Then it waits for nothing any more, whenever the home is opened, and sends none of them again.
    """
    async with persons(tmp_path, "anna", "berta", relay=server.url) as (anna, berta):
        trip = await anna.create_space("Trip")
        await _taken_out(trip, anna, berta)
        again = await _let_in_again(trip, anna, berta)
        with pytest.raises(NotAllowed, match="read again"):
            await again.collection("notes").put({"n": 2}, id="a")
        await berta.sync()
        n = again._held.space.n
        assert await berta._database.read(lambda db: load_space(db, n).regains) is None
        read, there = await berta._database.read(lambda db: db.execute(
            "SELECT position, (SELECT count(*) FROM entry WHERE space = ?1) FROM cursor WHERE space = ?1",
            (n,)).fetchone())
        assert read == there
        await again.collection("notes").put({"n": 2}, id="a")
        await in_step(berta, anna)
        assert await values(trip) == {"a": {"n": 2}} and await berta.audit() == []

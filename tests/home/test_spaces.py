"""Several spaces in one home: on one device, between a person's devices, over one connection."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import BadArchive, InvalidValue, NotFound, RelayRefused
from tests.home.pairing import PASSPHRASE, paired
from tests.home.restoring import restored
from tests.people.support import turned_until
from tests.relay.within import Within
from tests.relay.within import relay as running_relay


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[Within]:
    """A relay."""
    async with running_relay(tmp_path / "relay") as process:
        yield process


async def join(folder: Path, name: str, host: chez.Home, url: str) -> None:
    """Make the home `folder`/`name`, another device of the host's person."""
    async def yes(question: str, *, default: str | None = None) -> str:
        return "yes"

    async with host.pair(url) as pairing:
        joined = asyncio.create_task(chez.join(folder / name, pairing.code, passphrase=PASSPHRASE, name=name,
                                               relay=url, kdf=Kdf.minimum()))
        await pairing.confirm(yes)
        await joined


def names(spaces: list[chez.Space]) -> list[str]:
    """What spaces are called."""
    return [space.name for space in spaces]


async def test_records_of_one_id_in_two_spaces_are_two(home: chez.Home) -> None:
    """A record's id is its own within its space: writing, reading, deleting one leaves the other."""
    trip = await home.create_space("Trip")
    mine, ours = home.collection("notes"), trip.collection("notes")
    await mine.put({"title": "mine"}, id="a")
    await ours.put({"title": "ours"}, id="a")
    assert (await mine.get("a")).value == {"title": "mine"}
    assert (await ours.get("a")).value == {"title": "ours"}
    await mine.delete("a")
    assert [record.value async for record in ours] == [{"title": "ours"}]
    assert [one.id for one in await mine.trash()] == ["a"] and await ours.trash() == []
    assert await ours.count() == 1 and await mine.count() == 0


async def test_spaces_are_found_by_name_and_by_id(home: chez.Home) -> None:
    """A space is named by its name, its id or the beginning of that; what names none or two is refused."""
    trip = await home.create_space("Trip")
    assert names(await home.spaces()) == ["private", "Trip"]
    assert home.space("Trip") == home.space(trip.id) == home.space(trip.id[:8]) == trip
    assert home.space("private").private and not trip.private
    for nothing in ("", "trip", trip.id[:7], "0" * 64):
        with pytest.raises(NotFound):
            home.space(nothing)
    for bad in ("private", "Trip", "", " x", "a\nb", "x" * 65, trip.id):
        with pytest.raises(InvalidValue):
            await home.create_space(bad)


async def test_a_space_survives_its_home(path: Path) -> None:
    """A space and its records are there again when the home is opened again, and the journal says that it was made."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        trip = await home.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert home.space("Trip").id == trip.id
        assert (await home.space("Trip").collection("notes").get("a")).value == {"n": 1}
        (receipt,) = await home.journal.receipts("space-created")
        assert receipt.body == {"name": "Trip", "space": trip.id}


async def test_one_transaction_writes_into_several_spaces(home: chez.Home) -> None:
    """A transaction over spaces is done whole, or not at all."""
    trip = await home.create_space("Trip")
    mine, ours = home.collection("notes"), trip.collection("notes")

    def move(transaction: chez.Transaction) -> None:
        note = transaction.get(mine, "a")
        transaction.put(ours, note.value, id="a")
        transaction.delete(mine, "a")

    def fail(transaction: chez.Transaction) -> None:
        transaction.put(mine, {"n": 2}, id="b")
        transaction.put(ours, {"n": 2}, id="b")
        raise LookupError

    await mine.put({"n": 1}, id="a")
    await home.transaction(move)
    with pytest.raises(LookupError):
        await home.transaction(fail)
    assert [record.id async for record in ours] == ["a"] and await mine.count() == 0


async def test_devices_that_were_there_and_one_that_comes_have_every_space(tmp_path: Path, relay: Within) -> None:
    """A space made on one device is opened by a device paired before, and by one paired after, each both ways."""
    async with paired(tmp_path, relay.url) as (a, b):
        trip = await a.create_space("Trip")
        await trip.collection("notes").put({"by": "a"}, id="a")
        await a.sync(relay.url)
        await b.sync(relay.url)
        there = b.space("Trip")
        assert there.id == trip.id and (await there.collection("notes").get("a")).value == {"by": "a"}
        await there.collection("notes").put({"by": "b"}, id="b")
        await b.sync(relay.url)
        await join(tmp_path, "c", b, relay.url)
        await b.sync(relay.url)
        async with chez.open(tmp_path / "c", passphrase=PASSPHRASE) as c:
            assert names(await c.spaces()) == ["private"]
            await c.sync()
            notes = c.space("Trip").collection("notes")
            assert sorted([record.id async for record in notes]) == ["a", "b"]
            await notes.put({"by": "c"}, id="c")
            await c.sync()
            await a.sync(relay.url)
            assert (await trip.collection("notes").get("c")).value == {"by": "c"}
            assert (await a.status()).quarantined == 0


async def test_a_device_is_let_in_by_one_that_knew_less(tmp_path: Path, relay: Within) -> None:
    """A device finds a space that the device which let it in did not know yet, and is believed there."""
    async with paired(tmp_path, relay.url) as (a, b):
        trip = await a.create_space("Trip")  # before b hears of it, b lets c in
        await join(tmp_path, "c", b, relay.url)
        await b.sync(relay.url)
        await a.sync(relay.url)
        async with chez.open(tmp_path / "c", passphrase=PASSPHRASE) as c:
            await c.sync()
            await c.space("Trip").collection("notes").put({"by": "c"}, id="c")
            await c.sync()
            await a.sync(relay.url)
            assert (await trip.collection("notes").get("c")).value == {"by": "c"}
            assert (await a.status()).quarantined == 0


async def test_a_space_made_while_connected_goes_over_the_connection(tmp_path: Path, relay: Within) -> None:
    """Two connected devices: one makes a space, and the other shows its records, on the connections that stand."""
    async with paired(tmp_path, relay.url) as (a, b), a.connect(relay.url) as here, b.connect(relay.url) as there:
        await here.synced(90)
        await there.synced(90)
        trip = await a.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="a")
        async with asyncio.timeout(90):
            async def heard() -> bool:
                return names(await b.spaces()) == ["private", "Trip"]

            await turned_until(there, heard)
            async for record in b.space("Trip").collection("notes").live("a"):
                if record is not None:
                    break
        assert record is not None and record.value == {"n": 1}
        assert (here.connections, there.connections) == (1, 1)
        await there.synced(90)
        status = await b.status()
        assert [(space.name, space.link, space.problem) for space in status.spaces] == [
            ("private", "synced", ""), ("Trip", "synced", "")]


async def test_a_space_that_the_relay_refuses_stops_no_other(tmp_path: Path, relay: Within) -> None:
    """What a relay says no to is told of that space alone; the others are in step."""
    async with paired(tmp_path, relay.url) as (a, b):
        await a.create_space("Trip")
        await a.create_space("Garden")
        await a.sync(relay.url)
        await b.sync(relay.url)
        # As if the relay had other credentials for it, and no packet for this device.
        broken = a._spaces.find("Trip").replica
        await a._database.write(lambda db: db.execute(
            "UPDATE epoch SET secret = zeroblob(32) WHERE space = ?", (broken.space.n,)))
        broken.forget()
        await a.space("Garden").collection("notes").put({"n": 1}, id="a")
        await a.collection("notes").put({"n": 1}, id="a")
        report = await a.sync(relay.url)
        assert [(space.name, space.link) for space in report.problems] == [("Trip", "failed")]
        assert "lets this device into the space 'Trip' no more" in report.problems[0].problem
        await b.sync(relay.url)
        assert await b.space("Garden").collection("notes").count() == await b.collection("notes").count() == 1
        async with a.connect(relay.url) as link:
            await link.synced(90)
            assert [type(error) for error in link.problems.values()] == [RelayRefused]


async def test_attachments_are_of_their_space(tmp_path: Path, relay: Within) -> None:
    """An attachment of a space reaches the other device by that space, and reads there only."""
    async with paired(tmp_path, relay.url) as (a, b):
        trip = await a.create_space("Trip")
        photo = await trip.blobs.add(b"x" * 5000, name="photo")
        await trip.collection("photos").put({"photo": photo}, id="a")
        await a.sync(relay.url)
        await b.sync(relay.url)
        there = b.space("Trip")
        (found,) = [record.value["photo"] async for record in there.collection("photos")]
        assert b"".join([part async for part in there.blobs.read(found)]) == b"x" * 5000
        assert (await b.blobs.info(found)).complete is False
        assert (await a.status()).attachments == 0


async def test_the_home_and_a_space_have_relays_of_their_own(tmp_path: Path, relay: Within) -> None:
    """A space that is kept at another relay goes there, and a device told of it finds it there."""
    async with running_relay(tmp_path / "second") as second, paired(tmp_path, relay.url) as (a, b):
        trip = await a.create_space("Trip", relay=second.url)
        await trip.collection("notes").put({"n": 1}, id="a")
        await a.sync(relay.url)
        await b.sync(relay.url)
        assert (await b.space("Trip").collection("notes").get("a")).value == {"n": 1}
        assert [space.relay for space in (await b.status()).spaces] == [b.relay, second.url]
        await second.kill()
        await b.collection("notes").put({"n": 2}, id="b")
        report = await b.sync(relay.url)
        assert [space.name for space in report.problems] == ["Trip"]
        await a.sync(relay.url)
        assert await a.collection("notes").count() == 1


async def test_sql_crosses_collections_and_spaces(home: chez.Home) -> None:
    """One view has a collection's records of all spaces, told apart by name and id of the space."""
    trip = await home.create_space("Trip")
    await home.collection("costs").put({"euros": 1}, id="a")
    await trip.collection("costs").put({"euros": 2}, id="a")
    await trip.collection("people").put({"name": "Ada"}, id="p")
    rows = await home.sql("SELECT _space, _space_id, _id, euros FROM costs ORDER BY euros")
    private = home.space()
    assert rows.rows == [("private", private.id, "a", 1), ("Trip", trip.id, "a", 2)]
    joined = await home.sql("SELECT name, sum(euros) FROM costs JOIN people USING (_space_id)")
    assert joined.rows == [("Ada", 2)]
    assert [(one.name, one.records) for one in await home.collections()] == [("costs", 2), ("people", 1)]
    assert [(one.name, one.records) for one in await trip.collections()] == [("costs", 1), ("people", 1)]


async def test_a_feed_is_of_a_space_or_of_all(home: chez.Home) -> None:
    """The home's feed tells of every space and in which a record changed; a space's and a collection's of theirs."""
    trip = await home.create_space("Trip")
    await home.collection("notes").put({"n": 1}, id="a")
    await trip.collection("notes").put({"n": 2}, id="a")
    everything = [(one.space, one.id, one.record and one.record.value) async for page in home.changes(live=False)
                  for one in page.changes]
    assert everything == [(home.space().id, "a", {"n": 1}), (trip.id, "a", {"n": 2})]
    for what in (trip, trip.collection("notes")):
        assert [one.space async for page in what.changes(live=False) for one in page.changes] == [trip.id]


async def test_an_open_edit_of_one_space_holds_up_no_other(home: chez.Home) -> None:
    """A record of the same name in another space is another record: it can be written meanwhile."""
    trip = await home.create_space("Trip")
    mine, ours = home.collection("notes"), trip.collection("notes")
    await mine.put({"n": 1}, id="a")
    await ours.put({"n": 1}, id="a")
    async with mine.edit("a") as draft:
        await ours.put({"n": 2}, id="a")
        draft["n"] = 3
    assert ((await mine.get("a")).value, (await ours.get("a")).value) == ({"n": 3}, {"n": 2})


async def test_an_export_has_every_space_and_comes_back(home: chez.Home, tmp_path: Path) -> None:
    """Each space is exported with its attachments, and imported into itself; where it is not, into a space by hand."""
    trip = await home.create_space("Trip")
    photo = await trip.blobs.add(b"x" * 3000, name="photo")
    await trip.collection("photos").put({"photo": photo}, id="a")
    await home.collection("notes").put({"n": 1}, id="a")
    report = await home.export(tmp_path / "all", history=True)
    assert (report.records, report.attachments) == (2, 1)
    await trip.collection("photos").delete("a")
    again = await home.import_file(tmp_path / "all")
    assert (again.added, again.unchanged, again.skipped) == (1, 1, [])
    assert (await trip.collection("photos").get("a")).value["photo"].size == 3000
    assert await home.collection("photos").count() == 0
    await chez.create(tmp_path / "other", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "other", passphrase=PASSPHRASE) as other:
        missed = await other.import_file(tmp_path / "all")
        assert (missed.added, missed.skipped) == (1, ["Trip"])
        mine = await other.create_space("Mine")
        part = await mine.import_file(tmp_path / "all" / "spaces" / trip.id)
        assert (part.added, part.skipped) == (1, [])
        (found,) = [record.value["photo"] async for record in mine.collection("photos")]
        assert b"".join([data async for data in mine.blobs.read(found)]) == b"x" * 3000


async def test_an_export_comes_back_into_the_home_restored_after_it(home: chez.Home, tmp_path: Path) -> None:
    """The device that made the export is what this home was: its spaces come back too."""
    trip = await home.create_space("Trip")
    await trip.collection("photos").put({"n": 1}, id="a")
    await home.export(tmp_path / "all")
    await trip.collection("photos").delete("a")
    await home.backup(tmp_path / "backup")
    await restored(tmp_path / "backup", tmp_path / "again")
    async with chez.open(tmp_path / "again", passphrase=PASSPHRASE) as again:
        report = await again.import_file(tmp_path / "all")
        assert (report.added, report.skipped) == (1, [])
        assert (await again.space("Trip").collection("photos").get("a")).value == {"n": 1}


async def test_no_export_from_elsewhere_writes_into_spaces_that_are_shared(home: chez.Home, tmp_path: Path) -> None:
    """A folder that this device did not make names a space of the person's, whose id others know: nothing of it is
    written there in the person's name, and it is told; asked for by itself it is. Nor does one that this device made,
    in which somebody put another export in the place of a space's."""
    club = await home.create_space("Club", public=True)
    await club.collection("news").put({"text": "ours"}, id="a")
    await home.collection("notes").put({"n": 1}, id="a")
    await home.export(tmp_path / "all")
    await club.collection("news").put({"text": "corrected"}, id="a")
    manifest, part = tmp_path / "all" / "manifest.json", tmp_path / "all" / "spaces" / club.id / "manifest.json"
    true = part.read_text()
    part.write_text(json.dumps({**json.loads(true), "name": "another"}))
    with pytest.raises(BadArchive, match="it was altered"):
        await home.import_file(tmp_path / "all")
    assert (await club.collection("news").get("a")).value == {"text": "corrected"}
    part.write_text(true)
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "name": "another"}))
    report = await home.import_file(tmp_path / "all")
    assert (report.unchanged, report.updated, report.skipped) == (1, 0, ["Club"])
    assert (await club.collection("news").get("a")).value == {"text": "corrected"}
    assert (await club.import_file(tmp_path / "all" / "spaces" / club.id)).updated == 1


async def test_one_space_is_exported_alone(home: chez.Home, tmp_path: Path) -> None:
    """A space's own export has nothing of another."""
    trip = await home.create_space("Trip")
    await trip.collection("notes").put({"n": 2}, id="a")
    await home.collection("notes").put({"n": 1}, id="secret")
    report = await trip.export(tmp_path / "trip")
    assert report.records == 1
    assert "secret" not in "".join(path.read_text() for path in (tmp_path / "trip").rglob("*") if path.is_file())


async def test_a_backup_and_a_new_device_keep_every_space(tmp_path: Path, relay: Within) -> None:
    """A restored home has its spaces, is a device of each, and what was not sent there goes out."""
    async with paired(tmp_path, relay.url) as (a, b):
        trip = await a.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="sent")
        await a.sync(relay.url)
        await trip.collection("notes").put({"n": 2}, id="unsent")
        await a.backup(tmp_path / "backup", verify=True)
        await b.sync(relay.url)
        await chez.restore(tmp_path / "backup", tmp_path / "c", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        async with chez.open(tmp_path / "c", passphrase=PASSPHRASE) as c:
            await c.sync(relay.url)
            await b.sync(relay.url)
            assert sorted([record.id async for record in b.space("Trip").collection("notes")]) == ["sent", "unsent"]
            assert (await b.status()).quarantined == 0


async def test_a_device_that_is_taken_out_is_out_of_every_space(tmp_path: Path, relay: Within) -> None:
    """Taking a device out starts a new epoch in each space, and what it writes there afterwards is not read."""
    async with paired(tmp_path, relay.url) as (a, b):
        trip = await a.create_space("Trip")
        await a.sync(relay.url)
        await b.sync(relay.url)
        await a.devices.remove("b")
        await a.sync(relay.url)
        await trip.collection("notes").put({"n": 1}, id="after")
        await a.sync(relay.url)
        with pytest.raises(RelayRefused):
            await b.sync(relay.url)
        there = b.space("Trip")
        assert await there.collection("notes").count() == 0
        assert [space.removed for space in (await b.status()).spaces] == [True, True]


async def test_doctor_examines_every_space(path: Path) -> None:
    """Damage in one space is found and mended there; a record of the same name in another stays as it was."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        trip = await home.create_space("Trip")
        for where in (home, trip):
            await where.collection("notes").put({"title": where is home}, id="a")
        n = trip._held.space.n
        await home._database.write(lambda db: db.execute(
            "UPDATE record SET json = '{}' WHERE space = ? AND id = 'a'", (n,)))
    found = await chez.doctor(path, passphrase=PASSPHRASE)
    assert [finding.kind for finding in found.findings] == ["projection"]
    await chez.doctor(path, passphrase=PASSPHRASE, repair=True)
    assert (await chez.doctor(path, passphrase=PASSPHRASE)).sound
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert (await home.space("Trip").collection("notes").get("a")).value == {"title": False}
        assert (await home.collection("notes").get("a")).value == {"title": True}

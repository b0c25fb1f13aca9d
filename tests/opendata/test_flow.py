"""From a publisher's file to a query on a person's device, with a real relay between them."""

import base64
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

import chez
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.opendata import held, publishing
from chez.opendata.errors import DataForked, DataInvalid
from chez.opendata.following import (
    add_catalogue,
    catalogues,
    find,
    named,
    rows_at,
    settle,
    subscribe,
    subscribed,
    unsubscribe,
)
from chez.opendata.metadata import About
from chez.opendata.publishing import Said, compose
from chez.opendata.rows import canonical
from chez.query.followed import CATALOGUES, FOLLOWED
from tests.opendata.support import CARD, KEY, OTHER, TIME, Two, about, address, follow, put_up, stations, table
from tests.people.persons import persons
from tests.people.support import join, open_again
from tests.relay.support import Process
from tests.relay.within import relay


async def test_a_table_is_found_subscribed_joined_updated_and_left(two: Two, tmp_path: Path) -> None:
    """A published table is found in the catalogue, subscribed, and joined with private records by SQL; a new version
    changes what changed, the old one can be told, and unsubscribing frees the space."""
    city, anna = two
    await put_up(city, about(keywords=("vélo", "bikes"), themes=("TRAN",)), file=table(tmp_path, stations(40)))
    id = await follow(city, anna)
    (one,) = await catalogues(anna)
    assert one.card is not None and one.card.name == "Grand Lyon"
    said = (await find(anna, "velov")).metadata
    assert (said.rows, [field.type for field in said.tables[0].fields]) == (40, ["integer", "integer", "text"])
    here = await named(anna, "velov", check=True, note=True)
    assert (here.rows, here.standing.problem, here.standing.missing) == (40, None, 0)
    await anna.collection("visits").put({"station": 7, "when": "2026-09-01"})
    joined = "SELECT name, bikes FROM visits JOIN open_velov ON open_velov.id = visits.station"
    assert (await anna.sql(joined)).rows == [("Station 7", 7)]

    changed = [*stations(39, n7=99), (77, "New", 1)]
    (draft,) = await put_up(city, about(), file=table(tmp_path, changed), time=TIME + 60)
    edition = draft.parts[0].edition
    assert (edition.number, edition.added, edition.changed, edition.removed) == (2, 1, 1, 1)
    await anna.sync()
    assert (await anna.sql(joined)).rows == [("Station 7", 99)]
    assert (await named(anna, "velov", check=True, note=True)).standing.chain.head == f"2:{edition.hash.hex()}"
    old = {row.value["id"]: row.value for row in await rows_at(anna, "velov", 1)}
    assert (len(old), old[7]["bikes"], 77 in old) == (40, 7, False)
    assert len(await rows_at(anna, "velov", 2)) == 40
    with pytest.raises(NotFound):
        await rows_at(anna, "velov", 3)

    with pytest.raises(NotAllowed):
        await anna.space(id).collection("open_velov").put({"id": 1})
    assert await put_up(city, about(), file=table(tmp_path, changed), time=TIME + 90) == []
    await unsubscribe(anna, "velov")
    assert id not in {space.id for space in await anna.spaces()} and await subscribed(anna) == []
    assert [info.name for info in await anna.collections() if info.name.startswith("open_")] == []
    assert await follow(city, anna) == id and (await anna.sql(joined)).rows == [("Station 7", 99)]


@pytest.mark.slow
async def test_what_nobody_could_read_is_not_published(two: Two, tmp_path: Path) -> None:
    """A title of two lines is refused where it is published: who follows would be shown no such dataset, or no name."""
    city, _ = two
    with pytest.raises(InvalidValue, match="can't be read by who follows"):
        await put_up(city, about(title="Stations\nof Lyon"), file=table(tmp_path, stations(2)))
    card = msgspec.structs.replace(CARD, name="Grand\nLyon")
    with pytest.raises(InvalidValue, match="can't be read by who follows"):
        await compose(city, Said(KEY.public, card, "Open data", (about(),)), TIME)
    await put_up(city, about("trees"))
    with pytest.raises(NotFound, match=r"'velov'.*It has: trees"):
        await put_up(city, withdrawn=("velov",))


async def test_all_devices_of_a_person_have_what_one_subscribed(two: Two, server: Process, tmp_path: Path) -> None:
    """A second device has catalogue and dataset by its next sync; what one unsubscribes is freed on the other when it
    updates, and comes back when it is subscribed again; a restart changes nothing."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(5)))
    async with join(anna, tmp_path / "phone", "phone", server.url) as phone:
        id = await follow(city, anna)
        for _ in range(2):
            await phone.sync()
        assert (await named(phone, "velov", check=True)).rows == 5
        await unsubscribe(phone, "velov")
        await phone.sync()
        await anna.sync()
        assert await settle(anna) == [] and id not in {space.id for space in await anna.spaces()}
        await subscribe(anna, "velov")
        await anna.sync()
        await phone.sync()
        assert await settle(phone) == []
        await phone.sync()
        assert (await named(phone, "velov", check=True)).rows == 5
    async with open_again(tmp_path / "phone") as phone:
        assert (await named(phone, "velov", check=True)).rows == 5 and len(await catalogues(phone)) == 1


async def test_who_subscribed_goes_where_the_data_was_moved_to(two: Two, tmp_path: Path) -> None:
    """The catalogue tells of a dataset's new place, and its new address of its own: rows and versions come from there.

    An address from before leads nobody back.
    """
    city, anna = two
    async with relay(tmp_path / "other") as other:
        await put_up(city, about(), file=table(tmp_path, stations(5)))
        before = address(city)
        await follow(city, anna)
        await city.space("velov").move(relay=other.url)
        await put_up(city, about(), file=table(tmp_path, stations(7)), time=TIME + 1)
        await anna.sync()
        assert (await subscribed(anna))[0].standing.missing == 1
        assert await settle(anna) == []
        await anna.sync()
        assert len((await anna.sql("select id from open_velov")).rows) == 7
        await city.space("Open data").move(relay=other.url)
        await put_up(city, about(), file=table(tmp_path, stations(8)), time=TIME + 2)
        assert await add_catalogue(anna, address(city)) == await add_catalogue(anna, before)
        await anna.sync()
        assert len((await anna.sql("select id from open_velov")).rows) == 8
        assert await settle(anna) == [] and not (await anna.sync()).problems
        assert [one.standing.missing for one in (await subscribed(anna))[:1] + (await catalogues(anna))[:1]] == [0, 0]


async def test_a_publisher_that_says_two_things_or_alters_rows_is_found_out(two: Two, tmp_path: Path) -> None:
    """Rows that were not signed, an edition under another key, a second one under a number that was seen, and rows in
    collections that could pass for others are each told, and nothing of the dataset is relied on. SQL reads none of
    those that could pass for the person's own, told or not; what a member of a shared space writes hides nothing."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(3)))
    id = await follow(city, anna)
    assert (await named(anna, "velov", check=True, note=True)).standing.problem is None
    space = city.space("velov")
    (first,) = [record async for record in space.collection("chez.editions")]

    async def problem() -> DataInvalid:
        await city.sync()
        await anna.sync()
        found = (await named(anna, "velov", check=True, note=True)).standing.problem
        assert found is not None
        with pytest.raises(DataInvalid):
            await rows_at(anna, "velov", 1)
        return found

    await space.collection("open_velov").put({"id": 9}, id="bent")
    assert "rows are not what" in (await problem()).message
    await space.collection("open_velov").delete("bent")
    await space.collection("transactions").put({"amount": "1"}, id="bent")
    await anna.collection("transactions").put({"amount": "2"})
    await (await anna.create_space("shared")).collection(FOLLOWED).put({"wanted": True}, id=anna.space().id)
    now = await anna.cursor_now()
    await city.sync()
    await anna.sync()
    for as_of in (None, now, await anna.cursor_now()):
        assert (await anna.sql("SELECT amount FROM Transactions", as_of=as_of)).rows == [(2.0,)]
    assert len((await anna.sql("SELECT id FROM open_velov")).rows) == 3
    assert "could pass for others" in (await problem()).message
    await space.collection("transactions").delete("bent")
    await space.collection("open_metro").put({"id": 1}, id="bent")  # another dataset's table
    assert "could pass for others" in (await problem()).message
    await space.collection("open_metro").delete("bent")
    last = (await held.chain_of(space)).last
    assert last is not None
    theirs = {"publisher": OTHER.public}
    for other, key, words in (({"time": 5}, KEY, "two different editions"), (theirs, OTHER, "key")):
        edition = type(last)(**{name: getattr(last, name) for name in last.__struct_fields__} | other)
        await space.collection("chez.editions").put(
            {"edition": edition.encoded, "signature": edition.sign(key)}, id=first.id)
        found = await problem()
        assert words in found.message and isinstance(found, DataForked) == (key is KEY)
    await space.collection("chez.editions").put(first.value, id=first.id)
    await city.sync()
    await anna.sync()
    assert (await named(anna, "velov", check=True)).standing.problem is None and anna.space(id).name == "velov"
    await anna.collection(CATALOGUES).put({}, id=id)  # a provider's catalogue has no rows for anybody
    assert (await anna.sql("SELECT id FROM open_velov")).rows == []


async def test_what_a_relay_holds_back_is_known_of(two: Two, tmp_path: Path) -> None:
    """Where the catalogue tells of a newer version than the dataset's space has, or a device of the person saw one that
    is not there any more, so many are missing."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(3)))
    await follow(city, anna)
    await put_up(city, about(), file=table(tmp_path, stations(4)), time=TIME + 60)
    editions = city.space("velov").collection("chez.editions")
    (newest,) = [record.value async for record in editions if record.id.endswith("2")]
    rows = [record.id async for record in city.space("velov").collection("open_velov") if record.value["id"] == 3]
    await editions.delete(f"{2:016d}")
    await city.space("velov").collection("open_velov").delete(rows[0])
    await city.sync()
    await anna.sync()
    here = await named(anna, "velov", check=True, note=True)
    assert (here.standing.problem, here.standing.chain.number, here.standing.missing, here.rows) == (None, 1, 1, 3)
    assert newest["signature"]


@pytest.mark.slow
async def test_what_two_devices_published_at_once_is_begun_anew(two: Two, tmp_path: Path) -> None:
    """A chain that is not readable any more keeps its publisher from going on, until it is begun anew after its
    numbers; then devices that saw the old one read the new one."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(3)))
    await follow(city, anna)
    await city.space("velov").collection("chez.editions").put({"edition": b"of another"}, id=f"{2:016d}")
    path = table(tmp_path, stations(4))
    with pytest.raises(NotAllowed, match="can't be gone on with"):
        await put_up(city, about(), file=path, time=TIME + 1)
    await city.sync()
    await anna.sync()
    assert (await named(anna, "velov")).standing.problem is not None
    await put_up(city, about(), file=path, time=TIME + 1, anew=True)
    await anna.sync()
    here = await named(anna, "velov", check=True, note=True)
    assert (here.standing.problem, here.standing.chain.number, here.standing.missing, here.rows) == (None, 3, 0, 4)
    await put_up(city, about(), file=table(tmp_path, stations(5)), time=TIME + 2)
    await anna.sync()
    assert len(await rows_at(anna, "velov", 3)) == 4


@pytest.mark.slow
async def test_a_version_that_two_devices_published_at_once_is_told_though_one_of_the_two_shows(
        two: Two, server: Process, tmp_path: Path) -> None:
    """What is there can be read, and who saw the other one would be told of a fork for ever: so it is begun anew."""
    city, anna = two
    await put_up(city, about("velov"), file=table(tmp_path, stations(3)))
    await follow(city, anna)
    async with join(city, tmp_path / "phone", "phone", server.url) as phone:
        await once(city, about("velov"), table(tmp_path, stations(4)))
        await put_up(phone, about("velov"), file=table(tmp_path, stations(5)), time=TIME + 1)
        await anna.sync()
        assert (await named(anna, "velov", note=True)).standing.chain.number == 2
        for home in (city, phone):
            await home.sync()
            with pytest.raises(NotAllowed, match=r"two devices published its edition 2.*--anew"):
                await put_up(home, about("velov"), file=table(tmp_path, stations(6)), time=TIME + 2)
    await put_up(city, about("velov"), file=table(tmp_path, stations(6)), time=TIME + 2, anew=True)
    await put_up(city, about("velov"), file=table(tmp_path, stations(7)), time=TIME + 3)
    await anna.sync()
    here = await named(anna, "velov", check=True, note=True)
    assert (here.standing.problem, here.standing.chain.number, here.rows) == (None, 4, 7)


async def once(home: chez.Home, said: About, file: Path) -> None:
    """Publish an edition, and do not sync."""
    one = publishing.Said(KEY.public, CARD, "Open data", (said,), (), file)
    draft = await publishing.compose(home, one, TIME)
    await publishing.publish(home, one, TIME, [(edition.encoded, edition.sign(KEY)) for edition in draft.editions])


@pytest.mark.slow
async def test_a_dataset_that_two_devices_began_at_once_goes_on_where_the_catalogue_has_it(
        two: Two, server: Process, tmp_path: Path) -> None:
    """Each made a space for it: publishing goes on in that of which the catalogue tells, and who subscribes has it."""
    city, anna = two
    await put_up(city, about("velov"), file=table(tmp_path, stations(3)))
    async with join(city, tmp_path / "phone", "phone", server.url) as phone:
        for home, rows in ((city, 4), (phone, 5)):
            await once(home, about("bins"), table(tmp_path, stations(rows)))
        for home in (city, phone, city):
            await home.sync()
    assert [space.name for space in await city.spaces()].count("bins") == 2
    await put_up(city, about("bins"), file=table(tmp_path, stations(6)), time=TIME + 1, anew=True)
    await follow(city, anna, "bins")
    here = await named(anna, "bins", check=True)
    assert (here.standing.problem, here.standing.missing, here.rows) == (None, 0, 6)


@pytest.mark.slow
async def test_who_subscribed_is_told_that_a_dataset_was_begun_in_another_space(two: Two, tmp_path: Path) -> None:
    """Its publisher deleted the space and publishes under the same name: that is told, and the way on works."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(3)))
    await follow(city, anna)
    await city.space("velov").delete()
    await put_up(city, about(), file=table(tmp_path, stations(4)), time=TIME + 1)
    await anna.sync()
    assert "in another space now" in str((await named(anna, "velov")).standing.problem)
    await unsubscribe(anna, "velov")
    await subscribe(anna, "velov")
    await anna.sync()
    here = await named(anna, "velov", check=True)
    assert (here.standing.problem, here.standing.missing, here.rows) == (None, 0, 4)


async def test_rows_read_back_are_those_that_were_signed(tmp_path: Path) -> None:
    """Whatever a row may hold has the same bytes, which are signed, before and after it was a record."""
    odd = {"a": -0.0, "b": 5e-324, "c": 1e308, "d": 0.1, "e": 1e22, "f": 3.0, "g": 2**63 - 1, "h": -2**63, "i": "",
           "j": "\u2028é",
           "k": True, "l": [1, 1.0, "x", {"m": None}], "n": {"o": False}, "p": "\U0001f6b2", "q": 123456789012345680.0}
    async with persons(tmp_path, "city") as (city,):
        space = await city.create_space("odd", public=True)
        await space.collection("open_odd").put(odd, id="x")
        (row,) = await held.content_of(space, ["open_odd"])
        assert row.json == canonical(odd)


@pytest.mark.slow
async def test_a_publisher_killed_between_steps_goes_on(two: Two, tmp_path: Path) -> None:
    """A dataset that takes several editions shows signed states only; whoever published half of it goes on where it
    was, and what is composed of another file than was signed is refused."""
    city, anna = two
    path = table(tmp_path, stations(25))
    said = publishing.Said(KEY.public, CARD, "Open data", (about(),), (), path, at_once=10)
    draft = await publishing.compose(city, said, TIME)
    signed = [(edition.encoded, edition.sign(KEY)) for edition in draft.editions]
    assert (await publishing.publish(city, said, TIME, signed)).whole is False
    with pytest.raises(NotAllowed, match="not what was signed"):
        await publishing.publish(city, said, TIME, signed)
    drafts = await put_up(city, about(), file=path, time=TIME + 5, at_once=10)
    assert [draft.editions[0].rows for draft in drafts] == [20, 25]
    await follow(city, anna)
    here = await named(anna, "velov", check=True, note=True)
    assert (here.rows, here.standing.chain.number, here.standing.problem) == (25, 3, None)
    await put_up(city, about(), file=table(tmp_path, stations(25, n3=9)), time=TIME + 9)
    await anna.sync()
    assert len(await rows_at(anna, "velov", 3)) == 25
    with pytest.raises(NotFound, match="beyond"):
        await rows_at(anna, "velov", 2)


@pytest.mark.slow
async def test_a_row_of_another_kind_is_not_what_was_signed(two: Two, tmp_path: Path) -> None:
    """Who has the publisher's home and not its key puts bytes, or a time, where the signed text reads the same: SQL
    shows other data than was signed. That is told, and the publisher's next version puts it right."""
    city, anna = two
    said = about(identity=("code",), types={"code": "text", "seen": "text"})
    file = table(tmp_path, [("69001000", "2026-11-27T10:00:00.000Z")], header="code,seen")
    await put_up(city, said, file=file)
    await follow(city, anna)
    space = city.space("velov")
    (row,) = [one async for one in space.collection("open_velov")]
    for field, value in (("code", base64.b64decode("69001000")), ("seen", datetime(2026, 11, 27, 10, tzinfo=UTC))):
        await space.collection("open_velov").put({**row.value, field: value}, id=row.id)
        await city.sync()
        await anna.sync()
        found = (await named(anna, "velov", check=True)).standing.problem
        assert found is not None and "rows are not what" in found.message, field
        await put_up(city, said, file=file)
        await anna.sync()
        assert (await named(anna, "velov", check=True)).standing.problem is None
        assert (await anna.sql("SELECT code FROM open_velov")).rows == [("69001000",)]


async def test_an_export_with_what_is_followed_comes_back(two: Two, tmp_path: Path) -> None:
    """Spaces that somebody reads and writes nothing in are left out of an import, and told; all else comes."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(2)))
    await follow(city, anna)
    club = await anna.create_space("club")
    for space in (anna.space(), club):
        await space.collection("notes").put({"n": 1}, id="a")
    await anna.export(tmp_path / "out")
    for space in (anna.space(), club):
        await space.collection("notes").delete("a")
    report = await anna.import_file(tmp_path / "out")
    assert (report.added, sorted(report.skipped)) == (2, ["Open data", "velov"])
    assert (await anna.sql("SELECT count(*) FROM open_velov")).rows == [(2,)]
    assert (await anna.imports())[-1].added == 2

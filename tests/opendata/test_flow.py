"""From a publisher's file to a query on a person's device, with a real relay between them."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from chez.opendata.loading import ROWS, table_name
from chez.opendata.rows import canonical
from chez.query.followed import CATALOGUES, FOLLOWED, is_table_of
from tests.connectors.support import VELOV, feed
from tests.opendata.support import CARD, KEY, OTHER, TIME, about, address, put_up, stations, table
from tests.people.persons import persons
from tests.people.support import join, open_again
from tests.relay.support import Process

Two = tuple[chez.Home, chez.Home]


@pytest.fixture
async def two(server: Process, tmp_path: Path) -> AsyncIterator[Two]:
    """The homes of a city and of a person, at one relay."""
    async with persons(tmp_path, "city", "anna", relay=server.url) as (city, anna):
        yield city, anna


async def follow(city: chez.Home, anna: chez.Home, name: str = "velov") -> str:
    """Anna follows the city's catalogue, and subscribes a dataset; its space."""
    await add_catalogue(anna, address(city))
    await anna.sync()
    id = await subscribe(anna, name)
    await anna.sync()
    return id


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
async def test_two_tables_of_one_name_are_not_read_as_one(two: Two, server: Process, tmp_path: Path) -> None:
    """A dataset whose table is called as that of another one that is subscribed is refused; a dataset that is only
    described has nothing to subscribe."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(3)))
    await put_up(city, about("plan"), time=TIME + 1)
    await follow(city, anna)
    with pytest.raises(NotFound, match="only what is said"):
        await subscribe(anna, "plan")
    async with persons(tmp_path, "posing", relay=server.url) as (posing,):
        await put_up(posing, about(), file=table(tmp_path, stations(2)), key=OTHER)
        id = await add_catalogue(anna, address(posing))
        await anna.sync()
        with pytest.raises(NotAllowed, match="table of the same name"):
            await subscribe(anna, f"{id[:8]}/velov")


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
async def test_what_cities_publish_is_queried_by_table(two: Two, tmp_path: Path) -> None:
    """Vélo'v's stations as JSON and as GeoJSON, and a timetable, are published as they are; each type of record is a
    table, what is said of a feature its columns, and a file by another name changes nothing."""
    city, anna = two
    (tmp_path / "gtfs.zip").write_bytes(feed())
    for id, path in (("velov", VELOV / "Lyon.json"), ("velov-map", VELOV / "lyon_velov.geojson"),
                     ("tcl", tmp_path / "gtfs.zip")):
        await put_up(city, about(id, identity=()), file=path)
    await add_catalogue(anna, address(city))
    await anna.sync()
    for id in ("velov", "velov-map", "tcl"):
        await subscribe(anna, id)
    await anna.sync()
    found = await anna.sql("SELECT count(*), min(name) FROM open_velov_stations WHERE kind = 'bike'")
    assert found.rows[0][0] == 345
    points = await anna.sql("SELECT count(*) FROM open_velov_map JOIN open_velov_stations USING (latitude, longitude)")
    assert points.rows == [(345,)]
    first = ("SELECT s.name FROM open_tcl_transit_stop_times t JOIN open_tcl_stations s ON s.number = t.stop "
             "WHERE arrives > 86400")
    assert (await anna.sql(first)).rows == [("Bellecour, place",)]
    said = (await find(anna, "velov")).metadata
    assert (said.distributions[0].format, said.distributions[0].bytes) == ("JSON", 42850)
    for id in ("velov", "velov-map"):  # what is said of a dataset's size is near what it takes
        listed = await find(anna, id)
        room = await anna.space((await named(anna, id)).standing.space).room()
        assert room is not None and 0.7 < listed.metadata.takes / room.bytes < 1.3
    (tmp_path / "other-name.json").write_bytes((VELOV / "Lyon.json").read_bytes())
    assert await put_up(city, about("velov", identity=()), file=tmp_path / "other-name.json", time=TIME + 5) == []


async def test_names_that_differ_by_case_spoil_no_query(two: Two, tmp_path: Path) -> None:
    """A publisher whose collections differ from a person's, or from each other, by upper and lower case only spoils no
    query of theirs, nor of another dataset: the person's own is meant, else what is spelt so."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(3)))
    await follow(city, anna)
    await anna.collection("visits").put({"station": 1})
    space = city.space("velov")
    for name in ("VISITS", "Visits", "open_Velov", "OPEN_VELOV"):
        await space.collection(name).put({"station": 7, "id": 7}, id="bent")
    await city.sync()
    await anna.sync()
    for name in ("visits", "Visits"):
        assert (await anna.sql(f"SELECT station FROM {name}")).rows == [(1,)]
    assert (await anna.sql("SELECT count(*) FROM visits JOIN open_velov ON open_velov.id = station")).rows == [(1,)]
    await anna.collection("Visits").put({"station": 2})
    with pytest.raises(InvalidValue, match="Visits, visits"):
        await anna.sql("SELECT station FROM visits")


async def test_fields_that_differ_by_case_hide_none(two: Two) -> None:
    """Whoever is followed, or writes in a space of the person's, hides no field of a collection by one in other
    letters: the one in double quotes is meant, or what is spelt so, or the person's own; what is unclear is refused."""
    city, anna = two
    space = await city.create_space("Offers", public=True)
    await space.collection("things").put({"WATTS": 7, "At": "y"})
    await city.sync()
    await anna.follow(space.address)
    await anna.sync()
    await anna.collection("things").put({"watts": 5, "at": "x"})
    for text in ("watts", '"watts"', "Watts"):
        assert (await anna.sql(f"SELECT {text} FROM things WHERE {text} > 1")).rows == [(5,)], text
    assert (await anna.sql("SELECT WATTS FROM things WHERE WATTS > 1")).rows == [(7,)]
    assert len((await anna.sql("SELECT * FROM things")).columns) == 7
    family = await anna.create_space("family")
    await family.collection("things").put({"WaTTs": 9, "TRIM": 1, "trim": " 2"})
    assert (await anna.sql("SELECT watts FROM things WHERE watts > 1")).rows == [(5,)]
    assert (await anna.sql("SELECT TRIM(trim) FROM things WHERE trim > ''")).rows == [("2",)]
    for text in ("SELECT Watts FROM things", 'SELECT "trim", "TRIM" FROM things'):
        with pytest.raises(InvalidValue, match="double quotes"):
            await anna.sql(text)


async def test_what_a_query_calls_its_columns_means_no_other_field(two: Two) -> None:
    """A heading in double quotes, a text or a comment are no names: a field or a collection that somebody who is
    followed has in those letters is not put in the place of the person's own."""
    city, anna = two
    space = await city.create_space("Offers", public=True)
    await space.collection("people").put({"Name": "theirs"})
    await space.collection("Notes").put({"title": "theirs"})
    await city.sync()
    await anna.follow(space.address)
    await anna.sync()
    await anna.collection("people").put({"name": "mine"})
    await anna.collection("people").put({"From": 1, "from": 2})
    await anna.collection("notes").put({"title": "mine"})
    for text in ('SELECT name AS "Name" FROM people WHERE name > 1',
                 'SELECT name as"Name" FROM people WHERE name > 1 ORDER BY "Name"',
                 "SELECT name FROM people WHERE name <> 'it''s \"Name\"' -- what's \"Name\"?",
                 'SELECT title AS "Notes" FROM notes', "SELECT title FROM notes WHERE title <> '\"Notes\"'"):
        assert (await anna.sql(text)).rows == [("mine",)], text
    for text in ('SELECT "Name" AS "Name" FROM people WHERE "Name" > 1',
                 """SELECT "Name" FROM people WHERE "Name" <> 'name' /* no name, I'd say */"""):
        assert (await anna.sql(text)).rows == [("theirs",)], text
    for text in ('SELECT name, "Name" FROM people', 'SELECT title FROM "Notes" AS notes',
                 'SELECT title "Notes" FROM notes'):
        with pytest.raises(InvalidValue, match="upper and lower case"):
            await anna.sql(text)


async def test_a_space_followed_again_is_in_sql_as_what_it_is_now(two: Two, tmp_path: Path) -> None:
    """A space that was open data and is followed for itself now has all its collections in SQL, and no update takes it
    away; subscribed again it has those of open data alone."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(3)))
    id = await follow(city, anna)
    await named(anna, "velov", check=True, note=True)
    await city.space("velov").collection("news").put({"text": "open late"}, id="x")
    await city.sync()
    await anna.sync()
    news, rows = "SELECT text FROM news", "SELECT count(*) FROM open_velov"
    assert (await anna.sql(news)).rows == [] and (await anna.sql(rows)).rows == [(3,)]
    await unsubscribe(anna, "velov")
    await anna.follow(city.space("velov").address)
    await anna.sync()
    assert await settle(anna) == [] and id in {space.id for space in await anna.spaces()}
    assert (await anna.sql(news)).rows == [("open late",)] and (await anna.sql(rows)).rows == [(3,)]
    await anna.space(id).forget()
    assert await follow(city, anna) == id
    assert (await anna.sql(news)).rows == [] and (await anna.sql(rows)).rows == [(3,)]


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

async def test_a_dataset_has_no_rows_in_anothers_table(two: Two, tmp_path: Path) -> None:
    """What a publisher writes under the name of another dataset's table, in a dataset's space or a catalogue's, is no
    row of it to SQL, now or as of then, whether anybody looked how the dataset stands or not."""
    city, anna = two
    for number, name in enumerate(("velov", "metro-2")):
        await put_up(city, about(name), file=table(tmp_path, stations(2)), time=TIME + number)
        await follow(city, anna, name)
    for space in ("metro-2", "Open data"):
        await city.space(space).collection("open_velov").put({"id": 9}, id="bent")
    await city.space("velov").collection("open_velov_more").put({"id": 1}, id="its own")
    await city.sync()
    await anna.sync()
    for as_of in (None, await anna.cursor_now()):
        for name, count in (("open_velov", 2), ("open_metro_2", 2), ("Open_velov_more", 1)):
            assert (await anna.sql(f"SELECT count(*) FROM {name}", as_of=as_of)).rows == [(count,)], name


async def test_the_longer_name_has_the_table(two: Two, tmp_path: Path) -> None:
    """What is called after a dataset whose name goes on from another's is that one's: its rows alone are in SQL, as of
    then, too, and the other publisher is found out; until it is subscribed the name is free."""
    city, anna = two
    for number, name in enumerate(("velov", "velov-map")):
        await put_up(city, about(name), file=table(tmp_path, stations(2)), time=TIME + number)
    await follow(city, anna)
    await city.space("velov").collection("open_velov_map").put({"id": 9}, id="bent")
    await city.space("velov").collection("open_velov_map_2").put({"id": 9}, id="bent")
    await city.sync()
    await anna.sync()
    for name in ("open_velov_map", "open_velov_map_2"):
        assert (await anna.sql(f"SELECT id FROM {name}")).rows == [(9,)], "a table of its own, as long as none has it"
    await subscribe(anna, "velov-map")
    await anna.sync()
    for as_of in (None, await anna.cursor_now()):
        for name, count in (("open_velov", 2), ("open_velov_map", 2), ("open_velov_map_2", 0)):
            assert (await anna.sql(f"SELECT count(*) FROM {name}", as_of=as_of)).rows == [(count,)], name
    bent, right = [(await named(anna, name, check=True)).standing.problem for name in ("velov", "velov-map")]
    assert bent is not None and "could pass for others" in bent.message and right is None
    await unsubscribe(anna, "velov-map")
    assert (await anna.sql("SELECT id FROM open_velov_map")).rows == [(9,)]


async def test_two_names_of_one_table_are_refused_before_rows_came(two: Two, tmp_path: Path) -> None:
    """Of two datasets whose tables are called alike the second is refused, also when nothing of the first came yet."""
    city, anna = two
    for number, name in enumerate(("velov", "velov-")):
        await put_up(city, about(name), file=table(tmp_path, stations(2)), time=TIME + number)
    await add_catalogue(anna, address(city))
    await anna.sync()
    await subscribe(anna, "velov")
    with pytest.raises(NotAllowed, match="table of the same name"):
        await subscribe(anna, "velov-")


async def test_nobody_elses_space_has_rows_in_a_table_that_somebody_signs(two: Two, tmp_path: Path) -> None:
    """Who shares a space with somebody, or is followed for another reason, puts no row among those of a dataset that
    they subscribed or publish, now or as of then; what no publisher has is anybody's."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(2)))
    await follow(city, anna)
    other = await city.create_space("other", public=True)
    await other.collection("open_velov").put({"id": 9}, id="bent")
    await city.sync()
    await anna.follow(other.address)
    for home in two:
        club = await home.create_space("club")
        await club.collection("open_velov").put({"id": 8}, id="bent")
        await club.collection("OPEN_VELOV").put({"id": 8}, id="bent")
        await club.collection("open_tasks").put({"id": 8}, id="theirs")
        await home.collection("open_velov").put({"id": 7}, id="my own")
        await home.sync()
        for as_of in (None, await home.cursor_now()):
            rows = await home.sql("SELECT id, _space FROM open_velov ORDER BY id", as_of=as_of)
            assert rows.rows == [(0, "velov"), (1, "velov"), (7, "private")]
            assert (await home.sql("SELECT id FROM open_tasks", as_of=as_of)).rows == [(8,)]
    await city.space("velov").collection("notes").put({"text": "ours"}, id="x")
    assert (await city.sql("SELECT text FROM notes")).rows == [("ours",)]
    await unsubscribe(anna, "velov")
    assert (await anna.sql('SELECT DISTINCT id FROM "open_velov" ORDER BY id')).rows == [(7,), (8,), (9,)]


async def test_no_other_publisher_has_the_table_of_ones_own_dataset(two: Two, tmp_path: Path) -> None:
    """Who publishes a dataset subscribes none of another publisher whose table is called so, and who subscribed one
    publishes none; and had two devices done both at once, the own rows are read."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(2)))
    await put_up(anna, about(), file=table(tmp_path, [(7, "mine", 7)], "mine.csv"), key=OTHER)
    await city.sync()
    with pytest.raises(NotAllowed, match="you publish a dataset 'velov' yourself"):
        await follow(city, anna)
    assert (await anna.sql("SELECT id FROM open_velov")).rows == [(7,)]
    kept = anna.collection(FOLLOWED)
    theirs = await anna.follow(city.space("velov").address)
    await kept.put({"kind": "dataset", "dataset": "velov", "wanted": True}, id=theirs.id)
    await anna.sync()
    assert (await anna.sql("SELECT id FROM open_velov")).rows == [(7,)]
    await put_up(city, about("metro"), file=table(tmp_path, stations(2)), time=TIME + 1)
    await follow(city, anna, "metro")
    with pytest.raises(NotAllowed, match="you subscribed another publisher's dataset 'metro'"):
        await put_up(anna, about("metro-"), file=table(tmp_path, stations(1)), key=OTHER, time=TIME + 2)
    await kept.delete(theirs.id)
    (draft,) = await put_up(anna, about(), file=table(tmp_path, [(8, "mine", 7)], "mine.csv"), key=OTHER, time=TIME + 3)
    assert draft.whole, "a catalogue of another publisher that is called like one's own keeps nobody from publishing"


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


async def test_of_what_it_is_not_known_has_no_table(two: Two, tmp_path: Path) -> None:
    """A space that is followed as open data, of which it is still to come what it is followed as, has no rows in any
    table: not in another dataset's."""
    city, anna = two
    for number, name in enumerate(("velov", "metro")):
        await put_up(city, about(name), file=table(tmp_path, stations(2)), time=TIME + number)
        id = await follow(city, anna, name)
    await city.space("metro").collection("open_velov").put({"id": 9}, id="bent")
    await city.sync()
    await anna.sync()
    kept = anna.collection(FOLLOWED)
    said = (await kept.get(id)).value
    await kept.put({"kind": "dataset", "wanted": True}, id=id)
    for name, count in (("open_velov", 2), ("open_metro", 0)):
        assert (await anna.sql(f"SELECT count(*) FROM {name}")).rows == [(count,)], name
    await kept.put(said, id=id)
    await anna._open.database.write(  # as one is of which only a part arrived
        lambda db: db.execute("UPDATE record SET json = '{}', deleted = 2 WHERE id = ?", (id,)))
    for name, count in (("open_velov", 2), ("open_metro", 0)):
        assert (await anna.sql(f"SELECT count(*) FROM {name}")).rows == [(count,)], name


@given(st.from_regex(r"[a-z][a-z0-9-]{0,62}", fullmatch=True), st.sampled_from([ROWS, "stations", "gtfs_stop_times"]))
def test_sql_knows_the_tables_of_a_dataset_by_its_name(dataset: str, collection: str) -> None:
    """Whatever a dataset is called, the tables that are made of its files are its own."""
    assert is_table_of(table_name(dataset, collection), dataset)

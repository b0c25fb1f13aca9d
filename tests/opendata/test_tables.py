"""What the rows of followed datasets are to SQL: tables of their own, whose names nobody else can take."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.opendata.following import add_catalogue, find, named, settle, subscribe, unsubscribe
from chez.opendata.loading import ROWS, table_name
from chez.query.followed import FOLLOWED, is_table_of
from tests.connectors.support import VELOV, feed
from tests.opendata.support import OTHER, TIME, Two, about, address, follow, put_up, stations, table
from tests.people.persons import persons
from tests.relay.support import Process


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


async def shop(city: chez.Home, *collections: str) -> str:
    """The address of a public space of the city's with a record in each of these collections."""
    space = await city.create_space("Shop", public=True)
    for name in collections:
        await space.collection(name).put({"station": 7})
    await city.sync()
    return space.address


async def test_names_that_differ_by_case_spoil_no_query(two: Two, tmp_path: Path) -> None:
    """A publisher whose collections differ from a person's, or from each other, by upper and lower case only spoils no
    query of theirs, nor of another dataset: the person's own is meant, else what is spelt so."""
    city, anna = two
    await put_up(city, about(), file=table(tmp_path, stations(3)))
    await follow(city, anna)
    await anna.collection("visits").put({"station": 1})
    space = city.space("velov")
    await anna.follow(await shop(city, "e", "E", "sel", "Sel", "Select", "select", "Count", "count", "wHere", "Where"))
    for name in ("VISITS", "Visits", "open_Velov", "OPEN_VELOV"):
        await space.collection(name).put({"station": 7, "id": 7}, id="bent")
    await city.sync()
    await anna.sync()
    for text in ("SELECT COUNT(*) FROM visits", "select Count(*), count(*) from visits WHERE station <> 'e E'"):
        assert (await anna.sql(text)).rows[0][0] == 1
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


@pytest.mark.slow
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

"""What a run is given: the granted rows of the granted spaces, enough of them, and nothing that can be named beside."""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue, NotAllowed
from chez.query.followed import FOLLOWED
from chez_sandbox.consent import scope
from chez_sandbox.consent.execution import execute
from chez_sandbox.consent.scope import granted_scope, granted_tables, read_windows
from chez_sandbox.manifest import parse_manifest
from chez_sandbox.runtime.host import Outcome, Runtime, Table
from chez_sandbox.runtime.messages import Limits, TableHead
from chez_sandbox.runtime.tables import Budget, Refusal, Stop, Tables
from tests.jobs.samples import READS, RESULT, manifest_text
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.jobs.test_runs import opened, run_once
from tests.people.persons import persons
from tests.relay.within import relay
from tests.tries import tries


async def rows(home: chez.Home, reads: str, today: date = TODAY) -> Sequence[tuple[Any, ...]]:
    """The rows of the one granted table."""
    (table,) = await granted_tables(home, parse_manifest(manifest_text(reads=reads)), today)
    return table.rows


def reading(collection: str = "things", fields: str = '"at", "n"', rest: str = "") -> str:
    """A [[reads]] table."""
    return f'[[reads]]\ncollection = "{collection}"\nfields = [{fields}]\n{rest}\n'


FILTERS = {
    "value = 5": {5}, 'value = "5"': {"5"}, 'value = 4, op = ">"': {5, 7}, 'value = "4", op = ">"': {"5", "x"},
    'value = 5, op = "!="': {7, 1, 0}, 'value = "x", op = "!="': {"5"}, "value = true": {1},
    'value = [5, 7], op = "in"': {5, 7}, 'value = ["x", "y"], op = "in"': {"x"},
}  # fmt: skip


@pytest.mark.parametrize("condition", FILTERS)
async def test_a_filter_compares_values_of_its_type(condition: str, empty_home: chez.Home) -> None:
    """Texts are compared with texts and numbers with numbers; what is missing or of another type is never read."""
    values = [5, 5.0, "5", 7, "x", True, False, None]
    await empty_home.collection("things").put_many([{"at": str(n), "n": value} for n, value in enumerate(values)])
    await empty_home.collection("things").put({"at": "no n"})
    found = await rows(empty_home, reading(rest=f'where = [{{ field = "n", {condition} }}]'))
    assert {row[1] for row in found} == FILTERS[condition]


@pytest.mark.parametrize(
    ("window", "days"),
    [
        ('last = 1, grid = "month"', ["2026-10-01", "2026-10-31"]),
        ('last = 1, grid = "week"', ["2026-11-16", "2026-11-22"]),
        ("last = 2", ["2026-11-22"]),
        ('last = 1, until = "latest"', ["2026-11-22"]),
        ('last = 1, grid = "week", until = "latest"', ["2026-11-16", "2026-11-22"]),
        ('last = 1, grid = "month", until = "latest"', ["2026-10-01", "2026-10-31"]),
    ],
)
async def test_a_window_ends_on_its_grid(window: str, days: list[str], empty_home: chez.Home) -> None:
    """Of days before, in and after the run's, the last whole steps that are over are read; days to come never."""
    known = ["2026-09-30", "2026-10-01", "2026-10-31", "2026-11-16", "2026-11-22", "2026-11-24", "2026-12-31"]
    await empty_home.collection("things").put_many([{"at": f"{day}T12:00", "n": 1} for day in known])
    found = await rows(empty_home, reading(rest=f'window = {{ field = "at", {window} }}'))
    assert [row[0][:10] for row in found] == days


@pytest.mark.parametrize(("zone", "bad"), [("local", "2026-10-99T12:00"), ("local", "2026-09-31"),
                                           ("Europe/Paris", "2026-09-30T99:00"), ("Europe/Paris", "2026-10-00T12:00Z")])
async def test_a_day_that_there_is_not_is_not_the_newest(zone: str, bad: str, empty_home: chez.Home) -> None:
    """A date that can't be, which an organisation or a file may have written, takes no rows from a job: the window ends
    with the newest day that is one."""
    await empty_home.collection("things").put_many([
        {"at": at, "n": n} for n, at in enumerate(["2026-09-28T12:00", "2026-09-29T12:00", bad])])
    window = f'window = {{ field = "at", last = 2, until = "latest", zone = "{zone}" }}'
    assert [row[1] for row in await rows(empty_home, reading(rest=window))] == [0, 1]


@pytest.mark.parametrize("bad", ["2026-09-30T24:00:00.{}Z", "2026-09-30T12:00:00{}:99", "2026-09-30\0x{}",
                                 "2026-09-30éx{}", "2026-09-30T10:00\0{}", "2026-09-30T10:00:{} ", "2026-09-{}"])
async def test_however_many_times_that_there_are_not_are_none_the_newest(bad: str, empty_home: chez.Home) -> None:
    """Whoever may leave records may leave many of them; and those before them count, however they are written."""
    await empty_home.collection("things").put_many([
        {"at": at, "n": n} for n, at in enumerate(["2026-09-28T12:00", "2026-09-29T12:00:00.5+02:00"])])
    many = [{"at": bad.format(31 + n), "n": 9} for n in range(scope.NEWEST + 1)]
    await empty_home.collection("things").put_many(many)
    window = 'window = { field = "at", last = 2, until = "latest", zone = "Europe/Paris" }'
    assert [row[1] for row in await rows(empty_home, reading(rest=window))] == [0, 1]


async def test_a_window_by_the_newest_row_is_over_and_in_the_calendar(empty_home: chez.Home) -> None:
    """A row that says another zone's time, and so a day that is not over, moves no window; one of the calendar's first
    day, before which no window begins, is of none."""
    window = 'window = { field = "at", last = 2, until = "latest", zone = "UTC" }'
    await empty_home.collection("things").put({"at": "0001-01-01T12:00:00Z", "n": 0})
    assert await rows(empty_home, reading(rest=window)) == []
    texts = ["2026-11-21T12:00:00Z", "2026-11-22T23:30:00-23:00"]
    await empty_home.collection("things").put_many([{"at": text, "n": 1} for text in texts])
    assert [row[0] for row in await rows(empty_home, reading(rest=window))] == texts


async def test_instants_are_cut_at_the_midnights_of_the_zone(empty_home: chez.Home) -> None:
    """With a zone the field is an instant: half past eleven at night in UTC is the next day in Paris."""
    texts = ["2026-11-20T22:59:59Z", "2026-11-20T23:00:00.000Z", "2026-11-21T22:59:59.999Z", "2026-11-21T23:00:00Z"]
    await empty_home.collection("things").put_many([{"at": text, "n": 1} for text in texts])
    window = 'window = { field = "at", last = 1, zone = "Europe/Paris", until = "run-date" }'
    found = await rows(empty_home, reading(rest=window), date(2026, 11, 23))
    assert [row[0] for row in found] == texts[1:3]


@pytest.mark.parametrize(("zone", "last", "first", "after"), [
    ("Europe/Paris", "2026-11-20T22:59", "2026-11-20T23:00", "2026-11-21T23:00"),
    ("Europe/Paris", "2026-11-20T22:59:59", "2026-11-20T23", "2026-11-21T23:00:00Z"),
    ("Asia/Kolkata", "2026-11-20T18:29:59.999", "2026-11-20T18:30", "2026-11-21T18:30"),
    ("UTC", "2026-11-20T23:59Z", "2026-11-21", "2026-11-22"),
    ("America/New_York", "2026-11-21", "2026-11-22", "2026-11-23"),
])  # fmt: skip
@pytest.mark.parametrize("until", ["run-date", "latest"])
async def test_an_instant_is_of_its_day_however_it_is_written(
    zone: str, last: str, first: str, after: str, until: str, empty_home: chez.Home
) -> None:
    """Without seconds, or as a day alone (its midnight in UTC), an instant is in the window of its own day, also where
    that begins with it."""
    await empty_home.collection("things").put_many([{"at": at, "n": 1} for at in (last, first)])
    window = f'window = {{ field = "at", last = 1, zone = "{zone}", until = "{until}" }}'
    day = date(2026, 11, 23)  # the day before it is the first of which it is sure that it is over everywhere
    assert [row[0] for row in await rows(empty_home, reading(rest=window), day)] == [first]
    await empty_home.collection("things").put({"at": after, "n": 1})
    assert [row[0] for row in await rows(empty_home, reading(rest=window), day)] == [first]
    later = date(2026, 11, 24 if until == "run-date" else 30)
    assert [row[0] for row in await rows(empty_home, reading(rest=window), later)] == [after]


async def test_shared_spaces_are_read_only_when_granted(empty_home: chez.Home) -> None:
    """By default only the private space is read; with "all" the others too, each row saying whose it is."""
    family = await empty_home.create_space("family")
    await empty_home.collection("things").put({"at": "mine", "n": 1}, id="a")
    await family.collection("things").put({"at": "ours", "n": 2}, id="b")
    fields = '"at", "_space", "_id"'
    assert await rows(empty_home, reading(fields=fields)) == [("mine", "private", "a")]
    both = await rows(empty_home, reading(fields=fields, rest='spaces = "all"'))
    assert both == [("mine", "private", "a"), ("ours", "family", "b")]
    where = 'spaces = "all"\nwhere = [{ field = "_space", value = "family" }]'
    assert await rows(empty_home, reading(fields=fields, rest=where)) == [("ours", "family", "b")]


async def test_a_publisher_puts_no_rows_among_those_a_job_reads(tmp_path: Path) -> None:
    """With "all" a job reads no row of a public space that the person follows as nobody's member, whatever its
    collections are called; once it is followed as open data, its `open_` collections alone."""
    everything = 'spaces = "all"'
    async with relay(tmp_path) as server, persons(tmp_path, "city", "anna", relay=server.url) as (city, anna):
        space = await city.create_space("Offers", public=True)
        for collection in ("things", "open_things"):
            await space.collection(collection).put({"at": "theirs", "n": 2})
        await space.collection(FOLLOWED).put({}, id=space.id)
        await anna.collection("things").put({"at": "mine", "n": 1})
        await city.sync()
        await anna.follow(space.address)
        await anna.sync()
        own = await anna.sql("select n from things")
        assert sorted(own.rows) == [(1,), (2,)], "the person's own questions read what they follow"
        latest = f'{everything}\nwindow = {{ field = "at", last = 1, until = "latest" }}'
        assert await rows(anna, reading(rest=everything)) == [("mine", 1)]
        assert await rows(anna, reading("open_things", rest=everything)) == []
        assert await rows(anna, reading("open_things", rest=latest)) == []
        await anna.collection(FOLLOWED).put({"kind": "dataset", "dataset": "things"}, id=space.id)
        assert await rows(anna, reading(rest=everything)) == [("mine", 1)]
        assert await rows(anna, reading("open_things", rest=everything)) == [("theirs", 2)]
        # What the person said to publish, and has no part in any more.
        await anna.collection(FOLLOWED).put({"kind": "published", "dataset": "things"}, id=space.id)
        assert await rows(anna, reading(rest=everything)) == [("mine", 1)]


@pytest.mark.parametrize("record", [{"at": "theirs", "n": 2}, {}], ids=["fields", "none"])
async def test_a_collection_of_another_case_is_another(tmp_path: Path, record: dict[str, Any]) -> None:
    """SQL can't tell "Things" from "things": where somebody who is followed has the one, a job that may read it is
    given nothing of the person's other one. Nor does a collection called as a function of SQL keep jobs from reading,
    or the person's own questions."""
    everything = 'spaces = "all"'
    async with relay(tmp_path) as server, persons(tmp_path, "city", "anna", relay=server.url) as (city, anna):
        space = await city.create_space("Offers", public=True)
        for collection in ("things", "Notes", "json_each"):
            await space.collection(collection).put(record)
        await anna.collection("Things").put({"at": "secret", "n": 1})
        await anna.collection("notes").put({"at": "mine", "n": 3, "tags": ["a"]})
        await city.sync()
        await anna.follow(space.address)
        await anna.sync()
        for rest in ("", everything):
            assert await rows(anna, reading("notes", rest=rest)) == [("mine", 3)]
            assert await rows(anna, reading(rest=rest)) == []
        assert (await anna.sql("select value from Notes, json_each(tags)")).rows == [("a",)]
        assert (await anna.sql("select n from THINGS")).rows == [(1,)]


async def test_a_member_spoils_no_job_by_another_case(empty_home: chez.Home) -> None:
    """Both are of spaces where the person belongs: each job is given the collection that it names, and the fields."""
    family = await empty_home.create_space("family")
    await empty_home.collection("things").put({"at": "mine", "n": 1})
    await family.collection("THINGS").put({"at": "theirs", "n": 2})
    await empty_home.collection("notes").put({"at": "2026-11-20", "n": 3})
    await family.collection("notes").put({"AT": "2026-11-20", "N": 4})
    for rest in ("", 'spaces = "all"'):
        assert await rows(empty_home, reading(rest=rest)) == [("mine", 1)]
        found = await rows(empty_home, reading("notes", rest=f'{rest}\nwindow = {{ field = "at", last = 9 }}'))
        assert found == [("2026-11-20", 3)]
    with pytest.raises(InvalidValue, match="upper and lower case"):
        await empty_home.sql("select n from things")


async def test_too_few_rows_do_not_run_and_leave_none(home: chez.Home, runtime: Runtime) -> None:
    """Below `min_rows` the job is not started, the person is told why, and the provider reads "none"."""
    job = bundle(reads=READS.replace('fields = ["local"', 'min_rows = 97\nfields = ["local"'))
    tables = await granted_tables(home, job.manifest, TODAY)
    done = await execute(runtime, job, tables, bytes(32), TODAY.isoformat())
    assert (done.admitted, done.run.outcome, done.run.fuel) == (None, Outcome.FAILED, 0)
    assert done.problem == "readings has 96 rows in its scope, and the job needs 97"
    departure = await run_once(home, (await grant(home, job)).grant.id, runtime)
    assert opened(departure).outcome == "none"
    enough = bundle(version=2, reads=READS.replace('fields = ["local"', 'min_rows = 96\nfields = ["local"'))
    assert (await run_once(home, (await grant(home, enough, 2)).grant.id, runtime)).result == b'{"watts":150}'


async def test_more_rows_or_values_than_a_run_may_have_are_refused(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are counted for each table and values over all tables, and the error says what would help."""
    for name in ("MAX_ROWS", "MAX_CELLS"):
        with monkeypatch.context() as patched:
            patched.setattr(scope, name, 95)
            with pytest.raises(NotAllowed, match="shorter window"):
                await rows(home, READS)
        with monkeypatch.context() as patched:
            patched.setattr(scope, name, 2 * 96)
            assert len(await rows(home, READS)) == 96
    both = parse_manifest(manifest_text(reads=READS + reading("diary", '"text"')))
    monkeypatch.setattr(scope, "MAX_CELLS", 2 * 96 + 1)
    assert [len(table.rows) for table in await granted_tables(home, both, TODAY)] == [96, 1]
    for most, over, named in ((2 * 96, both, "diary"), (2 * 96 - 1, parse_manifest(manifest_text()), "readings")):
        monkeypatch.setattr(scope, "MAX_CELLS", most)
        with pytest.raises(NotAllowed, match=named):
            await granted_tables(home, over, TODAY)


JOIN = b"""
def run(data, params):
    rows = data.query('''
        select sum(r.watts * t.price) as cost from readings r
        join tariffs t on t.hour = cast(substr(r.local, 12, 2) as integer)
    ''')
    return {"watts": rows[0]["cost"]}
"""


async def test_granted_collections_are_joined_in_sql(home: chez.Home, runtime: Runtime) -> None:
    """One statement reads across the granted tables, and only across these."""
    await home.collection("tariffs").put_many([{"hour": 18, "price": 1}, {"hour": 3, "price": 2}])
    both = READS + reading("tariffs", '"hour", "price"')
    departure = await run_once(home, (await grant(home, bundle(JOIN, reads=both))).grant.id, runtime)
    assert departure.result == b'{"watts":2400}'
    alone = await run_once(home, (await grant(home, bundle(JOIN, version=2), 2)).grant.id, runtime)
    assert alone.result is None


def granted() -> Tables:
    """Two granted tables as the worker has them."""
    heads = [TableHead("readings", ("local", "watts"), 1), TableHead("tariffs", ("hour",), 1)]
    tables = Tables(heads, Budget(Limits(), lambda: False))
    tables.add(0, [("2026-11-20T00:00", 100)])
    tables.add(1, [(18,)])
    return tables


NAMES = st.one_of(
    st.sampled_from([
        "diary", "sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_sequence", "sqlite_stat1", "record",
        "space", "meta", "dbstat", "pragma_table_list", "sqlite_dbpage", "readings2", "reading", "json_tree",
    ]),
    st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True), st.text(max_size=8),
)  # fmt: skip
STATEMENTS = (
    "select * from {n}", "select count(*) as n from {n}", "select 1 as one from readings, {n}",
    "select (select 1 from {n}) as x from readings", "with w as (select * from {n}) select 1 as x from w",
    "select 1 as x from readings where exists (select 1 from {n})", "select * from main.{n}", "select * from temp.{n}",
    "select hour from tariffs union all select 1 from {n}", "select 1 as x from readings left join {n} on true",
    "select watts in {n} as x from readings",
)  # fmt: skip
GRANTED = {"readings", "tariffs"}


@settings(max_examples=tries(300), deadline=None)
@given(NAMES, st.sampled_from(STATEMENTS), st.sampled_from(['"{}"', "{}", "[{}]", "`{}`"]))
def test_a_table_that_is_not_granted_can_not_be_named(name: str, statement: str, quotes: str) -> None:
    """In whatever place and quotes a statement names another table, it is refused; batches of it, too."""
    if name.lower() in GRANTED or (quotes == "{}" and not re.fullmatch(r"[a-z_][a-z0-9_]*", name)):
        return
    if {'"': '"', "[": "]", "`": "`"}.get(quotes[0], "\0") in name or "\0" in name:
        return  # it would end the quotes: then it is another statement, as test_sql.py tries them
    with pytest.raises(Refusal):
        granted().query(statement.format(n=quotes.format(name)), "[]")
    with pytest.raises(Refusal):
        granted().next_batch(name, 10)


@settings(max_examples=tries(200), deadline=None)
@given(NAMES, st.sampled_from(["select {n} from readings", "select max({n}) as m from readings",
                               "select 1 as x from readings order by {n}"]))  # fmt: skip
def test_a_field_that_is_not_granted_gives_nothing(name: str, statement: str) -> None:
    """A field outside the grant is refused, or (SQLite's reading of unknown quoted names) its own name as text."""
    if name.lower() in {"local", "watts", "rowid", "_rowid_", "oid"} or '"' in name or "\0" in name:
        return
    try:
        answer = granted().query(statement.format(n=f'"{name}"'), "[]")
    except (Refusal, Stop):
        return
    assert {value for row in msgspec.json.decode(answer) for value in row.values()} <= {name, 1}


def test_the_number_of_a_row_says_nothing_beyond_its_place() -> None:
    """`rowid` is the row's place in the handed table, never the store's own number."""
    assert granted().query("select rowid as r from readings", "[]") == '[{"r":1}]'


async def test_a_job_reads_by_batches_and_by_sql_alike(home: chez.Home, runtime: Runtime) -> None:
    """Rows come in the grant's order in batches, and a statement sees the same rows."""
    code = b"""
def run(data, params):
    rows = list(data.rows("readings"))
    assert rows == sorted(rows, key=lambda row: row["local"]) and rows == data.query("select * from readings")
    return {"watts": 10 * len(rows)}
"""
    departure = await run_once(home, (await grant(home, bundle(code))).grant.id, runtime)
    assert departure.result == b'{"watts":960}'


@pytest.mark.parametrize("until", ["latest", "run-date"])
async def test_a_window_is_by_any_field_that_there_is(home: chez.Home, until: str) -> None:
    """Also by one that the job does not read; of a field or a collection that there is none of there is no row, and no
    window that was answered."""
    for of, by, count in (("readings", "local", 96), ("readings", "never", 0), ("nothing", "local", 0)):
        window = f'window = {{ field = "{by}", last = 365, until = "{until}" }}'
        manifest = parse_manifest(manifest_text(reads=reading(of, '"watts"', window)))
        ((table,), (between,)) = await granted_scope(home, manifest, TODAY)
        assert (len(table.rows), between is not None) == (count, count > 0)
        assert await read_windows(home, manifest, TODAY) == [between]


async def test_tables_are_as_the_manifest_orders_them(home: chez.Home) -> None:
    """A table's columns stand in the manifest's order, also when no row is there."""
    reads = READS.replace('"local", "watts"', '"watts", "_id", "local"') + reading("none", '"b", "a"')
    tables = await granted_tables(home, parse_manifest(manifest_text(reads=reads, rest=RESULT)), TODAY)
    assert [table.columns for table in tables] == [("watts", "_id", "local"), ("b", "a")]
    assert tables[1] == Table("none", ("b", "a"), [])

"""What SQL a job may run: attacked through the runtime and by generated statements."""

import gc
import sqlite3
import weakref
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez_sandbox.runtime.host import Limits, Outcome, Runtime
from chez_sandbox.runtime.messages import TableHead
from chez_sandbox.runtime.tables import Budget, Refusal, Stop, Tables
from tests.tries import tries

from .jobs import job, run

REFUSED = [
    "attach 'x.db' as x",
    "attach ':memory:' as x",
    "detach main",
    "pragma table_info(readings)",
    "pragma temp_store",
    "select * from pragma_table_info('readings')",
    "select * from pragma_function_list",
    "select * from sqlite_master",
    "select * from sqlite_schema",
    "select * from main.sqlite_master",
    "select * from temp.sqlite_master",
    "select count(*) from sqlite_master",
    "select (select sql from sqlite_master limit 1) from readings",
    "select load_extension('x')",
    "select random() from readings",
    "select randomblob(8) from readings",
    "select date('now')",
    "select current_timestamp",
    "select strftime('%s', 'now')",
    "select sqlite_version()",
    "select printf('%1000000d', 1)",
    "select zeroblob(1000000000)",
    "select changes(), last_insert_rowid(), total_changes()",
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n",
    "create table x(a)",
    "create temp view v as select * from readings",
    "create virtual table x using fts5(a)",
    "insert into readings values (1, 2)",
    "update readings set watts = 0",
    "delete from readings",
    "drop table readings",
    "alter table readings rename to x",
    "reindex",
    "analyze",
    "vacuum",
    "vacuum into 'x.db'",
    "begin",
    "commit",
    "savepoint x",
    "select 1; select 2",
    "select 1; attach 'x' as y",
    "select * from json_each('[1]')",
    "select * from generate_series(1, 10)",
    "select fts3_tokenizer('x')",
    "select at as a, watts as a from readings",
    "",
    "--",
    "select ?",
    "selec",
    "select x'00'",
    "select " + "(" * 200 + "1" + ")" * 200,
    "select " + " + ".join(["1"] * 5000),
    " union ".join(["select 1"] * 200),
    "select 1 \x00 from readings",
]


@pytest.fixture
def tables() -> Tables:
    """A table of three rows, without a process around."""
    return granted()


def granted(rows: int = 3, **limits: Any) -> Tables:
    heads = [TableHead("readings", ("at", "watts"), rows)]
    tables = Tables(heads, Budget(Limits(**limits), lambda: False))
    tables.add(0, [(n, n * 10) for n in range(rows)])
    return tables


@pytest.mark.parametrize("sql", REFUSED, ids=range(len(REFUSED)))
def test_a_statement_beyond_select_is_refused(tables: Tables, sql: str) -> None:
    """Each is refused with words for the author, and the tables answer as before."""
    with pytest.raises(Refusal):
        tables.query(sql, "[]")
    assert tables.query("select sum(watts) as s from readings", "[]") == '[{"s":30}]'


@pytest.mark.parametrize("parameters", ["[9223372036854775808]", "[-9223372036854775809]", "[1, 2]", "[[1]]", "{}"])
def test_parameters_that_can_not_be_bound_are_refused(tables: Tables, parameters: str) -> None:
    """Numbers beyond 64 bits, too many or no scalars: the statement is refused, and the job goes on."""
    with pytest.raises(Refusal):
        tables.query("select ? as n", parameters)
    assert tables.query("select ? as n", "[9223372036854775807]") == '[{"n":9223372036854775807}]'


def test_a_row_is_as_long_as_its_table_has_columns(tables: Tables) -> None:
    """Of a row that is none, nothing is taken: cells would stand under the names of others."""
    for row in ((1,), (1, 2, 3)):
        with pytest.raises(ValueError, match="as long as"):
            tables.add(0, [(4, 40), row])
    assert tables.query("select count(*) as n from readings", "[]") == '[{"n":3}]'


async def test_refusals_reach_the_job(runtime: Runtime) -> None:
    """Inside a run every refused statement is an exception that the job can catch, and the run goes on."""
    source = "from chez_job import QueryError\n" + job(
        "[refused, data.query('select count(*) as n from readings')]",
        "refused = 0",
        "for sql in params:",
        "    try: data.query(sql)",
        "    except QueryError: refused += 1",
    )
    result = await run(runtime, source, REFUSED)
    assert result.outcome is Outcome.OK, result.log
    assert msgspec.json.decode(result.value or b"") == [len(REFUSED), [{"n": 5000}]]


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) as n from readings a, readings b, readings c, readings d",
        "select group_concat(a.watts) as s from readings a, readings b, readings c, readings d",
        "select a.at from readings a, readings b, readings c, readings d order by b.watts, c.watts",
        "select max(length(replace(a.watts, '0', 'xx'))) as n from readings a, readings b, readings c",
    ],
)
def test_a_bomb_meets_a_limit(sql: str) -> None:
    """Joins that multiply are stopped by steps, rows or bytes."""
    with pytest.raises((Stop, Refusal)):
        granted(500, query_steps=10**6).query(sql, "[]")


BOUNDED: dict[str, Callable[[int], str]] = {
    "depth": lambda most: " + ".join(["1"] * most),
    "arguments": lambda most: f"max({', '.join(['1'] * most)})",
    "wildcards": lambda most: f"'x' like '{'%' * most}'",
    "parameters": lambda most: f"?{most}",
    "columns": lambda most: ", ".join(f"1 as c{number}" for number in range(most)),
}
MOST = {"depth": 100, "arguments": 16, "wildcards": 100, "parameters": 1000, "columns": 256}


@pytest.mark.parametrize("name", MOST)
def test_a_statement_is_as_large_as_it_may_be_and_no_larger(tables: Tables, name: str) -> None:
    """Each bound of a statement holds, and at the bound itself it is answered."""
    for more in (0, 1):
        sql, values = f"select {BOUNDED[name](MOST[name] + more)}", [0] * (MOST[name] + more)
        parameters = str(values) if name == "parameters" else "[]"
        if more:
            with pytest.raises(Refusal):
                tables.query(sql, parameters)
        else:
            assert tables.query(sql, parameters).startswith("[{")


def test_what_a_query_holds_is_bounded_and_in_no_file() -> None:
    """A query that would hold many times what its rows are ends the run, rather than going on in a temporary file."""
    gc.collect()
    text = "hex(" * 12 + "1234567890" + ")" * 12
    sql = f"select count(distinct {text} || a.at || '-' || b.at) as n from readings a, readings b"
    with pytest.raises(Stop, match="too much memory") as stopped:
        granted(40).query(sql, "[]")
    assert stopped.value.outcome is Outcome.MEMORY


LONG = "a" * 90_000  # more than a value made by a query has where rows are short


def with_texts(text: str, rows: int = 1, looks: float = float("inf")) -> tuple[Tables, Budget]:
    """A table of long texts, and time for so many looks at the clock."""
    gc.collect()  # tables that are kept by tracebacks of refused queries would count in the limit of the heap

    def expired() -> bool:
        nonlocal looks
        looks -= 1
        return looks < 0

    budget = Budget(Limits(), expired)
    tables = Tables([TableHead("t", ("n", "x"), rows)], budget)
    tables.add(0, [(n, text) for n in range(rows)])
    return tables, budget


@pytest.mark.parametrize(
    "call",
    [
        "instr(x, substr(x, 1, 45000) || 'b')",
        "replace(x, substr(x, 1, 45000) || 'b', '')",
        "trim(x, x)",
        "ltrim(x, upper(x))",
        "rtrim(x, hex(x))",
        "x like '%' || substr(x, 1, 95) || 'b'",
        "like('%' || substr(x, 1, 95) || 'b', x, '!')",
        "x glob '*' || substr(x, 1, 95) || 'b'",
    ],
)
def test_no_call_compares_two_long_texts(call: str) -> None:
    """A call whose work is the product of two long texts is refused with words, before it is made."""
    tables, budget = with_texts(LONG)
    with pytest.raises(Refusal, match="too long"):
        tables.query(f"select {call} as v from t", "[]")
    assert budget.steps < 1000


@pytest.mark.parametrize("call", ["instr(x, 'b')", "replace(x, 'b', 'c')", "x like '%aab'", "trim(x || n, 'abc')"])
def test_work_in_a_call_is_counted_and_ended(call: str) -> None:
    """What a call compares counts as steps, and the clock is looked at after each call."""
    tables, budget = with_texts(LONG, rows=40)
    tables.query(f"select count({call}) as v from t", "[]")
    assert budget.steps > 40 * len(LONG) // 512
    del tables
    tables, late = with_texts(LONG, rows=40, looks=3)
    with pytest.raises(Stop, match="outlived"):
        tables.query(f"select count({call}) as v from t", "[]")
    assert late.steps < budget.steps / 5


def test_the_longer_the_values_the_more_often_the_clock_is_looked_at() -> None:
    """A call over one text is an instruction as any other: fewer of them go by where texts are long."""
    for text, most in (("a", 500), (LONG, 150), (LONG * 10, 20)):
        tables, budget = with_texts(text, rows=3, looks=1)
        with pytest.raises(Stop, match="outlived"):
            tables.query("select count(hex(a.x)) as v from t a, t b, t c, t d, t e", "[]")
        assert budget.steps <= most


def test_long_rows_are_read_and_longer_values_are_not_made() -> None:
    """A granted text of a megabyte is read, joined, sorted and searched; where rows are short, no value gets long."""
    tables, _ = with_texts(LONG * 10, rows=2)
    tables.add(0, [(2, "z")])
    sql = "select instr(a.x, ?) as at, length(b.x) as n from t a, t b order by a.x || b.n, b.x limit 1"
    assert tables.query(sql, '["ab"]') == '[{"at":0,"n":900000}]'
    assert len(tables.query("select x from t limit 1", "[]")) > 900_000
    long = "hex(" * 8 + "1234567890" + ")" * 8
    for made in (
        "select group_concat(a.watts) as v from readings a, readings b",
        f"select length(replace(x, '3', x)) as v from (select {long} as x)",
    ):
        with pytest.raises(Refusal, match="too big"):
            granted(500).query(made, "[]")


def test_tables_are_freed_with_their_last_reference() -> None:
    """Nothing that SQLite calls leads back to the tables: the limit of its heap is the whole process's."""
    tables = granted()
    tables.query("select instr(watts, 1) as v from readings", "[]")
    freed = weakref.ref(tables)
    del tables
    assert freed() is None


VALUES = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text("aAbé%_*[]-\x00", max_size=12),
)


@settings(max_examples=tries(60), deadline=None)
@given(st.lists(VALUES, min_size=3, max_size=3))
def test_counted_functions_are_sqlites(values: list[Any]) -> None:
    """Functions whose work is counted give what SQLite gives, errors included."""
    calls = ["instr(?1, ?2)", "replace(?1, ?2, ?3)", "?1 like ?2", "like(?1, ?2, ?3)", "?1 glob ?2"]
    calls += [f"{trim}(?1, ?2)" for trim in ("trim", "ltrim", "rtrim")]
    tables, own = granted(), sqlite3.connect(":memory:")
    for call in calls:
        sql = f"select {call} as v, typeof({call}) as t, ?3 as unused"
        try:
            expected: Any = [list(own.execute(sql, values).fetchone())]
        except sqlite3.Error as problem:
            expected = str(problem)
        try:
            found = [list(row.values()) for row in msgspec.json.decode(tables.query(sql, _json(values)))]
        except Refusal as refusal:
            found = str(refusal)  # type: ignore[assignment]
        assert found == expected, call


def _json(values: list[Any]) -> str:
    return msgspec.json.encode(values).decode()


def test_what_is_allowed(tables: Tables) -> None:
    """Grouping, windows, subqueries, ordinary CTEs and text functions work."""
    sql = """
        with days as (select at / 2 as day, sum(watts) as w from readings group by 1)
        select day, w, rank() over (order by w desc) as r, upper(typeof(w)) as t
        from days where w > (select min(watts) from readings where at = ?) order by day
    """
    assert msgspec.json.decode(tables.query(sql, "[0]")) == [
        {"day": 0, "w": 10, "r": 2, "t": "INTEGER"},
        {"day": 1, "w": 20, "r": 1, "t": "INTEGER"},
    ]


WORDS = st.sampled_from(
    """
    select from where readings at watts sqlite_master pragma attach with recursive as union all join
    on group by order limit count ( ) * , ; ' " ? = < || 1 0 null x'00' load_extension random date
    'now' main . explain insert into values update set delete create table view trigger begin
    cast ( as blob ) glob like json_each over window partition returning vacuum
    """.split()
)


@settings(max_examples=tries(300), deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=30).map(" ".join)), st.text(max_size=20))
def test_any_statement_is_answered_or_refused(sql: str, parameters: str) -> None:
    """Whatever the text, the answer is JSON or a Refusal or Stop, and the rows are unchanged."""
    tables = granted(query_steps=10**6)
    for given_parameters in ("[]", parameters):
        try:
            msgspec.json.decode(tables.query(sql, given_parameters))
        except (Refusal, Stop):
            pass
    assert tables.next_batch("readings", 10) == '[{"at":0,"watts":0},{"at":1,"watts":10},{"at":2,"watts":20}]'


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)


def test_who_asks_for_all_rows_at_once_has_each_encoded_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are asked for, an answer costs what it holds, not all that is left of the table."""
    encoded, plain = 0, msgspec.json.encode

    def counting(rows: list[Any]) -> bytes:
        nonlocal encoded
        encoded += len(rows)
        return plain(rows)

    rows = [(number, "x" * 20) for number in range(20_000)]
    limits = Limits(answer=4000)
    tables = Tables([TableHead("t", ("at", "text"), len(rows))], Budget(limits, lambda: False))
    tables.add(0, rows)
    monkeypatch.setattr("msgspec.json.encode", counting)
    served = 0
    while (batch := tables.next_batch("t", 2**32 - 1)) is not None:
        served += len(msgspec.json.decode(batch))
    assert served == len(rows) and encoded < 6 * len(rows)


@settings(max_examples=tries(100), deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=30), st.integers(0, 2**32 - 1), st.integers(60, 4000))
def test_batches_are_the_rows(rows: list[tuple[Any, Any]], most: int, answer: int) -> None:
    """Whatever the batch size and answer limit, the batches are the rows in order, or one is refused."""
    tables = Tables([TableHead("t", ("a", "b"), len(rows))], Budget(Limits(answer=answer), lambda: False))
    tables.add(0, rows)
    got: list[dict[str, Any]] = []
    try:
        while (batch := tables.next_batch("t", most)) is not None:
            assert len(batch.encode()) <= answer
            got += msgspec.json.decode(batch)
    except Refusal:
        assert any(len(msgspec.json.encode([dict(zip("ab", row, strict=True))])) > answer for row in rows)
    else:
        assert got == [{"a": a, "b": b} for a, b in rows]

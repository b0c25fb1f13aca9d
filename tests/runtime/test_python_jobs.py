"""Python jobs that behave: what they see and what they may use."""

import msgspec
import pytest

from chez_sandbox.errors import BadInput
from chez_sandbox.runtime.execution import FAILS
from chez_sandbox.runtime.guest.chez_job import CODES, MODULES
from chez_sandbox.runtime.host import Limits, Outcome, RunResult, Runtime, Table, doctor

from .jobs import READINGS, job, run


def value(result: RunResult) -> object:
    assert result.outcome is Outcome.OK, (result.outcome, result.log)
    assert result.value is not None
    return msgspec.json.decode(result.value)


async def test_a_job_sees_params_and_answers_json(runtime: Runtime) -> None:
    """Parameters go in as JSON and the result comes out as JSON."""
    assert value(await run(runtime, job("{'twice': params['n'] * 2}"), {"n": 21})) == {"twice": 42}


async def test_rows_come_whole_and_in_order(runtime: Runtime) -> None:
    """`data.rows` yields every granted row, in the grant's order, as dicts."""
    rows = ((1, "é", None), (2, "", 2.5), (3, "\x00'\"", True))
    table = Table("things", ("n", "text", "more"), rows)
    source = job("[[r['n'], r['text'], r['more']] for r in data.rows('things')]")
    got = value(await run(runtime, source, tables=(table,)))
    assert got == [list(row) for row in rows]


async def test_more_rows_than_a_batch(runtime: Runtime) -> None:
    """Rows that take several messages and batches arrive once each."""
    source = job("[len(rows), rows[0], rows[-1]]", "rows = list(data.rows('readings'))")
    got = value(await run(runtime, source))
    assert got == [5000, {"at": 0, "watts": 200}, {"at": 4999, "watts": 200 + 4999 % 7}]


async def test_sql_over_granted_tables(runtime: Runtime) -> None:
    """`data.query` answers a SELECT with parameters, joins included, as dicts."""
    names = Table("names", ("at", "name"), ((1, "one"), (2, "two")))
    sql = "select n.name, r.watts from readings r join names n on n.at = r.at where r.at > ? order by 1"
    got = value(await run(runtime, job(f"data.query({sql!r}, 1)"), tables=(READINGS, names)))
    assert got == [{"name": "two", "watts": 202}]


async def test_rows_and_sql_together(runtime: Runtime) -> None:
    """A job can query first and iterate then; the query does not move the cursor."""
    lines = "n = data.query('select count(*) as n from readings')[0]['n']"
    assert value(await run(runtime, job("[n, sum(1 for r in data.rows('readings'))]", lines))) == [5000, 5000]


async def test_the_same_run_gives_the_same_bytes(runtime: Runtime) -> None:
    """Same source, rows, parameters, seed and date: same bytes, outcome and fuel; another seed differs."""
    source = "import random\n" + job("[random.random(), str({'a', 'b'}), hash('x'), str(data.run_date)]")
    first, again, other = [await run(runtime, source, seed=seed) for seed in (b"one", b"one", b"two")]
    assert (first.value, first.fuel, first.outcome) == (again.value, again.fuel, again.outcome)
    assert first.value != other.value
    assert value(first)[3] == "2026-11-24"  # type: ignore[index]


async def test_nothing_stays_from_one_run_to_the_next(runtime: Runtime) -> None:
    """What a job leaves in a module is gone in the next run."""
    source = "import math\n" + job("seen", "seen = hasattr(math, 'left')", "math.left = 1")
    assert [value(await run(runtime, source)) for _ in range(2)] == [False, False]


async def test_each_allowed_module_imports(runtime: Runtime) -> None:
    """Every module on the list can be imported, whole and by name."""
    names = sorted(MODULES)
    imports = (f"import {name} as whole{n}\nfrom {name} import __name__ as part{n}\n" for n, name in enumerate(names))
    pairs = ", ".join(f"[whole{n}.__name__, part{n}]" for n in range(len(names)))
    source = "".join(imports) + job(f"[{pairs}]")
    assert value(await run(runtime, source)) == [[name, name] for name in names]


async def test_what_a_job_of_a_page_uses(runtime: Runtime) -> None:
    """Dates, decimals, dataclasses, enums, regexes and formatting work without a file behind them."""
    source = """
from __future__ import annotations
import datetime, decimal, enum, re, statistics, typing
from collections.abc import Mapping
from dataclasses import dataclass, field

class Colour(enum.StrEnum):
    BLUE = "blue"

@dataclass(frozen=True, slots=True)
class Day:
    on: datetime.date
    colour: Colour = Colour.BLUE
    hours: list[int] = field(default_factory=list)

class Pair(typing.NamedTuple):
    a: int
    b: int = 2

def run(data: typing.Any, params: Mapping[str, int]) -> object:
    at = datetime.datetime.strptime("2026-01-31 23:30", "%Y-%m-%d %H:%M")
    return [Day(at.date()).colour, at.strftime("%A"), str(decimal.Decimal("1.10") * 3),
            re.findall(r"\\d+", "a1b22"), statistics.median([1, 5, 2]), Pair(1), f"{1234.5:,.2f}",
            at.replace(tzinfo=datetime.UTC).isoformat()]
"""
    assert value(await run(runtime, source)) == [
        "blue", "Saturday", "3.30", ["1", "22"], 2, [1, 2], "1,234.50", "2026-01-31T23:30:00+00:00"
    ]  # fmt: skip


@pytest.mark.parametrize("code", [code for code in CODES if code not in ("out-of-memory", "too-deep")])
async def test_a_job_fails_with_a_code(runtime: Runtime, code: str) -> None:
    """`data.fail` and `JobFailed` end the run as FAILED with that code; the words stay in the log."""
    result = await run(runtime, job("1", f"data.fail({code!r}, 'a private word')"))
    assert (result.outcome, result.code, result.value) == (Outcome.FAILED, code, None)
    assert "a private word" in result.log
    raised = await run(runtime, "from chez_job import JobFailed\n" + job("1", f"raise JobFailed({code!r})"))
    assert (raised.outcome, raised.code) == (Outcome.FAILED, code)


def test_one_closed_set_of_failures() -> None:
    """Guest and host know the same failures."""
    assert CODES == FAILS


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (job("1 / 0"), "job.py:2 in run: return 1 / 0\nZeroDivisionError"),
        ("def run(data, params:\n", "SyntaxError: '(' was never closed (job.py:1)"),
        ("x = 1\n", "the job has no function run(data, params)"),
        (job("object()"), "TypeError: Object of type object is not JSON serializable"),
        (job("float('nan')"), "ValueError: Out of range float values are not JSON compliant"),
        (job("[]", "raise KeyboardInterrupt"), "KeyboardInterrupt"),
        (job("[]", "raise ValueError('\\ud800')"), "ValueError: ?"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
    ],
)
async def test_a_bug_is_a_failure_with_a_traceback(runtime: Runtime, source: str, words: str) -> None:
    """Whatever a job raises is FAILED `internal`, with line numbers in the local log only."""
    result = await run(runtime, source)
    assert (result.outcome, result.code, result.value) == (Outcome.FAILED, "internal", None)
    assert words in result.log


async def test_print_goes_to_the_local_log(runtime: Runtime) -> None:
    """`print` and `data.log` write to the log, not to the result."""
    result = await run(runtime, job("1", "print('a', 1)", "data.log('b')"))
    assert (result.value, result.log) == (b"1", "a 1\nb")


async def test_progress_is_told(runtime: Runtime) -> None:
    """`on_progress` hears of rows read, rising, up to all of them."""
    heard: list[tuple[int, int]] = []
    source = job("sum(1 for r in data.rows('readings'))")
    await runtime.run_python(
        source, b"null", (READINGS,), Limits(answer=4000), b"s", "2026-11-24",
        on_progress=lambda done, total: heard.append((done, total)),
    )  # fmt: skip
    assert heard == sorted(heard)
    assert len(heard) > 10
    assert heard[-1][1] == 5000


async def test_the_result_names_the_runtime_and_the_walls(runtime: Runtime) -> None:
    """A result carries the runtime's hash and the walls that stood, as doctor finds them."""
    result = await run(runtime, job("1"))
    assert result.runtime == await runtime.runtime_hash()
    assert result.walls == await doctor(runtime)


@pytest.mark.parametrize(
    "change",
    [
        {"params": b"{"},
        {"params": b"\xff"},
        {"params": b'"' + b"x" * (1 << 20) + b'"'},
        {"source": "\ud800"},
        {"source": "#" * (1 << 21)},
        {"seed": b""},
        {"seed": b"s" * 65},
        {"run_date": "yesterday"},
        {"limits": Limits(fuel=0)},
        {"limits": Limits(seconds=0)},
        {"limits": Limits(output=0)},
        {"limits": Limits(log=1 << 22)},
        {"limits": Limits(output=1 << 30)},
        {"tables": [Table("a b", ("x",), [])]},
        {"tables": [Table("sqlite_master", ("x",), [])]},
        {"tables": [Table("a", (), [])]},
        {"tables": [Table("a", tuple(f"x{n}" for n in range(201)), [])]},
        {"tables": [Table("a", ("x", "X"), [])]},
        {"tables": [Table("a", ("x",), []), Table("A", ("x",), [])]},
        {"tables": [Table("a", ("x",), [(1, 2)])]},
        {"tables": [Table("a", ("x",), [(b"bytes",)])]},  # type: ignore[list-item]
        {"tables": [Table("a", ("x",), [(1 << 70,)])]},
        {"tables": [Table("a", ("x",), [("\ud800",)])]},
        {"tables": [Table("a", ("x",), [("x" * (9 << 20),)])]},
    ],
)
async def test_what_cannot_be_handed_over_is_said(runtime: Runtime, change: dict[str, object]) -> None:
    """Bad parameters, names, cells or limits of the caller are BadInput, before or while sending."""
    call = {"source": job("1"), "params": b"1", "tables": [], "limits": Limits(), "seed": b"s"}
    call["run_date"] = "2026-11-24"
    with pytest.raises(BadInput):
        await runtime.run_python(**{**call, **change})  # type: ignore[arg-type]

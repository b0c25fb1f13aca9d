"""One negative test per limit: just enough passes, one less does not."""

from dataclasses import fields

import pytest
import wasmtime
from wasmtime import component as wc

from chez_sandbox.runtime.host import Limits, Outcome, Runtime, Table

from .jobs import READINGS, component, job, run
from .test_hostile_jobs import run_bare

TABLE_GROWTH = component(
    extra="(table 1 funcref)",
    run="(drop (table.grow (ref.null func) (i32.const 100000)))"
    " (if (i32.ne (table.size) (i32.const 100001)) (then unreachable))"
    " (i32.store (i32.const 4) (local.get 0)) (i32.store (i32.const 8) (local.get 1)) (i32.const 0)",
)
QUERY = job("len(data.query('select * from readings'))")
CROSS = job("data.query('select count(*) as n from readings a, readings b')[0]['n'] > 0")

# limit: (source, generous, met, outcome when it is met)
CASES: dict[str, tuple[str, object, object, Outcome]] = {
    "fuel": (job("sum(range(10**5))"), 10**9, 10**6, Outcome.FUEL),
    "memory": (job("len(bytearray(30 << 20))"), 128 << 20, 24 << 20, Outcome.MEMORY),
    "seconds": (job("sum(range(10**6))"), 50.0, 0.01, Outcome.TIME),
    "output": (job("'x' * 998"), 1000, 999, Outcome.REFUSED),
    "calls": (job("[str(data.run_date) for _ in range(50)]"), 54, 53, Outcome.FUEL),
    "answer": (job("data.query('select at from readings limit 10')"), 200, 50, Outcome.FAILED),
    "data": (job("sum(1 for r in data.rows('readings'))"), 1 << 20, 10_000, Outcome.FUEL),
    "query_steps": (CROSS, 10**9, 10**5, Outcome.FUEL),
    "query_rows": (QUERY, 5000, 4999, Outcome.FAILED),
}


@pytest.mark.parametrize("limit", CASES)
async def test_a_limit_that_is_met_ends_the_run(runtime: Runtime, limit: str) -> None:
    """With the limit generous the job succeeds; with the limit met it ends in that limit's outcome."""
    source, generous, met, outcome = CASES[limit]
    room = {"fuel": 10**11, limit: generous}
    assert (result := await run(runtime, source, **room)).outcome is Outcome.OK, result.log
    result = await run(runtime, source, **{**room, limit: met})
    assert (result.outcome, result.value) == (outcome, None), result.log


@pytest.mark.slow
@pytest.mark.parametrize("limit", CASES)
def test_a_limit_holds_in_the_component_alone(bare: tuple[wasmtime.Engine, wc.Component], limit: str) -> None:
    """With no process and no operating system's wall around, the same limit ends the run in the same outcome."""
    source, _, met, outcome = CASES[limit]
    limits = Limits(**{"fuel": 10**11, limit: met})  # type: ignore[arg-type]
    done = run_bare(*bare, source, limits)
    assert (done.outcome, done.value) == (outcome, None), done.log


async def test_the_log_is_cut(runtime: Runtime) -> None:
    """A log longer than its limit is cut, in whole characters; the run goes on."""
    result = await run(runtime, job("1", "for _ in range(100): print('é' * 50)"), log=333)
    assert result.outcome is Outcome.OK
    assert 300 < len(result.log.encode()) <= 333
    result = await run(runtime, job("1", "for _ in range(1000): print()"), log=333)
    assert result.log == "\n" * 332


async def test_batches_shrink_to_the_answer_limit(runtime: Runtime) -> None:
    """Rows that don't fit one answer come in more, smaller ones; a row that does not fit is refused."""
    source = job("sum(r['at'] for r in data.rows('readings'))")
    few = Table("readings", READINGS.columns, READINGS.rows[:300])
    assert (await run(runtime, source, tables=(few,), answer=100)).value == str(sum(range(300))).encode()
    wide = Table("readings", ("at",), (("x" * 1000,),))
    assert (await run(runtime, source, tables=(wide,), answer=100)).outcome is Outcome.FAILED


async def test_table_elements_are_limited(runtime: Runtime) -> None:
    """A WebAssembly table does not grow beyond the limit."""
    grow = await runtime.run_component(TABLE_GROWTH, b"1", (), Limits(tables=200_000), b"s", "2026-11-24")
    assert grow.outcome is Outcome.OK, grow.log
    met = await runtime.run_component(TABLE_GROWTH, b"1", (), Limits(), b"s", "2026-11-24")
    assert met.outcome is Outcome.CRASHED


async def test_instances_are_limited(runtime: Runtime) -> None:
    """A component of more core instances than the limit is refused."""
    assert (await run(runtime, job("1"), instances=3)).outcome is Outcome.REFUSED


def test_every_limit_has_its_test() -> None:
    """A limit that is added without a negative test fails here."""
    elsewhere = {"log", "tables", "instances"}
    assert set(CASES) | elsewhere == {field.name for field in fields(Limits)}
    assert READINGS.rows

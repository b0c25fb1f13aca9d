"""Jobs that attack: each ends in its fixed outcome with nothing to hand out, behind two walls and one."""

import pytest
import wasmtime
from wasmtime import component as wc

from chez_sandbox.runtime.execution import Instance, execute
from chez_sandbox.runtime.host import Limits, Outcome, RunResult, Runtime
from chez_sandbox.runtime.messages import Done, Start, TableHead
from chez_sandbox.runtime.tables import Budget, Tables
from chez_sandbox.runtime.worker import Ticker

from .jobs import READINGS, job, run

LOOP = job("1", "while True: pass")

ATTACKS = {
    "loops until the fuel is gone": (LOOP, {"fuel": 10**8}, Outcome.FUEL),
    "loops until the time is over": (LOOP, {"fuel": 10**15, "seconds": 0.5}, Outcome.TIME),
    "allocates": (job("1", "a = []", "while True: a.append(bytearray(1 << 20))"), {}, Outcome.MEMORY),
    "allocates one giant": (job("'x' * (1 << 30)"), {}, Outcome.MEMORY),
    "nests until freeing overflows": (job("1", "a = 0", "for _ in range(10**6): a = [a]"), {}, Outcome.STACK),
    "recurses": ("def f(n):\n    return f(n + 1)\n" + job("f(0)"), {}, Outcome.STACK),
    "recurses in the parser": (job("eval('(' * 5000)"), {}, Outcome.STACK),
    "computes a giant number": (job("str(9 ** 9 ** 9)"), {"fuel": 10**9}, Outcome.FUEL),
    "backtracks": (
        "import re\n" + job("bool(re.match('(a+)+$', 'a' * 40 + 'b'))"), {"fuel": 10**9}, Outcome.FUEL),
    "opens a file": (job("open('/etc/passwd').read()"), {}, Outcome.FAILED),
    "opens a file behind the builtins": (
        "import random\n" + job("str(random._os.open('/etc/passwd', 0))"), {}, Outcome.CRASHED),
    "imports socket": ("import socket\n" + job("1"), {}, Outcome.FAILED),
    "imports subprocess": ("import subprocess\n" + job("1"), {}, Outcome.FAILED),
    "imports ctypes": ("import ctypes\n" + job("1"), {}, Outcome.FAILED),
    "imports the WIT bindings": ("import wit_world\n" + job("1"), {}, Outcome.FAILED),
    "imports through importlib's own loader": (
        job("m('socket')", "m = __builtins__['__loader__'].load_module"), {}, Outcome.FAILED),
    "imports threading": ("import threading\n" + job("1"), {}, Outcome.FAILED),
    "starts a thread behind the builtins": (
        job("m('_thread').start_new_thread(print, ())", "m = __builtins__['__loader__'].load_module"),
        {}, Outcome.FAILED),
    "reads the environment": ("import os\n" + job("os.environ['HOME']"), {}, Outcome.FAILED),
    "reads the environment of a module it may have": (
        "import random\n" + job("random._os.environ['HOME']"), {}, Outcome.FAILED),
    "takes os from a module it may have": (
        "import random\n" + job("random._os.listdir('/')"), {}, Outcome.CRASHED),
    "asks os for a process": (
        "import random\n" + job("random._os.system('id')"), {}, Outcome.FAILED),
    "reads the clock": ("import time\n" + job("time.time()"), {}, Outcome.FAILED),
    "reads the clock by datetime": (
        "import datetime\n" + job("str(datetime.datetime.now())"), {}, Outcome.CRASHED),
    "asks for entropy": ("import random\n" + job("random.SystemRandom().random()"), {}, Outcome.CRASHED),
    "leaves by os._exit": ("import random\n" + job("random._os._exit(0)"), {}, Outcome.CRASHED),
    "aborts": ("import random\n" + job("random._os.abort()"), {}, Outcome.CRASHED),
    "reads an ungranted table": (job("list(data.rows('salaries'))"), {}, Outcome.FAILED),
    "queries an ungranted table": (job("data.query('select * from salaries')"), {}, Outcome.FAILED),
    "answers too much": (job("'x' * 100_000"), {}, Outcome.REFUSED),
    "answers no JSON": (
        "import json\n" + job("1", "json.JSONEncoder.encode = lambda *_: '{'"), {}, Outcome.REFUSED),
    "floods the log": (job("1", "while True: print('x' * 1000)"), {"calls": 5000}, Outcome.FUEL),
    "calls the host without end": (job("1", "while True: data.run_date"), {"calls": 5000}, Outcome.FUEL),
    "swallows every exception": (
        job("1", "while True:", "    try:", "        data.run_date", "    except BaseException: pass"),
        {"calls": 5000}, Outcome.FUEL),
    "crashes the interpreter": (
        job("f.__class__(f.__code__.replace(co_code=b'\\xff' * 64), {})()", "f = lambda: 0"),
        {"fuel": 10**9}, None),
}  # fmt: skip


def check(name: str, result: RunResult | Done, expected: Outcome | None) -> None:
    if expected is None:  # whatever it is, it is an outcome and nothing comes out
        assert result.outcome is not Outcome.OK, name
    else:
        assert result.outcome is expected, (name, result.outcome, result.log[-400:])
    assert result.value is None
    assert len(result.log) < 70_000


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_ends_in_its_outcome(runtime: Runtime, name: str) -> None:
    """Each attack ends in its one fixed outcome, without a value; the engine goes on."""
    source, limits, expected = ATTACKS[name]
    check(name, await run(runtime, source, **limits), expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ATTACKS)
def test_the_component_is_a_wall_by_itself(bare: tuple[wasmtime.Engine, wc.Component], name: str) -> None:
    """The same attacks with no process and no operating system's wall around: same outcomes."""
    source, options, expected = ATTACKS[name]
    limits = Limits(**options)  # type: ignore[arg-type]
    check(name, run_bare(*bare, source, limits), expected)


def run_bare(
    engine: wasmtime.Engine,
    component: wc.Component,
    source: str | None,
    limits: Limits,
    params: str = "null",
    ahead: Instance | None = None,
) -> Done:
    """One run in this very process; without a source the component is the job."""
    heads = [TableHead(READINGS.name, READINGS.columns, len(READINGS.rows))]
    ticker = Ticker(engine)
    budget = Budget(limits, lambda: ticker.expired)
    tables = Tables(heads, budget)
    tables.add(0, list(READINGS.rows))
    start = Start(source, params, "2026-11-24", b"s", limits, heads)
    return execute(engine, component, start, tables, budget, ticker, ahead=ahead)

"""The Python runtime: the component that runs every job that is Python source.

Built once (bin/build-runtime): this module is imported at build time and the memory
image after that import *is* the component, so everything a job may use has to be
loaded, and warmed, here. Later an import would look for files, and with no WASI behind
it the look itself traps; so the search path is emptied at the end and a late import is
an ordinary ImportError.
"""

# mypy: ignore-errors
# (The bindings it imports are generated into the component and exist nowhere else.)

import datetime
import json
import statistics
import sys

import wit_world
from chez_job import CODES, JobFailed, QueryError, execute
from componentize_py_types import Err
from wit_world import Fail
from wit_world.imports import data

_FAILS = dict(zip(CODES, Fail, strict=True))

# For a syntax error the compiler opens the file of this name, and with no WASI the open
# traps. A lone surrogate can't be a path, so that it gives up before opening.
_FILE = "job.py\ud800"


class _Host:
    """The WIT imports, with their errors as exceptions a job can catch."""

    def query(self, sql: str, parameters: str) -> str:
        try:
            return data.query(sql, parameters)
        except Err as refusal:
            raise QueryError(str(refusal.value)) from None

    def next_batch(self, table: str, max_rows: int) -> str | None:
        try:
            return data.next_batch(table, max_rows)
        except Err as refusal:
            raise QueryError(str(refusal.value)) from None

    def run_date(self) -> str:
        return data.run_date()

    def random(self) -> int:
        return data.random()

    def log(self, line: str) -> None:
        data.log(line.encode("utf-8", "replace").decode())


def _trace(problem: BaseException, source: str) -> str:
    """A traceback of the job's own frames, without the file access of `traceback`."""
    lines = source.splitlines()
    text = []
    frame = problem.__traceback__
    while frame is not None:
        code, number = frame.tb_frame.f_code, frame.tb_lineno
        if code.co_filename == _FILE:
            line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
            text.append(f"  job.py:{number} in {code.co_name}: {line}")
        frame = frame.tb_next
    # The first frames and the last ones tell a deep recursion.
    if len(text) > 20:
        text[10:-10] = [f"  ... {len(text) - 20} more"]
    if isinstance(problem, SyntaxError):
        words = f"{problem.msg} (job.py:{problem.lineno})"
    else:
        words = problem.args[-1] if isinstance(problem, JobFailed) else str(problem)
    return "\n".join([*text, f"{type(problem).__name__}: {words}"])


class WitWorld(wit_world.WitWorld):
    """The world `python-job`."""

    def run(self, source: str, params: str) -> str:
        """Runs one job. An exception that got out of here would trap without a word."""
        try:
            return execute(source, params, _Host(), _FILE)
        except JobFailed as failure:
            code, problem = failure.code, failure
        except MemoryError as failure:
            code, problem = "out-of-memory", failure
        except RecursionError as failure:
            code, problem = "too-deep", failure
        except BaseException as failure:
            code, problem = "internal", failure
        try:
            _Host().log(_trace(problem, source))
        except BaseException:
            pass  # telling why must not change the outcome
        raise Err(_FAILS[code])


def _warm() -> None:
    """Fills the caches and runs the lazy imports that a job would meet."""
    datetime.datetime.strptime("2026-01-31 10:00", "%Y-%m-%d %H:%M")
    datetime.date(2026, 1, 31).strftime("%A %d %B")
    statistics.quantiles([1.0, 2.0, 3.0])
    json.dumps({"a": [1, 2.5, None, True, "é"]}, separators=(",", ":"), allow_nan=False)
    json.loads('{"a": [1, 2.5, null, true, "é"]}')
    for encoding in ("utf-8", "ascii", "latin-1", "utf-16", "idna"):
        "a".encode(encoding)
    _trace(ValueError("x"), "")


_warm()
sys.path.clear()

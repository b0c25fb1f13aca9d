"""What a Python job sees, inside the component and under plain Python alike.

A job is one module with

    def run(data, params):
        ...
        return result          # anything `json.dumps` takes, without NaN

`data.rows("table")` yields dicts; `data.query(sql, *parameters)` returns a list of
dicts; `data.run_date` is a `datetime.date`; `data.log(text)` (and `print`) writes to
a log that never leaves the device; `data.fail(code)` ends the run with one of `CODES`.
Only the modules in `MODULES` can be imported. The `random` module is seeded from the
run, so a replay gives the same numbers.

This file imports no WIT binding: the component's `app.py` passes a `Host`, and so does
a provider's test or a benchmark that runs the same source natively (with tracebacks).
"""

import __future__  # noqa: F401 - so that a job's own `from __future__ import annotations` finds it

import _strptime  # type: ignore[import-not-found]  # noqa: F401 - datetime.strptime imports it late
import bisect
import builtins
import calendar
import collections
import collections.abc
import contextlib
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import heapq
import itertools
import json
import math
import numbers
import operator
import random
import re
import statistics
import string
import sys
import textwrap
import time  # noqa: F401 - as _strptime, for strftime
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol

__all__ = ("CODES", "MODULES", "Data", "Host", "JobFailed", "QueryError", "execute")

CODES = ("bad-params", "not-enough-data", "not-applicable", "internal", "out-of-memory", "too-deep")
"""The closed set of failures; the WIT's `fail` in the same order."""

_BATCH = 2000  # rows a call: few calls, and a batch of wide rows still fits an answer


class JobFailed(Exception):
    """Ends the run with a code of `CODES`: `raise JobFailed("not-enough-data")`."""

    def __init__(self, code: str = "internal", message: str = "") -> None:
        if code not in CODES:
            message, code = f"no such code: {code!r}", "internal"
        super().__init__(code, message)
        self.code = code


class QueryError(Exception):
    """A statement or a table name was refused; the text says why."""


class Host(Protocol):
    """The five calls of the WIT interface `data`, as Python functions."""

    def query(self, sql: str, parameters: str) -> str:
        """Rows as JSON; raises QueryError."""

    def next_batch(self, table: str, max_rows: int) -> str | None:
        """Rows as JSON, None at the end; raises QueryError."""

    def run_date(self) -> str:
        """RFC 3339 full-date."""

    def random(self) -> int:
        """64 bits of the run's stream."""

    def log(self, line: str) -> None:
        """A line for the local log."""


class Data:
    """The job's one door to the granted rows."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def run_date(self) -> datetime.date:
        """The date of the run: the same throughout, and on a replay."""
        return datetime.date.fromisoformat(self._host.run_date())

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of a granted table in the grant's order, once; a dict each."""
        while (batch := self._host.next_batch(table, _BATCH)) is not None:
            yield from json.loads(batch)

    def query(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        """The rows of one SELECT, a dict each; `?` stands for the parameters in turn."""
        rows: list[dict[str, Any]] = json.loads(self._host.query(sql, json.dumps(parameters)))
        return rows

    def log(self, *values: object) -> None:
        """Writes a line to the local log."""
        self._host.log(" ".join(map(str, values)))

    def fail(self, code: str, message: str = "") -> NoReturn:
        """Ends the run with a code of `CODES`; the message stays in the local log."""
        raise JobFailed(code, message)


_api = types.ModuleType("chez_job", "What a job may import of its surroundings.")
_api.__dict__.update(JobFailed=JobFailed, QueryError=QueryError, CODES=CODES)

MODULES: dict[str, types.ModuleType] = {
    module.__name__: module
    for module in (
        bisect, calendar, collections, collections.abc, contextlib, copy, dataclasses, datetime, decimal,
        enum, fractions, functools, heapq, itertools, json, math, numbers, operator, random, re,
        statistics, string, textwrap, typing, _api,
    )
}
"""All that a job can import, by name."""

# datetime's C code asks for these through the job's `__import__` when it first formats or
# parses; such a request is told by its list (statements pass a tuple or None).
_BEHIND_DATETIME = ("time", "_strptime")


def _import(
    name: str, globals_: Any = None, locals_: Any = None, fromlist: Any = (), level: int = 0
) -> types.ModuleType:
    if name == "__future__" or (name in _BEHIND_DATETIME and isinstance(fromlist, list)):
        return sys.modules[name]
    if level or name not in MODULES:
        raise ImportError(f"{name!r} is not available to jobs; there are: {', '.join(sorted(MODULES))}")
    # `import a.b` binds a; `from a.b import c` wants b.
    return MODULES[name] if fromlist or "." not in name else MODULES[name.partition(".")[0]]


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(*_args: object, **_options: object) -> NoReturn:
        raise PermissionError(f"{name}() is not available to jobs")

    return refuse


def _builtins(data: Data) -> dict[str, Any]:
    names = dict(vars(builtins))
    names["__import__"] = _import
    names["print"] = lambda *values, **_options: data.log(*values)
    for name in ("open", "input", "breakpoint", "help", "exit", "quit"):
        names[name] = _refused(name)
    return names


def execute(source: str, params: str, host: Host, filename: str = "job.py") -> str:
    """Runs a job's source and returns its result as JSON; raises what the job raises.

    The module-wide generator of `random` is seeded with 256 bits of the run's stream.
    """
    data = Data(host)
    random.seed(sum(host.random() << shift for shift in (0, 64, 128, 192)))
    module = types.ModuleType("job")
    module.__dict__["__builtins__"] = _builtins(data)
    # dataclasses and typing look a class's module up by name.
    sys.modules["job"] = module
    exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    run = module.__dict__.get("run")
    if not callable(run):
        raise JobFailed("internal", "the job has no function run(data, params)")
    return json.dumps(run(data, json.loads(params)), allow_nan=False, separators=(",", ":"))

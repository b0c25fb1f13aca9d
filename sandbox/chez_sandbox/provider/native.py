"""A job under plain CPython, for its author: full tracebacks, any debugger, no sandbox.

The source runs in a process of its own with the very module the sandbox's Python uses
(runtime/guest/chez_job.py), on the same rows in the same order with the same random
numbers, so that a difference between the two runs is worth looking at. It has this
computer's files and network: it is the author's own code, run at the author's word.
"""

import asyncio
import linecache
import signal
import sys
import traceback
from collections.abc import Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

import msgspec

from chez_sandbox.provider.watching import watch
from chez_sandbox.runtime.guest.chez_job import JobFailed, QueryError, execute
from chez_sandbox.runtime.host import Table
from chez_sandbox.runtime.messages import Limits, TableHead
from chez_sandbox.runtime.tables import Budget, Refusal, Tables

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("NativeRun", "main", "run_native")

T = TypeVar("T")

GRACE: Final = 20.0
"""Seconds after its time in which the process may still start, read its rows and say how it ended."""


class _Order(msgspec.Struct, frozen=True):
    source: str
    params: str
    seed: bytes
    run_date: str
    seconds: float
    tables: list[tuple[str, list[str], list[list[bool | int | float | str | None]]]]
    watched: bool


class NativeRun(msgspec.Struct, frozen=True):
    """How it ended: the result's JSON, or the code of failure; the log; a traceback if it raised."""

    value: bytes | None
    code: str
    log: str
    trace: str
    used: frozenset[tuple[str, str]] = frozenset()
    """(table, column) of all the job looked at, when it was watched."""


class _Host:
    """The five calls of the sandbox, without its limits."""

    def __init__(self, order: _Order) -> None:
        heads = [TableHead(name, tuple(columns), len(rows)) for name, columns, rows in order.tables]
        self._tables = Tables(heads, Budget(Limits(), lambda: False))
        for number, (_, _, rows) in enumerate(order.tables):
            self._tables.add(number, [tuple(row) for row in rows])
        self._order = order
        # As the worker draws them (runtime/execution.py).
        self._key = blake2b(order.seed, digest_size=32, person=b"chez-job-random").digest()
        self._drawn = 0
        self.lines: list[str] = []
        self.used: set[tuple[str, str]] = set()
        if order.watched:
            watch(self.used)

    def named(self) -> frozenset[tuple[str, str]]:
        """What was looked at, by statements and in batches."""
        return frozenset(self.used | self._tables.asked) if self._order.watched else frozenset()

    def query(self, sql: str, parameters: str) -> str:
        return self._answer(lambda: self._tables.query(sql, parameters))

    def next_batch(self, table: str, max_rows: int) -> str | None:
        return self._answer(lambda: self._tables.next_batch(table, max_rows))

    def _answer(self, ask: "Callable[[], T]") -> T:
        try:
            return ask()
        except Refusal as refusal:
            raise QueryError(str(refusal)) from None

    def run_date(self) -> str:
        return self._order.run_date

    def random(self) -> int:
        self._drawn += 1
        block = blake2b(self._drawn.to_bytes(8, "big"), digest_size=8, key=self._key)
        return int.from_bytes(block.digest(), "big")

    def log(self, line: str) -> None:
        self.lines.append(line)


async def run_native(
    source: str,
    params: bytes,
    tables: Sequence[Table],
    seed: bytes,
    run_date: str,
    *,
    seconds: float = 300.0,
    watched: bool = False,
) -> NativeRun:
    """Run a job's source under plain CPython in a process of its own; `watched`, it tells which columns were read.

    After `seconds` it is interrupted where it is, so that the traceback shows it.
    """
    rows = [(table.name, list(table.columns), [list(row) for row in table.rows]) for table in tables]
    order = _Order(source, params.decode(), seed, run_date, seconds, rows, watched)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_sandbox.provider.native",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(seconds + GRACE):
            output, _ = await process.communicate(msgspec.msgpack.encode(order))
    except TimeoutError:
        process.kill()
        await process.wait()
        return NativeRun(None, "internal", "", f"the process had to be ended: {_late(seconds)}")
    if process.returncode != 0:
        return NativeRun(None, "internal", "", f"the process ended with {process.returncode}")
    return msgspec.msgpack.decode(output, type=NativeRun)


def _run(order: _Order) -> NativeRun:
    host = _Host(order)
    # Tracebacks show the lines of a file that is not there.
    linecache.cache["job.py"] = (len(order.source), None, order.source.splitlines(keepends=True), "job.py")
    value, code, trace = None, "", ""

    def late(*_: object) -> NoReturn:
        raise TimeoutError(_late(order.seconds))

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, order.seconds)
    try:
        value = execute(order.source, order.params, host).encode()
    except JobFailed as failure:
        code, trace = failure.code, f"the job gave up: {failure.code} {failure.args[1]}".rstrip()
    except BaseException as error:
        code, trace = "internal", _trace(error)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return NativeRun(value, code, "\n".join(host.lines), trace, host.named())


def _late(seconds: float) -> str:
    return f"the job did not end within {seconds:g} s (limits.seconds)"


def _trace(error: BaseException) -> str:
    """The traceback without the frames that are ours, above and below the job's."""
    shown = traceback.TracebackException.from_exception(error)
    part: traceback.TracebackException | None = shown
    while part is not None:
        part.stack = traceback.StackSummary.from_list([frame for frame in part.stack if frame.filename == "job.py"])
        part = part.__cause__ or part.__context__
    text = "".join(shown.format())
    # With no frame of the job's (what it returned is no JSON, say) there is nothing to trace.
    return text if shown.stack else "".join(shown.format_exception_only())


def main() -> None:
    """The process: an order on standard input, how it ended on standard output."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Order)
    sys.stdout.buffer.write(msgspec.msgpack.encode(_run(order)))


if __name__ == "__main__":
    main()

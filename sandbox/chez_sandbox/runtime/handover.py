"""What a job is handed and what it hands back: both checked on the engine's side."""

import asyncio
import re
from collections.abc import Callable, Sequence
from itertools import chain

import anyio
import msgspec

from chez_sandbox.errors import BadInput, WallsMissing, WorkerFailed
from chez_sandbox.runtime.messages import (
    MESSAGE_LIMIT,
    PROGRESS_STEPS,
    Done,
    Failed,
    FromWorker,
    Go,
    Limits,
    Outcome,
    Progress,
    Ready,
    Rows,
    Scalar,
    Start,
    TableHead,
    ToWorker,
)
from chez_sandbox.runtime.process import Child

__all__ = ("SOURCE_LIMIT", "Table", "await_walls", "begin", "converse")

SOURCE_LIMIT = 1 << 20
"""Bytes of a job's source, and of its parameters."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_COLUMNS = 200
_START_SECONDS = 30.0  # a loaded machine starts a process slowly
_TAKE_SECONDS = 30.0  # in which one message of a job is taken: else the worker is stopped, or does what it likes
_GRACE_SECONDS = 0.5  # the worker's own clock comes first; the parent's is for one that ignores it
_ROWS_A_MESSAGE = 2000  # encoded in 2 ms: the event loop stays responsive
_CELLS = {type(None), bool, int, float, str}


class Table(msgspec.Struct, frozen=True):
    """A granted table: read-only, in this order. Names are SQL identifiers, cells scalars."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Scalar, ...]]


def begin(
    source: str | None, params: bytes, tables: Sequence[Table], limits: Limits, seed: bytes, run_date: str
) -> Start:
    """The first message to a worker, from what the caller hands over; raises BadInput."""
    try:
        text = params.decode()
        msgspec.json.decode(params)
        (source or "").encode()
    except (UnicodeError, msgspec.MsgspecError):
        raise BadInput("The parameters must be JSON, and the source UTF-8 text") from None
    if len(params) > SOURCE_LIMIT or len(source or "") > SOURCE_LIMIT:
        raise BadInput(f"Source and parameters may have {SOURCE_LIMIT} bytes each")
    if not 1 <= len(seed) <= 64 or not re.fullmatch(r"\d{4}-\d\d-\d\d", run_date):
        raise BadInput("The seed has 1 to 64 bytes, and the date of the run is YYYY-MM-DD")
    if not (limits.fuel > 0 and limits.seconds > 0 and 0 < limits.output <= MESSAGE_LIMIT // 4 >= limits.log):
        raise BadInput("Limits must be positive, and output and log at most 2 MiB")
    heads = [TableHead(table.name, tuple(table.columns), len(table.rows)) for table in tables]
    names = [head.name.lower() for head in heads]
    if len(set(names)) < len(names) or not all(map(_is_fine, heads)):
        raise BadInput("Tables need different names, and columns different names, which are SQL identifiers")
    return Start(source, text, run_date, seed, limits, heads)


def _is_fine(head: TableHead) -> bool:
    columns = [column.lower() for column in head.columns]
    return (
        all(_NAME.fullmatch(name) for name in (head.name, *columns))
        and not head.name.lower().startswith("sqlite_")
        and 1 <= len(columns) <= _COLUMNS
        and len(set(columns)) == len(columns)
    )


async def await_walls(child: Child, required: frozenset[str]) -> tuple[str, ...] | None:
    """The walls that stand, before anything of the job is sent; None when the code did not load."""
    message: FromWorker | None = None
    with anyio.move_on_after(_START_SECONDS):
        message = await child.receive()
    if isinstance(message, Failed):
        return None
    if not isinstance(message, Ready):
        raise WorkerFailed("The worker process did not start in time", "The machine may be too busy")
    missing = sorted(required - set(message.walls))
    if missing:
        raise WallsMissing(
            f"This system lacks walls that are required: {', '.join(missing)}", "See `chez job doctor`"
        )
    return message.walls


async def converse(
    child: Child, job: Start, tables: Sequence[Table], on_progress: Callable[[int, int], None] | None
) -> Done:
    """Sends the job and its rows, then waits for the end; a worker that dies or lingers is an outcome."""
    try:
        await _send(child, job)
        for number, table in enumerate(tables):
            await _send_rows(child, number, table)
        await _send(child, Go())
        total = sum(head.rows for head in job.tables)
        with anyio.move_on_after(job.limits.seconds + _GRACE_SECONDS):
            # What is there already is received without a pause: a worker that went on and on would stop the loop,
            # and its clock with it.
            for _ in range(PROGRESS_STEPS + 1):
                message = await child.receive()
                if isinstance(message, Done):
                    return _checked(message, job.limits)
                if not isinstance(message, Progress):
                    break
                if on_progress is not None:
                    on_progress(min(message.rows, total), total)
            raise WorkerFailed("The worker broke its protocol")
        return Done(Outcome.TIME, log="stopped: the worker was killed when its time was over")
    except WorkerFailed as failure:
        return Done(Outcome.CRASHED, log=f"stopped: {failure.message}")


def _checked(done: Done, limits: Limits) -> Done:
    """The worker's word is foreign too: a subverted one must not hand out more than an honest one."""
    value = done.value if done.outcome is Outcome.OK else None
    if done.outcome is Outcome.OK and not _is_result(value, limits):
        return Done(Outcome.REFUSED, fuel=min(max(done.fuel, 0), limits.fuel))
    fail = done.fail if done.outcome is Outcome.FAILED else ""
    log = done.log[: limits.log + 1000]
    return Done(done.outcome, value, fail, min(max(done.fuel, 0), limits.fuel), log)


def _is_result(value: bytes | None, limits: Limits) -> bool:
    if value is None or len(value) > limits.output:
        return False
    try:
        msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True


async def _send(child: Child, message: ToWorker) -> None:
    try:
        with anyio.fail_after(_TAKE_SECONDS):
            await child.send(message)
    except TimeoutError:
        raise WorkerFailed("The worker did not take its job in time") from None


async def _send_rows(child: Child, number: int, table: Table) -> None:
    rows, size, at = table.rows, _ROWS_A_MESSAGE, 0
    width = {len(table.columns)}
    while at < len(rows):
        part = [tuple(row) for row in rows[at : at + size]]
        if not (set(map(len, part)) <= width and set(map(type, chain.from_iterable(part))) <= _CELLS):
            raise BadInput(f"A row of {table.name} has a missing cell, or one that is not text or a number")
        try:
            await _send(child, Rows(number, part))
        except ValueError:
            if len(part) == 1:
                raise BadInput(f"A row of {table.name} is longer than {MESSAGE_LIMIT} bytes") from None
            size = max(1, len(part) // 2)
            continue
        except (OverflowError, UnicodeError, msgspec.MsgspecError):
            raise BadInput(f"A row of {table.name} holds a number beyond 64 bits or broken text") from None
        at += len(part)
        await asyncio.sleep(0)

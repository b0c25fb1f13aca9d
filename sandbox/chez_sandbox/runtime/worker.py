"""The worker: a process that runs one job and ends. It never holds a key.

Order matters: load the compiled component (needs its file), raise the walls, say so, and
only then receive the job and its rows. Nothing of `chez`, PyNaCl, SQLCipher or Automerge
is imported here; an import contract and a test hold that.

Started by host.py as `python -I -S -c <BOOT>` with an empty environment; its arguments
are the channel's descriptor, the code's descriptor, the parent's process id, bytes of
memory and of address space to allow and seconds of processor.
"""

import gc
import os
import sys
import threading
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
import wasmtime
from wasmtime import component as wc

from chez_sandbox.runtime import walls
from chez_sandbox.runtime.engine import DATA, make_engine, objections
from chez_sandbox.runtime.messages import (
    PROGRESS_STEPS,
    Done,
    Failed,
    Go,
    Limits,
    Outcome,
    Progress,
    Ready,
    Rows,
    Start,
    ToWorker,
    receive,
    send,
)
from chez_sandbox.runtime.tables import Budget, Refusal, Stop, Tables

__all__ = ("FAILS", "Ticker", "execute", "main")

FAILS = ("bad-params", "not-enough-data", "not-applicable", "internal", "out-of-memory", "too-deep")
"""The WIT's `fail`."""

_GARBAGE = 100_000  # new objects between two collections: more than a batch of rows has
_NICE = 5  # a third of the engine's share of a busy processor
_TICK = 0.05  # seconds between epochs once the time is over

# The words of wasmtime's last line; component calls carry no trap code.
_TRAPS = (
    ("interrupt", Outcome.TIME),
    ("all fuel consumed", Outcome.FUEL),
    ("call stack exhausted", Outcome.STACK),
    ("exceeds memory limits", Outcome.MEMORY),
    ("memory minimum size", Outcome.MEMORY),
    ("table minimum size", Outcome.MEMORY),
    ("resource limit exceeded", Outcome.REFUSED),
)


class Ticker:
    """Moves the engine's epoch on when the run's time is over; a thread, made before the walls."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._armed, self._stopped = threading.Event(), threading.Event()
        self._seconds = 0.0
        self.expired = False
        threading.Thread(target=self._tick, daemon=True).start()

    def arm(self, seconds: float) -> None:
        """The clock runs from now on."""
        self._seconds = seconds
        self._armed.set()

    def stop(self) -> None:
        """No more epochs."""
        self._stopped.set()
        self._armed.set()

    def _tick(self) -> None:
        self._armed.wait()
        wait = self._seconds
        while not self._stopped.wait(wait):
            self.expired = True
            self._engine.increment_epoch()
            wait = _TICK


class _Host:
    """The five functions of `data`, each bounded: an epoch can't interrupt them."""

    def __init__(self, start: Start, tables: Tables, budget: Budget, progress: Callable[[int], None]) -> None:
        self._start, self._tables, self._budget, self._progress = start, tables, budget, progress
        self._seed = blake2b(start.seed, digest_size=32, person=b"chez-job-random").digest()
        self._drawn = 0
        self._log: list[str] = []
        self._log_left = start.limits.log

    def functions(self) -> dict[str, Callable[..., Any]]:
        """By their WIT names; each takes wasmtime's context first."""
        return {
            "query": lambda _, sql, parameters: self._answer(lambda: self._tables.query(sql, parameters)),
            "next-batch": lambda _, table, most: self._answer(lambda: self._batch(table, most)),
            "run-date": self._run_date,
            "random": self._random,
            "log": lambda _, line: self._write(line),
        }

    @property
    def log(self) -> str:
        """What the job wrote, cut at its limit."""
        return "\n".join(self._log)

    def note(self, line: str) -> None:
        """The host's own last word in the log; not counted."""
        self._log.append(line)

    def _answer(self, ask: Callable[[], str | None]) -> wc.Variant:
        self._budget.call()
        try:
            return wc.Variant("ok", ask())
        except Refusal as refusal:
            return wc.Variant("err", str(refusal))

    def _batch(self, table: str, most: int) -> str | None:
        batch = self._tables.next_batch(table, most)
        self._progress(self._tables.served)
        return batch

    def _run_date(self, _: object) -> str:
        self._budget.call()
        return self._start.run_date

    def _random(self, _: object) -> int:
        self._budget.call()
        self._drawn += 1
        block = blake2b(self._drawn.to_bytes(8, "big"), digest_size=8, key=self._seed)
        return int.from_bytes(block.digest(), "big")

    def _write(self, line: str) -> None:
        self._budget.call()
        kept = line.encode()[: self._log_left].decode(errors="ignore")
        if kept or not line:
            self._log.append(kept)
            self._log_left = max(0, self._log_left - len(kept.encode()) - 1)


def execute(
    engine: wasmtime.Engine,
    component: wc.Component,
    start: Start,
    tables: Tables,
    budget: Budget,
    ticker: Ticker,
    progress: Callable[[int], None] = lambda rows: None,
) -> Done:
    """One run in a store of its own; whatever the component does, this returns how it ended."""
    limits = start.limits
    host = _Host(start, tables, budget, progress)
    store = wasmtime.Store(engine)
    store.set_limits(
        memory_size=limits.memory,
        table_elements=limits.tables,
        instances=limits.instances,
        tables=64,
        memories=1,
    )
    store.set_fuel(limits.fuel)
    store.set_epoch_deadline(1)
    ticker.arm(limits.seconds)
    outcome, value, fail = Outcome.CRASHED, None, ""
    try:
        outcome, value, fail = _call(engine, component, store, start, host)
    except Stop as stop:
        outcome = stop.outcome
        host.note(f"stopped: {stop}")
    except wasmtime.WasmtimeError as error:
        outcome, why = _classify(str(error))
        host.note(f"stopped: {why}")
    except MemoryError:
        outcome = Outcome.MEMORY
    except Exception as error:
        host.note(f"stopped: {type(error).__name__} in the host")
    finally:
        ticker.stop()
    return Done(outcome, value, fail, limits.fuel - store.get_fuel(), host.log)


def _call(
    engine: wasmtime.Engine, component: wc.Component, store: wasmtime.Store, start: Start, host: _Host
) -> tuple[Outcome, bytes | None, str]:
    reasons = objections(engine, component)
    if reasons:
        host.note(f"refused: {'; '.join(reasons)}")
        return Outcome.REFUSED, None, ""
    linker = wc.Linker(engine)  # empty: no WASI is ever added
    with linker.root() as root, root.add_instance(DATA) as data:
        for name, function in host.functions().items():
            data.add_func(name, function)
    arguments = (start.params,) if start.source is None else (start.source, start.params)
    try:
        instance = linker.instantiate(store, component)
        run = instance.get_func(store, "run")
    except wasmtime.WasmtimeError as error:
        if "wasm trap" in str(error) or "fuel" in str(error) or "limit" in str(error):
            raise
        host.note(f"refused: {_last_line(str(error))}")
        return Outcome.REFUSED, None, ""
    if run is None or not _is_our_run(run.type(store), len(arguments)):
        host.note("refused: the component does not export run as the world has it")
        return Outcome.REFUSED, None, ""
    answer = run(store, *arguments)
    return _judge(answer, start.limits, host)


def _is_our_run(kind: wc.FuncType, strings: int) -> bool:
    """func(string, ...) -> result<string, enum>: nothing else is lifted into Python at all."""
    result = kind.result
    return (
        [type(param) for _, param in kind.params] == [wc.String] * strings
        and isinstance(result, wc.ResultType)
        and isinstance(result.ok, wc.String)
        and isinstance(result.err, wc.EnumType)
    )


def _judge(answer: Any, limits: Limits, host: _Host) -> tuple[Outcome, bytes | None, str]:
    """The job's own word: bounded JSON, or a code of the closed set; anything else is refused."""
    if answer.tag == "err":
        if answer.payload == "out-of-memory":
            return Outcome.MEMORY, None, ""
        if answer.payload == "too-deep":
            return Outcome.STACK, None, ""
        if answer.payload in FAILS:
            return Outcome.FAILED, None, answer.payload
        return Outcome.REFUSED, None, ""
    value = answer.payload.encode()
    if len(value) > limits.output:
        host.note(f"refused: the result has {len(value)} bytes, more than {limits.output}")
        return Outcome.REFUSED, None, ""
    try:
        msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError):
        host.note("refused: the result is not JSON")
        return Outcome.REFUSED, None, ""
    return Outcome.OK, value, ""


def _classify(message: str) -> tuple[Outcome, str]:
    last = _last_line(message)
    for words, outcome in _TRAPS:
        if words in last:
            return outcome, last
    if "unreachable" in last:
        last += " (files, clock and entropy do not exist for a job)"
    return Outcome.CRASHED, last


def _last_line(message: str) -> str:
    lines = message.strip().splitlines()
    return lines[-1].strip() if lines else ""


def main(arguments: list[str]) -> None:
    """The process: see the module's word on the order."""
    channel, code, parent, memory, address_space, cpu_seconds = map(int, arguments)
    walls.die_with_parent(parent)
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    gc.enable()
    engine = make_engine()
    try:
        component = wc.Component.deserialize_file(engine, f"/dev/fd/{code}")
    except wasmtime.WasmtimeError as error:
        send(channel, Failed(_last_line(str(error))))
        return
    os.close(code)
    decoder = msgspec.msgpack.Decoder[ToWorker](ToWorker)
    standing = list(walls.lock_files())
    ticker = Ticker(engine)  # a thread: after Landlock, which it inherits, and before seccomp, which it gets
    # Of this thread alone: the engine goes first, and so does the clock that ends the run.
    os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    if walls.limit(data=memory, address_space=address_space, cpu_seconds=cpu_seconds):
        standing.append(walls.RLIMITS)
    if walls.close_door((channel,), (channel,)):
        standing.append(walls.SECCOMP)
    send(channel, Ready(tuple(sorted(standing))))

    start, tables, budget = _receive_job(channel, decoder, ticker)
    step = max(1, sum(head.rows for head in start.tables) // PROGRESS_STEPS)
    reported = 0

    def progress(rows: int) -> None:
        nonlocal reported
        if rows >= reported + step:
            reported = rows
            send(channel, Progress(rows))

    send(channel, execute(engine, component, start, tables, budget, ticker, progress))
    # Nothing is left to tidy that ending does not free, and less code runs after foreign code.
    os._exit(0)


def _receive_job(
    channel: int, decoder: msgspec.msgpack.Decoder[ToWorker], ticker: Ticker
) -> tuple[Start, Tables, Budget]:
    start = receive(channel, decoder)
    if not isinstance(start, Start):
        raise TypeError("expected the job")
    budget = Budget(start.limits, lambda: ticker.expired)
    tables = Tables(start.tables, budget)
    while not isinstance(message := receive(channel, decoder), Go):
        if not isinstance(message, Rows):
            raise TypeError("expected rows")
        tables.add(message.table, message.rows)
    return start, tables, budget


if __name__ == "__main__":
    main(sys.argv[1:])

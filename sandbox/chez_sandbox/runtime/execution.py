"""One run, in the worker: an instance of the component, the call, and how it ended.

An instance may be made before its run is known (`instantiate`), for components of ours only; its
limits are the least of any run then, and are set to those of the run when that comes. Which way
it went shows nowhere: fuel is counted from the instance's first instruction.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Protocol

import msgspec
import wasmtime
from wasmtime import component as wc

from chez_sandbox.runtime.engine import DATA, objections
from chez_sandbox.runtime.messages import Done, Limits, Outcome, Start
from chez_sandbox.runtime.tables import Budget, Refusal, Stop, Tables

__all__ = ("FAILS", "LEAST", "Clock", "Host", "Instance", "NotOurs", "execute", "make_ahead")

FAILS = ("bad-params", "not-enough-data", "not-applicable", "internal", "out-of-memory", "too-deep")
"""The WIT's `fail`."""

LEAST = Limits(fuel=1_000_000_000, memory=16 << 20)
"""What an instance that is made ahead may use: of memory no more than the Python runtime begins with."""

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


class Clock(Protocol):
    """What ends a run when its time is over."""

    def arm(self, seconds: float) -> None:
        """The time runs from now on."""

    def stop(self) -> None:
        """The run ended."""


class NotOurs(Exception):
    """The component is none of our world; the text says why."""


class Host:
    """The five functions of `data`, each bounded: an epoch can't interrupt them."""

    def __init__(self, start: Start, tables: Tables, budget: Budget, progress: Callable[[int], None]) -> None:
        self.serve(start, tables, budget, progress)

    def serve(self, start: Start, tables: Tables, budget: Budget, progress: Callable[[int], None]) -> None:
        """From now on this run is answered, as if there had been none before."""
        self._start, self._tables, self._budget, self._progress = start, tables, budget, progress
        self._seed = blake2b(start.seed, digest_size=32, person=b"chez-job-random").digest()
        self._drawn = 0
        self._log: list[str] = []
        self._log_left = start.limits.log
        self.stopped: Stop | None = None

    def functions(self) -> dict[str, Callable[..., Any]]:
        """By their WIT names; each takes wasmtime's context first."""
        functions: dict[str, Callable[..., Any]] = {
            "query": lambda _, sql, parameters: self._answer(lambda: self._tables.query(sql, parameters)),
            "next-batch": lambda _, table, most: self._answer(lambda: self._batch(table, most)),
            "run-date": self._run_date,
            "random": self._random,
            "log": lambda _, line: self._write(line),
        }
        return {name: self._noted(function) for name, function in functions.items()}

    def _noted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function. What stops the run in it is noted: wasmtime does not tell while an instance is made."""

        def call(*given: Any) -> Any:
            try:
                return function(*given)
            except Stop as stop:
                self.stopped = stop
                raise

        return call

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
        if kept or (not line and self._log_left):
            self._log.append(kept)
            self._log_left = max(0, self._log_left - len(kept.encode()) - 1)


class Instance(msgspec.Struct, frozen=True):
    """An instance that was made before its run, and the fuel that making it took. It serves one run."""

    host: Host
    store: wasmtime.Store
    run: wc.Func
    fuel: int

    def serves(self, start: Start) -> bool:
        """Whether the run would have come as far as this with an instance of its own."""
        limits = start.limits
        return (
            start.source is not None
            and limits.fuel > self.fuel
            and limits.memory >= LEAST.memory
            and limits.tables >= LEAST.tables
            and limits.instances >= LEAST.instances
        )


def make_ahead(engine: wasmtime.Engine, component: wc.Component) -> Instance:
    """An instance of the Python runtime for a run to come. Raises NotOurs, WasmtimeError."""
    budget = Budget(LEAST, lambda: False)
    host = Host(Start("", "null", "", b"", LEAST, []), Tables([], budget), budget, lambda rows: None)
    store = _limited(wasmtime.Store(engine), LEAST)
    run = _instantiate(engine, component, store, host, 2)
    return Instance(host, store, run, LEAST.fuel - store.get_fuel())


def execute(
    engine: wasmtime.Engine,
    component: wc.Component,
    start: Start,
    tables: Tables,
    budget: Budget,
    clock: Clock,
    progress: Callable[[int], None] = lambda rows: None,
    ahead: Instance | None = None,
) -> Done:
    """One run in a store of its own; whatever the component does, this returns how it ended.

    With `ahead`, an instance of the same component that no run had, that one's store where it serves.
    """
    limits = start.limits
    made = ahead if ahead is not None and ahead.serves(start) else None
    if made is None:
        host = Host(start, tables, budget, progress)
        store = _limited(wasmtime.Store(engine), limits)
    else:
        host, store = made.host, _limited(made.store, limits, made.fuel)
        host.serve(start, tables, budget, progress)
    clock.arm(limits.seconds)
    arguments = (start.params,) if start.source is None else (start.source, start.params)
    outcome, value, fail = Outcome.CRASHED, None, ""
    try:
        run = _instantiate(engine, component, store, host, len(arguments)) if made is None else made.run
        outcome, value, fail = _judge(run(store, *arguments), limits, host)
    except NotOurs as refusal:
        outcome = Outcome.REFUSED
        host.note(f"refused: {refusal}")
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
        clock.stop()
    return Done(outcome, value, fail, limits.fuel - store.get_fuel(), host.log)


def _limited(store: wasmtime.Store, limits: Limits, spent: int = 0) -> wasmtime.Store:
    """The store, held to these limits; `spent` is the fuel that it used before."""
    store.set_limits(
        memory_size=limits.memory,
        table_elements=limits.tables,
        instances=limits.instances,
        tables=64,
        memories=1,
    )
    store.set_fuel(limits.fuel - spent)
    store.set_epoch_deadline(1)
    return store


def _instantiate(
    engine: wasmtime.Engine, component: wc.Component, store: wasmtime.Store, host: Host, strings: int
) -> wc.Func:
    """The component's `run`, which takes so many strings. Raises NotOurs; WasmtimeError where it ran and was ended."""
    reasons = objections(engine, component)
    if reasons:
        raise NotOurs("; ".join(reasons))
    linker = wc.Linker(engine)  # empty: no WASI is ever added
    with linker.root() as root, root.add_instance(DATA) as data:
        for name, function in host.functions().items():
            data.add_func(name, function)
    try:
        instance = linker.instantiate(store, component)
        run = instance.get_func(store, "run")
    except wasmtime.WasmtimeError as error:
        if host.stopped is not None:
            raise host.stopped from None
        if "wasm trap" in str(error) or "fuel" in str(error) or "limit" in str(error):
            raise
        raise NotOurs(_last_line(str(error))) from None
    if run is None or not _is_our_run(run.type(store), strings):
        raise NotOurs("the component does not export run as the world has it")
    return run


def _is_our_run(kind: wc.FuncType, strings: int) -> bool:
    """func(string, ...) -> result<string, enum>: nothing else is lifted into Python at all."""
    result = kind.result
    return (
        [type(param) for _, param in kind.params] == [wc.String] * strings
        and isinstance(result, wc.ResultType)
        and isinstance(result.ok, wc.String)
        and isinstance(result.err, wc.EnumType)
    )


def _judge(answer: Any, limits: Limits, host: Host) -> tuple[Outcome, bytes | None, str]:
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

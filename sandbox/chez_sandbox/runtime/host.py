"""The parent's side: `Runtime` runs a job in a fresh worker process and says how it ended.

    async with Runtime(cache, mac_key) as runtime:
        result = await runtime.run_python(source, b"{}", tables, Limits(), seed, "2026-11-24")

A run is a function of source, rows, parameters, seed and date: the same ones give the
same bytes and the same outcome (TIME aside, which is the machine's). Whatever the job
does, the call returns a `RunResult` in bounded time, its worker killed by then and gone soon
after, or when the runtime is closed; it raises SandboxError only when the caller's input can't
be handed over or the machine fails.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import msgspec

from chez_sandbox.errors import BadComponent, BadInput, RuntimeMissing, WorkerFailed
from chez_sandbox.runtime.artifact import find_artifact
from chez_sandbox.runtime.compiled import Binary, CodeCache
from chez_sandbox.runtime.handover import Table, await_walls, begin, converse
from chez_sandbox.runtime.messages import (
    CODE,
    Limits,
    Outcome,
    Scalar,
    Start,
)
from chez_sandbox.runtime.process import Child
from chez_sandbox.runtime.spare import Allowance, Spares, Standing, start_worker

__all__ = ("Limits", "Outcome", "RunResult", "Runtime", "Scalar", "Table", "doctor")


_AT_ONCE = 4  # runs; the others wait for their turn: fifty at once would be fifty times a job's memory
_BASE_MEMORY = 512 << 20  # bytes of interpreter, code and answers beside rows and linear memory
_CODE_SPACE = 3 << 30  # address space for interpreter, code and reservations
_SPARE_CELLS = 2_000_000  # a spare worker serves jobs of up to this many (ten years of half-hours)
_SPARE_SECONDS = 300
_CELL_MEMORY = 200  # bytes of one cell as tuple, SQLite row and JSON


class RunResult(msgspec.Struct, frozen=True):
    """How a run ended.

    `value` is the result's JSON, as the job wrote it, with OK only. `code` tells with
    FAILED which of the closed set it was. `log` is for the person and stays on the
    device. `runtime` is the SHA-256 of the component that ran, `walls` what stood.
    """

    outcome: Outcome
    value: bytes | None
    fuel: int
    log: str
    runtime: str
    walls: tuple[str, ...]
    code: str = ""


class Runtime:
    """Runs jobs, each in a process of its own. One per home is enough; four runs go on at once, others wait.

    `cache` is a folder for compiled code, `mac_key` a secret of this device (at least 16
    bytes) that protects it, `required` the walls without which nothing is run. With `spares`
    so many workers for the next Python jobs are started in advance, by `prepare` and after each
    run, and runs need not wait for theirs: for a process that lives on. They end after
    `idle_seconds` without a run. Without `spares` each run starts its own.
    """

    def __init__(
        self,
        cache: Path,
        mac_key: bytes,
        *,
        artifact: Path | None = None,
        required: frozenset[str] = frozenset(),
        spares: int = 0,
        idle_seconds: float = 60.0,
    ) -> None:
        if not 16 <= len(mac_key) <= 64:
            raise BadInput("The key of the code cache has 16 to 64 bytes")
        self._cache = CodeCache(cache, mac_key, required)
        self._artifact = artifact
        self._required = required
        generous = _allowance(Limits().memory, _SPARE_SECONDS, _SPARE_CELLS)
        self._spares = Spares(spares, generous, idle_seconds) if spares else None
        self._python: Binary | None = None
        self._loading = asyncio.Lock()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._closed = False
        self._going: set[anyio.CancelScope] = set()
        self._left = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Ends what runs (these calls raise WorkerFailed), what waits, and frees the compiled code in memory."""
        self._closed = True
        for scope in self._going:
            scope.cancel()
        try:
            while self._going:
                self._left.clear()
                await self._left.wait()
            while self._ending:
                await asyncio.wait(set(self._ending))
            if self._spares is not None:
                await self._spares.aclose()
        finally:
            self._cache.close()

    async def prepare(self, component: bytes | None = None) -> None:
        """Compiles what was not compiled yet: a component, or the Python runtime (seconds, once a device).

        Raises RuntimeMissing, BadComponent, WorkerFailed.
        """
        if component is None:
            async with self._busy():
                python = await self._load_python()
                await self._cache.get(python)
                self._refill(python)
        else:
            async with self._busy():
                await self._cache.get(await Binary.of(component, trusted=False))

    async def is_compiled(self) -> bool:
        """Whether a run of a Python job finds the runtime compiled, or `prepare` has seconds to work."""
        try:
            return self._cache.has(await self._load_python())
        except RuntimeMissing:
            return False

    async def run_python(
        self,
        source: str,
        params: bytes,
        tables: Sequence[Table],
        limits: Limits,
        seed: bytes,
        run_date: str,
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> RunResult:
        """Runs a Python job; `on_progress(rows read, rows in all)` is called on the way.

        Raises RuntimeMissing, BadInput, WorkerFailed; everything the job does is an outcome.
        """
        job = begin(source, params, tables, limits, seed, run_date)
        async with self._busy():
            python = await self._load_python()
            try:
                return await self._run(python, job, tables, on_progress)
            finally:
                self._refill(python)

    async def run_component(
        self,
        component: bytes,
        params: bytes,
        tables: Sequence[Table],
        limits: Limits,
        seed: bytes,
        run_date: str,
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> RunResult:
        """Runs a component of the world `job`; one that is refused is the outcome REFUSED."""
        job = begin(None, params, tables, limits, seed, run_date)
        binary = await Binary.of(component, trusted=False)
        try:
            async with self._busy():
                return await self._run(binary, job, tables, on_progress)
        except BadComponent as refusal:
            return RunResult(Outcome.REFUSED, None, 0, str(refusal), binary.digest, ())

    async def standing_walls(self) -> tuple[str, ...]:
        """The walls of a worker that was started for this question and gets no job, whatever is required."""
        async with self._busy():
            python = await self._load_python()
            standing = await self._start(python, _allowance(0, 0, 0), frozenset())
        if standing is None:
            raise WorkerFailed("The compiled runtime does not load on this machine")
        await standing.child.end()
        return standing.walls

    async def runtime_hash(self) -> str:
        """The SHA-256 of the Python runtime, as receipts name it; raises RuntimeMissing."""
        return (await self._load_python()).digest

    async def _load_python(self) -> Binary:
        async with self._loading:
            if self._python is None:
                try:
                    self._python = await Binary.of(self._artifact or find_artifact(), trusted=True)
                except OSError as error:
                    raise RuntimeMissing(
                        f"The Python runtime of jobs can't be read ({error.strerror})", "Run bin/build-runtime"
                    ) from None
            return self._python

    async def _run(
        self,
        binary: Binary,
        job: Start,
        tables: Sequence[Table],
        on_progress: Callable[[int, int], None] | None,
    ) -> RunResult:
        await self._turns.acquire()
        child: Child | None = None
        try:
            standing = await self._stand(binary, _allowance_of(job))
            child = standing.child
            done = await converse(child, job, tables, on_progress)
        except BaseException:
            if child is not None:
                await child.end()
            self._turns.release()
            raise
        # Killed it is at once. That it is gone is the next run's concern: on a busy machine a dying process waits
        # as long for the processor as a living one.
        child.kill()
        ending = asyncio.create_task(self._end(child), name="chez worker ends")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        return RunResult(done.outcome, done.value, done.fuel, done.log, binary.digest, standing.walls, done.fail)

    async def _end(self, child: Child) -> None:
        try:
            await child.end()
        finally:
            self._turns.release()

    async def _stand(self, binary: Binary, allowance: Allowance) -> Standing:
        """A worker with these limits: one that waits, or one started now."""
        standing = await self._spares.take(allowance) if self._spares is not None and binary.trusted else None
        if standing is None:
            standing = await self._start(binary, allowance)
        if standing is None:
            # Genuine code that does not load: a home moved to another processor. Compile anew, once.
            self._cache.forget(binary.digest)
            standing = await self._start(binary, allowance)
        if standing is None:
            self._cache.forget(binary.digest)
            raise WorkerFailed("The compiled runtime does not load on this machine")
        return standing

    async def _start(
        self, binary: Binary, allowance: Allowance, required: frozenset[str] | None = None, *, waits: bool = False
    ) -> Standing | None:
        """A worker for a job, all walls up; None when the code does not load here. See `Spares` for one that waits."""
        child = await self._begin(binary, allowance, waits)
        try:
            walls = await await_walls(child, self._required if required is None else required)
        except BaseException:
            await child.end()
            raise
        if walls is None:
            await child.end()
            return None
        return Standing(child, walls)

    async def _begin(self, binary: Binary, allowance: Allowance, waits: bool) -> Child:
        """A worker that has its code. Where that is on the disk, it is read and checked while the process starts."""
        if not self._cache.has(binary):
            await self._cache.get(binary)  # seconds, and it may be refused
        start = start_worker if self._spares is None else self._spares.start
        starting = asyncio.create_task(start(allowance, waits=waits), name="chez worker starts")
        try:
            await self._cache.get(binary)
            child = await asyncio.shield(starting)
            # Asked again: meanwhile the code of others may have taken its place, and then the number is another's.
            child.hand_over(CODE, (await self._cache.get(binary),))
        except BaseException:
            with anyio.CancelScope(shield=True):
                starting.cancel()
                await asyncio.wait({starting})
                if not starting.cancelled() and starting.exception() is None:
                    await starting.result().end()
            raise
        return child

    def _refill(self, python: Binary) -> None:
        """Has waiting workers for the next Python jobs, if they are wanted."""
        if self._spares is not None:
            self._spares.begin(lambda allowance: self._start(python, allowance, waits=True))

    @asynccontextmanager
    async def _busy(self) -> AsyncIterator[None]:
        """Around whatever has processes: closing ends it. Raises WorkerFailed when it was closed."""
        if self._closed:
            raise _closed()
        with anyio.CancelScope() as scope:
            self._going.add(scope)
            try:
                async with nullcontext() if self._spares is None else self._spares.busy():
                    yield
            finally:
                self._going.discard(scope)
                self._left.set()
        if scope.cancelled_caught:
            raise _closed()


def _closed() -> WorkerFailed:
    return WorkerFailed("The sandbox was closed before the job ended", "It closes with its home: run the job again")


def _allowance_of(job: Start) -> Allowance:
    """The rlimits of a worker for this job."""
    cells = sum(head.rows * len(head.columns) for head in job.tables)
    return _allowance(job.limits.memory, job.limits.seconds, cells)


def _allowance(memory: int, seconds: float, cells: int) -> Allowance:
    writable = _BASE_MEMORY + 2 * memory + cells * _CELL_MEMORY
    return Allowance(writable, _CODE_SPACE + writable, int(seconds) + 30)


async def doctor(runtime: Runtime) -> tuple[str, ...]:
    """Which walls stand on this machine, found by starting a worker; also when required ones are missing.

    Raises RuntimeMissing, WorkerFailed.
    """
    return await runtime.standing_walls()

"""Workers started ahead of their jobs, so that a run need not wait for a process to start.

Each is an ordinary worker that has come as far as a worker comes without a job: the Python
runtime loaded, every wall up, nothing received; and then, while nobody waits for it, through a
rehearsal (`rehearsal`). It serves one run, of one provider, and ends
like any other. Its limits on memory and processor are those of a generous job until it is
taken; then they are lowered from outside to exactly what a worker started for this job would
have. There is none for components of a provider: their code is not loaded before the run that
needs it. Where the system can hold a process by a handle, all workers are forked by a zygote.

Waiting costs memory, so that after a while without a run all of it ends, zygote included; the
next run starts it again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import msgspec

from chez_sandbox.errors import SandboxError, WorkerFailed
from chez_sandbox.runtime import walls
from chez_sandbox.runtime.forking import CAN_FORK, Zygote
from chez_sandbox.runtime.messages import StandBy
from chez_sandbox.runtime.process import Child, start

__all__ = ("Allowance", "Spares", "Standing", "start_worker")


class Allowance(msgspec.Struct, frozen=True):
    """A worker's rlimits: bytes of writable memory and of address space, seconds of processor."""

    memory: int
    address_space: int
    cpu_seconds: int

    def covers(self, other: "Allowance") -> bool:
        """Whether lowering each limit leads from this to the other one."""
        return (
            self.memory >= other.memory
            and self.address_space >= other.address_space
            and self.cpu_seconds >= other.cpu_seconds
        )

    def numbers(self, waits: bool) -> tuple[int, int, int, int]:
        """As a worker takes them, and whether it may have to stand by."""
        return self.memory, self.address_space, self.cpu_seconds, int(waits)


class Standing(msgspec.Struct, frozen=True):
    """A worker that waits for its job behind these walls."""

    child: Child
    walls: tuple[str, ...]


async def start_worker(allowance: Allowance, *, waits: bool = False) -> Child:
    """A worker process started anew, its code to be handed over (`CODE`); raises WorkerFailed.

    One that `waits` may be told to stand by.
    """
    return await start("chez_sandbox.runtime.worker", allowance.numbers(waits), ())


class Spares:
    """At most `size` waiting workers, and the zygote; whoever takes one owns it.

    After `idle_seconds` without a run they end.
    """

    def __init__(self, size: int, allowance: Allowance, idle_seconds: float) -> None:
        self.allowance = allowance
        self._size, self._idle_seconds = size, idle_seconds
        self._zygote = Zygote() if CAN_FORK else None
        self._waiting: deque[asyncio.Task[Standing | None]] = deque()
        self._runs = 0
        self._timer: asyncio.TimerHandle | None = None
        self._resting: asyncio.Task[None] | None = None
        self._closed = False

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """A run goes on: nothing ends by itself meanwhile. Every other method is called in such a block."""
        self._runs += 1
        if self._timer is not None:
            self._timer.cancel()
        try:
            if self._resting is not None:  # what is ending would end the new worker too
                await asyncio.wait({self._resting})
            yield
        finally:
            self._runs -= 1
            if not self._runs and not self._closed:
                self._timer = asyncio.get_running_loop().call_later(self._idle_seconds, self._rest)

    async def start(self, allowance: Allowance, *, waits: bool = False) -> Child:
        """As `start_worker`, for one run; forked, or started anew where that fails. Raises WorkerFailed."""
        if self._zygote is not None:
            try:
                return await self._zygote.fork(allowance.numbers(waits))
            except WorkerFailed:  # it died, say for want of memory; the next one asks for a new one
                pass
        return await start_worker(allowance, waits=waits)

    def begin(self, make: Callable[[Allowance], Awaitable[Standing | None]]) -> None:
        """Starts what is missing in the background; a failure shows in the next ordinary start.

        `make` leaves no process behind when it raises or is cancelled.
        """

        async def attempt() -> Standing | None:
            try:
                standing = await make(self.allowance)
            except (SandboxError, OSError):
                return None
            # A run that waits for it already would wait for that, too.
            if standing is not None and asyncio.current_task() in self._waiting:
                standing.child.tell(StandBy())
            return standing

        while not self._closed and walls.CAN_TIGHTEN and len(self._waiting) < self._size:
            self._waiting.append(asyncio.create_task(attempt(), name="chez spare worker"))

    async def take(self, needed: Allowance) -> Standing | None:
        """A waiting worker, held to exactly `needed`; None when there is none that will do.

        One that is still starting is waited for: it is ahead of one that would start now.
        """
        while self._waiting and self.allowance.covers(needed):
            task = self._waiting.popleft()
            try:
                await asyncio.wait({task})
            except BaseException:
                await _discard(task)
                raise
            standing = None if task.cancelled() or task.exception() else task.result()
            if standing is None:
                continue
            child = standing.child
            # Quiet: it still lives, and has said nothing since its walls stood. Limits go by the process id, which
            # a worker that ends loses at once: asked again, it had it all the while, and the limits are its own.
            if child.is_quiet() and _hold(child, needed) and child.is_quiet():
                return standing
            await child.end()
        return None

    async def aclose(self) -> None:
        """Ends the waiting workers, the zygote and all that it forked; there will be no others. Not cancellable."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._end()

    def _rest(self) -> None:
        self._resting = asyncio.create_task(self._end(), name="chez spare workers end")

    async def _end(self) -> None:
        while self._waiting:
            await _discard(self._waiting.popleft())
        if self._zygote is not None:
            await self._zygote.aclose()


def _hold(child: Child, needed: Allowance) -> bool:
    return walls.tighten(
        child.pid,
        data=needed.memory,
        address_space=needed.address_space,
        cpu_seconds=needed.cpu_seconds,
    )


async def _discard(task: asyncio.Task[Standing | None]) -> None:
    with anyio.CancelScope(shield=True):
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None and (standing := task.result()):
            await standing.child.end()

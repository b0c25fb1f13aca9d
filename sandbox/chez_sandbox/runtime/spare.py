"""One worker started ahead of its job, so that a run need not wait for a process to start.

It is an ordinary worker that has come as far as a worker comes without a job: the Python
runtime loaded, every wall up, nothing received. It serves one run and ends like any other.
Its limits on memory and processor are those of a generous job until it is taken; then they
are lowered from outside to exactly what a worker started for this job would have. There is
none for components of a provider: their code is not loaded before the run that needs it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from chez_sandbox.errors import SandboxError
from chez_sandbox.runtime import walls
from chez_sandbox.runtime.process import Child

__all__ = ("Allowance", "Spare", "Standing")


@dataclass(frozen=True, slots=True)
class Allowance:
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


@dataclass(frozen=True, slots=True)
class Standing:
    """A worker that waits for its job behind these walls."""

    child: Child
    walls: tuple[str, ...]


class Spare:
    """At most one waiting worker; whoever takes it owns it."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self._task: asyncio.Task[Standing | None] | None = None
        self._closed = False

    def begin(self, start: Callable[[Allowance], Awaitable[Standing | None]]) -> None:
        """Starts one in the background unless there is one; a failure shows in the next ordinary start.

        `start` leaves no process behind when it raises or is cancelled.
        """
        if self._closed or self._task is not None or not walls.CAN_TIGHTEN:
            return

        async def attempt() -> Standing | None:
            try:
                return await start(self.allowance)
            except (SandboxError, OSError):
                return None

        self._task = asyncio.create_task(attempt(), name="chez spare worker")

    async def take(self, needed: Allowance) -> Standing | None:
        """The waiting worker, held to exactly `needed`; None when there is none that will do.

        One that is still starting is waited for: it is ahead of one that would start now.
        """
        if self._task is None or not self.allowance.covers(needed):
            return None
        task, self._task = self._task, None
        try:
            await asyncio.wait({task})
        except BaseException:
            await _discard(task)
            raise
        standing = None if task.cancelled() or task.exception() else task.result()
        if standing is None:
            return None
        child = standing.child
        # Quiet: it still lives, and has said nothing since its walls stood.
        if child.is_quiet() and walls.tighten(
            child.pid,
            data=needed.memory,
            address_space=needed.address_space,
            cpu_seconds=needed.cpu_seconds,
        ):
            return standing
        await child.end()
        return None

    async def aclose(self) -> None:
        """Ends the waiting worker; there will be no other. Not cancellable."""
        self._closed = True
        task, self._task = self._task, None
        if task is not None:
            await _discard(task)


async def _discard(task: asyncio.Task[Standing | None]) -> None:
    with anyio.CancelScope(shield=True):
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and task.exception() is None and (standing := task.result()):
            await standing.child.end()

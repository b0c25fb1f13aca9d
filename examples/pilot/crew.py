"""The people's devices: worker processes that go from one home to the next."""

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from examples.pilot.plan import ROOT, PilotFailed, Places, Plan
from examples.pilot.programs import finish
from examples.pilot.worker import Done

__all__ = ("crew",)

ATTEMPTS: Final = 3
"""How often one person's step is tried: each is what a person would do, to try again later."""


@dataclass(slots=True)
class _Queue:
    """The people who are still to come."""

    waiting: list[int]
    total: int
    done: int = 0


async def crew(places: Places, plan: Plan, step: str, done_file: str, workers: int,
               told: Callable[[int, int], None]) -> None:
    """Have everybody do a step, who has not; `told(done, total)` hears of each. Raises `PilotFailed`."""
    missing = [number for number in range(plan.people) if not (places.person(number) / done_file).exists()]
    queue = _Queue(missing[::-1], len(missing))
    async with asyncio.TaskGroup() as group:
        for _ in range(min(workers, len(missing))):
            group.create_task(_worker(places, step, queue, told))


async def _worker(places: Places, step: str, queue: _Queue, told: Callable[[int, int], None]) -> None:
    with (places.folder / "people.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "examples.pilot.worker", str(places.folder), step, cwd=ROOT, start_new_session=True,
            env={**os.environ, "PYTHONPATH": _path()}, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=log)
    try:
        while queue.waiting:
            await _one(process, queue.waiting.pop())
            queue.done += 1
            told(queue.done, queue.total)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
    finally:
        await finish(process)


async def _one(process: asyncio.subprocess.Process, number: int) -> None:
    assert process.stdin is not None and process.stdout is not None
    problem = ""
    for _ in range(ATTEMPTS):
        process.stdin.write(b"%d\n" % number)
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            raise PilotFailed(f"the process of person {number} ended; people.log says why")
        problem = msgspec.json.decode(line, type=Done).problem
        if not problem:
            return
    raise PilotFailed(f"person {number}: {problem}")


def _path() -> str:
    """Where this process found its modules, the repository first."""
    return os.pathsep.join([str(ROOT), *[part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]])

"""Calls that are cut: cancelled at one of the moments at which they wait, or just as what they wait for is there.

`each_cut` cuts a call at one moment after the other, each time in a fresh copy of a folder, and holds what nothing may
leave behind: tasks, and descriptors of files.
"""

import asyncio
import gc
import os
import random
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Generator
from pathlib import Path
from typing import Any, Final

from chez.errors import ChezError

__all__ = ("Cutter", "cut", "each_cut", "of_moments", "open_files")

Cutter = Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]
"""Runs a call and cuts it; gives its result, or what it raised."""

_SECONDS: Final = 60


class _Cut:
    """An awaitable that is `work`, and has the task that awaits it cancelled at its `at`-th wait."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, late: bool) -> None:
        self._work = work
        self._at = at
        self._late = late
        self.waits = 0
        """How often it waited."""

    def __await__(self) -> Generator[Any, Any, Any]:
        task, steps = asyncio.current_task(), self._work.__await__()
        assert task is not None
        thrown: BaseException | None = None
        while True:
            try:
                waited_for = steps.send(None) if thrown is None else steps.throw(thrown)
            except StopIteration as end:
                return end.value
            self.waits += 1
            if self.waits == self._at:
                if self._late and waited_for is not None:
                    waited_for.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            thrown = None
            try:
                yield waited_for
            except BaseException as error:
                thrown = error


async def cut(work: Coroutine[Any, Any, Any], at: int, late: bool = False) -> tuple[Any, bool]:
    """What a call gave, or the exception it ended with, and whether it came to its `at`-th wait, at which it is cut.

    With `late` the cancellation comes together with what is waited for: where what was got is easily lost.
    """
    one = _Cut(work, at, late)

    async def run() -> Any:
        return await one

    (outcome,) = await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
    return outcome, one.waits >= at


def open_files() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def of_moments(seed: int, least: int = 1) -> Callable[[int], bool]:
    """Every moment, of seed 0; else one of `least` or so, by chance."""
    chance = random.Random(seed)
    return lambda _: not seed or chance.randrange(least) == 0


async def each_cut(base: Path, trial: Callable[[Path, Cutter], Awaitable[None]], *, late: bool,
                   wanted: Callable[[int], bool] = lambda _: True) -> int:
    """Have `trial` run with the call that it gives its cutter cut at the first moment, the second, until it was not.

    Each begins with a copy of the folder `base` under the same name, and ends with no task, no file and no exception of
    Python's left over. Those moments that are not `wanted` are left out. Returns how many were tried.
    """
    kept, at, tried = base.with_name(base.name + ".kept"), 0, 0
    base.rename(kept)
    reached = True
    while reached:
        at += 1
        if not wanted(at) and at < 200:
            continue
        tried += 1
        shutil.copytree(kept, base)

        async def cutter(work: Coroutine[Any, Any, Any], at: int = at) -> Any:
            nonlocal reached
            outcome, reached = await cut(work, at, late)
            if isinstance(outcome, Exception) and not isinstance(outcome, ChezError):
                raise outcome
            return outcome

        files, tasks = open_files(), asyncio.all_tasks()
        try:
            async with asyncio.timeout(_SECONDS):
                await trial(base, cutter)
            gc.collect()
            left = asyncio.all_tasks() - tasks
            assert not left, left
            assert open_files() <= files, "files are open still"
        except BaseException as error:
            error.add_note(f"cut at wait {at}, {'late' if late else 'early'}")
            raise
        shutil.rmtree(base, ignore_errors=True)
    return tried

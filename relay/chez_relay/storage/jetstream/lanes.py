"""Requests side by side, except where they concern one space or inbox: those keep their order."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from chez_relay.storage import (
    AddInbox,
    AddItem,
    DropItems,
    Expire,
    Lookup,
    ReadItems,
    Request,
    Result,
)

__all__ = ("Lanes",)

Performer = Callable[[Sequence[Request]], Awaitable[list[Result]]]


class Lanes:
    """A lane for each name. `perform` does requests that concern the same names, in their order."""

    def __init__(self, perform: Performer) -> None:
        self._perform = perform
        self._tails: dict[bytes, asyncio.Task[list[Result]]] = {}

    async def run(self, requests: Sequence[Request]) -> list[Result]:
        """The results of a group, in its order. What was asked in groups before, for the same names, comes first.

        An `Expire` concerns all names: what is before it in the group is done first, then it, then the rest.
        """
        for number, request in enumerate(requests):
            if isinstance(request, Expire):
                before, behind = requests[:number], requests[number + 1:]
                return [*await self._run(before), *await self._begin((), [request]), *await self.run(behind)]
        return await self._run(requests)

    async def _run(self, requests: Sequence[Request]) -> list[Result]:
        runs: list[list[int]] = []
        last: dict[bytes, list[int]] = {}
        for number, request in enumerate(requests):
            names = _names(request)
            if isinstance(request, Lookup):
                runs.append([number])
                for name in names:
                    last.pop(name, None)
                continue
            if names[0] not in last:
                runs.append([])
                last[names[0]] = runs[-1]
            last[names[0]].append(number)
        tasks = [self._begin(sorted({name for n in run for name in _names(requests[n])}), [requests[n] for n in run])
                 for run in runs]
        results: list[Result | None] = [None] * len(requests)
        for run, task in zip(runs, tasks, strict=True):
            for number, result in zip(run, await task, strict=True):
                results[number] = result
        return [result for result in results if result is not None]

    def _begin(self, names: Sequence[bytes], requests: Sequence[Request]) -> asyncio.Task[list[Result]]:
        before = list({id(tail): tail for name in names if (tail := self._tails.get(name)) is not None}.values())

        async def act() -> list[Result]:
            if before:
                await asyncio.wait(before)
            return await self._perform(requests)

        task = asyncio.get_running_loop().create_task(act())
        for name in names:
            self._tails[name] = task

        def done(_: asyncio.Task[list[Result]]) -> None:
            for name in names:
                if self._tails.get(name) is task:
                    del self._tails[name]

        task.add_done_callback(done)
        return task


def _names(request: Request) -> tuple[bytes, ...]:
    match request:
        case Lookup(handles):
            return handles
        case AddInbox() | AddItem() | ReadItems() | DropItems():
            return (request.inbox,)
        case Expire():
            return ()
        case _:
            return (request.handle,)

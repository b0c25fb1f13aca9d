"""Requests side by side, except where they concern one space or inbox: those keep their order."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from chez_relay.storage import (
    AddEntry,
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


@dataclass(slots=True, eq=False)
class _Run:
    """Requests to be performed together, which wait for those before them; others join until they begin."""

    requests: list[Request]
    alone: bool
    task: "asyncio.Task[list[Result]] | None" = None
    begun: bool = False


class Lanes:
    """A lane for each name. `perform` does requests that concern the same names, in their order.

    What waits in one lane is performed together as soon as the lane is free, whichever groups it came in.
    """

    def __init__(self, perform: Performer) -> None:
        self._perform = perform
        self._tails: dict[bytes, _Run] = {}

    async def run(self, requests: Sequence[Request]) -> list[Result]:
        """The results of a group, in its order. What was asked in groups before, for the same names, comes first.

        An `Expire` concerns all names: what is before it in the group is done first, then it, then the rest.
        """
        for number, request in enumerate(requests):
            if isinstance(request, Expire):
                before, behind = requests[:number], requests[number + 1:]
                return [*await self._run(before), *await self._perform([request]), *await self.run(behind)]
        return await self._run(requests)

    async def _run(self, requests: Sequence[Request]) -> list[Result]:
        places: list[tuple[_Run, int]] = []
        for request in requests:
            names = _names(request)
            tail = self._tails.get(names[0])
            if tail is None or tail.alone or tail.begun or isinstance(request, Lookup):
                tail = self._begin(dict.fromkeys(names), request)
            else:
                tail.requests.append(request)
            places.append((tail, len(tail.requests) - 1))
        results: list[Result] = []
        for run, place in places:
            if run.task is not None:
                results.append((await run.task)[place])
        return results

    def _begin(self, names: Iterable[bytes], request: Request) -> _Run:
        run = _Run([request], isinstance(request, Lookup))
        before = {id(tail): tail.task for name in names if (tail := self._tails.get(name)) is not None}
        waiting = [task for task in before.values() if task is not None]

        async def act() -> list[Result]:
            if waiting:
                await asyncio.wait(waiting)
            run.begun = True
            return await self._perform(run.requests)

        run.task = asyncio.get_running_loop().create_task(act())
        for name in names:
            self._tails[name] = run

        def done(_: asyncio.Task[list[Result]]) -> None:
            for name in names:
                if self._tails.get(name) is run:
                    del self._tails[name]

        run.task.add_done_callback(done)
        return run


def _names(request: Request) -> tuple[bytes, ...]:
    if isinstance(request, AddEntry):  # first, for most are
        return (request.handle,)
    match request:
        case Lookup(handles):
            return handles
        case AddInbox() | AddItem() | ReadItems() | DropItems():
            return (request.inbox,)
        case Expire():
            return ()
        case _:
            return (request.handle,)

"""Group commit: whatever all connections wait for goes to the storage together.

One fsync then serves everybody who asked while the one before was under way; with one
client alone a group has one request and waits for nobody.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from chez_relay.counts import Counts
from chez_relay.errors import Code, StorageFailed
from chez_relay.fanout import Growth, growth
from chez_relay.storage import (
    READING,
    AddChunk,
    AddEntry,
    AddItem,
    AddSpace,
    DropEntries,
    DropSpace,
    Expired,
    FindChunks,
    ReadChunk,
    ReadItems,
    ReadPage,
    Refused,
    Request,
    Result,
    RotateSpace,
    SharedStorage,
    Storage,
    Stored,
)
from chez_wire.limits import MAX_CHUNK

__all__ = ("Committer", "cost")

MAX_GROUP: Final = 1024
"""Requests in one group: bounds how long a commit, and the loop after it, takes."""

MAX_GROUP_BYTES: Final = 8 * 1024 * 1024
"""Bytes written or read by one group, for the same reason."""

GROUPS_AT_ONCE: Final = 32
"""Groups under way at a shared store: what waits for a node that is gone keeps nobody else waiting."""

PACKET_MEMORY: Final = 512
"""Bytes that one packet of a request takes: its tag and box, and the objects around them."""

Waiting = tuple[Request, Callable[[Result], None], int]
Group = list[Waiting]

_FAILED: Final = Refused(Code.STORAGE, "the relay's storage failed; nothing was stored", retry=True)
_log = logging.getLogger("chez_relay")


def cost(request: Request) -> int:
    """How many bytes a request may keep in memory until it is answered."""
    match request:
        case AddEntry(envelope=data) | AddItem(item=data) | AddChunk(data=data):
            return 512 + len(data)
        case AddSpace(packets=packets) | RotateSpace(packets=packets):
            return 1024 + PACKET_MEMORY * len(packets)
        case ReadChunk():
            return 512 + MAX_CHUNK
        case DropEntries(ranges=ranges, chunks=chunks):
            return 1024 + 128 * len(ranges) + 64 * len(chunks)
        case FindChunks(chunks=chunks):
            return 512 + 64 * len(chunks)
        case ReadPage(limit=limit) | ReadItems(limit=limit):
            return 512 + limit
        case _:
            return 1024


class Committer:
    """Collects requests and performs them in groups; `grown` hears what each group added."""

    def __init__(
        self, storage: Storage, grown: Callable[[Growth], None], *, counts: Counts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._shared = isinstance(storage, SharedStorage)
        self._under_way: set[asyncio.Task[None]] = set()
        self._grown = grown
        self._counts = counts or Counts()
        self._clock = clock
        self._waiting: deque[Waiting] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, request: Request, done: Callable[[Result], None], weight: int | None = None) -> None:
        """Queue a request; `done` gets its result once it is durable. `weight` is its `cost`, for who knows it.

        Results keep the order; over a shared store, those that concern one space or inbox do.
        """
        if not self._waiting:  # else both were done for the first of them
            self._wake.set()
            self._idle.clear()
        self._waiting.append((request, done, cost(request) if weight is None else weight))

    async def idle(self) -> None:
        """Wait until nothing is queued."""
        await self._idle.wait()

    async def run(self) -> None:
        """Perform groups for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                if not self._shared:
                    # All are answered before the next group begins. Begun before, it was smaller and had to share the
                    # interpreter with the answers: near the most that a relay can take, everybody waited longer.
                    await self._commit(self._group())
                    continue
                self._begin(self._group())
                await asyncio.sleep(0)  # whatever comes in meanwhile is a group again
                while len(self._under_way) >= GROUPS_AT_ONCE:
                    await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            if not self._under_way:
                self._idle.set()

    def _begin(self, group: Group) -> None:
        task = asyncio.get_running_loop().create_task(self._commit(group))
        self._under_way.add(task)

        def ended(_: asyncio.Task[None]) -> None:
            self._under_way.discard(task)
            self._wake.set()

        task.add_done_callback(ended)

    def _group(self) -> Group:
        group: Group = []
        size = 0
        while self._waiting and len(group) < MAX_GROUP and size < MAX_GROUP_BYTES:
            group.append(waiting := self._waiting.popleft())
            size += waiting[2]
        return group

    async def _commit(self, group: Group) -> None:
        requests = [request for request, _, _ in group]
        begun = self._clock()
        results = await self._performed(requests)
        seconds = self._clock() - begun
        at = 0
        for end in _told_apart(requests):
            self._tell(group[at:end], results[at:end])
            at = end
        self._counts.group(requests, results, seconds)  # nobody waits for that

    def _tell(self, group: Group, results: Sequence[Result]) -> None:
        """Answer, then say what grew."""
        for (_, done, _), result in zip(group, results, strict=True):
            try:
                done(result)
            except Exception as error:
                _told_nobody(error)
        try:
            self._grown(growth([request for request, _, _ in group], results))
        except Exception as error:
            _told_nobody(error)

    async def _performed(self, requests: Sequence[Request]) -> list[Result]:
        """The storage's results; where it can't write, what only reads is still answered."""
        try:
            results = await self._storage.perform(requests)
        except StorageFailed as error:
            _log.error("%s", error)
        except Exception as error:  # a defect must not end the one task that all connections wait for
            # Its text could quote what was asked.
            _log.error("the storage failed on something unexpected (%s)", type(error).__name__)
        else:
            well = not self._shared or not any(
                isinstance(one, Refused) and one.code is Code.STORAGE for one in results)
            if any(isinstance(one, Expired) and not one.able for one in results):
                self._can_write(False)
            elif self._counts.writable or not well or any(map(_written, requests, results)):
                self._note(requests, well=well)
            return results
        self._note(requests, well=False)
        reading = [request for request in requests if isinstance(request, READING)]
        if not reading or len(reading) == len(requests):
            return [_FAILED] * len(requests)
        answers = iter(await self._performed(reading))
        return [next(answers) if isinstance(request, READING) else _FAILED for request in requests]

    def _note(self, requests: Sequence[Request], *, well: bool) -> None:
        before = self._counts.writable
        self._counts.performed(requests, well=well)
        after, self._counts.writable = self._counts.writable, before
        self._can_write(after)

    def _can_write(self, able: bool) -> None:
        if able is not self._counts.writable:
            self._counts.writable = able
            if able:
                _log.info("the store can be written to again")
            else:
                _log.error("the store can't be written to: the relay is not ready")


def _told_apart(requests: Sequence[Request]) -> list[int]:
    """Where the parts of a group end that are told one after the other: at the end, and behind each deletion.

    The space may be made anew in the same group: whoever opens that one is not to hear of the end of the other.
    """
    return [n for n, request in enumerate(requests, 1) if n == len(requests) or type(request) is DropSpace]


def _written(request: Request, result: Result) -> bool:
    """Whether something was written for it, as far as its result tells: what was there already proves nothing."""
    return not isinstance(request, READING) and not isinstance(result, Refused) and (
        not isinstance(result, Stored) or result.fresh)


def _told_nobody(error: Exception) -> None:
    """A defect in what one connection does with an answer concerns no other; the text could quote what was asked."""
    _log.error("an answer failed on something unexpected (%s)", type(error).__name__)

"""Group commit: whatever all connections wait for goes to the storage together.

One fsync then serves everybody who asked while the one before was under way; with one
client alone a group has one request and waits for nobody. Where more waits than a group
has room for, addresses take turns (`chez_relay.turns`).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from chez_relay.bounds import GROUPS_AT_ONCE, MAX_GROUP, MAX_GROUP_BYTES
from chez_relay.counts import Counts
from chez_relay.errors import Code, StorageFailed
from chez_relay.fanout import Growth, growth
from chez_relay.storage import (
    PAGES,
    READING,
    AddChunk,
    AddEntry,
    AddItem,
    AddSpace,
    ChunkData,
    DropEntries,
    DropSpace,
    Expired,
    FindChunks,
    ItemPage,
    Outcome,
    Page,
    PromptStorage,
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
from chez_relay.turns import Turns
from chez_wire.limits import MAX_CHUNK, MAX_ENVELOPE, MAX_INBOX_ITEM

__all__ = ("Committer", "cost")

PACKET_MEMORY: Final = 512
"""Bytes that one packet of a request takes: its tag and box, and the objects around them."""

PRICE: Final = 512
"""What a page is charged before it is read: the rest is owed when it is known how much that was."""

Waiting = tuple[Request, Callable[[Result], None], object]
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
        case ReadPage(limit=limit):  # where there is one there is one on the page, whatever the limit
            return 512 + max(limit, MAX_ENVELOPE)
        case ReadItems(limit=limit):
            return 512 + max(limit, MAX_INBOX_ITEM)
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
        self._begin = storage.begin if isinstance(storage, PromptStorage) else self._begin_task
        self._tasks: set[asyncio.Task[list[Result]]] = set()
        self._grown = grown
        self._counts = counts or Counts()
        self._clock = clock
        self._waiting: Turns[Waiting] = Turns()
        self._running = False
        self._soon = False  # whether a group begins once the loop did all that it has to do now
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, request: Request, done: Callable[[Result], None], weight: int | None = None,
               who: object = None) -> None:
        """Queue a request; `done` gets its result once it is durable.

        `weight` is its `cost`, for who knows it, and `who` stands for the address that asks. Results of one who asks
        keep the order; over a shared store, those that concern one space or inbox do.
        """
        first = not self._waiting
        self._waiting.put(who, (request, done, who), cost(request) if weight is None else weight,
                          PRICE if isinstance(request, PAGES) else None)
        if first:
            self._idle.clear()
            self._stir()

    @property
    def rests(self) -> bool:
        """Whether a request would begin a group of its own at once, which this relay alone can have come to nothing.

        Over a shared store, what was given under keys that another relay replaced is refused by the store alone.
        """
        return self._running and not (self._shared or self._waiting or self._under_way)

    async def idle(self) -> None:
        """Wait until nothing is queued."""
        await self._idle.wait()

    async def run(self) -> None:
        """Perform groups, once, for ever; nobody hears any more of what is under way when this is cancelled."""
        self._running = True
        self._stir()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._running = False
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _stir(self) -> None:
        """Begin a group, if one may, of what waits and whatever comes in before the loop's next turn.

        Where something waits, a group is about to begin, or so many are under way that one that is answered begins it.
        """
        if self._waiting and self._running and self._under_way < (GROUPS_AT_ONCE if self._shared else 1):
            self._soon = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._soon = False
        if not self._running:
            return
        group = self._waiting.take(MAX_GROUP, MAX_GROUP_BYTES)
        self._under_way += 1
        self._perform([request for request, _, _ in group], partial(self._answer, group, self._clock()))
        self._stir()

    def _answer(self, group: Group, begun: float, results: list[Result]) -> None:
        seconds = self._clock() - begun
        requests = [request for request, _, _ in group]
        at = 0
        for end in _told_apart(requests):
            self._tell(group[at:end], results[at:end])
            at = end
        self._under_way -= 1
        if self._waiting:
            self._charge(group, results)
            if not self._soon:
                # All are answered before the next group begins. Begun before, it was smaller and had to share the
                # interpreter with the answers: near the most that a relay can take, everybody waited longer.
                self._next()
        elif not self._under_way:
            self._idle.set()
        self._counts.group(requests, results, seconds)  # nobody waits for that

    def _charge(self, group: Group, results: Sequence[Result]) -> None:
        """Have addresses owe what was read for them."""
        for (request, _, who), result in zip(group, results, strict=True):
            if isinstance(request, PAGES):
                self._waiting.owe(who, _read(result))

    def _tell(self, group: Group, results: Sequence[Result]) -> None:
        """Answer, then say what grew."""
        for (_, done, _), result in zip(group, results, strict=True):
            try:
                done(result)
            except (Exception, asyncio.CancelledError) as error:
                _told_nobody(error)
        try:
            self._grown(growth([request for request, _, _ in group], results))
        except Exception as error:
            _told_nobody(error)

    def _perform(self, requests: Sequence[Request], told: Callable[[list[Result]], None]) -> None:
        """Give `told` the storage's results; where it can't write, what only reads is still answered."""
        self._begin(requests, partial(self._performed, requests, told))

    def _performed(self, requests: Sequence[Request], told: Callable[[list[Result]], None], outcome: Outcome) -> None:
        if not self._running:
            return
        if not isinstance(outcome, BaseException) and len(outcome) != len(requests):
            outcome = ValueError("a result for each request")
        if not isinstance(outcome, BaseException):
            told(outcome)
            self._note_performed(requests, outcome)  # nobody waits for that
            return
        if isinstance(outcome, StorageFailed):
            _log.error("%s", outcome)
        else:  # a defect must not end what all connections wait for; its text could quote what was asked
            _log.error("the storage failed on something unexpected (%s)", type(outcome).__name__)
        self._note(requests, well=False)
        reading = [request for request in requests if isinstance(request, READING)]
        if not reading or len(reading) == len(requests):
            told([_FAILED] * len(requests))
            return

        def answered(results: list[Result]) -> None:
            answers = iter(results)
            told([next(answers) if isinstance(request, READING) else _FAILED for request in requests])

        self._perform(reading, answered)

    def _begin_task(self, requests: Sequence[Request], done: Callable[[Outcome], None]) -> None:
        """As `PromptStorage.begin`, of any other."""
        def ended(task: asyncio.Task[list[Result]]) -> None:
            self._tasks.discard(task)
            done(asyncio.CancelledError() if task.cancelled() else task.exception() or task.result())

        task = asyncio.get_running_loop().create_task(self._storage.perform(requests))
        self._tasks.add(task)
        task.add_done_callback(ended)

    def _note_performed(self, requests: Sequence[Request], results: Sequence[Result]) -> None:
        """Take from a group's results whether the store can be written to."""
        well = not self._shared or not any(
            isinstance(one, Refused) and one.code is Code.STORAGE for one in results)
        if any(isinstance(one, Expired) and not one.able for one in results):
            self._can_write(False)
        elif self._counts.writable or not well or any(map(_written, requests, results)):
            self._note(requests, well=well)

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


def _read(result: Result) -> int:
    """How many bytes a page has."""
    match result:
        case Page(entries=entries):
            return sum(len(one.envelope) for one in entries)
        case ItemPage(items=items):
            return sum(len(one.item) for one in items)
        case ChunkData(data=data):
            return len(data)
        case _:
            return 0


def _told_apart(requests: Sequence[Request]) -> list[int]:
    """Where the parts of a group end that are told one after the other: at the end, and behind each deletion.

    The space may be made anew in the same group: whoever opens that one is not to hear of the end of the other.
    """
    return [n for n, request in enumerate(requests, 1) if n == len(requests) or type(request) is DropSpace]


def _written(request: Request, result: Result) -> bool:
    """Whether something was written for it, as far as its result tells: what was there already proves nothing."""
    return not isinstance(request, READING) and not isinstance(result, Refused) and (
        not isinstance(result, Stored) or result.fresh)


def _told_nobody(error: BaseException) -> None:
    """A defect in what one connection does with an answer concerns no other; the text could quote what was asked."""
    _log.error("an answer failed on something unexpected (%s)", type(error).__name__)

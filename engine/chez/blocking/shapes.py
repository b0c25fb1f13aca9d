"""What stands for an asynchronous block, iterator, event and home in a program without a loop."""

import asyncio
import warnings
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from chez.blocking.calls import Call
from chez.blocking.loop import Held, Portal
from chez.errors import Misuse, StorageFailed

__all__ = ("BATCH", "Block", "Event", "Front", "Items", "Opened", "alone", "inside", "same")

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
V = TypeVar("V")

BATCH: Final = 256
"""Records that one look at the loop brings at most: the first brings one, each next twice as many."""


def same(value: R) -> R:
    """A value that is the same in both worlds."""
    return value


def alone(work: Callable[[Call[R]], Awaitable[R]]) -> R:
    """Run `work` on a loop of its own, that ends with it."""
    portal = Portal()
    try:
        return portal.call(work)
    finally:
        portal.stop()


def inside(portal: Portal, work: Callable[[S], R], front: Callable[[Portal, V], S]) -> Callable[[V], R]:
    """A caller's function over `front`, as one over what that stands for; it runs in the store's thread."""
    def run(inner: V) -> R:
        with portal.working():
            return work(front(portal, inner))

    return run


class Front(Generic[V]):
    """An object of the SDK, for threads that wait."""

    def __init__(self, portal: Portal, inner: V) -> None:
        self._portal = portal
        self._inner = inner

    def __repr__(self) -> str:
        return repr(self._inner)


class Block(Generic[R_co]):
    """A `with` block: `with notes.edit(id) as draft: ...`. It begins and ends on the home's loop, once."""

    def __init__(self, portal: Portal, open: Callable[[Call[Any]], AbstractAsyncContextManager[V]],
                 convert: Callable[[V], R_co]) -> None:
        self._portal = portal
        self._open: Callable[[Call[Any]], AbstractAsyncContextManager[Any]] = open
        self._convert: Callable[[Any], R_co] = convert
        self._held: Held[Any] | None = None

    def __enter__(self) -> R_co:
        async def enter(call: Call[Any]) -> Any:
            self._held = Held(self._portal, self._open(call))
            return await self._held.enter()

        if self._held is not None:
            raise Misuse("this block was entered before", "Make a new one for each `with`.")
        try:
            return self._convert(self._portal.call(enter))
        except BaseException as error:
            held, reason = self._held, error
            if held is not None:  # interrupted at the very moment when it was entered
                self._portal.start(lambda: held.end(reason))
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> bool:
        async def leave(call: Call[bool]) -> bool:
            assert self._held is not None  # entered before
            return await self._held.leave(error)

        try:
            return self._portal.call(leave)
        except StorageFailed:
            if error is None:
                raise
            return False  # what the block raised says more than that the home was closed meanwhile


class Items(Iterator[R_co]):
    """What a `for` loop reads, one by one as it is asked for. `close`, in whichever thread, or leaving a `with`, ends
    it early.
    """

    def __init__(self, portal: Portal, begin: Callable[[], AsyncIterator[R_co]], *, batch: int = 1,
                 ends: bool = False) -> None:
        """`batch` at most are read ahead; `ends` says that it is over when the home closes, and nothing is missing."""
        self._portal = portal
        self._begin = begin
        self._most = batch
        self._ends = ends
        self._count = 1
        self._source: AsyncIterator[R_co] | None = None
        self._ready: deque[R_co] = deque()
        self._error: BaseException | None = None
        self._ended = self._closed = False
        self._call: Call[None] | None = None
        """On the loop: what waits for the next."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> R_co:
        if not self._ready and not self._ended:
            try:
                self._portal.call(self._look)
            except BaseException as error:
                self._ended = True  # an asynchronous iterator that was cut off gives no more
                over = self._ends and isinstance(error, StorageFailed) and self._portal.stopped
                if not over and not (self._closed and isinstance(error, asyncio.CancelledError)):
                    raise
        if self._closed:  # by another thread, meanwhile
            self._ready.clear()
        if self._ready:
            return self._ready.popleft()
        late, self._error = self._error, None
        if late is not None:
            raise late
        raise StopIteration

    async def _look(self, call: Call[None]) -> None:
        if self._closed:
            return
        if self._source is None:
            self._source = self._begin()
        source, self._call = self._source, call
        try:
            for _ in range(self._count):
                self._ready.append(await anext(source))
        except StopAsyncIteration:
            self._ended = True
        except Exception as error:
            if not self._ready:
                raise
            self._ended, self._error = True, error  # after what came before it
        finally:
            self._call = None
            if self._closed:
                await _leave(source)
        self._count = min(2 * self._count, self._most)

    def close(self) -> None:
        """Read no more; a thread that waits for the next one is at the end of its loop then."""
        ended, self._ended, self._closed = self._ended, True, True
        self._ready.clear()
        if not ended:  # not waited for: this may run wherever Python frees objects
            self._portal.start(self._end)

    async def _end(self) -> None:
        source, self._source = self._source, None
        if self._call is not None:
            self._call.cancel()  # which leaves it
        else:
            await _leave(source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


async def _leave(source: AsyncIterator[Any] | None) -> None:
    end = getattr(source, "aclose", None)
    if end is not None:
        await end()


class Event(Front[asyncio.Event]):
    """Something that happens once; `wait` for it."""

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._inner.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it happens, at most so many seconds; whether it has happened."""
        async def wait(call: Call[bool]) -> bool:
            try:
                async with asyncio.timeout(timeout):
                    return await self._inner.wait()
            except TimeoutError:
                return False

        return self._portal.call(wait)


class Opened(Front[V]):
    """A home that has its own thread. `close` it, or open it in a `with`."""

    @classmethod
    def opened(cls, open: Callable[[], AbstractAsyncContextManager[V]]) -> Self:
        """Open on a new thread."""
        portal = Portal()
        try:
            return cls(portal, portal.call(lambda call: Held(portal, open()).enter()))
        except BaseException:
            portal.stop()
            raise

    def close(self) -> None:
        """Close the home; what is under way in other threads ends with `StorageFailed`. Again does nothing."""
        self._portal.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._portal.stopped:
            warnings.warn(f"{self!r} was never closed", ResourceWarning, source=self, stacklevel=1)
            self._portal.stop(wait=False)

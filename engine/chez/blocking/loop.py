"""A home's event loop in a thread of its own, and how other threads reach it.

The SDK sees ordinary tasks there: each call is one, and each block is one from its
beginning to its end. Whatever one thread begins counts as the edits of one editor
(`chez.records.editor`).
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from contextvars import Context, copy_context
from typing import Any, Final, Generic, TypeVar

from chez.blocking.calls import LOOK_SECONDS, Call
from chez.errors import Misuse, StorageFailed
from chez.records.editor import EDITOR
from chez.store.database import home_closed

__all__ = ("Held", "Portal")

R = TypeVar("R")
V = TypeVar("V")

WATCH_SECONDS: Final = 1.0
"""How often the loop looks whether the program has ended without closing its home."""


class Portal:
    """A thread that runs an event loop; `stop` ends it. Usable from any other thread."""

    def __init__(self) -> None:
        self._held: list[Held[Any]] = []
        self._home: Held[Any] | None = None
        self._calls: dict[asyncio.Task[None], Call[Any]] = {}
        self._closing: asyncio.Task[None] | None = None
        self._working: int | None = None
        self._open = True
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._ended: asyncio.Event
        begun = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(begun)), name="chez home", daemon=True)
        self._thread.start()
        begun.wait()

    async def _main(self, begun: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        begun.set()
        # The store's threads keep a program alive, so one that forgot its home would never
        # end. Python has no public hook that comes before it waits for them; hence a look.
        while threading.main_thread().is_alive():
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await self._ended.wait()
                return
            except TimeoutError:
                pass
        self._close()
        await self._ended.wait()

    # --- in other threads -----------------------------------------------------------------

    def call(self, work: Callable[[Call[R]], Awaitable[R]]) -> R:
        """Run `work` on the loop, wait, and give its result; what it raises is raised here.

        Ctrl-C cancels it and waits for its end. Raises `StorageFailed` when the home is
        closed, `Misuse` where waiting would never end: on the loop's own thread, and inside
        the function given to a transaction.
        """
        self._check()
        call: Call[R] = Call(self._gone)
        context = copy_context()
        context.run(EDITOR.set, threading.get_ident())
        # Where the loop ended just now, `_gone` says so.
        return call.result(lambda: self._post(lambda: self._begin(call, work), context),
                           lambda: self._post(call.cancel))

    def do(self, work: Callable[[], R]) -> R:
        """Run a plain function on the loop. Raises as `call`."""
        async def run(call: Call[R]) -> R:
            return work()

        return self.call(run)

    def start(self, work: Callable[[], Awaitable[object]]) -> None:
        """Run `work` on the loop without waiting; what it raises is nobody's."""
        async def run() -> None:
            with suppress(Exception):
                await work()

        self._post(lambda: Call[None]().begin(run))

    def stop(self, *, wait: bool = True) -> None:
        """Close the home that was opened here and end the thread; again does nothing.

        Blocks that are still open are left with an error, calls under way end with
        `StorageFailed`. Ctrl-C is raised when all that is done; a second one at once.
        """
        if wait:
            self._check_thread()
        self._post(self._close)
        interrupted: KeyboardInterrupt | None = None
        while wait and self._thread.is_alive():
            try:
                self._thread.join(LOOK_SECONDS)
            except KeyboardInterrupt as error:
                if interrupted is not None:
                    raise
                interrupted = error
        failure, self._failure = interrupted or self._failure, None
        if failure is not None:
            raise failure

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return not self._open

    @contextmanager
    def working(self) -> Iterator[None]:
        """Around a caller's function that runs in the store's thread, where nothing may wait for the store."""
        self._working = threading.get_ident()
        try:
            yield
        finally:
            self._working = None

    def _check(self) -> None:
        self._check_thread()
        if not self._open:
            raise home_closed()

    def _check_thread(self) -> None:
        here = threading.get_ident()
        if here == self._thread.ident:
            raise Misuse("this function runs on the home's own thread, which can't wait for itself",
                         "Use the home from a thread of your own.")
        if here == self._working:
            raise Misuse("inside a transaction nothing but the transaction can be used",
                         "Use its get, put and delete; do the rest before or after.")

    def _gone(self) -> StorageFailed | None:
        return None if self._thread.is_alive() else home_closed()

    def _post(self, function: Callable[[], object], context: Context | None = None) -> None:
        with suppress(RuntimeError):  # the loop has ended, and with it whatever is meant
            self._loop.call_soon_threadsafe(function, context=context)

    # --- on the loop ----------------------------------------------------------------------

    def _begin(self, call: Call[Any], work: Callable[[Call[Any]], Awaitable[Any]]) -> None:
        if not self._open:
            call.refuse(home_closed())
            return
        task = call.begin(lambda: work(call))
        self._calls[task] = call
        task.add_done_callback(self._calls.pop)

    def entered(self, held: "Held[Any]") -> None:
        """Remember a block, to be left at the latest when the home closes; the first one is the home."""
        self._home = self._home or held
        self._held.append(held)

    def left(self, held: "Held[Any]") -> None:
        """Forget a block."""
        if held in self._held:
            self._held.remove(held)

    def _close(self) -> None:
        if self._closing is None:
            self._open = False
            self._closing = asyncio.get_running_loop().create_task(self._close_all())

    async def _close_all(self) -> None:
        """Leave every block, the one that opened the home last; then end what still runs.

        A block that is entered while the home closes already is left as the others are.
        """
        try:
            while self._held:
                held = self._held[-1]
                try:
                    await held.end(None if held is self._home else home_closed())
                except Exception as error:
                    if held is self._home:  # what a block failed on is told where it ends, in its own thread
                        self._failure = error
                self.left(held)
            for call in self._calls.values():
                call.cancel(home_closed())
            while self._calls:
                await asyncio.wait([*self._calls])
        finally:
            self._ended.set()


class Held(Generic[V]):
    """An asynchronous context manager that separate calls enter and leave, and that is one task meanwhile."""

    def __init__(self, portal: Portal, manager: AbstractAsyncContextManager[V]) -> None:
        loop = asyncio.get_running_loop()
        self._portal = portal
        self._manager = manager
        self._entered: asyncio.Future[V] = loop.create_future()
        self._leaving: asyncio.Future[BaseException | None] = loop.create_future()
        self._raised: BaseException | None = None
        self._task = loop.create_task(self._hold())

    async def _hold(self) -> None:
        try:
            async with self._manager as value:
                self._portal.entered(self)
                self._entered.set_result(value)
                error = await self._leaving
                if error is not None:
                    raise error
        except BaseException as error:
            # Kept: a KeyboardInterrupt that leaves a task ends the loop.
            self._raised = error
        finally:
            self._portal.left(self)

    async def enter(self) -> V:
        """Its value. When this is cancelled, it is left again."""
        try:
            await asyncio.wait((self._task, self._entered), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait((self._task,))
            raise
        if not self._entered.done():
            raise self._raised or home_closed()
        return self._entered.result()

    async def leave(self, error: BaseException | None) -> bool:
        """End it, with the error that its block raised or without one; whether it swallowed that.

        Raises `StorageFailed` when the home's closing has ended it before.
        """
        if self._leaving.done():
            if error is None:
                raise home_closed()
            return False
        return await self.end(error)

    async def end(self, error: BaseException | None) -> bool:
        """As `leave`; where it is being left already, wait for that. A cancellation does not cut it short."""
        if not self._leaving.done():
            self._leaving.set_result(error)
        while not self._task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((self._task,))
        if self._raised is None:
            return error is not None
        if self._raised is error:
            return False
        raise self._raised

"""One call of a thread that waits: its outcome, and what is asked of that thread meanwhile.

    a thread                          the home's event loop
    Call.result() waits     <───      outcome
    runs a callback         <───      told(progress), asking(ask), stream(parts)

Functions that a caller gives (progress, questions, parts of a stream) run in the caller's
own thread while it waits, so they may use the home, read a terminal, and raise: that ends
the call, as Ctrl-C does.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar, cast

__all__ = ("LOOK_SECONDS", "Ask", "Call", "Source")

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")

Source = Path | str | bytes | Iterable[bytes]
"""A file's path, bytes, or parts of them, one after the other."""


class Ask(Protocol):
    """A question to the person, and the answer; `default` is what no answer means."""

    def __call__(self, question: str, *, default: str = "no") -> str:
        """The answer."""


LOOK_SECONDS: Final = 0.25
"""How often a thread that waits looks up. Ctrl-C that comes in the very instant before Python
waits for a lock, or to another thread of the process, does not end that wait."""

_END: Final = object()


class Call(Generic[R]):
    """What one thread waits for. Made and waited for in that thread, ended on the event loop.

    `gone` gives the error to raise once nothing can end it any more, None until then.
    """

    def __init__(self, gone: Callable[[], BaseException | None] = lambda: None) -> None:
        self._gone = gone
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._value: Any = None
        self._error: BaseException | None = None
        self._task: asyncio.Task[None] | None = None
        self._reason: BaseException | None = None

    # --- on the event loop ----------------------------------------------------------------

    def begin(self, work: Callable[[], Any]) -> "asyncio.Task[None]":
        """Start the work, which gives an awaitable, in a task of its own."""
        self._task = asyncio.get_running_loop().create_task(self._run(work))
        self._task.add_done_callback(self._over)
        return self._task

    async def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._value = await work()
        except asyncio.CancelledError as error:
            self._error = self._reason or error
        except BaseException as error:
            # Whatever it is: KeyboardInterrupt too, which must not end the loop's thread.
            self._error = error

    def _over(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():  # before it ran at all
            self._error = self._reason or asyncio.CancelledError()
        self._inbox.put(None)

    def cancel(self, reason: BaseException | None = None) -> None:
        """Cancel the work; the call ends once that has come to its end, by raising the reason."""
        self._reason = reason
        if self._task is not None:
            self._task.cancel()
        else:  # it was to begin before, and was interrupted
            self.refuse(reason or asyncio.CancelledError())

    def refuse(self, error: BaseException) -> None:
        """End the call without any work."""
        self._error = error
        self._inbox.put(None)

    # --- in the thread that waits ---------------------------------------------------------

    def result(self, begin: Callable[[], object], cancel: Callable[[], object]) -> R:
        """Have it begun, and wait for the end, running callbacks meanwhile; its value, or what it raised, as it was
        raised.

        An exception here, Ctrl-C or a callback's, calls `cancel`, which must come to the loop after what `begin` has
        it do, and waits for the end, then goes on. A second Ctrl-C does not wait.
        """
        try:
            begin()
            while (callback := self._next()) is not None:
                callback()
        except BaseException:
            cancel()
            while self._next() is not None:
                pass
            raise
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback leads to this frame
        return cast("R", self._value)

    def _next(self) -> Callable[[], None] | None:
        while True:
            with suppress(Empty):
                return self._inbox.get(timeout=LOOK_SECONDS)
            # The loop may have ended in the instant in which this call was handed to it.
            error = self._gone()
            if error is not None and self._inbox.empty():
                raise error

    # --- what a caller gives, as the asynchronous SDK takes it ------------------------------

    def told(self, progress: Callable[P, None] | None) -> Callable[P, None] | None:
        """A function that has `progress` called in the waiting thread, and does not wait for it."""
        if progress is None:
            return None
        chosen = progress

        def note(*args: P.args, **kwargs: P.kwargs) -> None:
            self._inbox.put(partial(chosen, *args, **kwargs))

        return note

    def asking(self, ask: Callable[P, A] | None) -> "Callable[P, Any] | None":
        """An asynchronous function that has `ask` called in the waiting thread, and gives its answer."""
        if ask is None:
            return None
        chosen = ask

        async def answer(*args: P.args, **kwargs: P.kwargs) -> A:
            return await self._there(partial(chosen, *args, **kwargs))

        return answer

    def stream(self, source: Source) -> Path | str | bytes | AsyncIterable[bytes]:
        """A source whose parts, if it has any, are taken in the waiting thread, one when it is needed."""
        if isinstance(source, Iterable) and not isinstance(source, Path | str | bytes | bytearray | memoryview):
            return self._parts(iter(source))
        return cast("bytes", source)  # or a path; what can't be added is refused there

    async def _parts(self, parts: Iterator[bytes]) -> AsyncIterator[bytes]:
        while (part := await self._there(lambda: next(parts, cast("bytes", _END)))) is not _END:
            yield part

    async def _there(self, function: Callable[[], A]) -> A:
        """Run a function in the waiting thread; what it raises ends the whole call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()

        def settle(value: A) -> None:
            if not answer.done():
                answer.set_result(value)

        def there() -> None:
            loop.call_soon_threadsafe(settle, function())

        self._inbox.put(there)
        return await answer

"""The owner process of `chez up`: it opens the home, serves it, keeps in step, locks itself and opens again.

Locking itself ends with the process replacing its own program (execve(2)): the system gives
back every page that held a key, a passphrase or content, which no Python program can do for
itself. What goes on is the same process with the same socket and the same hold on the home,
and nothing else: it answers that the home is locked, until `chez unlock`.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chez.agent import paths, reports, verbs
from chez.agent.owner import Owner, serving
from chez.errors import ChezError, Unavailable
from chez.home.lifecycle import locked, opened
from chez.store.keyring import database_key
from chez.tasks import happened

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("Become", "own")

RETRY_SECONDS: Final = 30.0
"""How long after a relay's refusal, or where there is none, the owner tries again."""

_LEADING: Final = frozenset({"relay-set", "join", "follow", "space-create", "data-add", "data-subscribe", "sync"})
"""Verbs after which there may be a relay to connect to where there was none, or another one."""

WORK_AFTER: Final = 2.0
"""Seconds from when the home answers until packages let their work go on."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

Become = Callable[[int, int], None]
"""Replaces this program by one that goes on locked; gets the descriptors of the lock and of the socket."""

Ready = Callable[[dict[str, Any]], None]


def own(path: Path, passphrase: str | None, ready: Ready, become: Become, *, lock_after: float | None = None,
        resumed: tuple[int, int] | None = None) -> None:
    """Own a home until told to end: `ready` is called when it answers, with its process and its socket.

    After `lock_after` seconds without use it locks itself: everything is closed, then `become`
    is called, and does not return. `resumed` are the descriptors that the program before
    left: then it begins locked, and needs no passphrase. Raises as `chez.open` does, and
    `StorageFailed` when the socket can't be made.
    """
    ending = _Ending()
    try:
        with ending, locked(path, None if resumed is None else resumed[0]) as handle:
            kept = asyncio.run(_own(path, passphrase, ready, lock_after, resumed, ending))
            if kept is not None:
                os.set_inheritable(handle, True)
                _become(path, become, handle, kept, ending)
    finally:
        if ending.owner is not None:
            ending.owner.release()


class _Ending:
    """SIGINT and SIGTERM, for as long as this program owns the home: with an open loop, and without.

    The loop's own handlers end with the loop, and a signal between two programs would be lost
    or leave the socket behind.
    """

    def __init__(self) -> None:
        self.told = False
        self.owner: Owner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> None:
        self._before = {number: signal.signal(number, self._tell) for number in _SIGNALS}
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)  # the program before may have blocked them

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def serve(self, owner: Owner) -> None:
        """This owner is told."""
        self.owner, self._loop = owner, asyncio.get_running_loop()
        if self.told:
            owner.stopped.set()

    def _tell(self, *_: object) -> None:
        self.told = True
        if self.owner is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.owner.stopped.set)


def _become(path: Path, become: Become, handle: int, kept: int, ending: _Ending) -> None:
    # What comes from here on waits for the next program.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        if not ending.told:
            become(handle, kept)
        paths.adopt(path, kept).close()
    except OSError as error:
        paths.adopt(path, kept).close()
        raise Unavailable(f"the owner could not go on locked, so it ends ({error.strerror})",
                          "Start another with `chez up`.") from None
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


async def _own(path: Path, passphrase: str | None, ready: Ready, lock_after: float | None,
               resumed: tuple[int, int] | None, ending: _Ending) -> int | None:
    """The socket's descriptor when it locked itself, None when it was told to end."""
    key = None if resumed else await asyncio.to_thread(database_key, path, passphrase)
    listener = paths.adopt(path, resumed[1]) if resumed else paths.listen(path)
    async with serving(path, listener, lock_after=lock_after, starts=key is not None) as owner:
        ending.serve(owner)
        if key is not None:
            await _open(path, key, owner, lambda: ready({"pid": os.getpid(), "socket": paths.told(owner.path)}))
        else:
            await _until_opened(path, owner)
        return owner.keep() if owner.locked.is_set() and not owner.stopped.is_set() else None


async def _until_opened(path: Path, owner: Owner) -> None:
    """Wait for the right passphrase, and serve the home then. Returns when that ends, or it was told to end."""
    while (request := await owner.asked()) is not None:
        try:
            key = await asyncio.to_thread(database_key, path, request.passphrase)
            await _open(path, key, owner, partial(owner.settle, request))
        except ChezError as error:
            if owner.served:
                raise
            owner.settle(request, error)
        else:
            return


async def _open(path: Path, key: bytes, owner: Owner, ready: Callable[[], None]) -> None:
    async with opened(path, key) as home, _in_step(home, owner):
        owner.open(home)
        ready()
        async with _at_work(home):
            await owner.ended()
            if owner.stopped.is_set():
                await owner.finish()


@contextlib.asynccontextmanager
async def _at_work(home: "Home") -> AsyncIterator[None]:
    """Let go on what installed packages do by themselves while a home is served; what breaks there ends no more.

    It is told when it happens, and the others' goes on.
    """
    stack = contextlib.AsyncExitStack()

    async def work() -> None:
        # Loading them takes a tenth of a second: what the owner was started for comes first.
        await asyncio.sleep(WORK_AFTER)
        begins, broken = await asyncio.to_thread(verbs.at_work)
        for begin in begins:
            try:
                await stack.enter_async_context(begin(home))
            except Exception as failed:
                broken.append(failed)
        for one in broken:
            reports.write(home.path, one, datetime.now(UTC).isoformat())

    beginning = asyncio.create_task(work())
    try:
        yield
    finally:
        beginning.cancel()
        begun = await asyncio.gather(beginning, return_exceptions=True)
        ended = await asyncio.gather(stack.aclose(), return_exceptions=True)
        for error in (*begun, *ended):
            if isinstance(error, Exception):
                reports.write(home.path, error, datetime.now(UTC).isoformat())


@contextlib.asynccontextmanager
async def _in_step(home: "Home", owner: Owner) -> AsyncIterator[None]:
    """Keep a live connection to the relay of the home, whichever it is at the moment; else to those of its spaces."""
    changed = asyncio.Event()
    owner.after_each(lambda verb: changed.set() if verb in _LEADING else None)

    async def keep() -> None:
        while True:
            changed.clear()
            url = home.relay
            try:
                async with home.connect(url):
                    while home.relay == url:
                        await changed.wait()
                        changed.clear()
                continue
            except (ChezError, TimeoutError):
                pass
            # The link reconnects by itself; what ends it is a refusal, which may pass. Where neither the home nor a
            # space of it has a relay, that costs nothing, and who made one known may have failed otherwise.
            await happened(changed, RETRY_SECONDS)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

"""The server in the process that owns a home.

    async with chez.open(path, passphrase=...) as home, serve(home) as owner:
        await owner.stopped.wait()      # somebody said `chez lock`
    owner.release()                     # the home is closed: tell whoever waits

With `lock_after` it locks itself when nobody asked for anything for so long: `owner.locked`
is set, every request is answered with `HomeLocked` from then on, and the app leaves both
blocks. The owner process of `chez up` goes on listening, and opens again (running.py).

Each connection is a task of its own and runs one verb at a time; a client that hangs up
cancels its verb. Errors raised on purpose travel as they are; any other becomes one
line, its details in a file of the home (reports.py). The process never dies of a request.
"""

import asyncio
import contextlib
import math
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chez.agent import paths, reports, verbs
from chez.agent.asking import Params, read_params
from chez.agent.idle import Guesses, Idle, awake_clock
from chez.agent.links import ClientLink, Gone
from chez.agent.protocol import (
    VERSION,
    Ask,
    Failed,
    OwnerMessage,
    ProtocolError,
    Request,
    Result,
    encode,
    failure,
)
from chez.agent.ui import FarUi
from chez.errors import ChezError, HomeLocked, InvalidValue, NotAllowed, WrongPassphrase
from chez.tasks import happened

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("MAX_CONNECTIONS", "Owner", "Unlocking", "serve", "serving")

MAX_CONNECTIONS: Final = 128
"""Clients at one time: far more than a person's tools, and a bound on what they can hold."""

GRACE: Final = 5.0
"""Seconds that verbs under way get to finish once the owner was told to stop."""

LAST: Final = 1.0
"""Seconds that clients who are connected get to hear that it has locked itself, before another program goes on."""

LOOK: Final = 15.0
"""Seconds between two looks at the clock, at most: timers stand still while a machine sleeps."""

class _Unlock(Params, frozen=True, kw_only=True):
    passphrase: str | None = None

    def __repr__(self) -> str:
        return "<request to unlock>"


@dataclass(frozen=True, slots=True)
class Unlocking:
    """Somebody asks that the home be opened: with a passphrase, or by the keyring. `done` is what they wait for."""

    passphrase: str | None = field(repr=False)
    done: "asyncio.Future[None]"


class Owner:
    """A running server: `path` of its socket, `stopped` set once it was told to end."""

    def __init__(self, folder: Path, listener: paths.Listener, find: Callable[[str], verbs.Verb],
                 lock_after: float | None, clock: Callable[[], float]) -> None:
        self.stopped = asyncio.Event()
        """Set once it was told to end (`chez lock`)."""
        self.locked = asyncio.Event()
        """Set once nobody asked for anything for `lock_after` seconds: from then on it answers that it is locked."""
        self.path: Path = listener.path
        """The socket it listens on."""
        self.served = False
        """Whether it has had a home to serve."""
        self._home: Home | None = None
        self._folder = folder
        self._clock = clock
        self._idle = None if lock_after is None else Idle(lock_after, clock())
        self._used = asyncio.Event()
        self._begun = asyncio.Event()
        self._guesses = Guesses()
        self._asked: asyncio.Queue[Unlocking] | None = None
        self._find = find
        self._listener = listener
        self._kept = False
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None] | None] = set()
        self._waiting: list[socket.socket] = []
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._after: list[Callable[[str], None]] = []

    def __repr__(self) -> str:
        return f"<Owner at {self.path}>"

    def after_each(self, notify: Callable[[str], None]) -> None:
        """Call `notify(verb)` after each verb that succeeded."""
        self._after.append(notify)

    def release(self) -> None:
        """Hang up on those who wait for the end (`chez lock`). Call it when the home is closed."""
        while self._waiting:
            self._waiting.pop().close()

    def touch(self) -> None:
        """Count as used now: for an app whose person uses it otherwise than through the socket."""
        if self._idle is not None:
            self._idle.touch(self._clock())

    def open(self, home: "Home") -> None:
        """Serve this home from now on."""
        self.touch()
        self._home, self.served = home, True
        self._begun.set()

    async def asked(self) -> Unlocking | None:
        """Wait until somebody asks that the home be opened, and may; None when it is told to end.

        Whoever asks within the pause after a wrong passphrase is refused here, where one
        comes after the other: hanging up early, or asking many times at once, gains nothing.
        """
        self._asked = self._asked or asyncio.Queue()
        stopped = asyncio.create_task(self.stopped.wait())
        try:
            while not stopped.done():
                asking = asyncio.create_task(self._asked.get())
                await asyncio.wait((asking, stopped), return_when=asyncio.FIRST_COMPLETED)
                if not asking.done():
                    await _cancel(asking)
                elif not (request := asking.result()).done.done():
                    if not (wait := math.ceil(self._guesses.wait(self._clock()))):
                        return request
                    _tell(request, NotAllowed(
                        f"a wrong passphrase was given: the next try is heard in {wait} seconds",
                        "Wait, and check capitals and keyboard layout."))
            return None
        finally:
            await _cancel(stopped)

    def settle(self, request: Unlocking, error: ChezError | None = None) -> None:
        """Tell who asked that the home is open, or why it is not; a wrong passphrase counts, whoever still waits."""
        if isinstance(error, WrongPassphrase):
            self._guesses.wrong(self._clock())
        elif error is None:
            self._guesses.right()
        _tell(request, error)

    async def ended(self) -> None:
        """Wait until it is told to end, or locks itself."""
        waiting = [asyncio.create_task(self.stopped.wait()), asyncio.create_task(self._watch())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancel(*waiting)

    def keep(self) -> int:
        """Leave the socket as it is at the end; its descriptor, for the program that this process becomes."""
        self._kept = True
        return self._listener.inherit()

    def look(self) -> float:
        """Lock it if it was idle for long enough; the seconds until then (0: it has locked itself)."""
        left = math.inf if self._idle is None or self._home is None else self._idle.left(self._clock())
        if left == 0:
            self._home = None
            self.locked.set()
        return left

    async def _watch(self) -> None:
        while (left := self.look()) > 0:
            self._used.clear()
            await happened(self._used, min(left, LOOK))

    async def _unlock(self, params: dict[str, Any]) -> dict[str, bool]:
        """What `chez unlock` asks for."""
        asked = read_params(params, _Unlock)
        if self._home is not None:
            return {"unlocked": False}
        if self._asked is None:
            raise NotAllowed("an app owns this home, and it has locked it", "Open it in the app.")
        request = Unlocking(asked.passphrase, asyncio.get_running_loop().create_future())
        self._asked.put_nowait(request)
        await request.done
        return {"unlocked": True}

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                link, _ = await loop.sock_accept(self._listener.socket)
            except OSError:
                # Out of descriptors, most likely: those of finished clients come back.
                await asyncio.sleep(0.05)
                continue
            task = asyncio.create_task(self._serve_link(link))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve_link(self, link: socket.socket) -> None:
        with link:
            link.setblocking(False)
            client = ClientLink(link)
            with contextlib.suppress(Gone):
                refusal = self._refusal(link)
                if refusal is not None:
                    await client.send(Failed(refusal.code, refusal.message, refusal.hint))
                    return
                try:
                    await self._serve_client(client)
                except ProtocolError as error:
                    await client.send(Failed(error.code, error.message, error.hint))

    def _refusal(self, link: socket.socket) -> ChezError | None:
        if paths.peer_uid(link) not in (None, os.getuid()):
            return NotAllowed("this home belongs to another user of this machine")
        if len(self._tasks) > MAX_CONNECTIONS:
            return NotAllowed(f"the owner serves {MAX_CONNECTIONS} clients at a time",
                              "try again in a moment")
        return None

    async def _serve_client(self, client: ClientLink) -> None:
        while (message := await client.receive()) is not None:
            if not isinstance(message, Request):
                raise ProtocolError("an answer came without a question")
            if message.verb == "lock":
                # Copied, so that it stays open until the very end of this process or `release`.
                self._waiting.append(client.link.dup())
                self.stopped.set()
                await client.send(Result(self._describe()))
                return
            if not await self._run(client, message) or self.stopped.is_set():
                return

    async def _run(self, client: ClientLink, request: Request) -> bool:
        """Run one verb while listening to its client; False when the client is gone."""
        answers: asyncio.Queue[str] = asyncio.Queue(1)
        client.asked = False
        verb = asyncio.create_task(self._outcome(client, request, answers))
        ear = asyncio.create_task(client.listen(answers))
        connection = asyncio.current_task()
        self._busy.add(connection)
        idle = None if request.verb == "owner" else self._idle
        if idle is not None:
            idle.begin()
        try:
            await asyncio.wait((verb, ear), return_when=asyncio.FIRST_COMPLETED)
            if not verb.done():
                ear.result()  # raises what the client did wrong; else it hung up
                return False
            # The ear is stopped before the result leaves: what comes after it is a new request.
            await _cancel(ear)
            await client.send(verb.result())
        finally:
            if idle is not None:  # first: a thread of the verb's may not hear for long that nobody waits for it
                idle.end(self._clock())
                self._used.set()
            await _cancel(verb, ear)
            self._busy.discard(connection)
        if isinstance(verb.result(), Result):
            for notify in self._after:
                notify(request.verb)
        return True

    async def _outcome(self, client: ClientLink, request: Request, answers: "asyncio.Queue[str]"
                       ) -> OwnerMessage:
        async def ask(question: Ask) -> str:
            client.asked = True
            await client.send(question)
            return await answers.get()

        try:
            if request.verb == "owner":
                return Result(self._describe())
            await self._begun.wait()
            if request.verb == "unlock":
                return Result(await self._unlock(request.params))
            if self._home is None:
                raise HomeLocked("the home has locked itself, for nobody used it", "chez unlock opens it again")
            verb = self._find(request.verb)
            result = Result(await verb(self._home, request.params, FarUi(client.send, ask)))
            encode(result)  # a verb's wrong result is the verb's failure
            return result
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit, Gone):
            raise
        except BaseException as error:  # a panic of the Rust binding is no Exception
            return failure(error) or self._unexpected(error)

    def _unexpected(self, error: BaseException) -> Failed:
        where = reports.write(self._folder, error, datetime.now(UTC).isoformat())
        hint = f"please report it with {where}" if where else "please report it"
        return Failed("Unexpected", f"unexpected: {type(error).__name__} in the owner", hint)

    def _describe(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "socket": paths.told(self.path), "since": self._since, "protocol": VERSION,
                "locked": self._begun.is_set() and self._home is None}

    async def finish(self) -> None:
        """Take no more clients, let verbs under way end, for a while; then cancel them, and wait a while for that.

        The home may be closed afterwards. Idempotent.
        """
        if self._accepting is not None:
            await _cancel(self._accepting)
        if not self._kept:
            self._listener.close()
        else:
            self._listener.socket.detach()
        if self._kept and self._tasks and not self.stopped.is_set():
            # Who came just before has no answer yet, and would not know whether it was heard.
            await asyncio.wait(self._tasks, timeout=LAST)
        for task in self._tasks - self._busy:
            task.cancel()
        if self._busy and self.stopped.is_set():
            await asyncio.wait([task for task in self._busy if task], timeout=GRACE)
        # Not for ever: whatever a thread waits for, a keyring's question perhaps, the home is closed.
        await asyncio.wait((asyncio.ensure_future(_cancel(*self._tasks)),), timeout=GRACE)


def _tell(request: Unlocking, error: ChezError | None) -> None:
    if request.done.done():  # who asked has hung up
        return
    if error is None:
        request.done.set_result(None)
    else:
        request.done.set_exception(error)


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def serve(home: "Home", *, lock_after: float | None = None, find: Callable[[str], verbs.Verb] = verbs.find,
                clock: Callable[[], float] = awake_clock) -> AsyncIterator[Owner]:
    """Serve the verbs of an open home on its private socket until the block ends.

    The caller's process owns the home. With `lock_after` (seconds) the owner sets `locked`,
    and answers no more, once nobody asked for anything for so long (`Owner.touch` counts,
    too): leave the block of `chez.open`, which closes the home. Raises `StorageFailed` when
    the socket can't be made or the home is closed, `InvalidValue`. On the way out verbs under way get some
    seconds to finish, then are cancelled.
    """
    folder = Path(home.path)
    home.check_open()
    if lock_after is not None and not 0 < lock_after < math.inf:
        raise InvalidValue(f"{lock_after} is no number of seconds to lock after")
    async with serving(folder, paths.listen(folder), lock_after=lock_after, find=find, clock=clock) as owner:
        owner.open(home)
        watching = asyncio.create_task(owner._watch())
        try:
            yield owner
        finally:
            await _cancel(watching)


@contextlib.asynccontextmanager
async def serving(folder: Path, listener: paths.Listener, *, lock_after: float | None = None,
                  starts: bool = False, find: Callable[[str], verbs.Verb] = verbs.find,
                  clock: Callable[[], float] = awake_clock) -> AsyncIterator[Owner]:
    """Answer on a home's socket while the block lasts, with a home or (`Owner.open`) without one yet.

    Where it `starts`, that is being opened and requests wait for it; else it is locked until then.
    """
    owner = Owner(folder, listener, find, lock_after, clock)
    if not starts:
        owner._begun.set()
    owner._accepting = asyncio.create_task(owner._accept())
    try:
        yield owner
    finally:
        await owner.finish()

"""The server in the process that owns a home.

    async with chez.open(path, passphrase=...) as home, serve(home) as owner:
        await owner.stopped.wait()      # somebody said `chez lock`
    owner.release()                     # the home is closed: tell whoever waits

Each connection is a task of its own and runs one verb at a time; a client that hangs up
cancels its verb. Errors raised on purpose travel as they are; any other becomes one
line, its details in a file of the home (reports.py). The process never dies of a request.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chez.agent import paths, reports, verbs
from chez.agent.protocol import (
    VERSION,
    Answer,
    Ask,
    ClientMessage,
    Deframer,
    Failed,
    OwnerMessage,
    ProtocolError,
    Request,
    Result,
    decode_client,
    encode,
    failure,
)
from chez.agent.ui import FarUi
from chez.errors import ChezError, NotAllowed

if TYPE_CHECKING:
    from chez.home import Home

__all__ = ("MAX_CONNECTIONS", "Owner", "serve")

MAX_CONNECTIONS: Final = 128
"""Clients at one time: far more than a person's tools, and a bound on what they can hold."""

GRACE: Final = 5.0
"""Seconds that verbs under way get to finish once the owner was told to stop."""

_READ: Final = 256 * 1024


class Owner:
    """A running server: `path` of its socket, `stopped` set once it was told to end."""

    def __init__(self, home: "Home", listener: paths.Listener, find: Callable[[str], verbs.Verb]) -> None:
        self.stopped = asyncio.Event()
        """Set once it was told to end (`chez lock`)."""
        self.path: Path = listener.path
        """The socket it listens on."""
        self._home = home
        self._find = find
        self._listener = listener
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
            client = _Client(link)
            with contextlib.suppress(_Gone):
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

    async def _serve_client(self, client: "_Client") -> None:
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

    async def _run(self, client: "_Client", request: Request) -> bool:
        """Run one verb while listening to its client; False when the client is gone."""
        answers: asyncio.Queue[str] = asyncio.Queue(1)
        client.asked = False
        verb = asyncio.create_task(self._outcome(client, request, answers))
        ear = asyncio.create_task(client.listen(answers))
        connection = asyncio.current_task()
        self._busy.add(connection)
        try:
            await asyncio.wait((verb, ear), return_when=asyncio.FIRST_COMPLETED)
            if not verb.done():
                ear.result()  # raises what the client did wrong; else it hung up
                return False
            # The ear is stopped before the result leaves: what comes after it is a new request.
            await _cancel(ear)
            await client.send(verb.result())
        finally:
            await _cancel(verb, ear)
            self._busy.discard(connection)
        if isinstance(verb.result(), Result):
            for notify in self._after:
                notify(request.verb)
        return True

    async def _outcome(self, client: "_Client", request: Request, answers: "asyncio.Queue[str]"
                       ) -> OwnerMessage:
        async def ask(question: Ask) -> str:
            client.asked = True
            await client.send(question)
            return await answers.get()

        try:
            if request.verb == "owner":
                return Result(self._describe())
            verb = self._find(request.verb)
            result = Result(await verb(self._home, request.params, FarUi(client.send, ask)))
            encode(result)  # a verb's wrong result is the verb's failure
            return result
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit, _Gone):
            raise
        except BaseException as error:  # a panic of the Rust binding is no Exception
            return failure(error) or self._unexpected(error)

    def _unexpected(self, error: BaseException) -> Failed:
        where = reports.write(Path(self._home.path), error, datetime.now(UTC).isoformat())
        hint = f"please report it with {where}" if where else "please report it"
        return Failed("Unexpected", f"unexpected: {type(error).__name__} in the owner", hint)

    def _describe(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "socket": str(self.path), "since": self._since, "protocol": VERSION}

    async def _finish(self) -> None:
        """Let verbs under way end, for a while; then cancel them."""
        for task in self._tasks - self._busy:
            task.cancel()
        if self._busy and self.stopped.is_set():
            await asyncio.wait([task for task in self._busy if task], timeout=GRACE)
        await _cancel(*self._tasks)


async def _cancel(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Gone(Exception):
    """The client hung up in the middle."""


class _Client:
    """One connection: messages in and out."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.asked = False
        self._deframer = Deframer()
        self._bodies: list[bytes] = []
        self._sending = asyncio.Lock()

    async def send(self, message: OwnerMessage) -> None:
        """Send one message whole; waits while the client does not read. Raises `_Gone`."""
        data = encode(message)
        async with self._sending:
            try:
                await asyncio.get_running_loop().sock_sendall(self.link, data)
            except OSError:
                raise _Gone from None

    async def receive(self) -> ClientMessage | None:
        """The next message, or None when the client hung up. Raises `ProtocolError`."""
        while not self._bodies:
            try:
                data = await asyncio.get_running_loop().sock_recv(self.link, _READ)
            except OSError:
                return None
            if not data:
                return None
            self._bodies += self._deframer.feed(data)
        return decode_client(self._bodies.pop(0))

    async def listen(self, answers: "asyncio.Queue[str]") -> None:
        """Pass answers on until the client hangs up. Raises `ProtocolError` for anything else."""
        while (message := await self.receive()) is not None:
            if not isinstance(message, Answer) or not self.asked:
                raise ProtocolError("a request or an answer came while a verb was running")
            self.asked = False
            answers.put_nowait(message.text)


@contextlib.asynccontextmanager
async def serve(home: "Home", *, find: Callable[[str], verbs.Verb] = verbs.find) -> AsyncIterator[Owner]:
    """Serve the verbs of an open home on its private socket until the block ends.

    The caller's process owns the home. Raises `StorageFailed` when the socket can't be
    made. On the way out verbs under way get some seconds to finish, then are cancelled.
    """
    listener = paths.listen(Path(home.path))
    owner = Owner(home, listener, find)
    accepting = asyncio.create_task(owner._accept())
    try:
        yield owner
    finally:
        accepting.cancel()
        await asyncio.gather(accepting, return_exceptions=True)
        listener.close()
        await owner._finish()

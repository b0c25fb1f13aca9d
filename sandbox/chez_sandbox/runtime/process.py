"""Child processes of the runtime, from the engine's side: start, talk, end.

A child gets an empty environment, no inherited descriptor but the named ones, and one
end of a socket pair. It is started anew (never forked from a process with threads and
keys) without `site`, which saves a quarter of the start; or forked by one that was
started so (`forking`).
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import anyio
import msgspec

from chez_sandbox.errors import WorkerFailed
from chez_sandbox.runtime.messages import MESSAGE_LIMIT, FromWorker, ToWorker

__all__ = ("Child", "Process", "spawn", "start")

# Collecting garbage during imports costs a fifth of the start and finds none.
_BOOT = (
    "import gc, sys; gc.disable(); sys.path[:0] = sys.argv[1].split('|'); "
    "from {module} import main; main(sys.argv[2:])"
)


class Process(Protocol):
    """A process that can be ended, however it came to be."""

    @property
    def pid(self) -> int:
        """Its process id."""

    @property
    def has_ended(self) -> bool:
        """Whether it is known to have ended."""

    def kill(self) -> None:
        """Kills it unless it ended; `end` is still to be called."""

    async def end(self) -> None:
        """Kills it unless it ended, waits until it is gone, and frees what was held of it."""


class _Started:
    """A child of this very process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        # A handle that can't come to mean another process, and whose use reaps nothing: asyncio's
        # own `kill` may, and then warns of an unknown child.
        self._handle = -1
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):  # it ended already, or the system has no such call
                self._handle = os.pidfd_open(process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self._handle >= 0:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            elif self._process.returncode is None:
                self._process.kill()

    async def end(self) -> None:
        self.kill()
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)
        await self._process.wait()


class Child:
    """A running child and the channel to it."""

    def __init__(self, process: Process, channel: socket.socket) -> None:
        self._process = process
        self._channel = channel
        self._decoder = msgspec.msgpack.Decoder(FromWorker)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def send(self, message: ToWorker) -> None:
        """Raises WorkerFailed when the child is gone, ValueError when the message is too long."""
        body = msgspec.msgpack.encode(message)
        if len(body) > MESSAGE_LIMIT:
            raise ValueError("message too long")
        try:
            await asyncio.get_running_loop().sock_sendall(self._channel, len(body).to_bytes(4, "big") + body)
        except OSError:
            raise self._gone() from None

    def tell(self, message: ToWorker) -> None:
        """Sends a short message at once, or not at all: a child that is gone or deaf shows when it is used."""
        body = msgspec.msgpack.encode(message)
        with suppress(OSError):
            self._channel.send(len(body).to_bytes(4, "big") + body)

    def hand_over(self, body: bytes, descriptors: Sequence[int]) -> None:
        """Sends a few bytes with descriptors, at once; raises WorkerFailed when the child is gone or deaf."""
        try:
            sent = socket.send_fds(self._channel, [body], list(descriptors))
        except OSError:
            raise self._gone() from None
        if sent != len(body):
            raise self._gone()

    async def receive(self) -> FromWorker:
        """The next message; raises WorkerFailed when the child is gone or talks nonsense."""
        size = int.from_bytes(await self._exactly(4), "big")
        if size > MESSAGE_LIMIT:
            raise WorkerFailed("The worker sent a message that is too long")
        try:
            message: FromWorker = self._decoder.decode(await self._exactly(size))
            return message
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise WorkerFailed("The worker sent a message that is none") from None

    def is_quiet(self) -> bool:
        """Whether it lives and has said nothing that was not received."""
        if self._process.has_ended:
            return False
        try:
            self._channel.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def kill(self) -> None:
        """From now on it runs nothing any more; `end` is still to be called."""
        self._process.kill()

    async def end(self) -> None:
        """Kills the child if it still runs, and waits until it is gone; not cancellable."""
        with anyio.CancelScope(shield=True):
            self._channel.close()
            await self._process.end()

    async def _exactly(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        while len(buffer) < size:
            try:
                piece = await loop.sock_recv(self._channel, min(size - len(buffer), 1 << 18))
            except OSError:
                piece = b""
            if not piece:
                raise self._gone()
            buffer += piece
        return bytes(buffer)

    def _gone(self) -> WorkerFailed:
        return WorkerFailed("The worker process ended before it answered")


@asynccontextmanager
async def spawn(module: str, arguments: Sequence[int], descriptors: Sequence[int]) -> AsyncIterator[Child]:
    """As `start`; on leaving, the child is gone, whatever happened."""
    child = await start(module, arguments, descriptors)
    try:
        yield child
    finally:
        await child.end()


async def start(module: str, arguments: Sequence[int], descriptors: Sequence[int]) -> Child:
    """Starts `module.main`, with the channel's descriptor, then ours, then `arguments`.

    Whoever gets the child calls its `end`. Raises WorkerFailed.
    """
    ours, theirs = socket.socketpair()
    try:
        ours.setblocking(False)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _BOOT.format(module=module), _search_path(),
            *map(str, (theirs.fileno(), *descriptors, os.getpid(), *arguments)),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            close_fds=True, pass_fds=(theirs.fileno(), *descriptors), env={}, cwd="/",
        )  # fmt: skip
    except OSError as error:
        ours.close()
        raise WorkerFailed(f"The worker process could not be started ({error.strerror})") from None
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Child(_Started(process), ours)


def _search_path() -> str:
    """Where the child finds the sandbox and the two packages it needs; it has no `site`."""
    folders = [Path(__file__).resolve().parents[2]]
    for package in ("wasmtime", "msgspec"):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise WorkerFailed(f"The package {package} is not installed", "Run bin/setup")
        folders.append(Path(spec.origin).parents[1])
    return "|".join(dict.fromkeys(map(str, folders)))

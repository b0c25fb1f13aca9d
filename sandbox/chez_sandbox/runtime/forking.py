"""Workers forked by a zygote, from the engine's side; see `zygote` for the process itself."""

import asyncio
import os
import select
import signal
import socket
import sys
from contextlib import suppress

import anyio

from chez_sandbox.errors import WorkerFailed
from chez_sandbox.runtime.messages import HELLO, REQUEST
from chez_sandbox.runtime.process import Child, start

__all__ = ("CAN_FORK", "Zygote")

CAN_FORK = sys.platform.startswith("linux") and hasattr(os, "pidfd_open")
"""Whether a process that is no child can be held by a handle here (Linux 5.3)."""

_HELLO_SECONDS = 30.0  # a loaded machine forks slowly


class _Forked:
    """A process of another parent, held by a handle that can't come to mean another one."""

    def __init__(self, pid: int, handle: int) -> None:
        self._pid, self._handle = pid, handle

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def has_ended(self) -> bool:
        if self._handle < 0:
            return True
        poll = select.poll()  # select() knows no descriptor from 1024 on
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(0))

    def kill(self) -> None:
        if self._handle >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    async def end(self) -> None:
        self.kill()
        handle, self._handle = self._handle, -1
        if handle < 0:
            return
        try:
            await _readable(handle)
        finally:
            os.close(handle)


class Zygote:
    """Forks workers. Its process is started with the first one, and anew when it died or was ended."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._turn = asyncio.Lock()

    async def fork(self, limits: tuple[int, int, int, int]) -> Child:
        """A new worker with these limits (see `worker`), its code to be handed over (`CODE`).

        Whoever gets it calls its `end`. Raises WorkerFailed; cancelled, it leaves no worker behind.
        """
        async with self._turn:
            if self._child is None or not self._child.is_quiet():
                await self._end()
                self._child = await start("chez_sandbox.runtime.zygote", (), ())
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            with theirs:
                try:
                    self._child.hand_over(REQUEST.pack(*limits), (theirs.fileno(),))
                except BaseException:
                    ours.close()
                    raise
        return await _hear(ours)

    async def aclose(self) -> None:
        """Ends the process, and with it every worker that it forked. Not cancellable."""
        with anyio.CancelScope(shield=True):
            async with self._turn:
                await self._end()

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.end()


async def _hear(channel: socket.socket) -> Child:
    """The worker at the other end, once it has said who it is."""
    hello = asyncio.create_task(_hello(channel))
    try:
        # Whoever is cancelled here still learns whom to end: a fork is not called back.
        await asyncio.wait({hello})
    except BaseException:
        with anyio.CancelScope(shield=True), suppress(WorkerFailed):
            await (await hello).end()
        raise
    return hello.result()


async def _hello(channel: socket.socket) -> Child:
    try:
        with anyio.move_on_after(_HELLO_SECONDS):
            await _readable(channel.fileno())
        body, descriptors, _, _ = socket.recv_fds(channel, HELLO.size, 1, socket.MSG_CMSG_CLOEXEC)
    except OSError:
        body, descriptors = b"", []
    if len(body) != HELLO.size or len(descriptors) != 1:
        for descriptor in descriptors:
            os.close(descriptor)
        channel.close()
        raise WorkerFailed("The worker process could not be forked", "The machine may lack memory")
    (pid,) = HELLO.unpack(body)
    return Child(_Forked(pid, descriptors[0]), channel)


async def _readable(descriptor: int) -> None:
    """Returns when a read would not wait: for a handle of a process, when it has ended."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)

"""The zygote: a process that has loaded what a worker needs, and forks one for each request.

Nine tenths of a worker's start is importing the same modules again. The zygote has imported
them once and does nothing else: one thread, an empty environment, no key, no row, no job and
no compiled code of one; it never hears from a worker. A worker that it forks goes the same way
as one that was started anew (`worker.main`): loads its code, raises its walls, says so, serves
one run. docs/decisions/0028 weighs what the two have in common and what not.

A request (`REQUEST`) comes with a descriptor: the worker's end of its channel. The first thing on
that channel is `HELLO` with a handle of the worker, by which it can be killed and awaited by
whoever is not its parent.
"""

import gc
import os
import signal
import socket

from chez_sandbox.runtime import walls, worker
from chez_sandbox.runtime.messages import HELLO, REQUEST

__all__ = ("main",)


def main(arguments: list[str]) -> None:
    """The process: forks on request until its channel ends."""
    channel, parent = map(int, arguments)
    walls.die_with_parent(parent)
    # Ctrl-C at the terminal reaches every process there; when a run ends is the engine's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Workers are awaited by their handles; the kernel clears them away at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()  # what is here is shared with every worker until somebody writes to it
    control, zygote = socket.socket(fileno=channel), os.getpid()
    while True:
        body, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        if len(body) != REQUEST.size or len(descriptors) != 1:
            return
        try:
            forked = os.fork()
        except OSError:  # no memory: whoever asked sees its channel end; workers that run must not end with it
            forked = -1
        if forked == 0:
            try:
                control.close()
                _become_worker(descriptors[0], zygote, REQUEST.unpack(body))
            finally:
                os._exit(1)  # whatever went wrong, a worker never goes on as the zygote
        for descriptor in descriptors:
            os.close(descriptor)


def _become_worker(channel: int, zygote: int, limits: tuple[int, ...]) -> None:
    handle = os.pidfd_open(os.getpid())
    door = socket.socket(fileno=channel)
    socket.send_fds(door, [HELLO.pack(os.getpid())], [handle])
    door.detach()
    os.close(handle)
    worker.main([*map(str, (channel, zygote, *limits))])

"""Starts a walled process and hands out what it says; see `process` for the process itself."""

import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec

from chez.connectors.wall import Order, Walled
from chez.errors import WallMissing
from chez_sandbox.runtime import walls
from chez_sandbox.walled.process import Hello

__all__ = ("START_SECONDS", "launch")

START_SECONDS = 60.0
"""Seconds until the walls must stand: a loaded machine starts a process slowly."""

_HELLO_LIMIT = 1 << 16
_SPACE = 3 << 30  # address space beside writable memory: code, mapped libraries
_BOOT = (
    "import gc, sys; gc.disable(); n = int(sys.argv[1]); sys.path[:0] = sys.argv[2:2 + n]; "
    "from chez_sandbox.walled.process import main; main(sys.argv[2 + n:])"
)


class _Process:
    """A walled process, and the reading end of its pipe."""

    def __init__(self, order: Order) -> None:
        ours, theirs = os.pipe()
        try:
            self._process = _start(order, theirs)
        except OSError as error:
            os.close(ours)
            raise WallMissing(f"the process that reads the file could not be started ({error.strerror})",
                              "The machine may lack memory: try again.") from None
        finally:
            os.close(theirs)
        self._pipe = ours
        self._reading = threading.Lock()
        self.walls: tuple[str, ...] = ()

    def read(self, size: int, seconds: float) -> bytes:
        """Up to `size` bytes, none at its end. Raises `TimeoutError` when nothing comes for so long."""
        with self._reading:
            if self._pipe < 0:
                return b""
            poll = select.poll()
            poll.register(self._pipe, select.POLLIN)
            if not poll.poll(max(1.0, seconds * 1000)):
                raise TimeoutError
            return os.read(self._pipe, size)

    def end(self) -> int:
        """Kill the process unless it ended, wait until it is gone; its code, negative for a signal.

        May be called at any time from any thread, and again.
        """
        self._process.kill()
        code = self._process.wait()
        with self._reading:  # whoever waits for the pipe sees its end now
            pipe, self._pipe = self._pipe, -1
            if pipe >= 0:
                os.close(pipe)
        return code


def launch(order: Order) -> Walled:
    """Start a process for this order; returns when its walls stand.

    Raises `chez.errors.WallMissing` when they do not, or when it can't be started or prepared.
    """
    process = _Process(order)
    try:
        hello = _hear(process)
        if hello.failed:
            raise WallMissing(f"the process that reads the file could not be prepared: {hello.failed}",
                              "The package that brings the connector may be broken: update it.")
        if missing := sorted(walls.REQUIRED - set(hello.walls)):
            raise WallMissing(f"this system lacks walls around the process that reads files: {', '.join(missing)}",
                              "See `chez job doctor`.")
    except BaseException:
        process.end()
        raise
    process.walls = hello.walls
    return process


def _start(order: Order, pipe: int) -> subprocess.Popen[bytes]:
    space = order.memory + _SPACE
    path = [folder for folder in sys.path if os.path.isabs(folder) and Path(folder).exists()]
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _BOOT, str(len(path)), *path,
         *map(str, (order.file, pipe, os.getpid(), order.memory, space, order.cpu_seconds)), order.target],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        close_fds=True, pass_fds=(order.file, pipe), env={}, cwd="/",
    )  # fmt: skip
    try:
        if process.stdin is not None:
            with process.stdin as standard_input:
                standard_input.write(order.argument)
    except BrokenPipeError:
        pass  # it ended before it read all: the pipe tells
    return process


def _hear(process: _Process) -> Hello:
    deadline = time.monotonic() + START_SECONDS
    data = bytearray()
    while len(data) < 4 or len(data) < 4 + int.from_bytes(data[:4], "big"):
        if len(data) >= 4 and int.from_bytes(data[:4], "big") > _HELLO_LIMIT:
            break
        wanted = 4 - len(data) if len(data) < 4 else 4 + int.from_bytes(data[:4], "big") - len(data)
        try:
            part = process.read(wanted, deadline - time.monotonic())
        except TimeoutError:
            part = b""
        if not part:
            raise WallMissing("the process that reads the file did not start", "The machine may be too busy.")
        data += part
    try:
        return msgspec.msgpack.decode(bytes(data[4:]), type=Hello)
    except msgspec.MsgspecError:
        raise WallMissing("the process that reads the file did not say which walls stand") from None

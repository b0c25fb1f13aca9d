"""A folder's bytes for a walled reader, which may open nothing: it asks for them, and gets them over a pipe.

    reader ── AskFrame(offset, size) ──> engine          over the pipe of items
    reader <── 4 bytes: how many follow, they ── engine  over the file's descriptor

The engine gives nothing but bytes of that one zip (`chez.connectors.folders`), waits no longer for who does not take
what it asked for than for a word, and gives a folder so many times over and not more.
"""

import os
import select
import threading
import time
from collections.abc import Callable
from typing import Final

from chez.connectors.folders import FolderZip
from chez.connectors.frames import MAX_ASKED, AskFrame
from chez.connectors.positioned import Positioned

__all__ = ("OVER", "SPARE", "Asking", "Serving")

OVER: Final = 16
"""How many times a folder's bytes may be asked for: what reads a file of it reads it up to three times."""

SPARE: Final = 64 << 20
"""Bytes beyond that: a little of many small files is read ahead."""


class Serving:
    """The engine's side: `descriptor` is for the reader's process, and closed here by `started`."""

    def __init__(self, folder: FolderZip) -> None:
        self._folder = folder
        self._left = OVER * folder.size + SPARE
        self.descriptor, self._pipe = os.pipe()
        os.set_blocking(self._pipe, False)
        self._writing = threading.Lock()

    def started(self) -> None:
        """The process has its end of the pipe, or there is none."""
        os.close(self.descriptor)

    def give(self, asked: AskFrame, seconds: float) -> bool:
        """Give what was asked for; False when it was too much. Raises `TimeoutError` when it is not taken for so long.

        A process that is gone takes nothing: its other pipe tells.
        """
        data = self._folder.at(asked.offset, asked.size)
        self._left -= len(data)
        if self._left < 0:
            return False
        with self._writing:
            try:
                self._write(memoryview(len(data).to_bytes(4, "big") + data), time.monotonic() + seconds)
            except BrokenPipeError:
                pass
        return True

    def close(self) -> None:
        """Nothing more is given; from any thread, and again. The process is gone by then, or nobody would let go."""
        with self._writing:
            pipe, self._pipe = self._pipe, -1
            if pipe >= 0:
                os.close(pipe)

    def _write(self, view: memoryview, deadline: float) -> None:
        if self._pipe < 0:
            return
        poll = select.poll()
        poll.register(self._pipe, select.POLLOUT)
        while view:
            if not poll.poll(max(0.0, (deadline - time.monotonic()) * 1000)):
                raise TimeoutError
            view = view[os.write(self._pipe, view) :]


class Asking(Positioned):
    """The reader's side: the zip as a file. `say` sends a frame at once; `descriptor` is where the answers come."""

    def __init__(self, descriptor: int, size: int, say: Callable[[AskFrame], None]) -> None:
        self._descriptor, self.size, self._say = descriptor, size, say

    def at(self, offset: int, size: int) -> bytes:
        wanted = min(size, self.size - offset, MAX_ASKED)
        if wanted <= 0:
            return b""
        self._say(AskFrame(offset, wanted))
        return self._exactly(int.from_bytes(self._exactly(4), "big"))

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            part = os.read(self._descriptor, size - len(data))
            if not part:
                raise OSError("the engine is gone")
            data += part
        return bytes(data)

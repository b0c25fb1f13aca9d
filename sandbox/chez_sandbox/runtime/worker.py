"""The worker: a process that runs one job and ends. It never holds a key.

Order matters: lock the files away, load the compiled component, raise the other walls, say so, and
only then receive the job and its rows. One that is started ahead of its job may be told to stand
by in between (`rehearsal`). Nothing of `chez`, PyNaCl, SQLCipher or Automerge is imported here;
an import contract and a test hold that.

Started by host.py as `python -I -S -c <BOOT>` with an empty environment; its arguments
are the channel's descriptor, the parent's process id, bytes of memory and of address space to
allow, seconds of processor, and 1 if it may have to stand by.
"""

import gc
import os
import socket
import sys
import threading

import msgspec
import wasmtime
from wasmtime import component as wc

from chez_sandbox.runtime import walls
from chez_sandbox.runtime.engine import make_engine
from chez_sandbox.runtime.execution import execute
from chez_sandbox.runtime.messages import (
    CODE,
    PROGRESS_STEPS,
    Failed,
    Go,
    Progress,
    Ready,
    Rows,
    StandBy,
    Start,
    ToWorker,
    receive,
    send,
)
from chez_sandbox.runtime.rehearsal import Pages, stand_by
from chez_sandbox.runtime.tables import Budget, Tables

__all__ = ("Ticker", "main")

_GARBAGE = 100_000  # new objects between two collections: more than a batch of rows has
_TICK = 0.05  # seconds between epochs once the time is over

SEALED_IN_MEMORY = hasattr(os, "memfd_create")
"""Whether compiled code comes in a file of memory, as it does on Linux: else in one of a disk, without a name."""


class Ticker:
    """Moves the engine's epoch on when the run's time is over; a thread, made before the walls."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._armed, self._stopped = threading.Event(), threading.Event()
        self._seconds = 0.0
        self.expired = False
        threading.Thread(target=self._tick, daemon=True).start()

    def arm(self, seconds: float) -> None:
        """The clock runs from now on."""
        self._seconds = seconds
        self._armed.set()

    def stop(self) -> None:
        """No more epochs."""
        self._stopped.set()
        self._armed.set()

    def _tick(self) -> None:
        self._armed.wait()
        wait = self._seconds
        while not self._stopped.wait(wait):
            self.expired = True
            self._engine.increment_epoch()
            wait = _TICK


def main(arguments: list[str]) -> None:
    """The process: see the module's word on the order."""
    channel, parent, memory, address_space, cpu_seconds, waits = map(int, arguments)
    walls.die_with_parent(parent)
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    gc.enable()
    engine = make_engine()
    code = _receive_code(channel)
    pages = Pages.open(code) if waits else None
    try:
        component, standing = _load(engine, f"/dev/fd/{code}")
    except wasmtime.WasmtimeError as error:
        send(channel, Failed(str(error).strip()[-500:]))
        return
    os.close(code)
    decoder = msgspec.msgpack.Decoder[ToWorker](ToWorker)
    ticker = Ticker(engine)  # a thread: after Landlock, which it inherits, and before seccomp, which it gets
    walls.let_others_first()  # this thread alone: so does the clock that ends the run
    if walls.limit(data=memory, address_space=address_space, cpu_seconds=cpu_seconds):
        standing.append(walls.RLIMITS)
    looked_at = pages.descriptors if pages else ()
    if walls.close_door((channel, *looked_at), (channel,), seekable=looked_at):
        standing.append(walls.SECCOMP)
    send(channel, Ready(tuple(sorted(standing))))

    first, ahead = receive(channel, decoder), None
    if isinstance(first, StandBy):
        ahead = stand_by(engine, component, decoder, pages)
    if pages:
        pages.close()
    if isinstance(first, StandBy):
        first = receive(channel, decoder)
    start, tables, budget = _receive_job(first, channel, decoder, ticker)
    step = max(1, -(-sum(head.rows for head in start.tables) // PROGRESS_STEPS))
    reported = 0

    def progress(rows: int) -> None:
        nonlocal reported
        if rows >= reported + step:
            reported = rows
            send(channel, Progress(rows))

    send(channel, execute(engine, component, start, tables, budget, ticker, progress, ahead))
    # Nothing is left to tidy that ending does not free, and less code runs after foreign code.
    os._exit(0)


def _load(engine: wasmtime.Engine, code: str) -> tuple[wc.Component, list[str]]:
    """The component, and the walls that stand by then.

    Whoever took over a compiler wrote this code, and it is read before the filter of calls stands, which would let none
    be mapped. So no file can be opened by then, but the sealed one, which is in no file system.
    """
    if SEALED_IN_MEMORY:
        standing = walls.lock_files()
        return wc.Component.deserialize_file(engine, code), [*standing]
    component = wc.Component.deserialize_file(engine, code)
    return component, [*walls.lock_files()]


def _receive_code(channel: int) -> int:
    door = socket.socket(fileno=channel)
    _, (code,), _, _ = socket.recv_fds(door, len(CODE), 1, socket.MSG_CMSG_CLOEXEC)
    door.detach()
    return code


def _receive_job(
    start: ToWorker, channel: int, decoder: msgspec.msgpack.Decoder[ToWorker], ticker: Ticker
) -> tuple[Start, Tables, Budget]:
    if not isinstance(start, Start):
        raise TypeError("expected the job")
    budget = Budget(start.limits, lambda: ticker.expired)
    tables = Tables(start.tables, budget)
    while not isinstance(message := receive(channel, decoder), Go):
        if not isinstance(message, Rows):
            raise TypeError("expected rows")
        tables.add(message.table, message.rows)
    return start, tables, budget


if __name__ == "__main__":
    main(sys.argv[1:])

"""What parent and worker tell each other: length-prefixed MessagePack over one socket pair.

    parent                               worker
    CODE, with a descriptor ->
                                         (no files any more, loads the component, raises the walls)
                          <- Ready       or Failed: nothing was received yet
    StandBy               ->             perhaps, to one that is started ahead: no answer
    Start, Rows..., Go    ->
                          <- Progress... at most `PROGRESS_STEPS`
                          <- Done        and the process ends

A compiler says Ready, is told Go, and answers Compiled or Refused; what it works on came as descriptors.

A message is a 4-byte big-endian length and that many bytes, at most `MESSAGE_LIMIT`; the
parent checks the length before it reads on, and decodes into these types only.
"""

import enum
import os
import struct
from dataclasses import dataclass

import msgspec

__all__ = (
    "CODE", "HELLO", "MESSAGE_LIMIT", "PROGRESS_STEPS", "REQUEST", "Compiled", "Done", "Failed", "FromWorker", "Go",
    "Limits", "Outcome", "Progress", "Ready", "Refused", "Rows", "Scalar", "StandBy", "Start", "TableHead", "ToWorker",
    "receive", "send",
)  # fmt: skip

MESSAGE_LIMIT = 8 << 20
"""Bytes: the largest result (`Limits.output` is capped below it) and any batch of rows fit."""

PROGRESS_STEPS = 50
"""A run reports its progress at most this often."""

REQUEST = struct.Struct("<QQQQ")
"""What the zygote is asked for: bytes of memory and of address space, seconds of processor, 1 for one that waits."""

HELLO = struct.Struct("<I")
"""The first word of a worker that was forked: its process id. Whatever follows is as from any worker."""

CODE = b"c"
"""What a worker's code comes with, the descriptor of a sealed file: before any message."""

_PREFIX = 4

Scalar = None | bool | int | float | str
"""What a cell of a granted table may hold; integers are those of SQLite (64 bits, signed)."""


class Outcome(enum.StrEnum):
    """How a run ended. OK and FAILED are the job's own word, the rest the host's."""

    OK = "ok"
    FAILED = "failed"  # the job said so, or raised; `RunResult.code` tells which of the closed set
    TIME = "time"  # Limits.seconds
    FUEL = "fuel"  # Limits.fuel, calls, data or query_steps: the work it may do
    MEMORY = "memory"  # Limits.memory
    STACK = "stack"  # too deep a recursion
    REFUSED = "refused"  # not a component of our world, too long an output, or not JSON
    CRASHED = "crashed"  # a trap (files, clock, entropy, unreachable), or the worker died


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use. Meeting a limit ends the run with the outcome named here."""

    fuel: int = 20_000_000_000  # about one WebAssembly instruction each (5 s): FUEL
    memory: int = 128 << 20  # bytes of linear memory; the Python runtime needs 16 MiB: MEMORY
    seconds: float = 30.0  # wall clock, from the instant the job has its rows: TIME
    output: int = 64 << 10  # bytes of the result's JSON: REFUSED
    calls: int = 100_000  # host calls of all kinds: FUEL
    answer: int = 4 << 20  # bytes of one answer: batches shrink to it, a query's rows are refused
    data: int = 1 << 30  # bytes of all answers together: FUEL
    query_steps: int = 50_000_000  # instructions of SQLite's machine, all queries together: FUEL
    query_rows: int = 100_000  # rows of one query: refused to the job, which may go on
    log: int = 64 << 10  # bytes of local log; the rest is dropped, the run goes on
    tables: int = 20_000  # elements of WebAssembly tables: MEMORY
    instances: int = 64  # core instances of the component: REFUSED


class TableHead(msgspec.Struct, frozen=True):
    """A granted table: its name, its columns in order, how many rows will come."""

    name: str
    columns: tuple[str, ...]
    rows: int


class Start(msgspec.Struct, frozen=True, tag="start"):
    """The job. `source` is None when the loaded component is the job itself."""

    source: str | None
    params: str
    run_date: str
    seed: bytes
    limits: Limits
    tables: list[TableHead]


class Rows(msgspec.Struct, frozen=True, tag="rows"):
    """Some rows of the table number `table`."""

    table: int
    rows: list[tuple[Scalar, ...]]


class Go(msgspec.Struct, frozen=True, tag="go"):
    """All rows were sent: run."""


class StandBy(msgspec.Struct, frozen=True, tag="stand-by"):
    """No job is there yet: do in the meantime what a job of ours shows to be needed."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The component is loaded and these walls stand."""

    walls: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The compiled code does not load here (another processor, a damaged file): compile again."""

    reason: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """Rows handed to the job so far."""

    rows: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The run's end. `value` only with OK; `fail` only with FAILED; the log stays local."""

    outcome: Outcome
    value: bytes | None = None
    fail: str = ""
    fuel: int = 0
    log: str = ""


class Compiled(msgspec.Struct, frozen=True, tag="compiled"):
    """From the compiler: the native code is in the file it was given."""


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """From the compiler: this is no component that may run here."""

    reason: str


ToWorker = StandBy | Start | Rows | Go
FromWorker = Ready | Failed | Progress | Done | Compiled | Refused


def send(descriptor: int, message: ToWorker | FromWorker) -> None:
    """Writes one message to a blocking descriptor; raises OSError when the peer is gone."""
    body = msgspec.msgpack.encode(message)
    view = memoryview(len(body).to_bytes(_PREFIX, "big") + body)
    while view:
        view = view[os.write(descriptor, view) :]


def receive(descriptor: int, decoder: msgspec.msgpack.Decoder[ToWorker]) -> ToWorker:
    """Reads one message from a blocking descriptor; raises EOFError, ValueError, msgspec's errors."""
    size = int.from_bytes(_exactly(descriptor, _PREFIX), "big")
    if size > MESSAGE_LIMIT:
        raise ValueError("message too long")
    return decoder.decode(_exactly(descriptor, size))


def _exactly(descriptor: int, size: int) -> bytearray:
    buffer = bytearray()
    while len(buffer) < size:
        piece = os.read(descriptor, min(size - len(buffer), 1 << 20))
        if not piece:
            raise EOFError
        buffer += piece
    return buffer

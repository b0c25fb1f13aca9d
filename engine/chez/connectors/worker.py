"""Reading a file in a walled process: what runs there (see `wall`), and the order for it.

Before the walls go up, each connector that will be needed is loaded, and reads its own
`example` (or nothing, if it has none): what it imports when it first reads is there then.
"""

import io
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, BinaryIO, Final

import msgspec

from chez.connectors.api import Connector, Found, Item, Progress, Reject, Source
from chez.connectors.frames import (
    MAX_ASKED,
    MAX_RECORD,
    EndFrame,
    FailedFrame,
    FoundFrame,
    Frame,
    ProgressFrame,
    RejectFrame,
    configuration_of,
    kind_of,
    kinds_of,
)
from chez.connectors.reading import read_open
from chez.connectors.registry import load
from chez.connectors.serving import Asking
from chez.connectors.zipped import Zipped
from chez.errors import ChezError

__all__ = ("TARGET", "Task", "prepare", "task_of")

TARGET: Final = "chez.connectors.worker:prepare"

BATCH: Final = 256
BATCH_BYTES: Final = 128 * 1024
"""Items, and bytes, after which they are sent."""

WARM_ITEMS: Final = 100
"""Items read of an example."""

_encode = msgspec.msgpack.Encoder().encode


class Task(msgspec.Struct, frozen=True):
    """Which file is read by whom: connectors as name to "module:callable"; in a zip, members as name to connector.

    `configuration` is what the one connector is made of, where it is not made of nothing.
    """

    name: str
    sha256: bytes
    size: int
    connectors: dict[str, str]
    plan: dict[str, str] | None
    configuration: bytes = b""
    folder: bool = False
    """Whether the file is a folder's zip, which is asked for."""


def prepare(argument: bytes, file: BinaryIO, pipe: int) -> Callable[[], None]:
    """Load what is needed for a `Task`; what is returned reads the file into the pipe. Raises what loading raises."""
    task = msgspec.msgpack.decode(argument, type=Task)
    loaded = {name: _load(name, place, task.configuration) for name, place in task.connectors.items()}
    for connector in loaded.values():
        _warm(connector)
    chosen: Connector
    if task.plan is None:
        [chosen] = loaded.values()
    else:
        _warm(Zipped({}))
        chosen = Zipped({member: loaded[name] for member, name in task.plan.items()})
    kinds = {kind: name for name, kind in kinds_of(chosen).items()}
    source = Source(task.name, task.sha256, task.size)
    read: BinaryIO = file if not task.folder else io.BufferedReader(
        Asking(file.fileno(), task.size, lambda frame: _write(pipe, [frame])), MAX_ASKED)
    return lambda: _read(chosen, read, source, kinds, pipe)


def _load(name: str, place: str, configuration: bytes) -> Connector:
    connector = load(place, configuration)
    if connector.name != name:
        raise LookupError(f"{place} is {connector.name!r} and not {name!r}")
    return connector


def _warm(connector: Connector) -> None:
    example: bytes = getattr(connector, "example", b"")
    try:
        for item in islice(connector.read(io.BytesIO(example), Source("example", bytes(32), len(example))), WARM_ITEMS):
            if isinstance(item, Found):
                _encode(item.record)
    except Exception:  # an empty file is none of its format, and whatever else is wrong shows when it reads
        return


def _read(connector: Connector, file: BinaryIO, source: Source, kinds: Mapping[type, str], pipe: int) -> None:
    batch: list[Frame] = []
    size = 0
    for frame in _frames(connector, file, source, kinds):
        batch.append(frame)
        size += len(frame.record) if isinstance(frame, FoundFrame) else 256
        if len(batch) >= BATCH or size >= BATCH_BYTES or isinstance(frame, ProgressFrame):
            _write(pipe, batch)
            batch, size = [], 0
    _write(pipe, batch)


def _frames(connector: Connector, file: BinaryIO, source: Source, kinds: Mapping[type, str]) -> Iterator[Frame]:
    try:
        for item in read_open(connector, file, source):
            yield _frame(item, kinds)
    except ChezError as error:
        yield FailedFrame(error.code, error.message[:2000], error.hint[:2000])
    except MemoryError:
        yield FailedFrame("MemoryError", "", "")
    except OSError as error:
        # Behind the walls everything but reading the file fails so.
        yield FailedFrame("OSError", f"{error.strerror}"[:200], "")
    else:
        yield EndFrame()


def _frame(item: Item, kinds: Mapping[type, str]) -> Frame:
    if isinstance(item, Progress):
        return ProgressFrame(item.done)
    if isinstance(item, Reject):
        return RejectFrame(item.line, item.reason[:2000], item.text[:2000], item.member[:512])
    kind = type(item.record)
    name = kinds.get(kind)
    if name is None:
        return FailedFrame("TypeError", kind_of(kind)[:500], "")
    try:
        record = _encode(item.record)
    except (TypeError, ValueError, OverflowError, RecursionError, UnicodeError, msgspec.MsgspecError) as error:
        return _reject(item, f"the record can't be kept: {type(error).__name__}")
    if len(record) > MAX_RECORD:
        return _reject(item, f"the record has more than {MAX_RECORD:,} bytes")
    return FoundFrame(name, item.row, msgspec.Raw(record), item.member, item.by)


def _reject(item: Found, reason: str) -> RejectFrame:
    return RejectFrame(item.row, reason, "", item.member)


def _write(pipe: int, batch: list[Any]) -> None:
    body = _encode(batch)
    view = memoryview(len(body).to_bytes(4, "big") + body)
    while view:
        view = view[os.write(pipe, view) :]


def task_of(source: Source, connector: Connector, places: Mapping[str, str], *, folder: bool = False) -> bytes:
    """The argument of an order."""
    plan = {member: one.name for member, one in connector.plan.items()} if isinstance(connector, Zipped) else None
    return _encode(Task(source.name, source.sha256, source.size, dict(places), plan, configuration_of(connector),
                        folder))

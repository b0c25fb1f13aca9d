"""Reading a file behind walls, from the engine's side: the items, none of which is believed.

    with WalledReading(connector, file, source) as items:
        for item in items: ...

The process may be anybody's by the time it speaks: a file can be made to take a parser
over. So each message is bounded before it is read, each item decoded into its one type,
each record into a type that its connector declares, each text escaped, and what all of it may
amount to is bounded by the file's size. It can still say false things about the file, as
the file itself could.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, Final, Self

import msgspec

from chez.connectors.api import Connector, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.archive import MAX_RATIO
from chez.connectors.folders import folder_of
from chez.connectors.frames import (
    MAX_MESSAGE,
    AskFrame,
    EndFrame,
    FailedFrame,
    FoundFrame,
    Frame,
    ProgressFrame,
    kinds_of,
    readers_of,
)
from chez.connectors.registry import registered
from chez.connectors.serving import Serving
from chez.connectors.wall import Launch, Order, Walled, find_wall
from chez.connectors.worker import TARGET, task_of
from chez.connectors.zipped import Zipped
from chez.errors import BadArchive, ChezError, ImportStopped, InvalidValue

__all__ = ("Limits", "WalledReading", "places_of")

MAX_REASON: Final = 300
"""Characters of a reject's reason."""

_AGAIN: Final = "What came before stays; importing the file again goes on from there."
_FRAMES: Final = msgspec.msgpack.Decoder(list[Frame])
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)  # ValueError: text that is no UTF-8
_KNOWN: Final[dict[str, type[ChezError]]] = {"InvalidValue": InvalidValue, "BadArchive": BadArchive}


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may take. Meeting a limit is `ImportStopped`."""

    memory: int = 512 << 20
    """Bytes that the process may have."""
    silence: float = 120.0
    """Seconds without a word, while it is waited for."""
    spare: int = 64 << 20
    """Bytes that the items may have beyond `factor` times the file."""
    factor: int = 64
    """How many times the file's size the items may have: a reading's row has 30 bytes, its record 150."""
    cpu_spare: int = 120
    """Seconds of processor beyond one for each `cpu_bytes` of the file."""
    cpu_bytes: int = 50_000


class WalledReading:
    """The items of a file that a walled process reads; an iterator, to be closed from any thread."""

    def __init__(self, connector: Connector, file: BinaryIO, source: Source, limits: Limits = Limits(),
                 launch: Launch | None = None) -> None:
        """Start reading an open file from its beginning; returns when the walls stand.

        Raises `WallMissing`, and `InvalidValue` for a connector that can't be found from another process.
        """
        self._connector, self._source, self._limits = connector, source, limits
        kinds = kinds_of(connector)
        self._decoders = {name: msgspec.msgpack.Decoder(kind) for name, kind in kinds.items()}
        self._readers = {"", *(f"{one.name}/{one.version}" for one in readers_of(connector))}
        size = source.size * (MAX_RATIO if isinstance(connector, Zipped) or _reads_archives(connector) else 1)
        self._left = limits.spare + limits.factor * size
        folder = folder_of(file)
        argument = task_of(source, connector, places_of(connector), folder=folder is not None)
        cpu = limits.cpu_spare + size // limits.cpu_bytes
        self._serving = None if folder is None else Serving(folder)
        self._process = self._start(launch or find_wall(), argument, file, cpu)
        self.walls = self._process.walls
        self._items = self._all()

    def _start(self, launch: Launch, argument: bytes, file: BinaryIO, cpu: int) -> Walled:
        if self._serving is None:
            return launch(Order(TARGET, argument, file.fileno(), self._limits.memory, cpu))
        try:
            process = launch(Order(TARGET, argument, self._serving.descriptor, self._limits.memory, cpu))
        except BaseException:
            self._serving.close()
            raise
        finally:
            self._serving.started()
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Item:
        return next(self._items)

    def close(self) -> None:
        """End the process, however far it is; from any thread."""
        self._process.end()
        if self._serving is not None:
            self._serving.close()

    def _all(self) -> Iterator[Item]:
        while True:
            for frame in self._message():
                if isinstance(frame, EndFrame):
                    return
                if isinstance(frame, FailedFrame):
                    raise self._error(frame)
                if isinstance(frame, AskFrame):
                    self._give(frame)
                else:
                    yield self._item(frame)

    def _give(self, asked: AskFrame) -> None:
        if self._serving is None:
            raise self._stopped("it broke its word")
        try:
            if not self._serving.give(asked, self._limits.silence):
                raise self._stopped("it read more than a folder of this size has")
        except TimeoutError:
            raise self._stopped(f"it did not take what it asked for in {self._limits.silence:g} seconds") from None

    def _message(self) -> list[Frame]:
        size = int.from_bytes(self._exactly(4), "big")
        self._left -= size + 4
        if size > MAX_MESSAGE or self._left < 0:
            raise self._stopped("it gave more than a file of this size can hold")
        try:
            return _FRAMES.decode(self._exactly(size))
        except _UNREADABLE:
            raise self._stopped("it broke its word") from None

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            try:
                part = self._process.read(size - len(data), self._limits.silence)
            except TimeoutError:
                raise self._stopped(f"it said nothing for {self._limits.silence:g} seconds") from None
            if not part:
                code = self._process.end()
                raise self._stopped(f"its process ended before the file did ({_how(code)})")
            data += part
        return bytes(data)

    def _item(self, frame: Frame) -> Item:
        if isinstance(frame, ProgressFrame):
            return Progress(min(frame.done, self._source.size))
        member = frame.member  # type: ignore[union-attr]
        if not member.isprintable():
            raise self._stopped("it broke its word")
        if isinstance(frame, FoundFrame):
            return self._found(frame)
        reason = frame.reason if frame.reason.isprintable() else excerpt(frame.reason)  # type: ignore[union-attr]
        return Reject(frame.line, reason[:MAX_REASON], excerpt(frame.text), member)  # type: ignore[union-attr]

    def _found(self, frame: FoundFrame) -> Item:
        decoder = self._decoders.get(frame.kind)
        if decoder is None or frame.by not in self._readers:
            raise self._stopped("it broke its word")
        try:
            return Found(decoder.decode(frame.record), frame.row, frame.member, frame.by)
        except _UNREADABLE as error:
            return Reject(frame.row, f"the record is not valid: {excerpt(str(error))}", "", frame.member)

    def _error(self, frame: FailedFrame) -> ChezError:
        message, hint = _clean(frame.message), _clean(frame.hint)
        if (kind := _KNOWN.get(frame.code)) is not None:
            return kind(message, hint)
        if frame.code == "MemoryError":
            return self._stopped(f"it needed more than {self._limits.memory >> 20} MiB of memory")
        if frame.code == "TypeError":
            return InvalidValue(f"the connector {self._connector.name!r} gave a record of a type it does not declare: "
                                f"{message}", "Its author adds the type to its `types`.")
        return self._stopped(f"it was refused ({message}): a parser may read its file, and no more")

    def _stopped(self, why: str) -> ImportStopped:
        return ImportStopped(f"reading {excerpt(self._source.name)!r} by {self._connector.name!r} was stopped: {why}",
                             _AGAIN)


def places_of(connector: Connector) -> dict[str, str]:
    """Where the connectors that read a file are, "module:callable" by name.

    Raises `InvalidValue` for one that another process can't find.
    """
    known = {(one.connector.name, type(one.connector)): one.place for one in registered()}
    places = {}
    for one in readers_of(connector):
        kind = type(one)
        place = known.get((one.name, kind), f"{kind.__module__}:{kind.__qualname__}")
        if "<" in place or place.startswith("__main__:"):
            raise InvalidValue(f"the connector {one.name!r} is read in another process, which can't find {place}",
                               "Put its class into a module, or ask for `in_process=True`.")
        places[one.name] = place
    return places


def _reads_archives(connector: Connector) -> bool:
    return hasattr(connector, "recognise_members")


def _clean(text: str) -> str:
    return text if text.isprintable() else excerpt(text)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"

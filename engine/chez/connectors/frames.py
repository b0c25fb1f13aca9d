"""What a walled reader says to its parent: batches of items as length-prefixed MessagePack.

    4 bytes, big-endian: length of what follows, at most MAX_MESSAGE
    [item, ...]         each an array whose first element is its kind

One that reads a folder asks for its bytes between them (`chez.connectors.serving`).

The parent believes nothing of it. Records are bytes until their type was found among those
that may come; then they are decoded into that type, which checks every field.
"""

from typing import Annotated, Final

import msgspec

from chez.connectors.api import Connector
from chez.connectors.zipped import Zipped
from chez.errors import InvalidValue

__all__ = (
    "MAX_ASKED", "MAX_MESSAGE", "MAX_RECORD", "AskFrame", "EndFrame", "FailedFrame", "FoundFrame", "Frame",
    "ProgressFrame", "RejectFrame", "configuration_of", "kind_of", "kinds_of", "readers_of",
)

MAX_RECORD: Final = 512 * 1024
"""Bytes of one record: beyond that is an attachment."""

MAX_MESSAGE: Final = 2 * MAX_RECORD
"""Bytes of one message: a batch that is full, and one record more."""

MAX_ASKED: Final = 256 * 1024
"""Bytes of a folder that are asked for at once."""

_Row = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
_Name = Annotated[str, msgspec.Meta(max_length=512)]
_Text = Annotated[str, msgspec.Meta(max_length=2000)]


class FoundFrame(msgspec.Struct, frozen=True, array_like=True, tag="f"):
    """A record: its type by name, its row, its fields as MessagePack."""

    kind: _Name
    row: _Row
    record: msgspec.Raw
    member: _Name
    by: _Name


class RejectFrame(msgspec.Struct, frozen=True, array_like=True, tag="r"):
    """A row that could not be read."""

    line: _Row
    reason: _Text
    text: _Text
    member: _Name


class ProgressFrame(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """Bytes read so far."""

    done: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class FailedFrame(msgspec.Struct, frozen=True, array_like=True, tag="x"):
    """The last item: reading ended with an error of this name."""

    code: _Name
    message: _Text
    hint: _Text


class AskFrame(msgspec.Struct, frozen=True, array_like=True, tag="a"):
    """Bytes of a folder's zip, from an offset, are waited for: they come over the file's descriptor, as many as there
    are of them after their number (4 bytes, big-endian)."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_ASKED)]


class EndFrame(msgspec.Struct, frozen=True, array_like=True, tag="e"):
    """The last item: the file was read to its end."""


Frame = FoundFrame | RejectFrame | ProgressFrame | FailedFrame | EndFrame | AskFrame


def readers_of(connector: Connector) -> tuple[Connector, ...]:
    """The connectors that a file will be read by: those in the plan of a zip, else the one."""
    if isinstance(connector, Zipped):
        return tuple({one.name: one for one in connector.plan.values()}.values())
    return (connector,)


def configuration_of(connector: Connector) -> bytes:
    """What a connector that is not made of nothing is made of, in the process that reads as well."""
    configuration: bytes = getattr(connector, "configuration", b"")
    return configuration


def kind_of(kind: type) -> str:
    """What a record's type is called on the pipe."""
    return f"{kind.__module__}:{kind.__qualname__}"


def kinds_of(connector: Connector) -> dict[str, type[msgspec.Struct]]:
    """The types that may come, by name: those that the connectors that read declare in `types`, and no others.

    A type of the vocabulary is declared as any other: a calendar's parser that was taken over must not write a
    bank's transactions. Raises `InvalidValue` when `types` is no tuple of Structs.
    """
    kinds: dict[str, type[msgspec.Struct]] = {}
    for reader in readers_of(connector):
        types = getattr(reader, "types", ())
        if not isinstance(types, tuple) or not all(map(_is_struct, types)):
            raise InvalidValue(f"the connector {reader.name!r} declares `types` that are no tuple of Structs")
        kinds |= {kind_of(kind): kind for kind in types}
    return kinds


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)

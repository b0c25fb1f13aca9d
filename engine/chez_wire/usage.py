"""How much of a relay's room a space takes, and how much it may: so that nobody learns of a limit by meeting it."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chez_wire.fields import Frame, Id, Ref

__all__ = ("GetUsage", "Usage", "Used")

Size = Annotated[int, Meta(ge=0, le=2**62)]


class Used(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Bytes that are kept, and as many as there may be; a limit that was lowered since may be below."""

    bytes: Size
    limit: Size


class GetUsage(Frame, tag=23, frozen=True):
    """Ask how much room a space takes that is opened with role read."""

    ref: Ref
    handle: Id


class Usage(Frame, tag=48, frozen=True):
    """What a space takes (`ref` of the GetUsage): its entries and packets, its control entries, and its chunks."""

    ref: Ref
    entries: Used
    control: Used
    chunks: Used

"""What the fields of frames may be: each length is checked while it is decoded."""

from typing import Annotated

import msgspec
from msgspec import Meta

from chez_wire.limits import (
    ID_BYTES,
    MAX_CHUNK,
    MAX_CREDIT,
    MAX_ENVELOPE,
    MAX_INBOX_ITEM,
    MAX_SPACES_PER_CONNECTION,
    MAX_TEXT,
    PACKET_BYTES,
)

__all__ = ("Box", "Bytes", "Envelope", "Frame", "Id", "Item", "Offset", "Place", "Ref", "Sealed", "Signature", "Text")

Id = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Signature = Annotated[bytes, Meta(min_length=64, max_length=64)]
Offset = Annotated[int, Meta(ge=0, le=2**62)]
Ref = Annotated[int, Meta(ge=0, lt=2**32)]
Bytes = Annotated[int, Meta(ge=1, le=MAX_CREDIT)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Envelope = Annotated[bytes, Meta(max_length=MAX_ENVELOPE)]
Item = Annotated[bytes, Meta(min_length=1, max_length=MAX_INBOX_ITEM)]
Sealed = Annotated[bytes, Meta(min_length=1, max_length=MAX_CHUNK)]
Place = Annotated[int, Meta(ge=0, lt=MAX_SPACES_PER_CONNECTION)]
Box = Annotated[bytes, Meta(min_length=PACKET_BYTES, max_length=PACKET_BYTES)]


class Frame(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A frame: an array whose first element is its number."""

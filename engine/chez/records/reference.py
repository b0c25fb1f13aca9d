"""`Blob`: what a record holds of an attachment.

In a document and in the projection it is a map with a reserved key:

    {"_blob": id, "size": bytes, "type": media type, "name": file name}

The id (64 hexadecimal digits) is the hash of the sealed manifest; it opens nothing by
itself. The map is written as one new object and never edited inside, so that of two
attachments that were set at once one wins whole. A member may write any map by hand:
what does not fit is no attachment, and stays the plain map it is.
"""

import re
from typing import Any, Final

import msgspec

__all__ = ("DEFAULT_TYPE", "KEY", "MAX_SIZE", "Blob", "field_of", "is_reference", "revived")

KEY: Final = "_blob"
DEFAULT_TYPE: Final = "application/octet-stream"

MAX_SIZE: Final = 2**45
"""Bytes of one attachment: 32 TiB, what a manifest of two levels can list."""

MAX_NAME: Final = 255
_ID: Final = re.compile(r"[0-9a-f]{64}")
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")


class Blob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"id": KEY, "media_type": "type"}):
    """An attachment, as a record holds it: put it into a field, and read it with `home.blobs`.

    `size` is in bytes; `media_type` is lower case (RFC 6838); `name` is a plain file name
    without a folder, empty if it has none.
    """

    id: str
    size: int
    media_type: str = DEFAULT_TYPE
    name: str = ""

    def __post_init__(self) -> None:
        """Hold every reference, made here or read, to the form. Raises ValueError."""
        if not _ID.fullmatch(self.id) or not 0 <= self.size <= MAX_SIZE:
            raise ValueError("this is no reference to an attachment")
        if not _TYPE.fullmatch(self.media_type):
            raise ValueError("an attachment's type looks like image/png")
        if len(self.name) > MAX_NAME or not self.name.isprintable() or set(self.name) & set('/\\') \
                or self.name in (".", ".."):
            raise ValueError(f"an attachment's name has at most {MAX_NAME} printable characters, and no folder")

    def __repr__(self) -> str:
        # The name is content, and stays out of logs.
        return f"<Blob {self.id[:8]}… {self.media_type} {self.size:,} bytes>"


def field_of(blob: Blob) -> dict[str, Any]:
    """The map that stands for an attachment in a record."""
    field: dict[str, Any] = msgspec.to_builtins(blob)
    return field


def is_reference(value: object) -> bool:
    """Whether a stored value is a map with the reserved key, well-formed or not."""
    return type(value) is dict and KEY in value


def revived(value: Any) -> Any:
    """A stored value with its references as `Blob`; what has none is returned as it is."""
    if type(value) is dict:
        if KEY in value:
            try:
                return msgspec.convert(value, Blob)
            except msgspec.ValidationError:
                return value
        changed = {key: new for key, item in value.items()
                   if type(item) in (dict, list) and (new := revived(item)) is not item}
        return value | changed if changed else value
    if type(value) is list:
        new = [revived(item) for item in value]
        return new if any(a is not b for a, b in zip(new, value, strict=True)) else value
    return value

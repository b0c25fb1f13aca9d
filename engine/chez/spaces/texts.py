"""What people hand each other as text: a scheme, and MessagePack in base64url behind it.

    text = "chez-card:" | "chez-space:" | ...  base64url(MessagePack array), without padding

Such a text is pasted, mailed and read from a QR code, so blanks and line breaks in it mean
nothing. The array's first element is the version of its form.
"""

import base64
import binascii
from typing import Final, TypeVar

import msgspec

from chez.errors import InvalidValue

__all__ = ("from_text", "to_text")

MAX_TEXT: Final = 1 << 20
"""Characters of such a text, at most."""

T = TypeVar("T", bound=msgspec.Struct)


def to_text(scheme: str, value: msgspec.Struct | tuple[object, ...]) -> str:
    """A value, or its array, as text of a scheme (`chez-card`, ...)."""
    return f"{scheme}:{base64.urlsafe_b64encode(msgspec.msgpack.encode(value)).rstrip(b'=').decode()}"


def from_text(scheme: str, text: str, kind: type[T], what: str) -> T:
    """Undo `to_text`; `what` says what is expected ("a card"). Raises `InvalidValue`."""
    again = "Copy it again, whole."
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise InvalidValue(f"this is not {what}: it is too long", again)
    found, colon, body = "".join(text.split()).partition(":")
    if not colon or found != scheme:
        other = f", but {found}" if colon and found.startswith("chez-") and len(found) < 32 else ""
        raise InvalidValue(f"this is not {what}{other}", f"It begins with {scheme}:")
    try:
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return msgspec.msgpack.decode(data, type=kind)
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise InvalidValue(f"this is not {what}: it is incomplete, or of a newer Chez", again) from None

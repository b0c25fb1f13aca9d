"""Websocket frames as devices send them, each a whole masked binary message, told from bytes without a parser's steps.

The library parses any frame there is, by a generator that is resumed for each part of its head: a fifth of all that the
relay does for an entry. All that is not as said here is left to it, and so is every refusal (RFC 6455, section 5.2).
"""

from typing import Final

from websockets.frames import Opcode

from chez_wire.limits import MAX_FRAME

try:  # as the library itself does: in C where that was built
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

__all__ = ("MAX_KEPT", "begun", "framed", "message")

MAX_KEPT: Final = 4096
"""Bytes of the beginning of a frame that is kept until the rest comes, and looked at again each time; of a longer one
the library has all that came, and looks at nothing twice."""

_WHOLE: Final = 0x80 | Opcode.BINARY  # and no bit of an extension
_MASKED: Final = 0x80


def message(data: bytes, at: int) -> tuple[bytes, int] | None:
    """The message whose frame begins at `at` in `data`, unmasked, and where the next begins; None to leave it alone."""
    if len(data) - at < 6 or data[at] != _WHOLE:
        return None
    size, mask = data[at + 1] - _MASKED, at + 2
    if size >= 126:
        mask += 2 if size == 126 else 8
        size = int.from_bytes(data[at + 2:mask], "big")
    first = mask + 4
    end = first + size
    if size < 0 or size > MAX_FRAME or end > len(data):
        return None
    return apply_mask(data[first:end], data[mask:first]), end


def begun(data: bytes) -> bool:
    """Whether `data`, where `message` finds none, is the beginning of one that is not long."""
    if data[0] != _WHOLE or len(data) > MAX_KEPT:
        return False
    if len(data) < 4:
        return len(data) < 2 or _MASKED <= data[1] <= _MASKED + 126
    size = data[1] - _MASKED
    return 0 <= size < 126 or (size == 126 and int.from_bytes(data[2:4], "big") <= MAX_KEPT)


def framed(data: bytes) -> bytes:
    """A message as a server sends it: one binary frame, not masked."""
    size = len(data)
    if size < 126:
        return bytes((_WHOLE, size)) + data
    if size < 65536:
        return b"\x82\x7e" + size.to_bytes(2, "big") + data
    return b"\x82\x7f" + size.to_bytes(8, "big") + data

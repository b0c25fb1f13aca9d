"""Websocket frames as both sides send them, each a whole binary message, told from bytes without a parser's steps.

The library parses any frame there is, by a generator that is resumed for each part of its head, and makes one by three
layers of calls: a fifth of all that the relay does for an entry, and some 50 µs at each end of one that comes alone
(docs/decisions/0069). All that is not as said here is left to it, and so is every refusal (RFC 6455, section 5.2).
Devices mask what they send, relays do not.
"""

from types import GeneratorType
from typing import Final

from websockets.frames import Opcode
from websockets.protocol import Protocol, State
from websockets.streams import StreamReader

from chez_wire.limits import MAX_FRAME

try:  # as the library itself does: in C where that was built
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

__all__ = ("MAX_KEPT", "begun", "between_frames", "framed", "message")

MAX_KEPT: Final = 4096
"""Bytes of the beginning of a frame that is kept until the rest comes, and looked at again each time; of a longer one
the library has all that came, and looks at nothing twice."""

_WHOLE: Final = 0x80 | Opcode.BINARY  # and no bit of an extension
_MASKED: Final = 0x80
_BETWEEN_FRAMES: Final = StreamReader.at_eof.__code__


def message(data: bytes, at: int, *, masked: bool) -> tuple[bytes, int] | None:
    """The message whose frame begins at `at` in `data`, and where the next begins; None to leave it alone."""
    if len(data) - at < 2 or data[at] != _WHOLE:
        return None
    size, first = data[at + 1] - _MASKED * masked, at + 2
    if not 0 <= size < _MASKED:
        return None
    if size >= 126:
        first += 2 if size == 126 else 8
        size = int.from_bytes(data[at + 2:first], "big")
    mask, first = first, first + 4 * masked
    end = first + size
    if size > MAX_FRAME or end > len(data):
        return None
    return (apply_mask(data[first:end], data[mask:first]) if masked else data[first:end]), end


def begun(data: bytes) -> bool:
    """Whether `data`, where `message` finds none, is the beginning of a masked one that is not long."""
    if data[0] != _WHOLE or len(data) > MAX_KEPT:
        return False
    if len(data) < 4:
        return len(data) < 2 or _MASKED <= data[1] <= _MASKED + 126
    size = data[1] - _MASKED
    return 0 <= size < 126 or (size == 126 and int.from_bytes(data[2:4], "big") <= MAX_KEPT)


def framed(data: bytes, mask: bytes = b"") -> bytes:
    """A message as one binary frame, masked if there are four bytes to do it with."""
    size, masked = len(data), _MASKED if mask else 0
    if mask:
        data = apply_mask(data, mask)
    if size < 126:
        return bytes((_WHOLE, masked | size)) + mask + data
    if size < 65536:
        return bytes((_WHOLE, masked | 126)) + size.to_bytes(2, "big") + mask + data
    return bytes((_WHOLE, masked | 127)) + size.to_bytes(8, "big") + mask + data


def between_frames(protocol: Protocol) -> bool:
    """Whether the library has no frame that is not whole: its parser waits for one to begin, or for the end."""
    if protocol.state is not State.OPEN:
        return False  # what comes behind a Close, or a mistake, it may discard: RFC 6455, sections 1.4 and 7.1.7
    inner: object = protocol.parser
    while isinstance(inner, GeneratorType):
        if inner.gi_code is _BETWEEN_FRAMES:
            return True
        inner = inner.gi_yieldfrom
    return False

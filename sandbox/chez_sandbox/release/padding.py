"""Constant lengths: how long a message is depends on the schema alone, never on the run."""

from typing import Final

__all__ = ("GRAIN", "pad", "padded_size", "unpad")

GRAIN: Final = 256
"""Sizes are multiples of this, so that neighbouring schemas look alike too."""

_LENGTH: Final = 4


def padded_size(most: int) -> int:
    """The length to which every message of at most `most` bytes is padded."""
    return -(-(_LENGTH + most) // GRAIN) * GRAIN


def pad(message: bytes, size: int) -> bytes:
    """The message, its length before it and zeros after it: exactly `size` bytes.

    Raises ValueError when it does not fit: `padded_size` was asked about less.
    """
    if _LENGTH + len(message) > size:
        raise ValueError(f"{len(message)} bytes do not fit {size}")
    return (len(message).to_bytes(_LENGTH, "big") + message).ljust(size, b"\0")


def unpad(padded: bytes) -> bytes:
    """Undo `pad`. Raises ValueError when the length lies or the padding is not zeros."""
    length = int.from_bytes(padded[:_LENGTH], "big")
    message, rest = padded[_LENGTH : _LENGTH + length], padded[_LENGTH + length :]
    if len(padded) < _LENGTH or len(message) != length or rest.strip(b"\0"):
        raise ValueError("the padding is damaged")
    return message

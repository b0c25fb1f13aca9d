"""Bytes that are almost what a parser expects."""

from collections.abc import Callable, Sequence

from hypothesis import strategies as st

__all__ = ("MESSAGEPACK", "attempt", "beginnings", "bytes_like")

MESSAGEPACK: tuple[bytes, ...] = (
    b"\xc0", b"\xc1", b"\xc2", b"\xcb\x7f\xf8" + bytes(6), b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7),
    b"\xd9\x02\xed\xa0", b"\xa4\xff\xfe\xfd\xfc", b"\xa1\x00", b"\xc4\x00", b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xd6\xff" + b"\xff" * 4, b"\xd7\xff" + b"\xff" * 8,
    b"\xc7\x0c\xff" + b"\xff" * 12, b"\xc7\x03\x05abc", b"\x80", b"\x81\x90\xc0", b"\x81\xc0\xc0", b"\x90",
    b"\x91" * 3000, b"\x81\x01" * 3000, b"\x92\x01",
)
"""Values of every kind: odd numbers, text that is none, false lengths, timestamps, deep nesting."""


@st.composite
def bytes_like(draw: st.DrawFn, seeds: Sequence[bytes], pieces: Sequence[bytes] = ()) -> bytes:
    """One of the seeds with bits flipped and parts cut, inserted, repeated, moved; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 12)))
        match draw(st.integers(0, 5)):
            case 0 if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                data[at:to] = draw(st.binary(max_size=6))
            case 2:
                data[at:at] = data[at:to] * draw(st.integers(1, 3))
            case 3 if pieces:
                data[at:to] = draw(st.sampled_from(pieces))
            case 4:
                del data[at:]
            case _:
                del data[at:to]
    return bytes(data)


def beginnings(seed: bytes, pieces: Sequence[bytes]) -> list[bytes]:
    """Every beginning of a seed, followed by each of the pieces and the rest."""
    return [seed[:at] + piece + seed[at + 1 :] for at in range(min(len(seed), 40) + 1) for piece in pieces]


def attempt(parse: Callable[[bytes], object], data: bytes, *refusals: type[Exception]) -> bool:
    """Whether a parser takes the bytes; it may refuse them with these errors alone."""
    try:
        parse(data)
    except refusals:
        return False
    return True

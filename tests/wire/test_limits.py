"""What every field of every frame may be, in numbers that stand here alone: a decoder takes that, and no more."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from chez_wire import frames
from chez_wire.errors import FrameError
from tests.vectors.make_frames import FRAMES

ID, SIGNATURE, TEXT = (32, 32), (64, 64), (0, 512)
REF, OFFSET, CREDIT = (0, 4_294_967_295), (0, 4_611_686_018_427_387_904), (1, 16_777_216)

LIMITS: Final = {
    **dict.fromkeys((
        "admin_key", "append_key", "checkpoint", "chunk", "chunks[]", "control_key", "digest", "drop", "entry",
        "follows", "handle", "head", "inbox", "incarnation", "instance", "key", "nonce", "owner_key", "previous_read",
        "proofs[]", "read_key", "recovery_key", "signer", "tag", "voucher", "write_key"), ID),
    **dict.fromkeys(("signature", "vouch"), SIGNATURE),
    **dict.fromkeys(("code", "error", "relay", "token", "Failed.message"), TEXT),
    **dict.fromkeys(("passed", "ref", "Resume.first"), REF),
    **dict.fromkeys(("after", "bytes", "end", "number", "offset", "offsets[]", "upto", "Used.limit"), OFFSET),
    **dict.fromkeys(("Dropped.first", "last"), (1, 4_611_686_018_427_387_904)),
    **dict.fromkeys(("credit", "Read.limit"), CREDIT),
    "Broadcast.message": (140, 16_384),
    "Drop.chunks": (0, 4096),
    "Early.envelope": (1, 4096),
    "Ephemeral.message": (140, 16_384),
    "HasChunks.chunks": (1, 1024),
    "ahead": (0, 4096),
    "box": (256, 256),
    "claims": (1, 256),
    "count": (1, 4096),
    "data": (1, 589_824),
    "dropped": (0, 4096),
    "envelope": (0, 1_044_480),
    "held": (0, 1024),
    "item": (1, 65_536),
    "lost": (0, 4096),
    "offsets": (1, 4096),
    "packets": (0, 2048),
    "place": (0, 4095),
    "proofs": (64, 4096),
    "ranges": (0, 4096),
    "sender": (16, 16),
    "spaces": (0, 256),
    "to": (0, 16),
    "ttl": (1, 7_776_000),
    "versions": (1, 16),
}
"""By the field's name, with the frame's where one name has several meanings; `[]` is what a list has."""

NUMBERS: Final = (REF, OFFSET, (0, 4095))
"""Bounds from 0 of what is no length, and could be less."""

UNBOUNDED: Final = {"version", "versions[]", "entries", "items"}
"""Versions are any numbers; pages are held to a frame's size alone."""

Place = tuple[int, ...]


def places(kind: type[msgspec.Struct], at: Place = ()) -> Iterator[tuple[str, Place]]:
    """Where the fields of a frame are in its array, and what they are called; those inside of lists too, once each."""
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    for number, one in enumerate(info.fields, start=0 if at else 1):
        yield from _places(one.type, kind.__name__, one.name, (*at, number))


def _places(kind: inspect.Type, owner: str, name: str, at: Place) -> Iterator[tuple[str, Place]]:
    match kind:
        case inspect.StructType(cls=cls):
            yield from places(cls, at)
        case inspect.ListType(item_type=inner):
            yield f"{owner}.{name}", at
            yield from _places(inner, owner, f"{name}[]", (*at, 0))
        case inspect.UnionType(types=types):
            yield from _places(types[0], owner, name, at)
        case inspect.BytesType() | inspect.StrType() | inspect.IntType():
            yield f"{owner}.{name}", at


FULL: Final = {type(frame): frame for frame in FRAMES}
FIELDS: Final = [(frame, name, at) for frame in FULL.values() for name, at in places(type(frame))
                 if name.partition(".")[2] not in UNBOUNDED]
CLIENT: Final = frames.ClientFrame.__args__


def of(value: Any, count: int) -> Any:
    """A value of the same kind that is so large."""
    match value:
        case bytes():
            return bytes(count)
        case str():
            return "x" * count
        case list():
            return [value[0]] * max(count, 0)
        case _:
            return count


def taken(frame: Any, at: Place, count: int) -> bool:
    """Whether a frame is taken where what is at a place is so large."""
    array: Any = msgspec.msgpack.decode(frames.encode(frame))
    inside = array
    for step in at[:-1]:
        inside = inside[step]
    inside[at[-1]] = of(inside[at[-1]], count)
    try:
        (frames.decode_client if isinstance(frame, CLIENT) else frames.decode_relay)(msgspec.msgpack.encode(array))
    except FrameError:
        return False
    return True


@pytest.mark.parametrize(("frame", "name", "at"), FIELDS,
                         ids=[f"{type(frame).__name__}-{name}" for frame, name, _ in FIELDS])
def test_a_field_is_held_to_its_limit(frame: msgspec.Struct, name: str, at: Place) -> None:
    """The least and the most are taken, one less and one more are not."""
    low, high = LIMITS.get(name) or LIMITS[name.partition(".")[2]]
    assert taken(frame, at, low) and taken(frame, at, high) and not taken(frame, at, high + 1)
    if low > 0 or (low, high) in NUMBERS:
        assert not taken(frame, at, low - 1)


@pytest.mark.parametrize("more", [0, 1])
def test_a_page_is_held_to_the_size_of_a_frame(more: int) -> None:
    """1,048,576 bytes are a frame, one more is none."""
    entries = [frames.Entry(1, bytes(1_000_000)), frames.Entry(2, bytes(48_490 + more))]
    page = frames.encode(frames.Entries(1, bytes(32), entries, bytes(32), 2))
    assert len(page) == 1_048_576 + more
    if more:
        with pytest.raises(FrameError, match="at most 1048576"):
            frames.decode_relay(page)
    else:
        frames.decode_relay(page)


def test_a_request_is_held_to_the_size_of_a_frame() -> None:
    """What is longer is not looked at."""
    with pytest.raises(FrameError, match="at most 1048576"):
        frames.decode_client(bytes(1_048_577))
    with pytest.raises(FrameError, match="no frame"):
        frames.decode_client(bytes(1_048_576))

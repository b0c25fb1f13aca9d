"""Frames that the relay tells from bytes by itself are what the websocket library would have made of them."""

import asyncio
import os
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.utils import apply_mask

from chez_relay.bounds import TURN
from chez_relay.counts import Counts
from chez_relay.door import Door, GuestConnection
from chez_relay.limits import Limits
from chez_wire.framing import MAX_KEPT, begun, framed, message
from chez_wire.limits import MAX_FRAME
from tests.tries import tries

UPGRADE = (b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n")


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 1) if name == "peername" else None

    def __getattr__(self, name: str) -> Any:  # how it reads, and how much it may keep, are nobody's concern here
        return lambda *_: None


def guest(most: int = MAX_FRAME) -> tuple[GuestConnection, Wire]:
    """A connection after its handshake, and what it writes to."""
    async def handler(_: object) -> None:
        """Nobody serves it."""

    door = Door(Limits(), lambda: 0.0, Counts(), trusted=(), header="")
    made = door.factory()(ServerProtocol(max_size=most), SimpleNamespace(handler=handler, handler_tasks=set()))
    wire: Any = Wire()
    made.connection_made(wire)
    made.data_received(UPGRADE)
    assert made.request is not None
    made.protocol.send_response(made.protocol.accept(made.request))
    made.send_data()
    wire.written = b""  # it has the time
    assert made.protocol.state is State.OPEN
    return made, wire


def heard(parts: list[bytes], full: frozenset[int]) -> tuple[object, ...]:
    """What becomes of bytes that come in these parts; the messages with these numbers find no room."""
    made, wire = guest()
    taken: list[bytes] = []

    def take(data: bytes) -> bool:
        if len(taken) in full:
            return False
        taken.append(data)
        return True

    made.take = take
    for part in parts:
        made.data_received(part)
    waiting = list(made.recv_messages.frames.queue)
    close = made.protocol.close_sent
    return (taken, [(one.opcode, bytes(one.data), one.fin) for one in waiting], wire.written, wire.aborted,
            made.protocol.state, close and close.code)


def encoded(opcode: int, data: bytes, first: int = 0x80, mask: bytes | None = b"mask") -> bytes:
    """A frame by the library, with other bits in its first byte, or no mask."""
    frame = bytearray(Frame(Opcode.BINARY, data).serialize(mask=False))
    frame[0] = first | opcode
    if mask is None:
        return bytes(frame)
    head = len(frame) - len(data)
    frame[1] |= 0x80
    return bytes(frame[:head]) + mask + apply_mask(data, mask)


def payloads() -> st.SearchStrategy[bytes]:
    return st.builds(lambda size, fill: bytes((fill,)) * size,
                     st.sampled_from((0, 1, 125, 126, 127, 300, MAX_KEPT, MAX_KEPT + 1, 70_000)), st.integers(0, 255))


def streams() -> st.SearchStrategy[list[bytes]]:
    """Frames as devices send them, others among them now and then, in parts cut anywhere."""
    usual = st.builds(encoded, st.just(2), payloads(), mask=st.binary(min_size=4, max_size=4))
    other = st.one_of(
        st.builds(encoded, st.sampled_from((0, 1, 2)), payloads(), st.sampled_from((0, 0x80))),
        st.builds(encoded, st.sampled_from((8, 9, 10)), st.just(b"\x03\xe8")),
        st.builds(encoded, st.integers(0, 15), payloads(), st.sampled_from((0x80, 0xc0, 0x90))),
        st.builds(encoded, st.just(2), payloads(), mask=st.none()),
        st.just(b"\x82\xff" + (MAX_FRAME + 1).to_bytes(8, "big") + b"mask"))
    return in_parts(st.one_of(st.lists(usual, max_size=8),
                              st.lists(st.one_of(usual, usual, usual, other), max_size=8)))


def in_parts(streams: st.SearchStrategy[list[bytes]]) -> st.SearchStrategy[list[bytes]]:
    """The bytes of frames, in parts cut anywhere."""
    def cut(frames: list[bytes], at: list[float]) -> list[bytes]:
        data = b"".join(frames)
        ends = sorted({0, len(data), *(int(one * len(data)) for one in at)})
        return [data[first:last] for first, last in pairwise(ends)]

    return st.builds(cut, streams, st.lists(st.floats(0, 1), max_size=6))


@settings(max_examples=tries(50))
@example([encoded(2, b"begun", 0), encoded(2, b"between"), encoded(0, b"ended")], frozenset())
@example([encoded(9, b"ping") + encoded(2, b"one"), encoded(2, b"two")], frozenset((1,)))
@example([encoded(8, b"\x03\xe8"), encoded(2, b"behind a Close")], frozenset())
@example([encoded(2, b"one", mask=None), encoded(2, b"behind a mistake")], frozenset())
@given(streams(), st.frozensets(st.integers(0, 4), max_size=1))
def test_any_stream_is_heard_as_the_library_hears_it(parts: list[bytes], full: frozenset[int]) -> None:
    """Messages, their order, what waits, what is answered and how it ends, wherever bytes were cut."""
    async def run() -> None:
        ours = heard(parts, full)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GuestConnection, "_between_frames", False)
            assert ours == heard(parts, full)

    asyncio.run(run())


def test_a_frame_that_comes_byte_by_byte_is_taken_and_weighed() -> None:
    """What has come of it counts as held, and as begun, until it is whole."""
    async def run() -> None:
        made, _ = guest()
        taken: list[bytes] = []
        made.take = lambda data: taken.append(data) is None
        frame = encoded(2, b"x" * 300)
        for number in range(len(frame) - 1):
            made.data_received(frame[number:number + 1])
            assert made.held == number + 1 and made.began is not None and not taken
        made.data_received(frame[-1:])
        assert taken == [b"x" * 300] and made.held == 0 and made.began is None

    asyncio.run(run())


def test_what_comes_beyond_a_turn_waits() -> None:
    """However many messages one read has, others get their turn after some: the rest waits in its order."""
    async def run() -> None:
        made, _ = guest()
        taken: list[bytes] = []
        made.take = lambda data: taken.append(data) is None
        made.data_received(b"".join(encoded(2, bytes((number,))) for number in range(TURN + 3)))
        made.data_received(encoded(2, b"last"))
        assert [*b"".join(taken)] == [*range(TURN)]
        assert [bytes(one.data) for one in made.recv_messages.frames.queue] == [
            *(bytes((TURN + number,)) for number in range(3)), b"last"]

    asyncio.run(run())


@given(st.binary(max_size=40), st.integers(0, 8))
def test_any_bytes_are_a_frame_or_left_alone(data: bytes, at: int) -> None:
    """None of these looks beyond the end, and what is the beginning of a frame is no frame yet."""
    for masked, least in ((True, 6), (False, 2)):
        found = message(data, at, masked=masked)
        if found is not None:
            assert len(data) - at >= found[1] - at >= least
        elif masked and data[at:]:
            rest = data[at:]
            assert not begun(rest) or message(rest + bytes(MAX_KEPT + 8), 0, masked=True) is not None


def test_a_frame_that_is_too_large_is_left_to_the_library() -> None:
    """Which refuses it, also where all of it is there at once."""
    sizes = [None if (found := message(encoded(2, bytes(size)), 0, masked=True)) is None else len(found[0])
             for size in (MAX_FRAME, MAX_FRAME + 1)]
    assert sizes == [MAX_FRAME, None]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_message_is_framed_as_the_library_does(size: int) -> None:
    """At each length of the length, masked or not; each side reads what the other one sends alone."""
    data, mask = os.urandom(size), os.urandom(4)
    assert framed(data) == Frame(Opcode.BINARY, data).serialize(mask=False)
    assert framed(data, mask) == encoded(2, data, mask=mask)
    assert message(framed(data), 0, masked=False) == (data, len(framed(data)))
    assert message(framed(data, mask), 0, masked=True) == (data, len(framed(data, mask)))
    assert message(framed(data), 0, masked=True) is message(framed(data, mask), 0, masked=False) is None

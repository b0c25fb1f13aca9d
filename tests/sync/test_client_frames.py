"""Frames that a device tells from bytes by itself are what the websocket library would have made of them."""

import asyncio
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.protocol import State
from websockets.uri import parse_uri
from websockets.utils import accept_key

from chez.sync import socket
from chez.sync.socket import _Client
from chez_wire.limits import MAX_FRAME
from tests.relay.test_framing import Wire, encoded, in_parts, payloads
from tests.tries import tries


def device() -> tuple[_Client, Wire]:
    """A connection after its handshake, and what it writes to."""
    protocol = ClientProtocol(parse_uri("ws://relay/"), max_size=MAX_FRAME)
    made, wire = _Client(protocol, ping_interval=None), Wire()
    transport: Any = wire
    made.connection_made(transport)
    request = protocol.connect()
    protocol.send_request(request)
    made.send_data()
    made.data_received(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Accept: " + accept_key(request.headers["Sec-WebSocket-Key"]).encode()
                       + b"\r\n\r\n")
    wire.written = b""
    assert protocol.state is State.OPEN
    return made, wire


def heard(parts: list[bytes], many: int, read: frozenset[int]) -> tuple[object, ...]:
    """What becomes of bytes that come in these parts, where so many messages are taken and then no more.

    After some of the parts, by their numbers, what waits is read, and messages are taken again.
    """
    made, wire = device()
    taken: list[object] = []

    def take(data: bytes) -> None:
        taken.append(data)
        if len(taken) % many == 0:
            made.take = None

    def waiting() -> list[object]:
        return [("waited", one.opcode, bytes(one.data), one.fin) for one in made.recv_messages.frames.queue]

    made.take = take
    for number, part in enumerate(parts):
        made.data_received(part)
        if number in read:
            taken += waiting()
            made.recv_messages.frames.queue.clear()
        if number + 1 in read:  # what waits then is read later
            made.take = take
    close = made.protocol.close_sent
    # What it writes is masked by what the library draws: how much that is has to do.
    return (taken, waiting(), len(wire.written), wire.aborted, made.protocol.state, close and close.code, made.passed)


def streams() -> st.SearchStrategy[list[bytes]]:
    """Frames as relays send them, others among them now and then, in parts cut anywhere."""
    within = st.just(encoded(2, b"looks like a frame", mask=None) * 3)
    usual = st.builds(encoded, st.just(2), st.one_of(payloads(), within), mask=st.none())
    other = st.one_of(
        st.builds(encoded, st.sampled_from((0, 1, 2)), payloads(), st.sampled_from((0, 0x80)), mask=st.none()),
        st.builds(encoded, st.sampled_from((8, 9, 10)), st.just(b"\x03\xe8"), mask=st.none()),
        st.builds(encoded, st.integers(0, 15), payloads(), st.sampled_from((0x80, 0xc0, 0x90)), mask=st.none()),
        st.builds(encoded, st.just(2), payloads(), mask=st.just(b"mask")),
        st.just(b"\x82\x7f" + (MAX_FRAME + 1).to_bytes(8, "big")))
    return in_parts(st.one_of(st.lists(usual, max_size=8),
                              st.lists(st.one_of(usual, usual, usual, other), max_size=8)))


@settings(max_examples=tries(50))
@example([encoded(2, b"begun", 0, None), encoded(2, b"between", mask=None), encoded(0, b"ended", mask=None)], 9,
         frozenset((0,)))
@example([encoded(2, b"one", mask=None) + encoded(2, b"begun", 0, None), encoded(2, b"between", mask=None),
          encoded(0, b"ended", mask=None)], 1, frozenset((0, 1)))
@example([encoded(2, b"%d" % number, mask=None) for number in range(4)], 1, frozenset((2,)))
@example([encoded(2, encoded(2, b"within", mask=None), mask=None)[:2], encoded(2, b"within", mask=None)], 9,
         frozenset())
@example([encoded(8, b"\x03\xe8", mask=None), encoded(2, b"behind a Close", mask=None)], 9, frozenset())
@example([encoded(2, b"masked"), encoded(2, b"behind a mistake", mask=None)], 9, frozenset())
@given(streams(), st.integers(1, 9), st.frozensets(st.integers(0, 6), max_size=3))
def test_any_stream_is_heard_as_the_library_hears_it(parts: list[bytes], many: int, read: frozenset[int]) -> None:
    """Messages, their order, what waits for somebody, and how it ends, wherever bytes were cut."""
    async def run() -> None:
        ours = heard(parts, many, read)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "message", lambda *_, **__: None)
            assert ours == heard(parts, many, read)

    asyncio.run(run())


def test_a_stream_is_taken_without_the_library() -> None:
    """The other test compares two ways: this is the one."""
    async def run() -> None:
        made, _ = device()
        taken: list[bytes] = []
        made.take = taken.append
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(made.protocol, "receive_data", lambda _: pytest.fail("the library was asked"))
            made.data_received(encoded(2, b"one", mask=None) + encoded(2, b"x" * 300, mask=None))
        assert taken == [b"one", b"x" * 300]

    asyncio.run(run())

"""Clients that never come to an agreement on TLS, over real sockets: counted from the first byte, bounded, let go."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as dial
from websockets.exceptions import InvalidStatus

from chez.errors import RelayUnreachable
from chez.sync.connection import connect
from chez_relay.limits import Limits
from chez_relay.server import RelayServer, serving
from chez_relay.storage.memory import MemoryStorage
from chez_relay.tls import Certificate
from chez_wire import frames
from chez_wire.limits import MAX_CREDIT, MAX_ENVELOPE, MAX_FRAME, MIB
from chez_wire.login import Role, login_message
from tests.relay.certificates import Authority
from tests.relay.raw import Raw, frame, raw, until
from tests.relay.support import Process, Space, seed
from tests.relay.support import relay as process_of

SPACE = Space()
EACH = 128 * 1024
"""Bytes that a connection with TLS may take of the relay's process."""


@asynccontextmanager
async def relay(folder: Path, **limits: float) -> AsyncIterator[tuple[RelayServer, ssl.SSLContext]]:
    """A relay that speaks TLS with small limits, and what trusts it; it serves a device before and after."""
    authority = Authority.make(folder)
    trusting = ssl.create_default_context(cafile=authority.file)
    context = Certificate(*authority.issue()).context
    storage, most = MemoryStorage(seed("i")), Limits(**limits)  # type: ignore[arg-type]
    async with serving(storage, "127.0.0.1", 0, limits=most, tls=context) as server:
        async with connect(url(server), tls=trusting) as device:
            await device.create_space(SPACE.admin, *SPACE.others)
            await device.open(SPACE.claims())
            yield server, trusting
            assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))).offset >= 1
        await until(lambda: not server.door.guests)
        assert server.load == 0 and server.door.agreeing == 0


def url(server: RelayServer) -> str:
    return f"wss://127.0.0.1:{server.port}"


def hello(trusting: ssl.SSLContext) -> bytes:
    """The first bytes of an honest client."""
    out = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        trusting.wrap_bio(ssl.MemoryBIO(), out, server_hostname="127.0.0.1").do_handshake()
    return out.read()


async def test_a_flood_of_handshakes_is_held_to_the_address(tmp_path: Path) -> None:
    """Connections that say nothing, or half a greeting, count as any: whoever comes above the limit is dropped.

    When they are let go in time the address has its places again.
    """
    async with relay(tmp_path, connections_per_address=4, hello=1.0) as (server, trusting):
        half = hello(trusting)[:100]
        many = [Raw(*await asyncio.open_connection("127.0.0.1", server.port)) for _ in range(60)]
        for client in many[::2]:
            client.send(half)
        await until(lambda: server.counts.turned_away["connections"] >= 60 - 4 - 32)
        assert 0 < server.door.agreeing <= 4 + 32
        with pytest.raises((InvalidStatus, OSError, RelayUnreachable)):
            async with connect(url(server), tls=trusting):
                pass
        await asyncio.gather(*(client.ended() for client in many))
        await until(lambda: len(server.door.guests) == 1)
        assert server.counts.handshakes_failed >= 30
        async with connect(url(server), tls=trusting):
            pass
        for client in many:
            client.writer.transport.abort()


async def test_dialling_without_agreeing_is_held_to_a_rate(tmp_path: Path) -> None:
    """A handshake costs the relay a signature: so many at once from one address, then so many each second."""
    async with relay(tmp_path, dials_burst_per_address=6.0, dials_rate_per_address=0.001) as (server, _):
        for number in range(12):
            async with raw(server.port) as client:
                if number >= 5:
                    assert await client.ended() == b""
        assert server.counts.turned_away["dials"] == 7


async def test_a_greeting_in_drops_is_let_go(tmp_path: Path) -> None:
    """Slow loris on TLS: whoever sends its greeting a byte at a time is dropped in time, however it goes on."""
    async with relay(tmp_path, hello=0.5) as (server, trusting), raw(server.port) as client:
        for byte in hello(trusting):
            if client.over:
                break
            client.send(bytes((byte,)))
            with suppress(TimeoutError):
                await asyncio.wait_for(client.reader.read(1), 0.02)
        await until(lambda: server.counts.handshakes_failed == 1)
        assert server.counts.connections == 1


@pytest.mark.slow
async def test_whoever_agrees_and_says_nothing_is_let_go(tmp_path: Path) -> None:
    """After TLS the websocket's handshake has its own time: silence, or half a request, ends the connection."""
    async with relay(tmp_path, hello=2.0) as (server, trusting):
        opened = [await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting) for _ in range(2)]
        for (_, writer), begun in zip(opened, (b"", b"GET / HT"), strict=True):
            writer.write(begun)
        for reader, writer in opened:
            await Raw(reader, writer).ended()
            writer.transport.abort()
        assert server.counts.handshakes_failed == 0


async def test_a_greeting_without_end_is_cut_by_its_size(tmp_path: Path) -> None:
    """A greeting that announces a hundred kilobytes is cut at thirty-two, whatever the time."""
    async with relay(tmp_path, hello=60.0) as (server, _), raw(server.port) as client:
        body = b"\x01" + (120_000).to_bytes(3, "big") + bytes(16_000)
        record = b"\x16\x03\x01" + len(body).to_bytes(2, "big") + body
        client.send(record)
        more = b"\x16\x03\x01" + (16_000).to_bytes(2, "big") + bytes(16_000)
        for _ in range(6):
            client.send(more)
        await client.ended()
        await until(lambda: server.counts.handshakes_failed == 1)


@pytest.mark.parametrize("said", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\xff" * 40_000],
    ids=["no TLS", "a broken greeting", "noise"])
async def test_what_is_no_greeting_ends_at_once(tmp_path: Path, said: bytes) -> None:
    """Another protocol, or noise, ends its connection without waiting for anything, and is counted."""
    async with relay(tmp_path, hello=60.0) as (server, _), raw(server.port) as client:
        client.send(said)
        await client.ended()
        await until(lambda: server.counts.handshakes_failed == 1)


async def test_whoever_goes_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """Cut after its first bytes, or by a client that does not trust the certificate, nothing is held any more."""
    async with relay(tmp_path, hello=60.0) as (server, trusting):
        async with raw(server.port) as client:
            client.send(hello(trusting)[:50])
            await until(lambda: server.door.agreeing == 1)
        with pytest.raises(ssl.SSLError):
            async with dial(url(server), ssl=ssl.create_default_context()):
                pass
        await until(lambda: len(server.door.guests) == 1)
        assert server.counts.handshakes_failed == 2


async def test_what_waits_behind_tls_is_counted_as_ever(tmp_path: Path) -> None:
    """Answers that nobody reads, and frames without an end, are bounded where TLS keeps them too."""
    async with relay(tmp_path, memory_per_address=5 * MIB) as (server, trusting):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting)
        await Raw(reader, writer).upgrade()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(400):
            if writer.is_closing() or server.counts.let_go.total():
                break
            writer.write(frame(9, bytes(125)) * 2000)
            with suppress(ConnectionError, TimeoutError):
                await asyncio.wait_for(writer.drain(), 5)
        await until(lambda: server.counts.let_go["never reads"] + server.counts.let_go["memory"] == 1)
        writer.transport.abort()
        unfinished = [await asyncio.open_connection("127.0.0.1", server.port, ssl=trusting) for _ in range(8)]
        for reader, writer in unfinished:
            await Raw(reader, writer).upgrade()
            writer.write(frame(2, bytes(MAX_FRAME))[:-1])
        await until(lambda: server.counts.let_go["memory"] >= 3)
        assert server.load <= 5 * MIB
        for _, writer in unfinished:
            writer.transport.abort()


async def reading(port: int, trusting: ssl.SSLContext, *, small: bool = False) -> Raw:
    """A subscriber by hand to all of the space, without a word read since."""
    connected = socket.socket()
    if small:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connected.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", port))
    made = Raw(*await asyncio.open_connection(sock=connected, ssl=trusting, server_hostname="127.0.0.1", limit=1024))
    await made.upgrade()
    name = f"127.0.0.1:{port}"
    made.send(frame(2, frames.encode(frames.Hello([1], seed("c"), name))))
    head = await made.reader.readexactly(2)
    welcome = frames.decode_relay(await made.reader.readexactly(head[1]))
    assert isinstance(welcome, frames.Welcome)
    signature = SPACE.credential(Role.READ).sign_bytes(
        login_message(name, seed("c"), welcome.nonce, SPACE.handle, Role.READ))
    made.send(frame(2, frames.encode(frames.Open(1, [frames.Claim(SPACE.handle, Role.READ, signature)]))))
    await made.reader.read(1)
    made.writer.transport.pause_reading()  # type: ignore[attr-defined]
    made.send(frame(2, frames.encode(frames.Subscribe(2, SPACE.handle, 0, MAX_CREDIT))))
    return made


async def test_a_page_that_was_sent_leaves_nothing_behind(tmp_path: Path) -> None:
    """Readers who took a megabyte each hold as little of the relay's memory afterwards as before."""
    authority = Authority.make(tmp_path)
    chain, secret = authority.issue()
    trusting = ssl.create_default_context(cafile=authority.file)
    options = ("--set", f"tls_certificate={chain}", "--set", f"tls_key={secret}")
    async with process_of(tmp_path / "data", *options) as process, AsyncExitStack() as opened:
        async with connect(process.url, tls=trusting) as device:
            await device.create_space(SPACE.admin, *SPACE.others)
            await device.open(SPACE.claims())
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1, MAX_ENVELOPE))
            await device.read(SPACE.handle, 0)
        before = resident(process)
        for _ in range(40):
            reader = await opened.enter_async_context(connect(process.url, tls=trusting))
            await reader.open(SPACE.claims(Role.READ))
            await reader.read(SPACE.handle, 0)
        assert resident(process) - before < 40 * 2 * EACH


async def test_who_reads_slowly_behind_tls_is_sent_all_in_its_order(tmp_path: Path) -> None:
    """Eight megabytes to a reader whose socket takes four kilobytes: counted while they wait, whole when they came."""
    async with relay(tmp_path) as (server, trusting), connect(url(server), tls=trusting) as device:
        await device.open(SPACE.claims())
        sent = [SPACE.envelope(number, MAX_ENVELOPE) for number in range(2, 10)]
        for one in sent:
            await device.append(SPACE.handle, Role.APPEND, one)
        made = await reading(server.port, trusting, small=True)
        await until(lambda: server.load >= MAX_ENVELOPE)
        made.writer.transport.resume_reading()  # type: ignore[attr-defined]
        data = bytearray()
        async with asyncio.timeout(60):
            while len(data) < 8 * MAX_ENVELOPE or sent[-1] not in data[-MAX_FRAME:]:
                data += await made.reader.read(MAX_FRAME)
        places = [data.find(one) for one in sent]
        assert -1 not in places and places == sorted(places)
        made.writer.transport.abort()


async def test_a_relay_that_stops_waits_for_no_handshake(tmp_path: Path) -> None:
    """Shutting down, whoever has not agreed is dropped: nothing was asked."""
    async with raw_after(tmp_path) as client:
        assert await client.ended() == b""


@asynccontextmanager
async def raw_after(folder: Path) -> AsyncIterator[Raw]:
    """A connection that is in its handshake, of a relay that has stopped since."""
    context = Certificate(*Authority.make(folder).issue()).context
    limits = Limits(hello=600.0)
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, limits=limits, tls=context) as server:
        client = Raw(*await asyncio.open_connection("127.0.0.1", server.port))
        await until(lambda: server.door.agreeing == 1)
    try:
        yield client
    finally:
        client.writer.transport.abort()


def resident(process: Process) -> int:
    """Memory of the process now (VmRSS of proc_pid_status(5)), in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("agree", [False, True])
async def test_the_memory_of_a_connection_with_tls_is_bounded(tmp_path: Path, agree: bool) -> None:
    """Four hundred connections that have agreed, or sent as much of a greeting as is taken, hold so much each."""
    authority = Authority.make(tmp_path)
    chain, secret = authority.issue()
    trusting = ssl.create_default_context(cafile=authority.file)
    options = ("--set", f"tls_certificate={chain}", "--set", f"tls_key={secret}")
    body = b"\x01" + (120_000).to_bytes(3, "big") + bytes(16_000)
    begun = (b"\x16\x03\x01" + len(body).to_bytes(2, "big") + body)[:15_000]
    async with process_of(tmp_path / "data", *options) as process:
        async with connect(process.url, tls=trusting):
            pass
        before, port = resident(process), int(process.name.rpartition(":")[2])
        async with AsyncExitStack() as opened:
            for _ in range(400):
                if agree:
                    await opened.enter_async_context(connect(process.url, tls=trusting))
                else:
                    (await opened.enter_async_context(raw(port))).send(begun)
            async with connect(process.url, tls=trusting):  # whatever was sent before is there now
                pass
            assert resident(process) - before < 400 * EACH

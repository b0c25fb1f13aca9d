"""The memory of the relay's process, measured by the kernel, while clients do their worst."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from chez.sync.connection import connect
from chez_wire import frames
from chez_wire.limits import MAX_EPHEMERAL, MAX_FRAME, MIB
from chez_wire.login import Role
from tests.relay.raw import Raw, frame
from tests.relay.support import Process, Space, relay, seed
from tests.relay.test_process import stuck

SPACE = Space()
ADDRESS = 32 * MIB
SLACK = 48 * MIB
"""What the process may take beyond its limit: what the allocator keeps, and the socket buffers on their way."""


def peak(process: Process) -> int:
    """The most memory that the process ever had (VmHWM of proc_pid_status(5)), in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


async def client(port: int) -> Raw:
    made = Raw(*await asyncio.open_connection("127.0.0.1", port))
    await made.upgrade()
    made.send(frame(2, frames.encode(frames.Hello([1], seed("c"), f"127.0.0.1:{port}"))))
    return made


async def pour(made: Raw, data: bytes, times: int) -> None:
    """Send without reading, until all is sent or the relay takes no more."""
    made.writer.transport.pause_reading()  # type: ignore[attr-defined]
    with suppress(ConnectionError, TimeoutError):
        for _ in range(times):
            made.send(data)
            await asyncio.wait_for(made.writer.drain(), 2)


async def unfinished(port: int) -> None:
    """A hundred frames of a megabyte, each but for its last byte."""
    clients = [await client(port) for _ in range(100)]
    await asyncio.gather(*(pour(one, frame(2, bytes(MAX_FRAME))[:-1], 1) for one in clients))
    for one in clients:
        one.writer.transport.abort()


async def headers(port: int) -> None:
    """Two hundred requests with a megabyte of headers, each line as long as the library takes, and no end."""
    clients = [Raw(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(200)]
    for one in clients:
        one.send(b"GET / HTTP/1.1\r\n")
    await asyncio.gather(*(pour(one, b"X: " + bytes(8150).replace(b"\0", b"y") + b"\r\n", 120) for one in clients))
    for one in clients:
        one.writer.transport.abort()


async def crumbs(port: int) -> None:
    """Messages of a megabyte in pieces of one byte."""
    clients = [await client(port) for _ in range(6)]
    for one in clients:
        one.send(frame(2, b"x", first=0))
    await asyncio.gather(*(pour(one, frame(0, b"x", first=0) * 10_000, 30) for one in clients))
    for one in clients:
        one.writer.transport.abort()


async def pings(port: int) -> None:
    """Pings whose answers nobody reads: 200 MB of them, then little on each of many connections."""
    alone = await client(port)
    await pour(alone, frame(9, bytes(125)) * 4000, 400)
    alone.writer.transport.abort()
    clients = [await client(port) for _ in range(40)]
    await asyncio.gather(*(pour(one, frame(9, bytes(125)) * 4000, 7) for one in clients))
    for one in clients:
        one.writer.transport.abort()


async def questions(port: int) -> None:
    """Requests whose answers, a page each, nobody reads."""
    ask = frame(2, frames.encode(frames.GetPacket(1, seed("nowhere"), seed("t")))) * 1000
    clients = [await client(port) for _ in range(8)]
    await asyncio.gather(*(pour(one, ask, 20) for one in clients))
    for one in clients:
        one.writer.transport.abort()


async def readers(port: int) -> None:
    """Forty subscribers with all the credit there is, who never read, of a space with 20 MB."""
    writers = []
    async with connect(f"ws://127.0.0.1:{port}") as device:
        await device.create_space(SPACE.admin, *SPACE.others)
        await device.open(SPACE.claims(Role.APPEND))
        for number in range(40):
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(number, 500_000))
        for _ in range(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
                await stuck(reader, writer, port)
    for writer in writers:
        writer.transport.abort()


async def whispers(port: int) -> None:
    """Forty subscribers who do not read, 32 MB of ephemeral messages for each: none is let go, all get the last.
    """
    streams = []
    async with connect(f"ws://127.0.0.1:{port}") as device:
        await device.create_space(SPACE.admin, *SPACE.others)
        await device.open(SPACE.claims(Role.READ, Role.CONTROL))
        for _ in range(40):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            streams.append((reader, writer))
            await stuck(reader, writer, port)
        for number in range(2000):
            device.broadcast(SPACE.handle, SPACE.message(number, MAX_EPHEMERAL))
            if number % 100 == 99:
                await device.open(SPACE.claims(Role.READ))  # what was sent before was handled
    last = SPACE.message(1999, MAX_EPHEMERAL)[-64:]
    for reader, writer in streams:
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        tail, taken = b"", 0
        while last not in tail:
            data = await asyncio.wait_for(reader.read(65536), 90)
            assert data, "the relay let go of a reader who was slow"
            tail, taken = tail[-100:] + data, taken + len(data)
        assert taken < 20 * MIB, "most of it was for nobody"
        writer.transport.abort()


ASSAULTS: tuple[Callable[[int], Awaitable[None]], ...] = (
    unfinished, headers, crumbs, pings, questions, readers, whispers)


@pytest.mark.parametrize("assault", [
    pytest.param(one, id=one.__name__, marks=() if one is headers else pytest.mark.slow) for one in ASSAULTS])
async def test_the_process_stays_within_its_limit(tmp_path: Path, assault: Callable[[int], Awaitable[None]]) -> None:
    """Whatever an address does, the process never takes more than the address may hold, and serves on."""
    limit = ("--set", f"limits.memory_per_address={ADDRESS}", "--set", "limits.ephemeral_burst=10000",
             "--set", "limits.ephemeral_burst_per_address=10000")
    async with relay(tmp_path, *limit) as process:
        async with connect(process.url):
            pass
        before = peak(process)
        await assault(int(process.url.rpartition(":")[2]))
        async with asyncio.timeout(90), connect(process.url) as device:
            await device.create_space(SPACE.admin, *SPACE.others)
        assert peak(process) - before < ADDRESS + SLACK

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
from tests.relay.raw import Raw, frame, until
from tests.relay.support import Process, Space, relay, seed
from tests.relay.test_operating import STATUS, fetched, samples, status
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


async def behind_proxy(port: int, address: str) -> Raw:
    """A client that was welcomed, at an address as a trusted proxy names it."""
    made = Raw(*await asyncio.open_connection("127.0.0.1", port))
    assert b" 101 " in await made.upgrade(f"X-Forwarded-For: {address}")
    made.send(frame(2, frames.encode(frames.Hello([1], seed("c"), f"127.0.0.1:{port}"))))
    head = await made.reader.readexactly(2)
    await made.reader.readexactly(head[1])
    return made


async def fill(made: Raw, data: bytes) -> None:
    """Send all of it, or as much as the relay takes."""
    with suppress(ConnectionError):
        made.send(data)
        await made.writer.drain()


async def taken(url: str, sent: int) -> tuple[int, int]:
    """Wait until a relay holds, or let go of with who sent it, so many bytes; how many it holds, and let go of whom."""
    async with asyncio.timeout(90):
        while True:
            found = samples((await fetched(f"{url}/metrics"))[1])
            load, gone = int(found["chez_relay_load_bytes"]), int(found['chez_relay_let_go_total{why="memory"}'])
            if load + gone * MAX_FRAME >= sent:
                return load, gone
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_addresses_together_hold_no_more_than_all_may(tmp_path: Path) -> None:
    """Twenty addresses, each within its own limit, would hold two and a half times what all may: the process does not
    grow beyond that, who holds the most is let go each time, and who holds little is answered."""
    whole, one, addresses = 64 * MIB, 9 * MIB, 20
    limits = (f"memory={whole}", f"memory_per_address={one}", "frame=600")
    options = [part for limit in limits for part in ("--set", f"limits.{limit}")]
    async with relay(tmp_path, *options, *STATUS, "--set", "trusted_proxies=127.0.0.0/8") as process:
        url, port = await status(process), int(process.url.rpartition(":")[2])
        before = peak(process)
        little = await behind_proxy(port, "192.0.2.1")
        asked = frame(2, frames.encode(frames.GetPacket(7, seed("nowhere"), seed("t"))))
        little.send(asked[:-1])
        begun = frame(2, bytes(MAX_FRAME))[:-1]
        clients = [[await behind_proxy(port, f"198.51.100.{number}") for _ in range(8)] for number in range(addresses)]
        for count, some in enumerate(clients, 1):
            for client in some:
                await fill(client, begun)
            load, gone = await taken(url, count * 8 * (MAX_FRAME - 1))
            assert load <= whole
        assert peak(process) - before < whole + SLACK
        await until(lambda: sum(client.over for some in clients for client in some) == gone)
        left = [sum(not client.over for client in some) for some in clients]
        assert max(left) <= min(left) + 2, "somebody was let go who held less than another"
        little.send(asked[-1:])
        assert await little.reader.readuntil(b"unknown")
        for client in (little, *(client for some in clients for client in some)):
            client.writer.transport.abort()

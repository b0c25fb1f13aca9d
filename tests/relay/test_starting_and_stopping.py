"""A relay that starts and one that ends, as whoever watches its process sees them."""

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from chez.sync.connection import connect
from chez_relay.committer import Committer
from chez_relay.connection import GOING_AWAY, Connection
from chez_relay.limits import Limits
from chez_relay.server import serving
from chez_relay.session import RelaySession
from chez_relay.status import status_pages
from chez_relay.storage.memory import MemoryStorage
from chez_wire.login import Role
from tests.ports import free_port
from tests.relay.raw import raw, until
from tests.relay.support import Space, relay, seed
from tests.relay.test_operating import STATUS, fetched, status
from tests.relay.test_rotation_process import Held

LONG = 300.0
"""Seconds that nothing here may take: what is waited for comes long before."""


@asynccontextmanager
async def waiting(log: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A relay that waits for a cluster which nobody started, and where its pages are, once they are there."""
    url = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_relay", "serve", "--nats", f"nats://127.0.0.1:{free_port()}", "--listen",
        "127.0.0.1:0", "--set", f"status={url}", "--log-file", str(log), stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    await fetched(f"http://{url}/healthz")
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        yield process, f"http://{url}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_relay_that_waits_for_its_store_is_alive_not_ready_and_ends_at_once(tmp_path: Path) -> None:
    """Its pages and its log say so, a SIGHUP that comes early does not end it, and SIGTERM does, with 0 and a word."""
    async with waiting(tmp_path / "log") as (process, url):
        codes = {page: (await fetched(url + page))[0] for page in ("/healthz", "/readyz", "/metrics")}
        assert codes == {"/healthz": 200, "/readyz": 503, "/metrics": 200}
        assert "chez_relay_ready 0\n" in (await fetched(f"{url}/metrics"))[1]
        process.send_signal(signal.SIGHUP)
        assert (await fetched(f"{url}/healthz"))[0] == 200
        async with asyncio.timeout(LONG):
            while "gives no answer yet" not in (tmp_path / "log").read_text():  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(0.05)
        begun = time.monotonic()
        process.terminate()
        assert await asyncio.wait_for(process.wait(), LONG) == 0
        assert time.monotonic() - begun < 20, "it went on waiting for the cluster"
    assert "stopped before it listened" in (tmp_path / "log").read_text()


async def test_a_certificate_that_is_renewed_early_is_taken_up(tmp_path: Path) -> None:
    """A relay that was told to read tokens again before it listened has read them when it does."""
    tokens, log = tmp_path / "tokens", tmp_path / "log"
    tokens.write_text("one\n")
    async with relay(tmp_path / "data", "--token-file", str(tokens), "--log-file", str(log)) as process:
        process.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(60):
            while "read again" not in log.read_text():  # noqa: ASYNC110 (nothing announces it)
                await asyncio.sleep(0.02)


async def test_a_relay_that_drains_says_so_and_ends_at_once_when_told_again(tmp_path: Path) -> None:
    """A client never answers the end of its connection: the pages say 503 meanwhile, and a second SIGTERM is enough."""
    async with relay(tmp_path, *STATUS, "--set", f"limits.drain={LONG}") as process:
        url = await status(process)
        async with raw(int(process.name.rpartition(":")[2])) as client:
            assert b" 101 " in await client.upgrade()
            process.process.terminate()
            async with asyncio.timeout(60):
                while (await fetched(f"{url}/readyz"))[0] != 503:  # noqa: ASYNC110 (nothing announces it)
                    await asyncio.sleep(0.02)
            assert (await fetched(f"{url}/healthz"))[0] == 200
            assert process.process.returncode is None
            begun = time.monotonic()
            process.process.terminate()
            assert await asyncio.wait_for(process.process.wait(), LONG) == 0
            assert time.monotonic() - begun < 20, "the second signal changed nothing"


async def test_all_that_was_asked_is_answered_before_a_relay_goes() -> None:
    """Twenty entries lie at a storage that is slow when the relay drains: all are answered, and then comes 1001."""
    storage, space = Held(), Space()
    async with AsyncExitStack() as clients, AsyncExitStack() as served, asyncio.timeout(60):
        server = await served.enter_async_context(
            serving(storage, "127.0.0.1", 0, limits=Limits(drain=LONG)))
        device = await clients.enter_async_context(connect(f"ws://127.0.0.1:{server.port}"))
        await device.create_space(space.admin, *space.others)
        await device.open(space.claims(Role.APPEND))
        storage.free.clear()
        size = 10_000
        asked = [device.append_soon(space.handle, Role.APPEND, space.envelope(n, size)) for n in range(20)]
        await until(lambda: server.load >= 20 * size)  # the relay has them all
        ending = asyncio.create_task(served.aclose())
        await until(lambda: not server.ready)
        assert not (await asyncio.wait(asked, timeout=0.1, return_when=asyncio.FIRST_COMPLETED))[0]
        storage.free.set()
        assert [(await one).offset for one in asked] == list(range(1, 21))
        socket = device._socket._socket
        await socket.wait_closed()
        assert socket.close_code == GOING_AWAY
        await ending


async def test_a_relay_told_again_at_the_moment_of_its_last_answer_waits_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second SIGTERM comes in the very turn in which nothing is left to answer: it is heard all the same."""
    answered, again = asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(Committer, "idle", lambda self: answered.wait())
    async with asyncio.timeout(60), AsyncExitStack() as clients:
        async with serving(MemoryStorage(seed("incarnation")), "127.0.0.1", 0, limits=Limits(drain=LONG),
                           hurry=again) as server:
            client = await clients.enter_async_context(raw(server.port))
            assert b" 101 " in await client.upgrade()
            asyncio.get_running_loop().call_later(0.1, lambda: (again.set(), answered.set()))


async def test_who_has_not_ended_its_handshake_keeps_no_relay_from_ending(tmp_path: Path) -> None:
    """A probe of a balancer, or a slow client: half a request is nothing that a relay waits for."""
    async with relay(tmp_path, "--set", f"limits.hello={LONG}", "--set", f"limits.drain={LONG}") as process:
        async with raw(int(process.name.rpartition(":")[2])) as half, raw(int(process.name.rpartition(":")[2])):
            half.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
            await asyncio.sleep(0.3)
            begun = time.monotonic()
            process.process.terminate()
            assert await asyncio.wait_for(process.process.wait(), LONG) == 0
            assert time.monotonic() - begun < 20


async def test_who_connects_at_the_moment_that_a_relay_ends_is_not_left_hanging() -> None:
    """Accepted in the very turn in which the relay stops to listen, a client is hung up on as everybody is."""
    with socket.socket() as client:
        async with serving(MemoryStorage(seed("incarnation")), "127.0.0.1", 0) as server:
            client.connect(("127.0.0.1", server.port))
            await asyncio.sleep(0)  # the loop accepts it behind this task, which begins to close
        client.settimeout(20)
        with suppress(ConnectionResetError):
            assert client.recv(1) == b""


class TakesNothing:
    """The socket of a client that has gone, whose answers nobody takes."""

    request = response = take = None

    def __aiter__(self) -> "TakesNothing":
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    def hold(self, change: int) -> None:
        """As `GuestConnection.hold`."""

    async def close(self, code: int, reason: str) -> None:
        """As `GuestConnection.close`: it waits for the other side."""
        await asyncio.Event().wait()


async def test_a_connection_that_waits_for_its_last_answers_ends_when_it_is_told_to() -> None:
    """Its cancellation is its own, and not taken for that of the task that it waits for, which ends too."""
    before = asyncio.all_tasks()
    committer = Committer(MemoryStorage(seed("incarnation")), lambda growth: None)
    session = RelaySession(names=(), nonce=seed("nonce"), incarnation=seed("incarnation"))
    connection = Connection(cast("Any", TakesNothing()), session, committer, cast("Any", None))
    running = asyncio.create_task(connection.run(LONG))
    connection.close(1008, "a reason")
    await asyncio.sleep(0.01)
    assert len(asyncio.all_tasks() - before) == 2 and not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"], ids=["nothing", "a page"])
async def test_who_looks_at_the_pages_and_does_not_close_keeps_no_relay(said: bytes) -> None:
    """A probe that asks nothing, or was answered and keeps its connection open, is not waited for at the end."""
    begun = time.monotonic()
    async with AsyncExitStack() as clients, status_pages("127.0.0.1", 0, lambda: True, str) as port:
        client = await clients.enter_async_context(raw(port))
        client.send(said)
        if said:
            assert (await asyncio.wait_for(client.reader.readuntil(b"well\n"), LONG)).startswith(b"HTTP/1.1 200")
        else:
            await fetched(f"http://127.0.0.1:{port}/healthz")  # connected after it: so the first was taken
        begun = time.monotonic()
    assert time.monotonic() - begun < 4

"""The real relay, a process of its own, over real sockets and a real disk."""

import asyncio
import json
import re
import socket
import sys
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chez import inboxes
from chez.errors import InvalidValue, RelayMisbehaved, RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect, relay_name
from chez.sync.events import AppendDone, EntriesArrived
from chez_relay.limits import Limits
from chez_relay.server import serving
from chez_relay.storage.census import census
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.limits import MAX_FRAME
from chez_wire.login import Role
from tests.relay.support import Process, Space, key, relay, seed

SPACE = Space()


async def log_in(connection: RelayConnection, *roles: Role) -> None:
    """Create the space if it is not there, and open roles at it."""
    await connection.create_space(SPACE.admin, *SPACE.others)
    assert all(not space.error for space in await connection.open(SPACE.claims(*roles)))


async def append_all(connection: RelayConnection, count: int) -> list[AppendDone]:
    """Append the first `count` entries side by side."""
    wanted = (connection.append(SPACE.handle, Role.APPEND, SPACE.envelope(n)) for n in range(count))
    return await asyncio.gather(*wanted)


async def whole_log(connection: RelayConnection) -> list[frames.Entry]:
    """All entries, page by page."""
    log: list[frames.Entry] = []
    while True:
        page = await connection.read(SPACE.handle, len(log))
        log += page.entries
        if len(log) == page.end:
            return log


async def test_append_push_and_read_through_the_real_wire(tmp_path: Path) -> None:
    """What one device appends, another gets pushed and reads, with the heads that refold."""
    async with relay(tmp_path) as process, connect(process.url) as a, connect(process.url) as b:
        await log_in(a)
        await log_in(b, Role.READ)
        await b.subscribe(SPACE.handle, 0)
        done = await append_all(a, 50)
        seen: list[frames.Entry] = []
        async for event in b.arrivals():
            assert isinstance(event, EntriesArrived)
            seen += event.entries
            if len(seen) == 50:
                break
        assert [entry.envelope for entry in seen] == [SPACE.envelope(n) for n in range(50)]
        head = GENESIS_HEAD
        for entry, answer in zip(seen, done, strict=True):
            head = fold_head(head, entry_id(entry.envelope))
            assert (answer.offset, answer.head) == (entry.offset, head)
        assert await whole_log(b) == seen


async def test_the_relay_process_is_blind(tmp_path: Path) -> None:
    """Serving loads no module of `chez`, no SQLCipher, no Automerge, no sandbox."""
    code = ("import sys, atexit; from chez_relay.cli import main\n"
            "atexit.register(lambda: print('MODULES', *sorted(sys.modules)))\nmain()")
    async with relay(tmp_path, command=(sys.executable, "-c", code)) as process:
        async with connect(process.url) as device:
            await log_in(device)
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
        process.process.terminate()
        output, _ = await process.process.communicate()
        modules = {name.split(".")[0] for name in output.decode().split()}
        assert "chez_relay" in modules and "chez_wire" in modules
        assert not modules & {"chez", "chez_sandbox", "sqlcipher3", "automerge", "wasmtime"}


async def test_a_restarted_relay_is_the_same(tmp_path: Path) -> None:
    """After a stop and a start: same incarnation, same log, same inbox items, exit code 0."""
    owner, writer = key("owner"), key("writer")
    async with relay(tmp_path) as process:
        async with connect(process.url) as device:
            await log_in(device)
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
            before = device.incarnation, await whole_log(device)
        box = await inboxes.create(process.url, owner, writer.public, ttl=600)
        await inboxes.put(process.url, box, writer, b"sealed")
        process.process.terminate()
        assert await process.process.wait() == 0
    async with relay(tmp_path) as process:
        async with connect(process.url) as device:
            await log_in(device)
            assert (device.incarnation, await whole_log(device)) == before
        async with inboxes.watch(process.url, owner) as items:
            async for item in items:
                assert (item.number, item.item) == (1, b"sealed")
                await items.ack(item.number)
                break
        assert census(tmp_path).items == 0


@pytest.mark.parametrize("wait", [1, 40, 400])
async def test_kill_9_in_the_middle_of_appends_loses_nothing_acknowledged(tmp_path: Path, wait: int) -> None:
    """After a kill: every acknowledged entry is at its offset, no gap, and repeating doubles nothing."""
    acknowledged: dict[bytes, int] = {}
    async with relay(tmp_path) as process, connect(process.url) as device:
        await log_in(device)

        async def append(first: int) -> None:
            for number in range(first, 2000, 64):
                done = await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(number))
                acknowledged[done.entry] = done.offset
                if len(acknowledged) == wait:
                    process.process.kill()

        # So many are under way at any time: all at once would be durable before the first is known to be.
        results = await asyncio.gather(*(append(first) for first in range(64)), return_exceptions=True)
        assert {type(result) for result in results if result is not None} <= {RelayUnreachable}
        assert any(results), "the relay was killed before the last acknowledgement"
    async with relay(tmp_path) as process, connect(process.url) as device:
        await log_in(device)
        log = await whole_log(device)
        assert [entry.offset for entry in log] == list(range(1, len(log) + 1))
        stored = {entry_id(entry.envelope): entry.offset for entry in log}
        assert acknowledged.items() <= stored.items()
        await append_all(device, 2000)
        again = await whole_log(device)
        assert again[: len(log)] == log and len(again) == 2000


async def test_a_name_the_relay_does_not_go_by_is_refused(tmp_path: Path) -> None:
    """With --name, only that name is served: a login forwarded under another gets nowhere."""
    async with relay(tmp_path, "--name", "relay.example:443") as process:
        with pytest.raises(RelayRefused) as caught:
            async with connect(process.url):
                pass
        assert caught.value.reason == "wrong_relay" and "--name" in caught.value.message


async def test_the_operators_token_is_wanted(tmp_path: Path) -> None:
    """With --token-file, creating a space needs one of its tokens."""
    (tmp_path / "tokens").write_text("first\nsecond\n")
    async with relay(tmp_path / "data", "--token-file", str(tmp_path / "tokens")) as process:
        async with connect(process.url) as device:
            with pytest.raises(RelayRefused) as caught:
                await device.create_space(SPACE.admin, *SPACE.others, token="third")
            assert caught.value.reason == "token"
            await device.create_space(SPACE.admin, *SPACE.others, token="second")


async def test_bytes_that_are_no_frame_end_one_connection_only(tmp_path: Path) -> None:
    """Garbage, a text message, nesting, a message above a frame: closed, others unharmed."""
    bad: list[bytes | str] = [b"\xc1", b"", "text", b"\x91" * 100_000, bytes(MAX_FRAME + 1)]
    async with relay(tmp_path) as process, connect(process.url) as device:
        await log_in(device)
        for data in bad:
            async with dial(process.url, compression=None) as raw:
                await raw.send(data)
                with pytest.raises(ConnectionClosed):
                    answer = frames.decode_relay(await asyncio.wait_for(raw.recv(decode=False), 90))
                    assert isinstance(answer, frames.Failed) and answer.code == "malformed"
                    await asyncio.wait_for(raw.recv(), 90)
                assert raw.close_code in (1002, 1009)
        assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))).offset == 1


async def test_a_slow_reader_does_not_grow_the_relay(tmp_path: Path) -> None:
    """A subscriber that takes 16 MiB of credit and stops reading costs a bounded load, harming nobody."""
    storage = MemoryStorage(seed("incarnation"))
    async with serving(storage, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.port}"
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await stuck(reader, writer, server.port)
        async with connect(url) as device:
            await log_in(device)
            highest = 0
            for number in range(60):
                await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(number, 500_000))
                highest = max(highest, server.load)
            # 30 MB were appended for a reader with 16 MB of credit; two windows were held at most.
            assert highest < 5 * MAX_FRAME
        writer.transport.abort()


@pytest.mark.parametrize("limits", [Limits(drain=0.1), Limits(stall=0.4)], ids=["shutdown", "stall"])
async def test_a_client_that_never_reads_is_let_go(limits: Limits) -> None:
    """Neither shutting down nor serving waits for ever on a client that takes nothing."""
    async with serving(MemoryStorage(seed("incarnation")), "127.0.0.1", 0, limits=limits) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await stuck(reader, writer, server.port)
        async with connect(f"ws://127.0.0.1:{server.port}") as device:
            await log_in(device)
            for number in range(30):
                await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(number, 500_000))
        if limits.stall < 1:
            async with asyncio.timeout(90):
                while server.connections:  # noqa: ASYNC110 (nothing announces that one ended)
                    await asyncio.sleep(0.01)
    assert server.connections == 0
    writer.transport.abort()


async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """A client by hand: subscribes with all the credit there is, then never reads again."""
    from websockets.client import ClientProtocol
    from websockets.uri import parse_uri

    from chez.sync.session import ClientSession

    protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}"), max_size=MAX_FRAME)
    protocol.send_request(protocol.connect())
    session = ClientSession(f"127.0.0.1:{port}", seed("stuck"))
    session.create_space(SPACE.admin, *SPACE.others)
    session.open(SPACE.claims(Role.READ))
    session.subscribe(SPACE.handle, 0, 16 * 2**20)

    async def flush() -> None:
        for data in protocol.data_to_send():
            writer.write(data)
        await writer.drain()

    await flush()
    while session.unanswered:
        protocol.receive_data(await asyncio.wait_for(reader.read(65536), 90))
        for event in protocol.events_received():
            if hasattr(event, "data"):
                session.receive(bytes(event.data))
        for data in session.data_to_send():
            protocol.send_binary(data)
        await flush()
    transport = writer.transport
    assert isinstance(transport, asyncio.ReadTransport)
    transport.pause_reading()


async def test_silent_clients_and_crowds_are_let_go() -> None:
    """No Hello in time closes; one connection too many from an address is turned away."""
    storage = MemoryStorage(seed("incarnation"))
    async with serving(storage, "127.0.0.1", 0, limits=Limits(hello=0.2)) as server:
        async with dial(f"ws://127.0.0.1:{server.port}") as silent:
            await asyncio.wait_for(silent.wait_closed(), 90)
            assert silent.close_code == 1008
    async with serving(storage, "127.0.0.1", 0, limits=Limits(connections_per_address=2)) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(url), connect(url):
            with pytest.raises(RelayUnreachable):
                async with connect(url):
                    pass
            with pytest.raises(InvalidStatus):
                async with dial(url):
                    pass
        async with connect(url):
            pass


async def test_a_relay_that_is_not_there_is_a_typed_error() -> None:
    """Refused connections, silence, broken URLs: RelayUnreachable or InvalidValue, with a hint."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(RelayUnreachable):
            async with connect(f"ws://127.0.0.1:{port}"):
                pass
        free.listen()
        with pytest.raises(RelayUnreachable, match="in time"):
            async with connect(f"ws://127.0.0.1:{port}", open_timeout=0.2):
                pass
    for url in ("http://x", "ws://", "nonsense", "ws://x:99999", "wss://relay..example", "ws://.", f"ws://{'x' * 64}",
                "ws://user@x", "ws://@x", "ws:///x", 5, None, b"ws://x"):
        with pytest.raises(InvalidValue, match="is no relay's address"):
            relay_name(url)  # type: ignore[arg-type]
    assert relay_name("wss://Relay.Example") == "relay.example:443"
    assert relay_name("wss://relay.example.") == "relay.example.:443"
    assert relay_name("ws://[::1]:9") == "[::1]:9"
    assert relay_name("wss://[fe80::1%4]:9") == "[fe80::1]:9"


async def test_requests_end_with_the_connection(tmp_path: Path) -> None:
    """When the relay goes, waiting requests and iterations raise RelayUnreachable at once."""
    async with relay(tmp_path) as process, connect(process.url) as device:
        await log_in(device)
        await device.subscribe(SPACE.handle, 0)
        arrivals = device.arrivals()
        await anext(arrivals)
        waiting = asyncio.ensure_future(anext(arrivals))  # type: ignore[arg-type]
        await process.kill()
        with pytest.raises(RelayUnreachable):
            await waiting
        with pytest.raises(RelayUnreachable):
            await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))


async def test_a_relay_that_talks_nonsense_is_named() -> None:
    """A server that welcomes and then lies breaks the connection with RelayMisbehaved."""
    from websockets.asyncio.server import ServerConnection, serve

    async def lie(raw: ServerConnection) -> None:
        await raw.recv()
        await raw.send(frames.encode(frames.Welcome(1, seed("n"), seed("i"))))
        await raw.recv()
        await raw.send(frames.encode(frames.Done(77)))
        await raw.wait_closed()

    async with serve(lie, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as device:
            with pytest.raises(RelayMisbehaved):
                await device.open(SPACE.claims())


async def test_a_writer_needs_the_inboxs_key(tmp_path: Path) -> None:
    """Putting with another key, into nothing, or watching another's inbox is refused, with the reason."""
    async with relay(tmp_path) as process:
        box = await inboxes.create(process.url, key("owner"), key("writer").public, ttl=60)
        for call, reason in (
            (inboxes.put(process.url, box, key("owner"), b"x"), "denied"),
            (inboxes.put(process.url, seed("none"), key("writer"), b"x"), "unknown"),
            (inboxes.create(process.url, key("owner"), key("other").public, ttl=60), "exists"),
        ):
            with pytest.raises(RelayRefused) as caught:
                await call
            assert caught.value.reason == reason
        with pytest.raises(RelayRefused):
            async with inboxes.watch(process.url, key("writer")):
                pass


async def run(*arguments: str) -> tuple[int, str, str]:
    """Run `chez-relay` to its end: exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_relay", *arguments, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def fill(process: Process) -> None:
    async with connect(process.url) as device:
        await log_in(device)
        await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))


async def test_inspect_counts_beside_a_running_relay_and_the_log_names_nobody(tmp_path: Path) -> None:
    """`inspect` shows numbers only; neither it nor the log holds a handle, an address or an entry."""
    log = tmp_path / "relay.log"
    async with relay(tmp_path / "data", "--log-file", str(log)) as process:
        await fill(process)
        code, output, _ = await run("inspect", "--data", str(tmp_path / "data"), "--json")
        assert code == 0
        found = json.loads(output)
        assert (found["spaces"], found["entries"], found["bytes"]) == (1, 1, 300)
        code, table, _ = await run("inspect", "--data", str(tmp_path / "data"))
        assert code == 0 and "1 entry, 300 bytes" in table
    text = log.read_text() + table
    assert "listening" in text and "127.0.0.1" not in text
    for secret in (SPACE.handle, entry_id(SPACE.envelope(1))):
        assert secret.hex() not in text and secret.hex() not in output


@pytest.mark.slow
async def test_operators_mistakes_are_one_line(tmp_path: Path) -> None:
    """A bad address, a folder in use, a missing store, no tokens: exit code 1, no stack trace."""
    (tmp_path / "empty").touch()
    data = str(tmp_path / "data")
    async with relay(tmp_path / "data"):
        for arguments in (
            ("serve", "--data", data), ("serve", "--data", data, "--listen", "nowhere"),
            ("serve", "--data", str(tmp_path / "d"), "--listen", "203.0.113.1:1"),
            ("serve", "--data", data, "--token-file", str(tmp_path / "empty")),
            ("inspect", "--data", str(tmp_path / "nothing")), ("top", "127.0.0.1:port"), ("top", "nowhere"),
            ("serve", "--data", str(tmp_path / "empty")), ("cluster", "renew", "--nats", "http://127.0.0.1:1"),
        ):
            code, _, errors = await run(*arguments)
            assert code == 1 and re.match(r"chez-relay: .+\n(  .+\n)?$", errors), errors
    _, _, errors = await run("serve", "--data", data, "--set", "cluster.nodes=nats://127.0.0.1:1")
    assert "data folder (flag)" in errors and "--data ''" in errors
    assert (await run("version"))[1].startswith("chez-relay ")


async def test_the_store_is_its_owners_alone_in_a_folder_that_others_may_enter(tmp_path: Path) -> None:
    """Whatever mode the folder was made with, nobody else reads a file of the store."""
    tmp_path.chmod(0o755)
    async with relay(tmp_path):
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {"relay.sqlite", "relay.sqlite-wal"} <= modes.keys() and set(modes.values()) == {0o600}

"""Several real relays over one real cluster, as devices and operators meet them."""

import asyncio
import contextlib
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from nats.aio.client import Client

from chez import inboxes
from chez.errors import RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import EntriesArrived, EphemeralArrived, RolesEnded
from chez.sync.pushes import Push
from chez_relay.bounds import MOST_WAITING
from chez_relay.cluster.nodes import Cluster, free_ports
from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage.jetstream.dialling import dial, let_go
from chez_relay.storage.jetstream.engine import Engine
from chez_relay.storage.jetstream.ephemeral import Ephemerals
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.jetstream.streams import there
from chez_relay.storage.jetstream.tending import renewed
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.frames import Entry
from chez_wire.login import Role
from tests.relay.certificates import Authority
from tests.relay.clusters import cluster, emptied, needs_server, told
from tests.relay.support import Process, Space, key, packet, relay

__all__ = ("cluster",)

SPACE = Space()
NEXT = SPACE.rotated()


@asynccontextmanager
async def relays(cluster: Cluster, count: int = 2) -> AsyncIterator[list[Process]]:
    """So many relay processes over an empty store on the cluster."""
    nodes = [part for url in cluster.urls for part in ("--nats", url)]
    async with emptied(cluster), contextlib.AsyncExitStack() as stack:
        yield [await stack.enter_async_context(relay(None, *nodes)) for _ in range(count)]


async def log_in(connection: RelayConnection, *roles: Role) -> None:
    await connection.create_space(SPACE.admin, *SPACE.others)
    assert all(not space.error for space in await connection.open(SPACE.claims(*roles)))


async def arrived(connection: RelayConnection, count: int) -> list[Entry]:
    """The entries that are pushed, until there are so many."""
    seen: list[Entry] = []
    async with asyncio.timeout(90):
        async for event in connection.arrivals():
            assert isinstance(event, EntriesArrived)
            seen += event.entries
            if len(seen) >= count:
                break
    return seen


@pytest.mark.slow
async def test_what_one_relay_took_another_pushes(cluster: Cluster) -> None:
    """Devices at two relays append to one space: both are pushed all of it, in one order, with heads that fold."""
    async with relays(cluster) as (a, b), connect(a.url) as left, connect(b.url) as right:
        await log_in(left)
        await log_in(right)
        assert left.incarnation == right.incarnation
        await left.subscribe(SPACE.handle, 0)
        await right.subscribe(SPACE.handle, 0)
        seen = asyncio.gather(arrived(left, 40), arrived(right, 40))
        done = await asyncio.gather(*(
            (left if number % 2 else right).append(SPACE.handle, Role.APPEND, SPACE.envelope(number))
            for number in range(40)))
        one, other = await seen
        assert one == other and [entry.offset for entry in one] == list(range(1, 41))
        head, heads = GENESIS_HEAD, {}
        for entry in one:
            head = heads[entry.offset] = fold_head(head, entry_id(entry.envelope))
        assert {answer.offset: answer.head for answer in done} == heads


@pytest.mark.slow
async def test_what_is_said_at_one_relay_is_heard_at_another_and_kept_by_none(cluster: Cluster) -> None:
    """An ephemeral message reaches subscribers at all relays once, its sender never, and no stream of the cluster."""
    async with (relays(cluster, 3) as (a, b, c), connect(a.url) as one, connect(a.url) as near, connect(b.url) as far,
                connect(c.url) as idle):
        for device in (one, near, far, idle):
            await log_in(device, Role.READ, Role.APPEND, Role.CONTROL)
        for device in (one, near, far):
            await device.subscribe(SPACE.handle, 0)
        for speaker, listener in ((one, far), (far, one)):
            while not await heard(listener, SPACE.message(99), 0.2):  # a relay listens a moment after who subscribes
                speaker.broadcast(SPACE.handle, SPACE.message(99))
        said = [SPACE.message(number, 2000) for number in range(20)]
        for message in said[:-1]:
            one.broadcast(SPACE.handle, message)
        for device in (near, far):
            assert await heard(device, said[-2], 90) == said[:-1]
        far.broadcast(SPACE.handle, said[-1])
        for device in (one, near):
            assert await heard(device, said[-1], 90) == said[-1:]
        one.broadcast(SPACE.handle, said[0])
        sender = await sender_of(far, said[0])
        far.broadcast(SPACE.handle, said[1], sender)  # to one alone, who is at another relay
        assert await heard(one, said[1], 90) == said[1:2] and await heard(near, said[0], 90) == said[:1]
        await idle.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
        for device in (one, near, far):  # all that came for it came before
            assert not [event async for event in rest(device) if isinstance(event, EphemeralArrived)]
    files = b"".join(file.read_bytes() for file in cluster.folder.rglob("*") if file.is_file())
    assert SPACE.envelope(1)[200:260] in files and not any(message[1000:1032] in files for message in said)


async def heard(connection: RelayConnection, last: bytes, seconds: float) -> list[bytes]:
    """The ephemeral messages that come up to this one, without those that try whether a relay listens; else none."""
    found: list[bytes] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            async for event in connection.arrivals():
                if isinstance(event, EphemeralArrived):
                    if event.message != SPACE.message(99) or event.message == last:
                        found.append(event.message)
                    if event.message == last:
                        return found
    return []


async def test_what_the_cluster_can_not_take_now_is_let_go() -> None:
    """Without a connection to the cluster, or with too much on its way there, a message is let go and that is said."""
    class Away:
        is_connected = False

    client = Away()
    between = Ephemerals(cast("Client", client), Engine(cast("Client", client)), Places("chez", 1), bytes(8))
    assert not between.pass_on(SPACE.handle, b"frame", b"")
    client.is_connected = True
    assert [between.pass_on(SPACE.handle, b"frame", b"") for _ in range(MOST_WAITING + 1)] == (
        [True] * MOST_WAITING + [False])


async def sender_of(connection: RelayConnection, message: bytes) -> bytes:
    """Whom a message came from."""
    async with asyncio.timeout(90):
        async for event in connection.arrivals():
            if isinstance(event, EphemeralArrived) and event.message == message:
                return event.sender
    raise AssertionError


async def rest(connection: RelayConnection) -> AsyncIterator[Push]:
    """What comes until an entry does."""
    async with asyncio.timeout(90):
        async for event in connection.arrivals():
            yield event
            if isinstance(event, EntriesArrived) and event.entries:
                return


async def test_a_rotation_at_one_relay_ends_roles_at_another(cluster: Cluster) -> None:
    """Who is logged in elsewhere is told, and refused; new credentials open at every relay; inboxes are shared too."""
    owner, writer = key("owner"), key("writer")
    async with relays(cluster) as (a, b), connect(a.url) as left, connect(b.url) as right:
        await log_in(left)
        await log_in(right)
        await right.subscribe(SPACE.handle, 0)
        await left.rotate(SPACE.handle, SPACE.admin, NEXT.rotation(packet("me", 1)))
        async with asyncio.timeout(90):
            async for event in right.arrivals():
                if isinstance(event, RolesEnded):
                    break
        with pytest.raises(RelayRefused, match=r"role|credential"):
            await right.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
        assert all(not space.error for space in await right.open(NEXT.claims()))
        box = await inboxes.create(a.url, owner, writer.public, ttl=600)
        async with inboxes.watch(b.url, owner) as items:
            await inboxes.put(a.url, box, writer, b"sealed")
            async with asyncio.timeout(90):
                async for item in items:
                    assert item.item == b"sealed"
                    break


async def test_a_relay_that_is_killed_is_replaced_by_any_other(cluster: Cluster) -> None:
    """kill -9 one of two relays in the middle of appends: what it acknowledged is at the other, and nothing twice."""
    acknowledged: dict[bytes, int] = {}
    async with relays(cluster) as (a, b):
        async with connect(a.url) as device:
            await log_in(device)

            async def append(first: int) -> None:
                for number in range(first, 600, 30):
                    done = await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(number))
                    acknowledged[done.entry] = done.offset
                    if len(acknowledged) == 200:
                        a.process.kill()

            results = await asyncio.gather(*(append(first) for first in range(30)), return_exceptions=True)
            assert any(results), "the relay was killed before the last acknowledgement"
        async with connect(b.url) as device:
            await log_in(device)
            await asyncio.gather(*(device.append(SPACE.handle, Role.APPEND, SPACE.envelope(n)) for n in range(600)))
            await device.subscribe(SPACE.handle, 0)
            log = await arrived(device, 600)
        stored = {entry_id(entry.envelope): entry.offset for entry in log}
        assert len(log) == len(stored) == 600 and acknowledged.items() <= stored.items()


async def test_a_store_that_is_renewed_is_another_one_to_devices(cluster: Cluster) -> None:
    """`cluster renew` parts all relays from their devices, who then see another incarnation over the same log."""
    async with relays(cluster) as (a, b):
        async with connect(a.url) as left, connect(b.url) as right:
            await log_in(left)
            await left.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
            before = left.incarnation
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "chez_relay", "cluster", "renew", "--nats", cluster.urls[0],
                stdout=asyncio.subprocess.PIPE)
            output, _ = await asyncio.wait_for(process.communicate(), 90)
            assert output == b"renewed\n"
            for device in (left, right):
                with pytest.raises(RelayUnreachable):
                    async with asyncio.timeout(90):
                        await arrived(device, 99)
        async with connect(a.url) as left, connect(b.url) as right:
            assert left.incarnation == right.incarnation != before
            await log_in(right)
            assert (await right.read(SPACE.handle, 0)).end == 1


async def test_a_store_that_is_not_there_is_not_renewed_and_not_made(cluster: Cluster) -> None:
    """A misspelt prefix is told: another store, of which relays know nothing, would be made and called renewed."""
    with pytest.raises(StoreUnusable, match="no store under the prefix 'elsewhere'"):
        await renewed(cluster.urls, "elsewhere", 120)
    async with emptied(cluster) as store:
        assert not await patiently(store.engine, lambda: there(store.engine, "elsewhere_store"), 120)


@pytest.mark.slow
async def test_who_renews_a_store_is_told_that_the_cluster_gives_no_answer_yet() -> None:
    """A minute without a word would look as if it hung."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_relay", "cluster", "renew", "--nats", f"nats://127.0.0.1:{free_ports(1)[0]}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        assert b"gives no answer yet" in await asyncio.wait_for(process.stderr.readline(), 50)
    finally:
        process.kill()
        await process.communicate()


def test_the_ports_of_a_cluster_are_none_that_another_program_gets_by_chance() -> None:
    """A node that was stopped finds its port free again: the system gives it to nobody who asks for any port."""
    ports = free_ports(6)
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        assert first <= any_port.getsockname()[1] <= last
    assert len(set(ports)) == 6 and not any(first <= port <= last for port in ports)


async def test_a_cluster_is_started_and_ended_by_command(tmp_path: Path) -> None:
    """`cluster up` starts three nodes, `status` sees them answer, a second `up` changes nothing, `down` ends them."""
    needs_server()

    async def command(verb: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "chez_relay", "cluster", verb, "--data", str(tmp_path / "c"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        output, _ = await asyncio.wait_for(process.communicate(), 90)
        return process.returncode, output.decode()

    try:
        code, told = await command("up")
        assert code == 0 and told.splitlines()[-1].count("--nats nats://127.0.0.1:") == 3
        first = Cluster.at(tmp_path / "c")
        numbers = [first.process(node.name) for node in first.nodes]
        assert all(numbers) and (await command("up"))[0] == 0
        assert [first.process(node.name) for node in first.nodes] == numbers
        async with asyncio.timeout(90):
            while (await command("status"))[1].count("  answers") < 3:
                pass
        first.send("n1", signal.SIGKILL)
        first.send("n2", signal.SIGKILL)
        async with asyncio.timeout(90):
            while (await command("status"))[0] != 3:
                pass
    finally:
        code, told = await command("down")
    assert code == 0 and told.count("does not run\n") == 3


def test_a_node_that_does_not_come_up_is_told_with_where_it_says_why(tmp_path: Path) -> None:
    """Its port is taken: `up` says so of that node alone, and ends with 3; with the port free again it comes up."""
    needs_server()
    cluster = Cluster.at(tmp_path)
    try:
        with socket.create_server(("127.0.0.1", cluster.nodes[1].client)):
            code, text = told("up", tmp_path)
        assert code == 3 and text.count("  answers\n") == 2
        assert f"does not run, see n2.log: another program has its port {cluster.nodes[1].client}" in text
        assert "address already in use" in (tmp_path / "n2.log").read_text()
        code, text = told("up", tmp_path)
        assert code == 0 and text.count("  answers\n") == 3
    finally:
        told("down", tmp_path)


@pytest.mark.parametrize("what", ["password", "certificate"])
@pytest.mark.slow
def test_a_relay_that_a_cluster_will_never_let_in_says_why_and_at_once(tmp_path: Path, what: str) -> None:
    """That is no node which does not answer: `serve` ends, and the doctor says the same."""
    needs_server()
    cluster = Cluster.at(tmp_path / "nodes")
    settings = tmp_path / "nodes" / "n1.conf"
    chain, secret = Authority.make(tmp_path).issue()
    more, user, told_why = {
        "password": ("authorization { user: relay, password: right }", "relay:wrong@", "lets nobody in"),
        "certificate": (f'tls {{ cert_file: "{chain}", key_file: "{secret}" }}', "", "is not trusted"),
    }[what]
    settings.write_text(f"{settings.read_text()}{more}\n")
    url = cluster.nodes[0].url.replace("//", f"//{user}")
    try:
        cluster.start("n1")
        for command in ("serve", "doctor"):
            begun = time.monotonic()
            found = subprocess.run(
                [sys.executable, "-m", "chez_relay", command, "--listen", "127.0.0.1:0", "--nats", url],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
            assert found.returncode != 0 and told_why in found.stdout, found.stdout
            assert "wrong" not in found.stdout and time.monotonic() - begun < 30
    finally:
        cluster.stop()


@pytest.mark.slow
async def test_a_password_with_marks_of_its_own_is_written_as_in_every_address(tmp_path: Path) -> None:
    """`%40` is an @ in it, over TLS as without; one that is another is refused, as is that text as it is written."""
    needs_server()
    cluster = Cluster.at(tmp_path / "nodes")
    authority = Authority.make(tmp_path)
    chain, secret = authority.issue()
    trust = ssl.create_default_context(cafile=str(authority.file))
    login = 'authorization { user: "re:lay", password: "p@ss/%41" }'
    for name, more in (("n1", ""), ("n2", f'tls {{ cert_file: "{chain}", key_file: "{secret}" }}')):
        settings = tmp_path / "nodes" / f"{name}.conf"
        settings.write_text(f"{settings.read_text()}{login}\n{more}\n")
    plain, sealed = (node.url.partition("://")[2] for node in cluster.nodes[:2])
    try:
        cluster.start("n1", "n2")
        for scheme, at, options in (("nats", plain, {}), ("tls", sealed, {"tls": trust})):
            await let_go(await dial([f"{scheme}://re%3Alay:p%40ss%2F%2541@{at}"], 20, **options))
            for wrong in ("re%3Alay:p%40ss%2F%41", "re%3Alay:p%2540ss%2F%2541", "re%3Alay:wrong", "relay"):
                with pytest.raises(StorageFailed, match="lets nobody in"):
                    await let_go(await dial([f"{scheme}://{wrong}@{at}"], 20, **options))
    finally:
        cluster.stop()


async def test_a_cluster_that_nobody_started_is_told_with_why() -> None:
    """In the system's words, and not in the names that a library has for them."""
    with pytest.raises(StorageFailed, match=r"no node of the cluster answers \(Connection refused\)"):
        await let_go(await dial([f"nats://127.0.0.1:{free_ports(1)[0]}"], 0.3))


@pytest.mark.parametrize(("said", "told_why"), [
    ("Authentication Timeout", "no node of the cluster answers"), ("Authorization Timeout", "no node of the cluster"),
    ("Authorization Violation", "lets nobody in")])
@pytest.mark.slow
async def test_a_node_that_heard_the_password_too_late_is_asked_again(said: str, told_why: str) -> None:
    """It had much to do: that it did not come to look at the password says nothing of that."""
    asked = 0

    async def node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        writer.write(b'INFO {"server_id":"x","version":"2.10.0","auth_required":true,"max_payload":1048576}\r\n')
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"PING\r\n")
            writer.write(f"-ERR '{said}'\r\n".encode())
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(node, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(StorageFailed, match=told_why):
            await dial([f"nats://relay:right@127.0.0.1:{port}"], 1.5, reconnect_time_wait=0.1)
    assert (asked > 1) is (told_why != "lets nobody in")


@pytest.mark.parametrize("said", [
    "authorization violation", "user authentication expired", "maximum connections exceeded"])
async def test_a_relay_comes_back_after_a_node_ended_its_connection(
    said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The password was changed at the node, say, and back: the connection is dialled anew, and its end is told."""
    asked, back, ended = 0, asyncio.Event(), asyncio.Semaphore(0)

    async def node(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        turn = asked
        writer.write(b'INFO {"server_id":"x","version":"2.12.0","max_payload":1048576}\r\n')
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"PING\r\n"):
                if turn == 2:
                    writer.write(b"-ERR 'Authorization Violation'\r\n")
                    break
                writer.write(b"PONG\r\n")
                if turn == 1:
                    await turn_out.wait()
                    writer.write(f"-ERR '{said}'\r\n".encode())
                    break
        writer.close()
        ended.release()

    async def reconnected() -> None:
        back.set()

    turn_out = asyncio.Event()
    async with await asyncio.start_server(node, "127.0.0.1", 0) as server:
        client = await dial([f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"], 30, reconnected=reconnected,
                            max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        turn_out.set()
        try:
            async with asyncio.timeout(30):
                await back.wait()
            assert client.is_connected and asked == 3
        finally:
            await client.close()
        for _ in range(asked):
            await ended.acquire()
    assert f"ended the connection: {said}" in caplog.text
    assert caplog.text.count("lets nobody in with this user and password") == 1


@pytest.mark.slow
async def test_one_node_that_lets_nobody_in_keeps_no_relay_from_the_others(tmp_path: Path) -> None:
    """Its certificate is not trusted: a relay that dials it first goes on to the next."""
    needs_server()
    cluster = Cluster.at(tmp_path / "nodes")
    chain, secret = Authority.make(tmp_path).issue()
    settings = tmp_path / "nodes" / "n1.conf"
    settings.write_text(f'{settings.read_text()}tls {{ cert_file: "{chain}", key_file: "{secret}" }}\n')
    try:
        cluster.start()
        store = await JetStreamStorage.open(cluster.urls, shards=1, seconds=120, random=bytes)  # in their order
        await store.close()
    finally:
        cluster.stop()


def test_a_cluster_whose_folder_was_moved_stores_where_it_is(tmp_path: Path) -> None:
    """Nothing is stored at the old place, and what was stored comes along."""
    needs_server()
    old, new = tmp_path / "old", tmp_path / "new"
    try:
        assert told("up", old)[0] == 0
        assert told("down", old)[0] == 0
        old.rename(new)
        (new / "n1" / "mark").touch()
        assert told("up", new)[0] == 0
    finally:
        told("down", new)
    assert not old.exists() and str(new / "n1") in (new / "n1.conf").read_text() and (new / "n1" / "mark").exists()

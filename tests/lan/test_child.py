"""`chez-relay lan` over real sockets: whom it serves, whom it tells nothing, and that it ends with its home."""

import asyncio
import errno
import os
import signal
import socket
import sqlite3
import ssl
import sys
from contextlib import AsyncExitStack, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed

from chez.blobs.files import PieceFiles
from chez.errors import ChezError, RelayRefused, RelayUnreachable
from chez.lan.discovery import Neighbour
from chez.lan.multicast import own_addresses
from chez.sync.connection import RelayConnection, connect
from chez_relay.lan.certificate import channel
from chez_relay.lan.meeting import Acquaintances as Serves
from chez_relay.lan.process import _bound
from chez_relay.server import serving
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.memory import MemoryStorage
from chez_wire import frames
from chez_wire.certificate import instance_of
from chez_wire.chunks import chunk_id
from chez_wire.lan import Hosted, is_near
from chez_wire.login import Role
from chez_wire.meeting import LEAST_PROOFS
from tests.lan.support import Liar, child, known, needs_ipv6, secrets
from tests.relay.support import Space, key, seed

HOME, SHARED = Space("home"), Space("shared")


async def test_members_of_a_space_meet_and_exchange_entries(tmp_path: Path) -> None:
    """A device that keeps one of two spaces is let into that one, and what it appends another reads there."""
    async with child(tmp_path / "lan", HOME, SHARED) as running:
        async with connect(running.url, known=known(SHARED, Space("elsewhere"))) as guest:
            assert guest.met == {SHARED.handle} and guest.incarnation == running.listening.incarnation  # type: ignore[union-attr]
            await guest.create_space(SHARED.admin, *SHARED.others)
            await guest.open(SHARED.claims())
            await guest.append(SHARED.handle, Role.APPEND, SHARED.envelope(1))
        async with connect(running.url, known=known(HOME, SHARED)) as other:
            assert other.met == {HOME.handle, SHARED.handle}
            await other.open(SHARED.claims(Role.READ))
            page = await other.read(SHARED.handle, 0)
            assert [entry.envelope for entry in page.entries] == [SHARED.envelope(1)]


async def test_a_stranger_is_told_nothing_over_the_network(tmp_path: Path) -> None:
    """All bytes that a stranger gets from a home with two spaces are as many, and alike but for nonces, as from one
    with thirty, and none of them is a handle or the store's incarnation."""
    heard = []
    for name, spaces in (("few", [HOME, SHARED]), ("many", [Space(f"space {n}") for n in range(30)])):
        async with child(tmp_path / name, *spaces) as running:
            heard.append(await probe(running.url))
            assert running.listening is not None
            told = b"".join(heard[-1])
            assert not any(space.handle in told for space in spaces) and running.listening.incarnation not in told
    (few, refused), (many, refused_too) = heard
    assert refused == refused_too
    assert frames.decode_relay(refused) == frames.Failed(0, "stranger", "no space in common was proven", False)
    greetings = [frames.decode_relay(data) for data in (few, many)]
    assert all(isinstance(one, frames.Welcome) and one.incarnation == bytes(32) for one in greetings)


async def probe(url: str) -> list[bytes]:
    """Everything that a relay says to who has nothing to prove."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    heard = []
    async with dial(url, ssl=tls, compression=None, proxy=None) as socket:
        await socket.send(frames.encode(frames.Hello([1], seed("stranger"), url.removeprefix("wss://"))))
        await socket.send(frames.encode(frames.Open(1, HOME_CLAIMS)))
        await socket.send(frames.encode(frames.GetPacket(2, HOME.handle, seed("tag"))))
        await socket.send(frames.encode(frames.Meet(bytes(32), [seed(f"{n}") for n in range(LEAST_PROOFS)])))
        try:
            while True:
                data = await socket.recv()
                assert isinstance(data, bytes)
                heard.append(data)
        except ConnectionClosed:
            pass
    early = [one for one in heard if isinstance(frame := frames.decode_relay(one), frames.Failed)
             and frame.code == "out_of_order"]
    assert len(early) == 2  # what it asked before it proved anything
    return [one for one in heard if one not in early]


HOME_CLAIMS = [frames.Claim(HOME.handle, Role.READ, bytes(64))]


async def test_somebody_in_the_middle_proves_nothing(tmp_path: Path) -> None:
    """Who answers in a relay's place with a certificate of his own, and forwards all that is said, is no acquaintance
    of either side: what is said names the address and the channel."""
    async with child(tmp_path / "lan", HOME) as running:
        context = channel(seed("of the one between")).tls
        port = int(running.url.rpartition(":")[2])
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        seen: list[bytes] = []

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(65536):
                seen.append(data)
                writer.write(data)
            writer.close()

        async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            await asyncio.gather(carry(reader, back), carry(there, writer), return_exceptions=True)

        server = await asyncio.start_server(between, "127.0.0.2", port, ssl=context)
        async with server:
            with pytest.raises(ChezError):
                async with connect(f"wss://127.0.0.2:{port}", known=known(HOME)):
                    pass
        assert seen and not any(HOME.handle in data for data in seen)
        async with connect(running.url, known=known(HOME)) as guest:  # without him it works
            assert guest.met == {HOME.handle}


async def test_without_the_new_epoch_nobody_is_known_any_more(tmp_path: Path) -> None:
    """After a rotation a device that has the former epoch alone is a stranger."""
    async with child(tmp_path / "lan", HOME) as running:
        running.tell(secrets(HOME, epoch="second"))
        await refused(running.url, epoch="")
        async with connect(running.url, known=known(HOME, epoch="second")) as guest:
            assert guest.met == {HOME.handle}


async def refused(url: str, epoch: str) -> None:
    """Dial until the relay has heard of the change, which it reads beside connections."""
    for _ in range(200):
        try:
            async with connect(url, known=known(HOME, epoch=epoch)):
                pass
        except RelayRefused as error:
            assert error.reason == "stranger"
            return
    raise AssertionError("the former epoch is still good")


async def test_the_home_hears_who_is_here(tmp_path: Path) -> None:
    """It is told the instances of those that were met, and when they left; a stranger is not among them."""
    stranger, phone = key("stranger"), key("phone")
    async with child(tmp_path / "lan", HOME) as running:
        with pytest.raises(RelayRefused):
            async with connect(running.url, known=known(SHARED, own=stranger)):
                pass
        async with connect(running.url, known=known(HOME, own=phone)):
            await running.guests(phone.public)
        await running.guests()
        assert not any(stranger.public in getattr(report, "instances", []) for report in running.reports)


@pytest.mark.parametrize("named", [key("phone").public, bytes(31) + b"\x01", b"\xff" * 32],
                         ids=["another's", "of low order", "no key"])
async def test_an_instance_is_named_by_who_has_its_key(tmp_path: Path, named: bytes) -> None:
    """A member that names an instance whose key it has not is here as one of no instance; who has it is told apart."""
    async with child(tmp_path / "lan", HOME) as running, connect(running.url, known=Liar(named, HOME)) as liar:
        assert liar.met == {HOME.handle}
        await running.guests(bytes(32))
        async with connect(running.url, known=known(HOME, own=key("phone"))):
            await running.guests(bytes(32), key("phone").public)


def test_a_certificate_that_is_another_in_anything_is_no_instances() -> None:
    """Every flipped bit before the signature makes it that of another key, or of none; so does what comes behind."""
    shown = channel(seed("channel"))
    assert instance_of(shown.certificate) == shown.instance == key("channel").public
    for bit in range(8 * (len(shown.certificate) - 64)):
        changed = bytearray(shown.certificate)
        changed[bit // 8] ^= 1 << bit % 8
        assert instance_of(bytes(changed)) != shown.instance
    assert instance_of(shown.certificate + bytes(1)) is None and instance_of(b"") is None


async def test_who_is_here_meets_anew_when_there_is_one_more_space(tmp_path: Path) -> None:
    """A space that comes to be served ends connections (1001), so that devices that have it too find it."""
    async with child(tmp_path / "lan", HOME) as running:
        async with connect(running.url, known=known(HOME, SHARED)) as guest:
            assert guest.met == {HOME.handle}
            running.tell(secrets(HOME, SHARED))
            with pytest.raises(RelayUnreachable):
                async for _ in guest.arrivals():
                    pass
        async with connect(running.url, known=known(HOME, SHARED)) as guest:
            assert guest.met == {HOME.handle, SHARED.handle}


async def test_who_proved_what_is_served_no_more_is_let_go() -> None:
    """At once where a space is not served any more, and after a while, in which the new keys are fetched, where its
    secret was replaced: who was removed, and stays connected, is not served for ever. Nobody else is."""
    serves = Serves(os.urandom, secrets=secrets(HOME, SHARED), grace=3600.0)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            serving(MemoryStorage(seed("store")), "127.0.0.1", 0, known=serves))

        async def met(space: Space, epoch: str = "") -> RelayConnection:
            return await stack.enter_async_context(
                connect(f"ws://127.0.0.1:{server.port}", known=known(space, epoch=epoch)))

        async def ended(guest: RelayConnection) -> None:
            async with asyncio.timeout(20):
                with pytest.raises(RelayUnreachable):
                    async for _ in guest.arrivals():
                        pass

        former, other = await met(HOME), await met(SHARED)
        server.renew(secrets(HOME))
        await ended(other)
        server.renew(secrets(HOME, epoch="second"))
        await former.create_space(HOME.admin, *HOME.others)
        member = await met(HOME, "second")
        serves.grace = 0.0
        server.renew(secrets(HOME, epoch="second"))
        await ended(former)
        assert await member.open(HOME.claims(Role.READ))


async def test_what_is_served_no_more_is_not_kept(tmp_path: Path) -> None:
    """A store that has something of a space that the home has no more is begun anew, as another incarnation."""
    async with child(tmp_path / "lan", HOME, SHARED) as running:
        async with connect(running.url, known=known(SHARED)) as guest:
            await guest.create_space(SHARED.admin, *SHARED.others)
        first = running.listening
    async with child(tmp_path / "lan", HOME, SHARED) as running:
        assert first is not None and running.listening is not None
        assert running.listening.incarnation == first.incarnation
    async with child(tmp_path / "lan", HOME) as running:
        assert running.listening is not None and running.listening.incarnation != first.incarnation


async def test_a_store_that_is_none_is_begun_anew(tmp_path: Path) -> None:
    """The store may be damaged or deleted at any time: the relay begins another."""
    (tmp_path / "lan").mkdir()
    (tmp_path / "lan" / FILE_NAME).write_bytes(b"no store" * 1000)
    async with child(tmp_path / "lan", HOME) as running, connect(running.url, known=known(HOME)) as guest:
        assert guest.met == {HOME.handle}


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"spaces":[["AA==","AA=="]]}\n', b"x" * 2**21 + b"\n"],
                         ids=["no JSON", "short ids", "too long"])
async def test_a_line_that_makes_no_sense_ends_it_and_is_not_repeated(tmp_path: Path, line: bytes) -> None:
    """What comes from no home is refused with what to do, and nothing of it appears in the message."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_relay", "lan", "--data", str(tmp_path / "lan"),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await process.communicate(line)
    assert process.returncode == 1 and out == b""
    assert b"run by `chez up`" in err and line[:5] not in err


async def test_pieces_are_read_where_the_home_has_them(tmp_path: Path) -> None:
    """Who proved a space gets a piece by its name, whatever the store has; a damaged one, one that is not here,
    and one asked for by a secret that was replaced meanwhile are refused."""
    files = PieceFiles(tmp_path / "blobs")
    whole, damaged = b"a sealed piece", b"another one"
    for piece in (whole, damaged):
        files.write(chunk_id(piece), piece)
    files.path(chunk_id(damaged)).write_bytes(b"other bytes")
    async with child(tmp_path / "lan", HOME) as running, connect(running.url, known=known(HOME)) as guest:
        assert (await guest.get_chunk_soon(HOME.handle, chunk_id(whole))).data == whole
        for missing in (chunk_id(damaged), seed("nothing")):
            with pytest.raises(RelayRefused) as refusal:
                await guest.get_chunk_soon(HOME.handle, missing)
            assert refusal.value.reason == "missing"
        running.tell(secrets(HOME, epoch="second"))
        with pytest.raises(RelayRefused) as refusal:
            for _ in range(2000):  # until the relay has heard of it
                await guest.get_chunk_soon(HOME.handle, chunk_id(whole))
        assert refusal.value.reason == "role"


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "chez_relay", "lan", "--data", sys.argv[1], "--listen", "127.0.0.1:0"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdin.write(b'{"spaces":[]}\\n'); child.stdin.flush()
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


async def test_it_ends_when_its_home_is_killed(tmp_path: Path) -> None:
    """Whatever becomes of the home's process, also by SIGKILL, no relay of it stays."""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "lan"), stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    watched = os.pidfd_open(int(await parent.stdout.readline()))
    gone = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(watched, lambda: gone.done() or gone.set_result(None))
    try:
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
        await asyncio.wait_for(gone, 90)
    finally:
        asyncio.get_running_loop().remove_reader(watched)
        os.close(watched)


async def test_a_flood_of_strangers_keeps_nobody_out_of_another_address(tmp_path: Path) -> None:
    """Of one address a few connections are let in and the rest dropped; from another a member still comes in."""
    async with child(tmp_path / "lan", HOME) as running:
        port = int(running.url.rpartition(":")[2])
        opened = await asyncio.gather(*(
            asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0)) for _ in range(60)))
        async with connect(running.url, known=known(HOME)) as guest:
            assert guest.met == {HOME.handle}
        for _, writer in opened:
            writer.close()


async def test_who_only_dials_keeps_no_member_out_from_however_many_addresses(tmp_path: Path) -> None:
    """Where all places are taken, whoever has most that proved nothing makes room: a member comes in, and who was met
    before stays."""
    async with child(tmp_path / "lan", HOME) as running, connect(running.url, known=known(HOME)) as before:
        port = int(running.url.rpartition(":")[2])
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.1.{n % 20}", 0))
                                        for n in range(20, 20 + 8 * 20)))
        async with connect(running.url, known=known(HOME)) as guest:
            assert guest.met == {HOME.handle}
        await before.create_space(HOME.admin, *HOME.others)
        for _, writer in opened:
            writer.close()


async def test_who_agreed_on_tls_makes_no_room_for_who_only_dials(tmp_path: Path) -> None:
    """Of those that proved nothing yet, a hundred addresses that say nothing go before one that is on its way."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    async with child(tmp_path / "lan", HOME) as running:
        port = int(running.url.rpartition(":")[2])
        async with dial(running.url, ssl=tls, compression=None, proxy=None) as on_its_way:
            opened = await asyncio.gather(*(
                asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.1.{n + 1}", 0)) for n in range(100)))
            await on_its_way.send(frames.encode(frames.Hello([1], seed("on its way"), f"127.0.0.1:{port}")))
            answer = await on_its_way.recv()
            assert isinstance(answer, bytes) and isinstance(frames.decode_relay(answer), frames.Welcome)
        for _, writer in opened:
            writer.close()


@pytest.mark.parametrize(("host", "near"), [
    ("192.168.1.5", True), ("10.0.0.1", True), ("169.254.3.4", True), ("127.0.0.1", True), ("fe80::1%eth0", True),
    ("fd12::1", True), ("::ffff:192.168.1.5", True), ("8.8.8.8", False), ("2a01:e0a::1", False), ("0.0.0.0", False),
    ("::ffff:8.8.8.8", False), ("::1", True), ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False), ("ff02::fb", False),
    ("::", False), ("::192.168.1.5", False), ("example.org", False), ("", False)])
def test_only_addresses_of_a_network_at_hand_are_near(host: str, near: bool) -> None:
    """What the internet routes, and what is no address, is neither dialled nor let in."""
    assert is_near(host) is near


def link_local() -> list[str]:
    """The link-local addresses of this machine, if it has any, each with its interface."""
    return [address for address in own_addresses() if address.startswith("fe80:")]


@needs_ipv6
async def test_one_port_is_met_at_by_both_families(tmp_path: Path) -> None:
    """A relay on all addresses is dialled by IPv4, IPv6, and over a link with its interface: each time both sides prove
    the space, under the name that was dialled, in which no interface is told; a stranger is refused by all."""
    async with child(tmp_path / "lan", HOME, listen="[::]:0") as running:
        assert running.listening is not None
        for url in Neighbour(seed("it"), ("127.0.0.1", "::1", *link_local()), running.listening.port).urls:
            async with connect(url, known=known(HOME)) as guest:
                assert guest.met == {HOME.handle} and "%" not in guest.relay
            with pytest.raises(RelayRefused):
                async with connect(url, known=known(SHARED)):
                    pass


async def test_without_the_newer_family_the_older_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel has no IPv6, all addresses are those of IPv4."""
    made = socket.create_server

    def create(address: tuple[str, int], *, family: int = socket.AF_INET, **options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6")
        return made(address, family=family, **options)

    monkeypatch.setattr(socket, "create_server", create)
    bound = _bound("::", 0)
    assert bound is not None
    with bound:
        assert bound.family is socket.AF_INET and bound.getsockname()[0] == "0.0.0.0"
    assert _bound("127.0.0.1", 0) is None


async def test_a_space_that_is_hosted_needs_nobody_to_make_it(tmp_path: Path) -> None:
    """A member opens it at once, and whoever is no member is told nothing of it; told with other keys later it keeps
    its own, and one that is hosted without a secret is not had."""
    keys = (SHARED.admin.public, *SHARED.others)
    async with child(tmp_path / "lan", HOME) as running:
        running.tell(secrets(HOME, SHARED), Hosted(SHARED.handle, *keys), Hosted(seed("another"), *keys))
        async with asyncio.timeout(90):
            while True:
                with suppress(RelayRefused, RelayUnreachable):  # until the relay has heard of it
                    async with connect(running.url, known=known(SHARED)) as guest:
                        assert not any(space.error for space in await guest.open(SHARED.claims()))
                        await guest.append(SHARED.handle, Role.APPEND, SHARED.envelope(1))
                        break
        with pytest.raises(RelayRefused):
            async with connect(running.url, known=known(Space("another"))):
                pass
        running.tell(secrets(HOME, SHARED, epoch="2"), Hosted(SHARED.handle, *(seed(str(n)) for n in range(5))))
        async with asyncio.timeout(90):
            while True:
                with suppress(RelayRefused, RelayUnreachable):
                    async with connect(running.url, known=known(SHARED, epoch="2")) as guest:
                        assert not any(space.error for space in await guest.open(SHARED.claims()))
                        break
    with closing(sqlite3.connect(tmp_path / "lan" / FILE_NAME)) as db:
        assert db.execute("SELECT handle FROM spaces").fetchall() == [(SHARED.handle,)]

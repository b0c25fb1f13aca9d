"""A name with several addresses: one whose machine is gone holds nobody up, and what all of them say is readable."""

import asyncio
import base64
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect as dial

from chez.errors import NotARelay, RelayUnreachable, WrongPin
from chez.sync.connection import connect, open_socket
from chez.sync.dialling import NoAddress, reached
from chez.sync.socket import _Dial
from chez_relay.server import RelayServer, serving
from chez_relay.storage.memory import MemoryStorage
from chez_relay.tls import Certificate, pin_in
from tests.lan.support import has_ipv6
from tests.relay.certificates import Authority
from tests.relay.raw import until
from tests.relay.support import seed
from tests.sync.test_failures import PAGE, answering, tunnel

NAME = "relay.example"


@contextmanager
def silent(*at: tuple[str, int]) -> Iterator[tuple[str, int]]:
    """An address that answers no SYN, as one whose machine is gone: its queue of connections is full."""
    with socket.create_server(*at or (("127.0.0.1", 0),), backlog=0) as gone, ExitStack() as waiting:
        with suppress(TimeoutError):
            while True:
                one = waiting.enter_context(socket.socket())
                one.settimeout(0.2)
                one.connect(gone.getsockname())
        yield gone.getsockname()


def lead(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int], name: str = NAME) -> None:
    """Let a name have these addresses, in this order, at whichever ports."""
    look_up = socket.getaddrinfo

    def found(host: str, *rest: Any, **more: Any) -> Any:
        if host != name:
            return look_up(host, *rest, **more)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", one) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def free() -> tuple[str, int]:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address: tuple[str, int] = taken.getsockname()
    return address


@asynccontextmanager
async def relay(tls: ssl.SSLContext | None = None) -> AsyncIterator[RelayServer]:
    """A relay on a free port of loopback, which goes by `NAME` as well."""
    names = [f"{NAME}:443", f"{NAME}:80"]
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0, names=names, tls=tls) as server:
        yield server


async def test_an_address_that_says_nothing_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next one is tried beside it, and the next beside both, long before the time for the whole is over."""
    with silent() as gone, silent() as gone_too:
        async with relay() as server:
            lead(monkeypatch, gone, gone_too, ("127.0.0.1", server.port))
            begun = asyncio.get_running_loop().time()
            async with connect(f"ws://{NAME}"):
                assert 0.5 <= asyncio.get_running_loop().time() - begun < 5


def test_what_is_replaced_of_the_library_is_there() -> None:
    """In a version that dials by another name nothing of this would ever be called, and nobody would hear of it."""
    ours, theirs = _Dial.__dict__, dial.__dict__
    assert [name for name, one in ours.items() if isfunction(one) and name not in theirs] == []
    assert "create_connection_kwargs" in vars(dial("ws://relay.example"))


async def test_what_was_dialled_besides_ends_with_the_first_that_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing goes on in vain where another address has the connection."""
    with silent() as gone:
        async with relay() as server:
            lead(monkeypatch, gone, ("127.0.0.1", server.port))
            before = asyncio.all_tasks()
            with await reached(NAME, 80) as made:
                assert made.getpeername()[1] == server.port
            await until(lambda: asyncio.all_tasks() <= before)


async def test_the_next_address_is_held_to_the_same_name_and_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TLS: its certificate has to be that of the name, and its key one of those pinned."""
    authority = Authority.make(tmp_path)
    chain, key = authority.issue(name=NAME)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with silent() as gone:
        async with relay(Certificate(chain, key).context) as server:
            lead(monkeypatch, gone, ("127.0.0.1", server.port))
            async with connect(f"wss://{NAME}#{pin_in(chain)}"):
                pass
            with pytest.raises(WrongPin):
                await open_socket(f"wss://{NAME}#sha256:{'A' * 43}=")
            lead(monkeypatch, gone, ("127.0.0.1", server.port), name="other.example")
            with pytest.raises(RelayUnreachable, match="not to be trusted"):
                await open_socket("wss://other.example")


async def test_an_address_waits_for_no_name_that_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay on this network is reached while the network's DNS answers nothing, and each thread waits for it."""
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        if family == socket.AF_INET6 and not has_ipv6():
            continue
        with socket.create_server((host, 0), family=family) as there:
            async with asyncio.timeout(10):
                with await reached(host, there.getsockname()[1]) as made:
                    assert made.getpeername() == there.getsockname()


async def test_a_link_local_address_is_dialled_on_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the only one, and the interface is said to nobody."""
    dialled = []

    async def create_connection(_: object, host: str = "", port: int = 0, **more: Any) -> None:
        dialled.append((host, port, more.get("sock"), more.get("server_hostname")))
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection)
    for scheme, named in (("ws", None), ("wss", "fe80::1")):
        with pytest.raises(RelayUnreachable, match="nothing listens there"):
            await open_socket(f"{scheme}://[fe80::1%lo]:4711")
        assert dialled.pop() == ("fe80::1%lo", 4711, None, named)


async def test_what_all_addresses_say_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each refuses: that, once. One can't be reached besides: both. One says nothing: that it was waited for."""
    lead(monkeypatch, free(), free())
    with pytest.raises(RelayUnreachable, match=rf"no connection to {NAME}:80: nothing listens there\. ") as caught:
        await open_socket(f"ws://{NAME}")
    assert caught.value.hint.endswith("relay runs.")
    lead(monkeypatch, free(), ("255.255.255.255", 80))
    with pytest.raises(RelayUnreachable, match=r"nothing listens there; .* no network") as caught:
        await open_socket(f"ws://{NAME}")
    assert "Errno" not in str(caught.value)
    with silent() as gone:
        lead(monkeypatch, gone, free())
        with pytest.raises(RelayUnreachable, match="did not answer in time"):
            await open_socket(f"ws://{NAME}", open_timeout=0.5)


async def test_what_all_addresses_of_a_proxy_say_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a relay's."""
    monkeypatch.setenv("CHEZ_PROXY", "http://proxy.example:3128")
    lead(monkeypatch, free(), ("255.255.255.255", 80), name="proxy.example")
    with pytest.raises(RelayUnreachable, match=r"none to the proxy: nothing listens there; .* no network") as caught:
        await open_socket(f"ws://{NAME}")
    assert "Errno" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_address_of_a_proxy_that_says_nothing_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """The next one is tried beside it; the proxy is asked for the relay, once, with what it wants to hear, and over TLS
    its certificate is that of its name."""
    authority = Authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    tls = Certificate(*authority.issue(name="proxy.example")).context if scheme == "https" else None
    async with relay() as server, tunnel(f"ws://127.0.0.1:{server.port}", tls=tls) as proxy:
        port = int(proxy.url.rpartition(":")[2])
        monkeypatch.setenv("CHEZ_PROXY", f"{scheme}://me:se%40cret@proxy.example:{port}")
        with silent(("127.0.0.2", port)) as gone:
            lead(monkeypatch, gone, ("127.0.0.1", port), name="proxy.example")
            async with connect(f"ws://{NAME}"):
                assert proxy.asked == [f"CONNECT {NAME}:80 HTTP/1.1".encode()]
                assert base64.b64encode(b"me:se@cret") in proxy.heads[0]


async def test_a_proxy_whose_tls_does_not_stand_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the relay that has a wrong certificate, or speaks no TLS."""
    authority = Authority.make(tmp_path)
    tls = Certificate(*authority.issue(name="proxy.example")).context
    async with answering(PAGE) as page, tunnel(page, tls=tls) as proxy:
        monkeypatch.setenv("CHEZ_PROXY", proxy.url)
        with pytest.raises(RelayUnreachable, match="for the proxy has a certificate that is not to be") as caught:
            await open_socket(f"wss://{NAME}")
        assert not isinstance(caught.value, NotARelay) and "CHEZ_PROXY" in caught.value.hint
        monkeypatch.setenv("CHEZ_PROXY", page.replace("ws://", "https://"))
        with pytest.raises(RelayUnreachable, match="for the proxy speaks no TLS"):
            await open_socket(f"wss://{NAME}")


async def test_tls_that_does_not_stand_behind_a_proxys_is_told_and_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is behind a proxy that is spoken to over TLS speaks none, or has another one's certificate: as anywhere."""
    (tmp_path / "other").mkdir()
    strange = Certificate(*Authority.make(tmp_path / "other").issue(name=NAME)).context
    authority = Authority.make(tmp_path)
    tls = Certificate(*authority.issue(name="proxy.example")).context
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with answering(PAGE) as page, relay(strange) as server:
        for at, said in ((page, "speaks no TLS"), (f"ws://127.0.0.1:{server.port}", "not to be trusted")):
            async with tunnel(at, tls=tls) as proxy:
                port = int(proxy.url.rpartition(":")[2])
                lead(monkeypatch, ("127.0.0.1", port), name="proxy.example")
                monkeypatch.setenv("CHEZ_PROXY", f"https://proxy.example:{port}")
                with pytest.raises(NotARelay, match=said):
                    await open_socket(f"wss://{NAME}")
                await asyncio.sleep(0)
    assert not [one for one in caplog.records if one.levelno > logging.INFO]  # a relay tells that it listens


async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose IPv6 leads nowhere costs one pause, however many such addresses a name has."""
    six, four = (socket.AF_INET6, socket.AF_INET)
    found = [(six, ("a",)), (six, ("b",)), (six, ("c",)), (four, ("d",)), (four, ("e",))]
    tried = []

    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        return [(family, socket.SOCK_STREAM, 0, "", address) for family, address in found]

    async def refused(_: socket.socket, address: Any) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(loop, "sock_connect", refused)
    with pytest.raises(NoAddress):
        await reached(NAME, 80)
    assert tried == ["a", "d", "b", "e", "c"]


async def test_a_dial_that_is_given_up_leaves_no_socket_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """At whatever moment: also where the socket stands and who dialled has not heard of it."""
    ended: list[bool] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(ended)
        ended.append(False)
        with suppress(OSError):
            await reader.read()
        ended[number] = True
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        at = server.sockets[0].getsockname()

        async def getaddrinfo(*_: Any, **__: Any) -> Any:
            return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", at)] * 2

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        came = set()
        for turns in range(12):
            dial = asyncio.create_task(reached(NAME, 80))
            for _ in range(turns):
                await asyncio.sleep(0)
            dial.cancel()
            await asyncio.wait([dial])
            came.add(dial.cancelled())
            if not dial.cancelled():
                dial.result().close()
        await until(lambda: len(ended) > 2 and all(ended))
        assert came == {True, False}


async def test_who_was_dialled_beside_another_and_left_is_no_failure(tmp_path: Path) -> None:
    """A connection that ends before its first byte, as that to the slower address, counts for no failed handshake."""
    authority = Authority.make(tmp_path)
    async with relay(Certificate(*authority.issue()).context) as server:
        for abort in (True, False):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            await until(lambda: server.door.agreeing == 1)
            if abort:
                writer.transport.abort()
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
            await until(lambda: not server.door.guests)
        assert server.counts.handshakes_failed == 0 and not +server.counts.let_go and not +server.counts.turned_away

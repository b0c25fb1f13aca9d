"""What answers at a relay's address, and what is said of it when that is no relay."""

import asyncio
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.asyncio.server import ServerConnection, serve

from chez.errors import NotARelay, RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect, open_socket
from chez.sync.failures import why
from chez_wire.chunks import chunk_id
from tests.people.persons import persons, shared, values
from tests.people.proxy import Proxy, proxy
from tests.people.support import turned_until
from tests.relay.support import Space
from tests.relay.within import Within, relay

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlogin"
REDIRECTION = b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n"


class Silent:
    """Passes on what the relay at `target` says: its welcome, so many more messages, and then nothing."""

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.target = self.name = ""

    async def serve(self, near: ServerConnection) -> None:
        """One connection. Pings are answered, whatever else is not."""
        async with dial(self.target) as far:
            up = asyncio.ensure_future(self._up(near, far))
            for _ in range(1 + self.answers):
                await near.send(await far.recv())
            await near.wait_closed()
            up.cancel()

    async def _up(self, near: ServerConnection, far: ClientConnection) -> None:
        async for message in near:
            await far.send(message)


@asynccontextmanager
async def silent(answers: int) -> AsyncIterator[Silent]:
    """Such a one on a free port of loopback."""
    made = Silent(answers)
    async with serve(made.serve, "127.0.0.1", 0) as server:
        made.name = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield made


@asynccontextmanager
async def connected(front: Proxy, url: str) -> AsyncIterator[RelayConnection]:
    """A connection to the relay at `url` by way of `front`."""
    front.target = url
    async with connect(front.url) as opened:
        yield opened


@asynccontextmanager
async def answering(text: bytes) -> AsyncIterator[str]:
    """Something that answers every request with these bytes, and hangs up; its address."""
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(text)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("text", [
    PAGE, REDIRECTION,
    b"HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", b"220 mail.example ESMTP\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
], ids=["page", "redirection", "login wanted", "nothing there", "mail server", "no upgrade"])
async def test_a_page_in_the_relays_place_is_told_apart(text: bytes) -> None:
    """A network that wants one to log in, or a web server, is named as that, and may be tried again."""
    async with answering(text) as url:
        with pytest.raises(NotARelay, match="is no relay") as caught:
            await open_socket(url)
    assert "log in" in caught.value.hint and caught.value.recoverable


async def test_no_redirection_is_followed() -> None:
    """A relay is where it is said to be: who answers with another address leads nobody there."""
    reached = asyncio.Event()

    async def trap(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.set()
        writer.close()

    server = await asyncio.start_server(trap, "127.0.0.1", 0)
    elsewhere = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    answer = f"HTTP/1.1 301 Moved\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"
    async with answering(answer.encode()) as url:
        with pytest.raises(NotARelay):
            await open_socket(url)
    server.close()
    assert not reached.is_set()


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n",
                                  b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"],
                         ids=["hung up", "unavailable", "crowded"])
async def test_a_relay_that_is_down_is_not_called_something_else(text: bytes) -> None:
    """Who hangs up, or says that it can't just now, may be the relay, or what stands before it."""
    async with answering(text) as url:
        with pytest.raises(RelayUnreachable) as caught:
            await open_socket(url)
    assert not isinstance(caught.value, NotARelay)


async def test_what_takes_connections_and_never_greets_is_given_up(tmp_path: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends the websocket's handshake, answers pings and says nothing: it is told, and tried again, and the home does
    not pass for one in exchange with it meanwhile."""
    monkeypatch.setattr("chez.sync.connection.OPEN_SECONDS", 0.2)
    async with serve(lambda socket: socket.wait_closed(), "127.0.0.1", 0) as silent, persons(
            tmp_path, "anna") as (anna,):
        url = f"ws://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with anna.connect(url) as link, asyncio.timeout(60):
            await link.turn()
            began = link.since

            async def rests_again() -> bool:
                (space,) = (await anna.status()).spaces
                assert link.status == space.link == "connecting"
                return link.connections > 1 and link.next_try is not None

            await turned_until(link, rests_again)
            assert isinstance(link.error, RelayUnreachable) and "greet" in str(link.error) and not link.ended
            assert link.since == began


@pytest.mark.parametrize("answers", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 2, 3))])
async def test_a_relay_that_answers_no_more_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        answers: int) -> None:
    """It welcomes, answers so many requests and then pings alone: it is told, and tried again."""
    async with (silent(answers) as front, relay(tmp_path / "r", "--name", front.name) as server,
                persons(tmp_path, "anna") as (anna,)):
        front.target = server.url
        monkeypatch.setattr("chez.sync.lookout.TICK", 0.05)
        monkeypatch.setattr("chez.sync.patience.SLOWEST_SPAN", 1.0)
        await anna.collection("notes").put({"n": 1}, id="one")
        async with anna.connect(f"ws://{front.name}") as link, asyncio.timeout(60):
            while link.connections < 2:
                await link.turn()
            assert isinstance(link.error, RelayUnreachable) and "does not answer" in str(link.error)
            assert link.status != "synced" and not link.ended


@pytest.mark.slow
async def test_a_request_that_is_not_answered_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked outside of a home's link, a piece of an attachment or how much room there is: not for ever."""
    monkeypatch.setattr("chez.sync.connection.LISTEN", 0.05)
    monkeypatch.setattr("chez.sync.patience.SLOWEST_SPAN", 0.5)
    async with silent(1) as front, relay(tmp_path / "r", "--name", front.name) as server, asyncio.timeout(60):
        front.target = server.url
        async with connect(f"ws://{front.name}") as opened:
            with pytest.raises(RelayRefused):
                await opened.get_packet(bytes(32), bytes(32))
            await asyncio.sleep(1)  # it was asked nothing
            for _ in range(2):
                with pytest.raises(RelayUnreachable, match="does not answer"):
                    await opened.get_packet(bytes(32), bytes(32))


@pytest.mark.slow
async def test_an_answer_that_takes_long_on_a_slow_line_is_no_silence(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes of it meanwhile counts: else a piece of an attachment would never arrive, nor a page of entries."""
    async with (proxy() as front, relay(tmp_path / "r", "--name", front.name) as server,
                persons(tmp_path, "anna", "berta", relay=front.url) as (anna, berta), asyncio.timeout(60)):
        front.target = server.url
        trip = await anna.create_space("Trip")
        (hers,) = await shared(trip, anna, berta)
        await trip.collection("notes").put({"of": random.randbytes(120_000).hex()}, id="long")
        await anna.sync()
        front.rate = 64 * 1024
        for name, value in (("patience.SLOWEST_SPAN", 1.0), ("patience.SLOWEST_BYTES", 16 * 1024),
                            ("lookout.TICK", 0.1), ("connection.LISTEN", 0.1)):
            monkeypatch.setattr(f"chez.sync.{name}", value)
        async with berta.connect() as link:
            await link.synced()
            assert "long" in await values(hers) and link.connections == 1
        space, chunk = Space(), bytes(120_000)
        async with connect(front.url) as opened:
            await opened.create_space(space.admin, *space.others)
            await opened.open(space.claims())
            front.rate = 0
            await opened.put_chunk_soon(space.handle, chunk)
            front.rate = 64 * 1024
            assert (await opened.get_chunk_soon(space.handle, chunk_id(chunk))).data == chunk


@pytest.mark.slow
async def test_who_was_held_reads_what_came_before_it_gives_a_relay_up(tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that stood still longer than an answer may take was asked nothing meanwhile."""
    for name, value in (("patience.SLOWEST_SPAN", 1.5), ("patience.LATE", 0.5), ("connection.LISTEN", 1.0)):
        monkeypatch.setattr(f"chez.sync.{name}", value)
    async with (proxy() as front, relay(tmp_path / "r", "--name", front.name) as server,
                connected(front, server.url) as opened):
        front.passes.clear()
        asked = asyncio.ensure_future(opened.get_packet(bytes(32), bytes(32)))
        await asyncio.sleep(1.2)  # one look
        front.passes.set()
        time.sleep(3)  # noqa: ASYNC251 (the program is held)
        with pytest.raises(RelayRefused):
            await asked


async def test_what_hears_no_tls_is_told_apart() -> None:
    """A wss:// address at which something speaks plainly is named as that."""
    async with answering(PAGE) as url:
        with pytest.raises(NotARelay, match="TLS"):
            await open_socket(url.replace("ws://", "wss://"))


class Tunnel(Proxy):
    """An HTTP proxy: CONNECT, and then it carries."""

    def __init__(self, status: bytes) -> None:
        super().__init__()
        self.status = status
        self.asked: list[bytes] = []
        self.heads: list[bytes] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:  # which of its addresses is there was tried
            writer.close()
            return
        self.heads.append(asked)
        self.asked.append(asked.split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 " + self.status + b"\r\n\r\n")
        await writer.drain()
        if self.status.startswith(b"200"):
            await super().carry(reader, writer)
        writer.close()


@asynccontextmanager
async def tunnel(target: str, status: bytes = b"200 OK", tls: ssl.SSLContext | None = None) -> AsyncIterator[Tunnel]:
    """An HTTP proxy that leads to one relay, whatever it is asked for."""
    made = Tunnel(status)
    made.target = target
    server = await asyncio.start_server(made.carry, "127.0.0.1", 0, ssl=tls)
    made.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


async def test_a_proxy_is_used_where_one_is_named(server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through an HTTP proxy that is named the relay is reached; without, none is asked, whatever the system says."""
    async with tunnel(server.url) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("all_proxy", proxy.url)
        async with connect(server.url):
            assert proxy.asked == []
        monkeypatch.setenv("CHEZ_PROXY", proxy.url)
        async with connect(server.url):
            assert proxy.asked == [f"CONNECT {server.name} HTTP/1.1".encode()]


@pytest.mark.parametrize(("named", "match"), [
    ("http://127.0.0.1:1", "none to the proxy"), ("nonsense", "through the proxy"), ("ftp://x:1", "through the proxy"),
    ("ftp://me:secret@x:1", "through the proxy"), ("http://me:secret/more@x:1", "through the proxy"),
    ("http://proxy:secret", "can be none"), ("http://proxy..example:3128", "can be none")])
async def test_a_proxy_that_is_none_is_told(named: str, match: str, server: Within,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is not there, or is called something that is no proxy, is a typed error, and nothing goes past it."""
    monkeypatch.setenv("CHEZ_PROXY", named)
    with pytest.raises(RelayUnreachable, match=match) as caught:
        await open_socket(server.url)
    assert "CHEZ_PROXY" in caught.value.hint and "secret" not in str(caught.value)


async def test_a_proxy_that_says_nothing_is_thought_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where its packets are dropped, for it is that of another network: it may not be the relay that is silent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("CHEZ_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(RelayUnreachable, match="through the proxy in time") as caught:
            await open_socket("wss://relay.example", open_timeout=0.1)
    assert "CHEZ_PROXY" in caught.value.hint


async def test_a_name_that_nobody_can_have_is_told() -> None:
    """Beyond what its letters come to where names are looked up, which is not seen from the address."""
    with pytest.raises(RelayUnreachable, match="nobody can have that name"):
        await open_socket(f"wss://{'é' * 60}.example")


async def test_a_proxy_that_refuses_is_told(server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that wants a login says so in its status, which is shown."""
    async with tunnel(server.url, b"407 Proxy Authentication Required") as proxy:
        monkeypatch.setenv("CHEZ_PROXY", proxy.url)
        with pytest.raises(RelayUnreachable, match="407"):
            await open_socket(server.url)


async def test_what_keeps_a_connection_from_being_made_is_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, nobody knows the name, or it is the proxy that is not there: no number of an error is shown."""
    for url, words in (("ws://127.0.0.1:1", "nothing listens there"), ("ws://relay.invalid", "nobody knows its name")):
        with pytest.raises(RelayUnreachable, match=words) as caught:
            await open_socket(url)
        assert "Errno" not in str(caught.value) and caught.value.hint.endswith("relay runs.")
    monkeypatch.setenv("CHEZ_PROXY", "http://user:secret@127.0.0.1:1")
    with pytest.raises(RelayUnreachable, match="none to the proxy: nothing listens there") as caught:
        await open_socket("ws://relay.invalid")
    assert "CHEZ_PROXY" in caught.value.hint and "secret" not in str(caught.value)


async def test_a_proxy_that_the_system_names_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """CHEZ_PROXY says `system`: of a relay to which its proxy leads that is told, and who names it; of others not."""
    monkeypatch.setenv("CHEZ_PROXY", "system")
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(RelayUnreachable, match="none to the proxy: nothing listens there") as caught:
        await open_socket("ws://relay.invalid")
    assert "https_proxy" in caught.value.hint and "secret" not in str(caught.value)
    with pytest.raises(RelayUnreachable, match=r"no connection to 127\.0\.0\.1:1: nothing listens there") as caught:
        await open_socket("ws://127.0.0.1:1")
    assert "proxy" not in str(caught.value) + caught.value.hint
    with pytest.raises(RelayUnreachable, match="nobody can have that name"):
        await open_socket(f"ws://{'é' * 60}.example")


async def test_no_proxy_is_blamed_where_none_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a link-local address none can: what fails there is no matter of the one that is named."""
    monkeypatch.setenv("CHEZ_PROXY", "http://127.0.0.1:1")
    with pytest.raises(RelayUnreachable, match="no connection to") as caught:
        await open_socket("ws://[fe80::1%lo]:1", open_timeout=2)
    assert "proxy" not in str(caught.value) + caught.value.hint


async def test_what_speaks_no_tls_behind_a_proxy_is_told_and_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that leads somewhere else, as one before a page to log in: no error of a library's is left over."""
    odd: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: odd.append(context))
    async with answering(PAGE) as page, tunnel(page) as proxy:
        monkeypatch.setenv("CHEZ_PROXY", proxy.url)
        with pytest.raises(NotARelay, match="TLS"):
            await open_socket("wss://relay.example")
        await asyncio.sleep(0.05)
    assert odd == []


async def test_who_hangs_up_before_tls_stands_is_told_as_that() -> None:
    """A balancer whose relay is down, or a network that lets no TLS through: the sentence has its reason."""
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await reader.read()  # what is not read would make a reset of the end
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for scheme in ("ws", "wss"):
            with pytest.raises(RelayUnreachable, match=f"no connection to 127.0.0.1:{port}: it hung up"):
                await open_socket(f"{scheme}://127.0.0.1:{port}")


@pytest.mark.parametrize(("code", "word"), [(9, "clock"), (10, "clock"), (18, "SSL_CERT_FILE")])
def test_a_wrong_clock_is_thought_of_where_dates_do_not_fit(code: int, word: str) -> None:
    """A certificate that is not valid yet, or no more, may be right while this device's clock is wrong."""
    error = ssl.SSLCertVerificationError("x")
    error.verify_code, error.verify_message = code, "certificate has expired"
    assert word in why(error, "relay.example").hint

"""The websocket below a connection to a relay.

Whatever goes wrong with it is an `OSError` to those above, so that they need nothing of the
library, which is imported with this module: when a home connects, not when it opens.
"""

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, HTTPProxyConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConcurrencyError, ConnectionClosed, ConnectionClosedOK
from websockets.frames import CTRL_OPCODES, DATA_OPCODES, Frame, Opcode
from websockets.protocol import State
from websockets.proxy import get_proxy, parse_proxy
from websockets.uri import parse_uri

from chez.sync.dialling import by_one_address, reached
from chez.sync.failures import DIALLING, ForeignKey, ForeignProxy, why
from chez.sync.pulse import SLOWEST, Pulse, longest_from
from chez_wire.framing import between_frames, framed, message
from chez_wire.limits import KIB, MAX_FRAME
from chez_wire.pins import pin_of

__all__ = ("Socket", "open_socket")

PING: Final = "CHEZ_PING"
"""The environment variable that has the longest silence, in seconds, before a relay is asked whether it is there."""

PROXY: Final = "CHEZ_PROXY"
"""The environment variable that names a proxy: http://host:port, socks5://host:port, or `system` for the one that the
system, or `https_proxy` and `no_proxy`, name. Without it none is used."""

GOODBYE: Final = 1.0
"""Seconds for the other side to answer the end of a connection. Whatever matters was acknowledged before; where nobody
answers any more, as after the network went, each relay's would be waited for by whoever locks a home. What was sent
before it has to be taken in that time, too: where nobody reads any more it never is."""

MAX_UNREAD: Final = 4 * MAX_FRAME
"""Bytes of what was sent that the other side has not read. A message waits long before; answers to pings don't, and
who pings and never reads would fill this device's memory."""

MAX_PINGS: Final = 64
"""Pings, and answers that nobody waits for, within `PINGS_SECONDS`, where one in minutes is due. Each takes longer to
handle than to make: who sends nothing else, as anybody on a network may who is dialled there, would keep this device
at it."""

PINGS_SECONDS: Final = 10.0

READ: Final = 64 * KIB
"""Bytes that a read of a socket makes room for. The event loop would ask for 256, which the C library takes from the
system and gives back each time; little is read where a change is live."""


class _Dial(dial):
    """Follows no redirection: a relay is where it is said to be, and a login is bound to that name."""

    async def open_tcp_connection(self) -> ClientConnection:
        """A connection by whichever of the relay's addresses takes it first, or of the proxy's that leads to it.

        To a link-local address, which is the only one, the library's own way leads.
        """
        if isinstance(self.proxy, str):
            return await _by_proxy(self, self.proxy, super().open_tcp_connection)
        if "host" not in self.create_connection_kwargs:
            self.create_connection_kwargs["sock"] = await reached(self.ws_uri.host, self.ws_uri.port)
        return await super().open_tcp_connection()

    def process_redirect(self, exc: Exception) -> Exception:
        """What was answered, whatever it was."""
        return exc


async def _by_proxy(dialled: _Dial, url: str, opened: Callable[[], Awaitable[ClientConnection]]) -> ClientConnection:
    """What is `opened` by way of the proxy at this URL. Raises `ForeignProxy`, and what that raises."""
    dialled.proxy = await by_one_address(url)
    named = urlsplit(url)
    if named.scheme != "https":
        return await opened()
    loop, proxy, tls = asyncio.get_running_loop(), parse_proxy(dialled.proxy), dialled.create_connection_kwargs["ssl"]
    try:  # its certificate is that of its name
        transport, asking = await loop.create_connection(
            lambda: _Asking(dialled.ws_uri, proxy), proxy.host, proxy.port, ssl=True, server_hostname=named.hostname)
    except ssl.SSLError as error:
        raise ForeignProxy from error
    try:
        await asking.response
    except BaseException:
        transport.abort()
        raise
    connection = dialled.factory(dialled.ws_uri)
    transport.set_protocol(connection)
    if tls is not None:
        within = await loop.start_tls(transport, connection, ssl.create_default_context() if tls is True else tls,
                                      server_hostname=dialled.ws_uri.host)
        assert within is not None  # so it is, whatever its type says
        transport = within
    connection.connection_made(transport)
    return connection


class _Asking(HTTPProxyConnection):
    """Asks a proxy that is spoken to over TLS for the way to a relay."""

    def connection_made(self, transport: Any) -> None:
        """TLS stands. Where that with the relay, which goes within, does not, Python before 3.11.8 and 3.12.2 hands the
        error to what takes none (gh-113214): in its place comes another one, of ours, with a trace in the log."""
        transport._force_close = lambda _: transport.abort()
        super().connection_made(transport)


class _Client(ClientConnection):
    """Hands messages over as they are found, where somebody takes them."""

    take: Callable[[bytes], None] | None = None
    """What waits for `recv` costs a task its turn."""
    _in_parts: bool = False
    heard: float = 0.0
    """When something came last, by the loop's clock."""
    unheard: int = 0
    """How many bytes of messages were sent since."""
    passed: int = 0
    """How many bytes came, and were sent, all in all."""
    _pings: int = 0
    _pings_since: float = 0.0

    def sends(self, size: int) -> None:
        """A message of so many bytes is about to be sent."""
        self.unheard += size
        self.passed += size

    def data_received(self, data: bytes) -> None:
        """Bytes came, of whatever."""
        self.heard, self.unheard = self.loop.time(), 0
        self.passed += len(data)
        if self.take is not None and not self._in_parts and not len(self.recv_messages.frames) and (
                between_frames(self.protocol)):
            data = self._taken_whole(data)
        if data:
            super().data_received(data)
            if self.transport.get_write_buffer_size() > MAX_UNREAD:
                self.transport.abort()

    def _taken_whole(self, data: bytes) -> bytes:
        """Hand over the messages that `data` begins with, while somebody takes them; what is the library's."""
        at = 0
        while self.take is not None and (found := message(data, at, masked=False)) is not None:
            at = found[1]
            self.take(found[0])
        return data[at:]

    def connection_made(self, transport: Any) -> None:
        """The socket stands."""
        self.heard = self.loop.time()
        if hasattr(transport, "max_size"):  # asyncio's own transports of sockets have it
            transport.max_size = READ
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone. The library asks for what it has of one that stands, also where behind a proxy none ever
        did, for TLS failed: who dialled hears of that."""
        if hasattr(self, "transport"):
            super().connection_lost(exc)

    def _count(self, frame: Frame) -> None:
        """A ping came, or an answer that nobody may wait for: who sends them without end is left."""
        if frame.opcode is Opcode.PONG and bytes(frame.data) in self.pending_pings:
            return
        if self.heard >= self._pings_since + PINGS_SECONDS:
            self._pings, self._pings_since = 0, self.heard
        self._pings += 1
        if self._pings > MAX_PINGS:
            self.transport.abort()

    def process_event(self, event: Any) -> None:
        """The library found the answer to its request, or a frame."""
        if isinstance(event, Frame) and event.opcode in CTRL_OPCODES:
            self._count(event)
        elif isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            whole = event.fin and not self._in_parts
            self._in_parts = not event.fin
            # Behind what waits already it waits as well.
            if self.take is not None and whole and event.opcode is Opcode.BINARY and not len(self.recv_messages.frames):
                self.take(bytes(event.data))
                return
        super().process_event(event)


class _Pinned(_Client):
    """Says nothing to who has another key than those that are `pins`: not even what is wanted of it."""

    pins: tuple[str, ...] = ()

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """TLS stands, and the first bytes to the relay would be sent."""
        shown = self.transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if shown is None or pin_of(shown) not in self.pins:
            self.transport.abort()
            raise ForeignKey
        await super().handshake(*args, **kwargs)


class Socket:
    """An open websocket; made by `open_socket`."""

    def __init__(self, socket: _Client, pulse: Pulse) -> None:
        self._socket = socket
        self._pulse = pulse
        self._loop = asyncio.get_running_loop()
        self._asking = asyncio.create_task(self._ask())

    @property
    def reason(self) -> str:
        """What the other side said when it closed; empty for nothing."""
        return self._socket.close_reason or ""

    @property
    def carried(self) -> int:
        """How many bytes came, and how many of those that were sent the system took: of messages not yet whole, too."""
        return self._socket.passed - self._socket.transport.get_write_buffer_size()

    @property
    def certificate(self) -> bytes | None:
        """What the other side showed, in DER; None where there is no TLS."""
        tls = self._socket.transport.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert(binary_form=True)

    def send_now(self, data: bytes) -> bool:
        """Send a message if nothing before it waits; False, and nothing is done, if it has to wait for `send`."""
        socket = self._socket
        if socket.state is not State.OPEN or socket.transport.is_closing() or socket.transport.get_write_buffer_size():
            return False
        socket.sends(len(data))
        socket.protocol.writes.append(framed(data, os.urandom(4)))
        socket.send_data()
        return True

    async def send(self, data: bytes) -> None:
        """Send a message. Raises `OSError`."""
        if self.send_now(data):
            return
        self._socket.sends(len(data))
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise ConnectionError(str(error)) from None

    def take(self, handle: Callable[[bytes], None] | None) -> None:
        """Have messages handled as they come; those that came before, and those in parts, are for `messages`.

        Who sets it has to ask for these meanwhile, and not to wait between one and the next: so all keep their order.
        None: all are for `messages` again.
        """
        self._socket.take = handle

    async def messages(self) -> AsyncIterator[bytes]:
        """What comes, until the other side closes; a text, which no relay sends, as no bytes. Raises `OSError`."""
        try:
            while True:
                message = await self._socket.recv()
                yield message if isinstance(message, bytes) else b""
        except ConnectionClosedOK:
            return
        except ConnectionClosed as error:
            raise ConnectionError(str(error)) from None

    @property
    def closed(self) -> bool:
        """Whether it is closed, by either side."""
        return self._socket.state is State.CLOSED

    async def alive(self, seconds: float) -> bool:
        """Whether the other side answers, and is not silent for so many seconds; else the connection is given up.

        What comes before its answer, be it a part of a large message, shows that it is there. What is asked goes behind
        what was sent, which a slow line has still to carry: that long it has besides.
        """
        asked = self._loop.time() + self._socket.unheard / SLOWEST
        answer = asyncio.ensure_future(self._answer())
        try:
            while (left := max(asked, self._socket.heard) + seconds - self._loop.time()) > 0:
                if (await asyncio.wait([answer], timeout=left))[0]:
                    await answer
                    return True
        except ConnectionClosed:
            pass
        finally:
            answer.cancel()
        self._socket.transport.abort()
        return False

    async def _answer(self) -> None:
        await (await self._socket.ping())

    async def _ask(self) -> None:
        """Ask after each silence whether the other side is there."""
        pause = self._pulse.pause(random.random())
        while True:
            left = self._socket.heard + pause - self._loop.time()
            if left > 0:
                await asyncio.sleep(left)
                continue
            if not await self.alive(self._pulse.answer):
                self._pulse.lost()
                return
            self._pulse.answered()
            pause = self._pulse.pause(random.random())

    @property
    def waits(self) -> bool:
        """Whether something that was sent is not on its way yet."""
        return self._socket.transport.get_write_buffer_size() > 0

    def abort(self) -> None:
        """End it at once, and with it what waits to be sent."""
        self._socket.transport.abort()

    async def close(self, code: int = 1000) -> None:
        """Close it, whatever state it is in."""
        self._asking.cancel()
        passing = asyncio.create_task(self._pass_over())
        try:
            with suppress(ConnectionClosed, OSError):
                async with asyncio.timeout(GOODBYE):  # the library waits without an end for what was sent to be taken
                    await self._socket.close(code)
        finally:
            self._socket.transport.abort()  # nobody waits for the other side's goodbye any more
            passing.cancel()
        await self._socket.wait_closed()

    async def _pass_over(self) -> None:
        """Take out what still comes: where it waits for nobody, the goodbye behind it is not read either."""
        with suppress(ConnectionClosed, ConcurrencyError):  # who still reads takes it out
            while True:
                await self._socket.recv()


async def open_socket(url: str, name: str, open_timeout: float, tls: ssl.SSLContext | None = None, *,
                      near: bool = False, pins: tuple[str, ...] = (), pulse: Pulse | None = None) -> Socket:
    """Open the websocket at `url`, and nothing more; `name` is what errors call the relay.

    `near`: it is a relay on this network, whose certificate nobody vouches for but the meeting that follows, and no
    proxy leads there. `tls` says whom to trust at wss://; without it that is whom the system trusts (`SSL_CERT_FILE`).
    With `pins` the relay's key has to be one of them as well (RFC 7469, section 2.6, of the relay's own certificate
    alone: Python before 3.13 does not tell the chain). `pulse` is that of the connections before to this relay.
    Raises `RelayUnreachable`, `NotARelay`, `WrongPin`, and `InvalidValue` for a silence that can't be.
    """
    pulse = pulse or Pulse()
    pulse.longest = longest_from(os.environ.get(PING), pulse.longest)
    connection = type("Pinned", (_Pinned,), {"pins": pins}) if pins else _Client
    told, scoped = _scoped(url)
    proxy, proxy_by = None, ""
    try:
        if not near and not scoped:
            proxy, proxy_by = _proxy_to(url)
        async with asyncio.timeout(open_timeout):
            opened = await _Dial(
                told, compression=None, max_size=MAX_FRAME, max_queue=4, open_timeout=None, close_timeout=GOODBYE,
                proxy=proxy,
                ping_interval=None, user_agent_header=None,
                create_connection=connection,
                ssl=tls or ((_any_certificate() if near else True) if urlsplit(url).scheme == "wss" else None),
                **scoped,
            )
    except DIALLING as error:
        raise why(error, name, proxy_by=proxy_by) from error
    return Socket(cast("_Client", opened), pulse)


def _scoped(url: str) -> tuple[str, dict[str, Any]]:
    """What a relay is told to be called, and where the socket goes if that has to be said apart.

    The interface of a link-local address is this device's own affair: it is said to nobody (RFC 4007, 11.2), and no
    proxy can use it.
    """
    parts = urlsplit(url)
    host, scope, _ = (parts.hostname or "").partition("%")
    if not scope:
        return url, {}
    at = parts.port or (443 if parts.scheme == "wss" else 80)
    return f"{parts.scheme}://[{host}]:{at}{parts.path}", {"host": parts.hostname, "port": at}


def _proxy_to(url: str) -> tuple[str | None, str]:
    """The proxy that leads to `url`, if one does, and what names it, as a hint says it."""
    named = os.environ.get(PROXY)
    if named != "system":
        return named or None, PROXY if named else ""
    found = get_proxy(parse_uri(url))
    return found, "" if found is None else f"The system, or https_proxy ({PROXY} is {named}),"


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context

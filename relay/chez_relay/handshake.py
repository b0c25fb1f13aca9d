"""TLS of one connection, watched from its first byte: how long it may take, and how much it may make the relay hold.

The event loop makes TLS by itself where it is asked to, and tells of a connection when both sides have agreed:
before that nobody counts it, and it keeps a quarter of a megabyte to read into for as long as it lives. So the
socket comes here as it is, and this is put between it and who serves it. `asyncio.sslproto`, on which it builds, is
what the loop itself uses; this module is the only one that names it.
"""

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol, SSLProtocolState
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from chez_relay.bounds import MAX_HELLO

__all__ = ("Handshake",)

RECORD: Final = 16 * 1024
"""Bytes read at a time: one record of TLS carries no more (RFC 8446, 5.1). Each connection keeps so much room."""

PIECE: Final = 64 * 1024
"""Bytes sealed at a time."""


if TYPE_CHECKING:
    class _Library(SSLProtocol):  # type checkers are told of a part of it alone
        _outgoing: ssl.MemoryBIO
        _state: SSLProtocolState
        _ssl_writing_paused: bool
        _sslobj: ssl.SSLObject
        _write_backlog: deque[bytes | memoryview]  # type: ignore[assignment]
        _write_buffer_size: int

        def resume_writing(self) -> None: ...
        def _get_write_buffer_size(self) -> int: ...
        def _process_outgoing(self) -> None: ...
        def _do_flush(self) -> None: ...
else:
    _Library = SSLProtocol


class Handshake(_Library):
    """The TLS side of a socket, the relay's; `connection_made` of who serves it is called when both sides agreed.

    `failed` is called instead when that came to nothing: with False where the other side left before its first byte, as
    who dials several addresses at once, or looks whether the relay is there, does. `seconds` is for agreeing, `closing`
    for the other side's word that it has read to the end.
    """

    max_size = RECORD

    def __init__(self, context: ssl.SSLContext, server: asyncio.Protocol, failed: Callable[[bool], None], *,
                 seconds: float, closing: float) -> None:
        # Nobody waits for it: there is no future to tell.
        super().__init__(asyncio.get_running_loop(), server, context, None, server_side=True,  # type: ignore[arg-type]
                         ssl_handshake_timeout=seconds, ssl_shutdown_timeout=closing)  # type: ignore[arg-type]
        self._failed: Callable[[bool], None] | None = failed
        self._arrived = 0
        self._socket: asyncio.Transport | None = None
        self._below: asyncio.Transport | None = None

    def agree(self, transport: asyncio.Transport) -> None:
        """They have: `transport` is the one that carries plain bytes from now on."""
        self._failed = None
        self._socket = None
        # What is read and not yet looked at waits here; the door counts what it has looked at.
        transport.set_read_buffer_limits(RECORD)  # type: ignore[attr-defined]

    def begin(self, transport: asyncio.Transport) -> None:
        """Greet who is at the other end of a socket."""
        self._socket = self._below = transport
        # All or nothing: between two marks of the socket's own nobody would say that there is room again.
        transport.set_write_buffer_limits(0)
        transport.set_protocol(self)
        self.connection_made(transport)

    def resume_writing(self) -> None:
        """The socket took all that it had."""
        super().resume_writing()
        self._do_write()

    def _get_write_buffer_size(self) -> int:
        """Bytes that the other side has not taken: the library does not count those that the socket holds."""
        below = 0 if self._below is None else self._below.get_write_buffer_size()
        return super()._get_write_buffer_size() + below

    def _do_write(self) -> None:
        """Seal what waits, a piece at a time while the socket takes it; at the end of the connection all of it.

        The library seals all at once, in memory of OpenSSL's that stays as large as the largest page was.
        """
        backlog = self._write_backlog
        try:
            while backlog and not (self._ssl_writing_paused and self._state is SSLProtocolState.WRAPPED):
                data = memoryview(backlog[0])
                count = self._sslobj.write(data[:PIECE])
                self._write_buffer_size -= count
                if count < len(data):
                    backlog[0] = data[count:]
                else:
                    del backlog[0]
                if self._outgoing.pending >= PIECE:
                    self._process_outgoing()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass
        self._process_outgoing()

    def _do_flush(self) -> None:
        """The connection ends: what waits goes before that is said."""
        self._do_write()
        super()._do_flush()

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes came."""
        super().buffer_updated(nbytes)
        self._arrived += nbytes
        if self._socket is not None and self._arrived > MAX_HELLO:
            self._socket.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The socket is closed."""
        super().connection_lost(exc)
        failed, self._failed, self._socket, self._below = self._failed, None, None, None
        if failed is not None:
            failed(self._arrived > 0 or not isinstance(exc, ConnectionResetError))

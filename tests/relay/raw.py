"""Clients by hand: bytes on a socket, as no library would send them."""

import asyncio
import base64
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

__all__ = ("Raw", "frame", "raw", "until")


@dataclass
class Raw:
    """An open TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def upgrade(self, *headers: str) -> bytes:
        """The websocket handshake (RFC 6455, 4.1), with more headers; the answer's head."""
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ("GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}",
                 "Sec-WebSocket-Version: 13", *headers, "", "")
        self.send("\r\n".join(lines).encode())
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 90)

    async def ended(self) -> bytes:
        """What comes until the other side closes."""
        data = b""
        try:
            while chunk := await asyncio.wait_for(self.reader.read(65536), 90):
                data += chunk
        except ConnectionError:
            pass
        return data

    @property
    def over(self) -> bool:
        """Whether the other side has closed, as far as was noticed."""
        return self.reader.at_eof() or self.reader.exception() is not None or self.writer.is_closing()


def frame(opcode: int, data: bytes = b"", *, first: int = 0x80) -> bytes:
    """One websocket frame, masked with zeros (RFC 6455, 5.2); `first` has FIN and the reserved bits."""
    if len(data) < 126:
        size = bytes((0x80 | len(data),))
    elif len(data) < 65536:
        size = b"\xfe" + struct.pack(">H", len(data))
    else:
        size = b"\xff" + struct.pack(">Q", len(data))
    return bytes((first | opcode,)) + size + bytes(4) + data


@asynccontextmanager
async def raw(port: int) -> AsyncIterator[Raw]:
    """A TCP connection to loopback."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a callable says yes, 20 seconds at most."""
    async with asyncio.timeout(90):
        while not condition():  # noqa: ASYNC110 (nothing announces it)
            await asyncio.sleep(0.01)

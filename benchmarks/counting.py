"""A TCP proxy that counts what goes through it, and can cut it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

__all__ = ("Counter", "counting")

PIECE = 65_536


@dataclass
class Counter:
    """What went through since `clear`: bytes each way, and `turns`, how often the client spoke after the server had.

    A turn is a round trip that somebody waited for, a connection's own included.
    """

    port: int = 0
    up: int = 0
    down: int = 0
    turns: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the client speaks."""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _answered: bool = True
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def clear(self) -> None:
        """Count from zero."""
        self.up = self.down = self.turns = 0
        self._answered = True
        self.begun.clear()

    def cut(self) -> None:
        """End all connections at once, as a network that goes away."""
        for writer in tuple(self._open):
            writer.transport.abort()

    async def quiet(self, seconds: float) -> None:
        """Until nothing went through for so long."""
        with suppress(TimeoutError):
            while True:
                self._news.clear()
                async with asyncio.timeout(seconds):
                    await self._news.wait()

    def note(self, size: int, *, up: bool) -> None:
        """Bytes went through."""
        self._news.set()
        if up:
            self.up += size
            self.turns += self._answered
            self.begun.set()
        else:
            self.down += size
        self._answered = not up


@asynccontextmanager
async def counting(port: int) -> AsyncIterator[Counter]:
    """A proxy to a port of the loopback."""
    counter = Counter()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(PIECE):
                counter.note(len(data), up=up)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_connection("127.0.0.1", port)
        counter._open |= {writer, to}
        try:
            await asyncio.gather(carry(reader, to, True), carry(there, writer, False))
        finally:
            counter._open -= {writer, to}

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    counter.port = server.sockets[0].getsockname()[1]
    try:
        yield counter
    finally:
        server.close()
        counter.cut()

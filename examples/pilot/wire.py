"""What passes between everybody and the relay, counted: a proxy on loopback that looks at no byte."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

__all__ = ("Wire", "counted")

PIECE: Final = 65_536


@dataclass(slots=True)
class Wire:
    """Bytes so far, as TCP carries them (websocket's own included), and connections."""

    up: int = 0
    down: int = 0
    connections: int = 0

    @property
    def total(self) -> int:
        """Bytes both ways."""
        return self.up + self.down


@asynccontextmanager
async def counted(port: int, target: int) -> AsyncIterator[Wire]:
    """Pass on to `target` what comes to `port`, until the block ends."""
    wire, carrying = Wire(), set[asyncio.Task[None]]()

    async def serve(near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        wire.connections += 1
        try:
            far, to_far = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(_carry(near, to_far, wire, up=True), _carry(far, to_near, wire, up=False))
        except (OSError, asyncio.CancelledError):
            to_near.transport.abort()
        finally:
            carrying.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield wire
    finally:
        server.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wire: Wire, *, up: bool) -> None:
    with suppress(OSError):
        while data := await reader.read(PIECE):
            if up:
                wire.up += len(data)
            else:
                wire.down += len(data)
            writer.write(data)
            await writer.drain()
    writer.close()

"""One address behind which relays change: what a relay that lies, or lost its store, looks like."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.relay.within import Within, relay


class Proxy:
    """Forwards connections to whichever relay `target` names at that time."""

    def __init__(self) -> None:
        self.target = ""
        self.url = ""
        self.frozen = False
        """Whether what comes is swallowed: a network that is there no more, and tells nobody."""
        self.page = b""
        """What everybody who dials is answered with instead of the relay's words: a network that wants one to log in.
        """
        self.drips = False
        """Whether what comes goes on byte by byte, with pauses: a relay that wants to be waited for."""
        self.rate = 0
        """Bytes in a second that go on each way, whatever comes; 0: as it comes."""
        self.passes = asyncio.Event()
        """Until this is set, what comes waits: a relay that answers after another one."""
        self.passes.set()
        self.carried = 0
        """Bytes both ways."""
        self._sides: set[asyncio.StreamWriter] = set()
        self._forgotten: set[asyncio.StreamWriter] = set()

    @property
    def name(self) -> str:
        """What clients dial; relays behind it must go by it."""
        return self.url.removeprefix("ws://")

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways, until either side ends."""
        if self.page:
            with suppress(OSError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.page)
            writer.close()
            return
        host, port = self.target.removeprefix("ws://").split(":")
        try:
            there, back = await asyncio.open_connection(host, int(port))
        except OSError:  # no relay is behind it just now
            writer.close()
            return
        self._sides |= {back, writer}
        with suppress(OSError):
            ways = [asyncio.ensure_future(self._copy(*way)) for way in ((reader, back), (there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for side in (back, writer):
            side.close()
        self._sides -= {back, writer}
        self._forgotten -= {back, writer}

    def forget(self) -> None:
        """Swallow what comes on the connections that there are, and tell nobody: as what translates addresses does
        meanwhile for a device that sleeps, or went. New connections are carried.
        """
        self._forgotten |= self._sides

    def cut(self) -> None:
        """End all connections at once, as a network that goes away."""
        for side in tuple(self._sides):
            side.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                self.carried += len(data)
                await self.passes.wait()
                if self.frozen or writer in self._forgotten:
                    continue
                step = 1 if self.drips else 1024 if self.rate else len(data)
                for piece in (data[n:n + step] for n in range(0, len(data), step)):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01 if self.drips else len(piece) / self.rate if self.rate else 0)


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """A proxy on a free port of loopback."""
    made = Proxy()
    server = await asyncio.start_server(made.carry, "127.0.0.1", 0)
    made.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


@asynccontextmanager
async def behind(front: Proxy, data: Path, *others: Proxy) -> AsyncIterator[Within]:
    """A relay over `data`, to which the proxy leads from now on, and these others."""
    names = [option for each in (front, *others) for option in ("--name", each.name)]
    async with relay(data, *names) as server:
        for each in (front, *others):
            each.target = server.url
        yield server

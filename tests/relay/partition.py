"""Connections between the nodes of a cluster that a test can cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from chez_relay.cluster.nodes import Cluster


class Links:
    """A small proxy for each pair of nodes, which all that they say to each other goes through."""

    def __init__(self) -> None:
        self._cut: set[str] = set()
        self._open: dict[tuple[str, str], set[asyncio.StreamWriter]] = {}

    def cut(self, name: str) -> None:
        """Part a node from the others: their connections break, and none comes about."""
        self._cut.add(name)
        for pair, writers in self._open.items():
            if name in pair:
                for writer in list(writers):
                    writer.transport.abort()

    def heal(self, name: str) -> None:
        """Let a node reach the others again."""
        self._cut.discard(name)

    def proxy(self, source: str, target: str, port: int) -> Callable[
            [asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]:
        """What serves the connections of one node to another."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._cut & {source, target}:
                writer.transport.abort()
                return
            pair = self._open.setdefault((source, target), set())
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                pair |= {writer, far_writer}
                try:
                    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
                finally:
                    pair -= {writer, far_writer}
            writer.transport.abort()

        return serve  # type: ignore[return-value]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@asynccontextmanager
async def linked(cluster: Cluster) -> AsyncIterator[Links]:
    """Have the nodes of a cluster that is not started yet reach each other by links."""
    links = Links()
    async with AsyncExitStack() as stack:
        for node in cluster.nodes:
            ports = []
            for other in cluster.nodes:
                if other is not node:
                    server = await asyncio.start_server(
                        links.proxy(node.name, other.name, other.route), "127.0.0.1", 0)  # type: ignore[arg-type]
                    stack.callback(server.close)
                    ports.append(server.sockets[0].getsockname()[1])
            path = cluster.folder / f"{node.name}.conf"
            head, _, _ = path.read_text().partition("    routes:")
            routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
            # What nodes tell each other of where they are must not lead around the links.
            path.write_text(f"{head}    advertise: \"127.0.0.1:1\"\n    routes: [{routes}]\n}}\n")
        yield links
        for node in cluster.nodes:
            links.cut(node.name)

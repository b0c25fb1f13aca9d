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
        self._serving: set[asyncio.Task[None]] = set()
        self._over = False

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
            [asyncio.StreamReader, asyncio.StreamWriter], None]:
        """What serves the connections of one node to another."""

        def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._over:  # it was on its way when the servers closed
                writer.transport.abort()
                return
            # A task of our own: of one that asyncio.start_server makes nobody knows when it is over.
            task = asyncio.ensure_future(self._serve(source, target, port, reader, writer))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

        return accepted

    async def close(self) -> None:
        """End all connections, and wait until nothing of them is left on the loop."""
        self._over = True
        while self._serving:
            for task in self._serving:
                task.cancel()
            await asyncio.wait(self._serving)

    async def _serve(self, source: str, target: str, port: int,
                     reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with _aborted(writer):
            if self._cut & {source, target}:
                return
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                both, pair = {writer, far_writer}, self._open.setdefault((source, target), set())
                pair |= both
                try:
                    async with _aborted(far_writer), asyncio.TaskGroup() as pumps:
                        pumps.create_task(_pump(reader, far_writer))
                        pumps.create_task(_pump(far_reader, writer))
                finally:
                    pair -= both


@asynccontextmanager
async def _aborted(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """A connection that is gone from the loop at the end."""
    try:
        yield
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


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
        stack.push_async_callback(links.close)
        for node in cluster.nodes:
            ports = []
            for other in cluster.nodes:
                if other is not node:
                    server = await asyncio.start_server(links.proxy(node.name, other.name, other.route), "127.0.0.1", 0)
                    stack.callback(server.close)
                    ports.append(server.sockets[0].getsockname()[1])
            path = cluster.folder / f"{node.name}.conf"
            head, _, _ = path.read_text().partition("    routes:")
            routes = ", ".join(f"nats://127.0.0.1:{port}" for port in ports)
            # What nodes tell each other of where they are must not lead around the links.
            path.write_text(f"{head}    advertise: \"127.0.0.1:1\"\n    routes: [{routes}]\n}}\n")
        yield links

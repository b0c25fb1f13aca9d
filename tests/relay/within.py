"""A relay in the process of the tests, for those that need a relay and not a process of its own.

It is made of the same settings, store and server as `chez-relay serve`, which takes a fifth of a second to start.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chez_relay.config import load
from chez_relay.server import RelayServer, serving
from chez_relay.storage.opening import opened

_SETTINGS = {"--listen": "listen", "--name": "names", "--token-file": "token_file",
             "--space-quota": "quotas.space_bytes", "--blob-quota": "quotas.blob_bytes"}
"""What the flags of `chez-relay serve` that tests give are called among the settings."""


@dataclass
class Within:
    """A relay that runs in this process, on its event loop."""

    url: str
    data: Path
    _server: RelayServer
    _stack: AsyncExitStack

    @property
    def name(self) -> str:
        """What clients dial."""
        return self.url.partition("://")[2]

    async def kill(self) -> None:
        """End it without a word to whoever is connected. What it was asked before is still written."""
        for connection in list(self._server._connections):
            connection.abort()
        await self._stack.aclose()


@asynccontextmanager
async def relay(data: Path, *options: str) -> AsyncIterator[Within]:
    """A relay over `data` on a free port of loopback, with options of `chez-relay serve`; gone at the end."""
    said: dict[str, object] = {"listen": "127.0.0.1:0", "data": str(data)}
    for flag, given in zip(options[::2], options[1::2], strict=True):
        name, given = given.split("=", 1) if flag == "--set" else (_SETTINGS[flag], given)
        said[name] = (*said.get(name, ()), given) if flag == "--name" else given  # type: ignore[misc]
    settings = load(said, {})
    host, port = settings.address
    async with AsyncExitStack() as stack:
        storage = await opened(settings)
        stack.push_async_callback(storage.close)
        server = await stack.enter_async_context(serving(
            storage, host, port, names=settings["names"], tokens=settings.tokens(), limits=settings.limits))
        yield Within(f"ws://127.0.0.1:{server.port}", data, server, stack)


@contextmanager
def relay_beside(data: Path, *options: str) -> Iterator[str]:
    """The URL of such a relay on a thread of its own, for tests that wait without an event loop."""
    ready: Future[tuple[str, Callable[[], object]]] = Future()

    async def run() -> None:
        ended, loop = asyncio.Event(), asyncio.get_running_loop()
        try:
            async with relay(data, *options) as running:
                ready.set_result((running.url, lambda: loop.call_soon_threadsafe(ended.set)))
                await ended.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(lambda: asyncio.run(run()))
        url, end = ready.result()
        try:
            yield url
        finally:
            end()
            done.result()

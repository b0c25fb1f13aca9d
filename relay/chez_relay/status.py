"""Health, readiness and metrics over HTTP, on an address of their own that only the operator reaches.

    /healthz   200 while the process answers at all: else restart it
    /readyz    200 while it takes connections and can write, 503 otherwise: send no new clients
    /metrics   the counts, for Prometheus
"""

import asyncio
import http
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

__all__ = ("status_pages",)

_log = logging.getLogger("chez_relay")

Page = Callable[[], tuple[int, str]]


@asynccontextmanager
async def status_pages(
    host: str, port: int, ready: Callable[[], bool], metrics: Callable[[], str]
) -> AsyncIterator[int]:
    """Answer on host and port (0: any free one; which it is, is the block's) until the block ends.

    Nobody is waited for then. Raises OSError when the address can't be bound.
    """
    pages: Mapping[str, Page] = MappingProxyType({
        "/healthz": lambda: (200, "well\n"),
        "/readyz": lambda: (200, "ready\n") if ready() else (503, "not ready\n"),
        "/metrics": lambda: (200, metrics()),
    })

    def answer(socket: ServerConnection, request: Request) -> Response:
        page = pages.get(request.path.partition("?")[0], lambda: (404, "no such page\n"))
        try:
            code, text = page()
        except Exception:  # the library would answer that a log tells more, and its own tells nothing here
            _log.exception("a page of status could not be made")
            code, text = 500, "this page could not be made: the log says why\n"
        response = socket.respond(http.HTTPStatus(code), text)
        response.headers.pop("Content-Type", None)
        response.headers["Content-Type"] = "text/plain; version=0.0.4; charset=utf-8"
        return response

    clients = set[asyncio.BaseTransport]()

    class Client(ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            clients.add(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            clients.discard(self.transport)
            super().connection_lost(exc)

    quiet = logging.getLogger("chez_relay.websocket")
    quiet.disabled = True
    # The library's parser bounds lines and headers; it never comes to a websocket.
    async with serve(_nobody, host, port, process_request=answer, compression=None, max_size=1, open_timeout=5,
                     server_header=None, logger=quiet, create_connection=Client) as listener:
        try:
            yield next(iter(listener.sockets)).getsockname()[1]
        finally:
            # The library waits for who asks nothing, or was answered and does not close: the relay would end later.
            for transport in clients:
                transport.close()


async def _nobody(_socket: ServerConnection) -> None:
    return

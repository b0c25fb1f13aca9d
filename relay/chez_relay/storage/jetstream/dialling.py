"""Reaching a cluster, and telling why where that fails."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from chez_relay.errors import StorageFailed

__all__ = ("dial", "let_go")


async def dial(
    client: Client, urls: Sequence[str], seconds: float, *, reconnected: Callable[[], Awaitable[None]] | None = None,
    **options: Any,
) -> None:
    """Connect to the first of these nodes that answers; when that connection ends, to those after it, in turn.

    They are tried over and over for so many seconds, unless one says that it lets nobody in with this name and
    password. Raises `StorageFailed`; then the client is closed.
    """
    last: list[Exception] = []
    refused = asyncio.Event()

    async def failed(error: Exception) -> None:
        # Errors of later show where something is asked; nats-py would print them.
        last[:] = [error]
        if "authorization" in str(error).lower() or "authentication" in str(error).lower():
            refused.set()

    connecting = asyncio.ensure_future(client.connect(
        list(urls), dont_randomize=True, error_cb=failed, reconnected_cb=reconnected, connect_timeout=2, **options))
    turned_away = asyncio.ensure_future(refused.wait())
    try:
        await asyncio.wait((connecting, turned_away), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done() and not refused.is_set():
            await connecting
            return
    except (NatsError, OSError) as error:
        last[:] = [error]
    except BaseException:
        await let_go(client)
        raise
    finally:
        turned_away.cancel()
        if not connecting.done():
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
    await let_go(client)
    if refused.is_set():
        raise StorageFailed("the cluster lets nobody in with this user and password",
                            "compare those of --nats with the authorization that the nodes are set to")
    why = f" ({type(last[0]).__name__})" if last else ""
    raise StorageFailed(f"no node of the cluster answers{why}", "are the nodes of --nats running?")


async def let_go(client: Client) -> None:
    """Close a connection; of one whose other end is gone already that may fail, and is done all the same."""
    if not client.is_closed:
        with suppress(NatsError, OSError):
            await client.close()

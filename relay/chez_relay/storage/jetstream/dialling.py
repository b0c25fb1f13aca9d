"""Reaching a cluster, and coming back to it; and telling why where that fails."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.protocol.parser import PERMISSIONS_ERR

from chez_relay.errors import StorageFailed, in_words

__all__ = ("dial", "let_go")

TRY_SECONDS: Final = 5.0
"""For one try: the client asks one node after the other, but waits for ever behind a certificate that it does not
trust."""

PAUSE: Final = 0.2

_log = logging.getLogger("chez_relay")


async def dial(
    urls: Sequence[str], seconds: float, *, reconnected: Callable[[], Awaitable[None]] | None = None, **options: Any
) -> Client:
    """Connect to the first of these nodes that answers; when that connection ends, to those after it, in turn.

    They are tried over and over for so many seconds, unless each says what no trying changes: that it lets nobody in
    with this name and password, or a certificate that is not trusted. Raises `StorageFailed`.
    """
    time = asyncio.get_running_loop().time
    end, turn, in_vain = time() + seconds, 0, 0
    why: Exception | None = None
    final: StorageFailed | None = None
    while time() < end and in_vain < len(urls):
        order = [*urls[turn % len(urls):], *urls[:turn % len(urls)]]
        found = await _try(order, min(TRY_SECONDS, end - time()), reconnected, options)
        if isinstance(found, Client):
            return found
        why, known = found, _final(found)
        final, in_vain, turn = known or final, in_vain + 1 if known else 0, turn + 1
        await asyncio.sleep(PAUSE)
    if final is not None:
        raise final
    raise StorageFailed(f"no node of the cluster answers ({_said(why)})",
                        "are the nodes of --nats running, and reached from here? `chez-relay doctor` looks at each")


async def _try(
    urls: Sequence[str], seconds: float, reconnected: Callable[[], Awaitable[None]] | None, options: dict[str, Any]
) -> Client | Exception:
    """One try: the connection, or the last error; at once one that no trying changes."""
    client, refused = _Returning(), asyncio.Event()
    error: Exception = TimeoutError()

    async def failed(one: Exception) -> None:
        # Errors of later show where something is asked; nats-py would print them.
        nonlocal error
        if connected:
            client.turned_away(_final(one))
            return
        if not refused.is_set():  # else what follows from that one
            error = one
        if _final(one) is not None:
            refused.set()

    connecting = asyncio.ensure_future(client.connect(
        list(urls), dont_randomize=True, error_cb=failed, reconnected_cb=reconnected, connect_timeout=2, **options))
    say = asyncio.ensure_future(refused.wait())
    connected = False
    try:
        await asyncio.wait((connecting, say), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done() and not refused.is_set():
            await connecting
            connected = True
            return client
    except (NatsError, OSError) as other:
        error = other
    finally:
        say.cancel()
        if not connected:
            connecting.cancel()
            await asyncio.gather(connecting, return_exceptions=True)
            await let_go(client)
    return error


class _Returning(Client):
    """A client that says passwords as they are meant, and comes back where a node said why it ended a connection.

    nats-py closes itself for ever then, whatever comes after: also when a password is changed back, or was changed at
    one node before the others.
    """

    _said = ""

    def _connect_command(self) -> bytes:
        """What it says first: the user and password of the node's address, in which `%40` stands for an @ (RFC 3986).

        nats-py says them as they are written there.
        """
        at = self._current_server.uri if self._current_server is not None else None
        parts = (None, None) if at is None else (at.username, at.password)
        user, password = (None if part is None else unquote(part) for part in parts)
        self.options |= {"user": user, "password": password, "token": user if password is None else None}
        return super()._connect_command()

    async def _process_err(self, err_msg: str) -> None:
        if self.is_closed or PERMISSIONS_ERR in err_msg.lower():
            await super()._process_err(err_msg)
        elif self.is_connected:
            _log.warning("a node of the cluster ended the connection: %s", err_msg.strip("'"))
            self._said = ""
            await self._process_op_err(NatsError(f"nats: {err_msg}"))
        # else it is dialling again, and hears soon that nobody answers

    def turned_away(self, why: StorageFailed | None) -> None:
        """Tell the operator why it is not let in again: once, for that is tried each second."""
        if not self.is_connected and self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call]  # nats-py forgets it as it is: open
        if why is not None and str(why) != self._said:
            self._said = str(why)
            _log.error("%s", why)


async def let_go(client: Client) -> None:
    """Close a connection; of one whose other end is gone already that may fail, and is done all the same."""
    if not client.is_closed:
        with suppress(NatsError, OSError):
            await client.close()


def _said(error: Exception | None) -> str:
    """What went wrong, as people say it."""
    if isinstance(error, TimeoutError) or error is None:
        return "no answer in time"
    return in_words(error) if isinstance(error, OSError) else type(error).__name__


def _final(error: Exception) -> StorageFailed | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return StorageFailed("the certificate of a node of the cluster is not trusted",
                             "--nats has the name that it was made for, and SSL_CERT_FILE may name its authority")
    said = str(error).lower()
    if "timeout" in said:  # "Authentication Timeout": a node that has much to do heard the password too late
        return None
    if "authorization" in said or "authentication" in said:
        return StorageFailed("the cluster lets nobody in with this user and password",
                             "compare those of --nats with the authorization that the nodes are set to")
    return None

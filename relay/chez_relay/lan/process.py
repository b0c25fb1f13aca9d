"""`chez-relay lan`: the relay of one home on its network, a child process of who runs that home.

It knows no key but meeting secrets, which its home writes to standard input and which recognise,
and open nothing. What it stores is sealed, as at any relay, and may be deleted at any time: the
devices see another incarnation, and fill it again. It ends with its standard input, and so with
the process that it belongs to, however that ends.
"""

import asyncio
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import msgspec

from chez_relay import logs
from chez_relay.errors import BadConfiguration, RelayError
from chez_relay.lan.certificate import channel
from chez_relay.lan.meeting import Acquaintances
from chez_relay.lan.pieces import WithPieces
from chez_relay.limits import Limits
from chez_relay.server import RelayServer, serving
from chez_relay.storage import AddSpace, SpaceKeys, Storage
from chez_relay.storage.copies import FILE_NAME, looking
from chez_relay.storage.sqlite import SqliteStorage
from chez_wire.lan import Guests, Listening, Report, Secrets
from chez_wire.limits import MIB
from chez_wire.meeting import channel_of

__all__ = ("LIMITS", "run")

LIMITS: Final = Limits(
    connections=64, connections_per_address=8, dials_burst_per_address=64.0, dials_rate_per_address=2.0,
    memory=128 * MIB, memory_per_address=48 * MIB)
"""A household's devices, and no more: a device gives its neighbours this much and nothing beyond."""

MAX_LINE: Final = 2 * MIB
"""Bytes of a line from the home: all that may be said of as many spaces as a home may have takes less."""

_log = logging.getLogger("chez_relay")


def run(data: Path, pieces: Path | None, host: str, port: int) -> None:
    """Serve on an address (port 0: any free one) until standard input ends; `pieces` has those of attachments.

    On `::` all addresses of both families are served, or those of IPv4 where there is no other.

    Raises `RelayError`.
    """
    logs.begin("text", "")
    asyncio.run(_serve(data, pieces, host, port))


async def _serve(data: Path, pieces: Path | None, host: str, port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # the terminal's, for all of its processes: the home decides
    lines = await _lines()
    first = await _secrets(lines)
    if first is None:
        return
    seed = secrets.token_bytes(32)
    shown = channel(seed)
    async with AsyncExitStack() as stack:
        storage: Storage = await _opened(data, set(first.by_handle))
        stack.push_async_callback(storage.close)
        await _host(storage, first)
        if pieces is not None:
            storage = WithPieces(storage, pieces)
        known = Acquaintances(secrets.token_bytes, channel_of(shown.certificate), first.by_handle,
                              shared=shown.shared)
        known.changed = lambda: _say(Guests(sorted(known.instances)))
        try:
            server = await stack.enter_async_context(
                serving(storage, host, port, limits=LIMITS, tls=shown.tls, known=known, listening=_bound(host, port)))
        except OSError as error:
            raise BadConfiguration(f"{host}:{port} can't be used: {error.strerror or error}") from error
        _say(Listening(server.port, storage.incarnation, seed))
        hearing = asyncio.create_task(_hear(lines, server, storage))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((hearing, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if hearing.done():
            hearing.result()
        hearing.cancel()


def _bound(host: str, port: int) -> socket.socket | None:
    """One socket for both families, on one port, where all addresses are asked for; None: `host` alone will do.

    Raises OSError.
    """
    if host != "::":
        return None
    with suppress(OSError):  # a kernel without IPv6
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("0.0.0.0", port))


async def _hear(lines: asyncio.StreamReader, server: RelayServer, storage: Storage) -> None:
    """Serve what the home says, until it says nothing more."""
    while (said := await _secrets(lines)) is not None:
        await _host(storage, said)
        server.renew(said.by_handle)


async def _host(storage: Storage, said: Secrets) -> None:
    """Make the spaces that are hosted, where they are not here: one that is keeps the keys that it has."""
    asked = [AddSpace(one.handle, SpaceKeys(one.admin, one.recovery, one.read, one.append, one.control))
             for one in said.hosted if one.handle in said.by_handle]
    if not asked:
        return
    try:
        await storage.perform(asked)
    except RelayError as error:  # a full disk: what is here is served
        _log.warning("spaces can't be made here: %s", error)


async def _lines() -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def _secrets(lines: asyncio.StreamReader) -> Secrets | None:
    """The next line; None at the end. Raises `BadConfiguration` for what is none, and quotes nothing of it."""
    try:
        line = await lines.readline()
        return msgspec.json.decode(line, type=Secrets) if line else None
    except (ValueError, msgspec.DecodeError):
        raise BadConfiguration("what stands on standard input is no list of spaces",
                               "this command is run by `chez up`, not by hand") from None


async def _opened(data: Path, handles: set[bytes]) -> Storage:
    """The store, made anew when it has something of a space that is not served any more, or can't be used."""
    if (data / FILE_NAME).exists():
        try:
            with looking(data / FILE_NAME) as db:
                kept = {bytes(handle) for (handle,) in db.execute("SELECT handle FROM spaces")}
            fits = kept <= handles
        except RelayError:
            fits = False
        if not fits:
            _log.info("the store is begun anew")
            shutil.rmtree(data, ignore_errors=True)
    try:
        return await SqliteStorage.open(data)
    except RelayError:
        shutil.rmtree(data, ignore_errors=True)
        return await SqliteStorage.open(data)


def _say(report: Report) -> None:
    with suppress(OSError):  # the home is gone: standard input ends as well
        os.write(sys.stdout.fileno(), msgspec.json.encode(report) + b"\n")

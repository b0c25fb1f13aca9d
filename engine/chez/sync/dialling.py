"""Of a name's addresses the first that takes a connection: each is tried beside those before it (RFC 8305).

A relay is spoken to over the socket that it took. To a proxy the websocket library dials by itself, and one address
after the other: it is told that which was found to take a connection.

asyncio's own way (`happy_eyeballs_delay`) leaves a socket open where a dial is given up just when it stood, and event
loops of other makers have none.
"""

import asyncio
import ipaddress
import socket
from itertools import zip_longest
from typing import Any, Final
from urllib.parse import urlsplit

from websockets.proxy import parse_proxy

__all__ = ("NoAddress", "by_one_address", "reached")

NEXT: Final = 0.25
"""Seconds that an address may take before the next one is tried beside it (RFC 8305, section 5): one that refuses is
over at once, one whose machine is gone says nothing."""


class NoAddress(OSError):
    """A name has several addresses, and none took the connection; `errors` are what each said."""

    def __init__(self, errors: list[OSError]) -> None:
        super().__init__("; ".join(map(str, errors)))
        self.errors = errors


async def reached(host: str, port: int) -> socket.socket:
    """A socket that is connected to whichever of the host's addresses took it first.

    Raises `OSError`: the only address's own, or `NoAddress`.
    """
    return await _first_of(await _looked_up(host, port))


async def by_one_address(url: str) -> str:
    """The URL of a proxy with that of its name's addresses which takes a connection first; as it is if it has but one.

    Raises `OSError` as `reached`, and `InvalidProxy` for what is no proxy's URL.
    """
    proxy, parts = parse_proxy(url), urlsplit(url)
    found = await _looked_up(proxy.host, proxy.port)
    if len(found) == 1:
        return url
    with await _first_of(found) as made:
        address = made.getpeername()[0]
    login, at, _ = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{login}{at}{f'[{address}]' if ':' in address else address}:{proxy.port}").geturl()


async def _first_of(found: list[Any]) -> socket.socket:
    left = iter(_in_turns(found))
    tries: set[asyncio.Task[socket.socket]] = set()
    errors: list[OSError] = []
    try:
        while (address := next(left, None)) or tries:
            if address:
                tries.add(asyncio.create_task(_connected(*address)))
            done, _ = await asyncio.wait(tries, timeout=NEXT if address else None, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                tries.discard(one)
                try:
                    return await one
                except OSError as error:
                    errors.append(error)
    finally:
        for one in tries:
            one.add_done_callback(_let_go)
            one.cancel()
    raise errors[0] if len(errors) == 1 else NoAddress(errors)


async def _looked_up(host: str, port: int) -> list[Any]:
    """What a name stands for; an address stands for itself, and does not wait for names that are being looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


async def _connected(family: int, kind: int, protocol: int, _: str, address: Any) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, address)
    except BaseException:
        made.close()
        raise
    return made


def _let_go(late: "asyncio.Task[socket.socket]") -> None:
    """Close what was dialled and is not wanted any more, also where it stood before it heard of that."""
    if not late.cancelled() and late.exception() is None:
        late.result().close()


def _in_turns(found: list[Any]) -> list[Any]:
    """The addresses as the system prefers them, but that the families take turns (RFC 8305, section 4)."""
    families: dict[int, list[Any]] = {}
    for one in found:
        families.setdefault(one[0], []).append(one)
    return [one for each in zip_longest(*families.values()) for one in each if one is not None]

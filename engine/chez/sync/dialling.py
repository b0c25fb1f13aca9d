"""Of a name's addresses the first that takes a connection: each is tried beside those before it (RFC 8305).

asyncio's own way (`happy_eyeballs_delay`) leaves a socket open where a dial is given up just when it stood, and event
loops of other makers have none.
"""

import asyncio
import ipaddress
import socket
from itertools import zip_longest
from typing import Any, Final

__all__ = ("NoAddress", "reached")

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
    left = iter(_in_turns(await _looked_up(host, port)))
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

"""Who is on this network: told by whatever finds them, multicast DNS by default.

Nothing that is told is believed. Whoever is announced is met (`chez.sync.meeting`) before anything
is told to it, and only an address of a network at hand is dialled.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address
from itertools import chain, zip_longest
from typing import Final, Protocol

import msgspec

from chez_wire.lan import is_near

__all__ = ("Discovery", "Neighbour", "announced_at")

_FREE_PORTS: Final = range(1024, 65536)
"""Where a device's relay may listen: any free port. Below are a network's other services, which nobody is sent to."""


class Neighbour(msgspec.Struct, frozen=True):
    """An announcement: a name drawn anew for each run (32 bytes), which is a key, and where it can be dialled."""

    instance: bytes
    addresses: tuple[str, ...]
    port: int

    @property
    def urls(self) -> list[str]:
        """What is dialled, one after the other."""
        return [f"wss://{f'[{address}]' if ':' in address else address}:{self.port}" for address in self.addresses]


def announced_at(instance: bytes, addresses: Iterable[str], port: int, *, loopback: bool = False) -> Neighbour | None:
    """Who announces itself at these addresses; None for what is nobody that could be met.

    Of the addresses those stay that this network leads to: of a network at hand, of link-local IPv6 with the number
    of the interface where the announcement was heard (RFC 4007), which no announcement tells itself, and those of
    loopback only where this device is announced there itself. The families take turns (RFC 8305, 4): either may lead
    nowhere, and only the first few are dialled.
    """
    if port not in _FREE_PORTS:
        return None
    fit = list(dict.fromkeys(one for one in addresses if _fits(one, loopback)))
    families = [one for one in fit if ":" not in one], [one for one in fit if ":" in one]
    turns = tuple(one for one in chain.from_iterable(zip_longest(*families)) if one is not None)
    return Neighbour(instance, turns, port) if turns else None


def _fits(text: str, loopback: bool) -> bool:
    if not is_near(text):
        return False
    address = ip_address(text)
    if address.is_loopback and not loopback:
        return False
    if not isinstance(address, IPv6Address):
        return True
    if address.ipv4_mapped is not None:
        return False  # an IPv4 address is announced as one
    scope = address.scope_id or ""
    if address.is_link_local:
        return scope.isascii() and scope.isdecimal() and 0 < int(scope) < 1 << 31
    return not scope


class Discovery(Protocol):
    """Tells who announces itself, and announces this device."""

    missed: bool
    """Whether somebody may be announced who is not known: who was passed over, for there were too many at once, or was
    said to have left, as anybody may say."""

    async def begin(self, seen: Callable[[Neighbour], None], gone: Callable[[bytes], None]) -> None:
        """Look from now on: `seen` is called for each who is there or changed, `gone` for the instance of who left.

        Both in the event loop. Raises `Unavailable` when that can't be done.
        """

    async def again(self) -> None:
        """Look once more for all who are there: each is told of. What is announced of this device stays."""

    async def announce(self, instance: bytes, port: int) -> None:
        """Be announced as this instance at a port, instead of what was announced before."""

    async def end(self) -> None:
        """Look no more, and take back what was announced. Again is fine."""

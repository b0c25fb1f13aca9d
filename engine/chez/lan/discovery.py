"""Who is on this network: told by whatever finds them, multicast DNS by default.

Nothing that is told is believed. Whoever is announced is met (`chez.sync.meeting`) before anything
is told to it, and only an address of a network at hand is dialled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ("Discovery", "Neighbour")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An announcement: a name drawn anew for each run (32 bytes), and where it can be dialled."""

    instance: bytes
    addresses: tuple[str, ...]
    port: int

    @property
    def urls(self) -> list[str]:
        """What is dialled, one after the other."""
        return [f"wss://{f'[{address}]' if ':' in address else address}:{self.port}" for address in self.addresses]


class Discovery(Protocol):
    """Tells who announces itself, and announces this device."""

    async def begin(self, seen: Callable[[Neighbour], None], gone: Callable[[bytes], None]) -> None:
        """Look from now on: `seen` is called for each who is there or changed, `gone` for the instance of who left.

        Both in the event loop. Raises `Unavailable` when that can't be done.
        """

    async def announce(self, instance: bytes, port: int) -> None:
        """Be announced as this instance at a port, instead of what was announced before."""

    async def end(self) -> None:
        """Look no more, and take back what was announced. Again is fine."""

"""A network in memory: who is announced on it, without multicast."""

import asyncio
from collections.abc import Callable

from chez.lan.discovery import Neighbour


class Street:
    """What several `Discovery`s share; everybody sees everybody at once."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address = address
        self.there: dict[bytes, Neighbour] = {}
        self.lookers: list[Looker] = []
        self.news = asyncio.Event()

    def looker(self) -> "Looker":
        """A `Discovery` of one device."""
        return Looker(self)

    def announce(self, neighbour: Neighbour) -> None:
        """Somebody is announced, whoever says so."""
        self.there[neighbour.instance] = neighbour
        self.news.set()
        for one in self.lookers:
            one.seen(neighbour)

    def leave(self, instance: bytes) -> None:
        """Somebody is announced no more."""
        if self.there.pop(instance, None) is not None:
            for one in tuple(self.lookers):
                one.gone(instance)


class Looker:
    """One device's `Discovery` on a street."""

    def __init__(self, street: Street) -> None:
        self._street = street
        self._own: bytes | None = None
        self.missed = False
        self.seen: Callable[[Neighbour], None] = lambda neighbour: None
        self.gone: Callable[[bytes], None] = lambda instance: None

    async def begin(self, seen: Callable[[Neighbour], None], gone: Callable[[bytes], None]) -> None:
        """See `Discovery`."""
        self.seen, self.gone = seen, gone
        self._street.lookers.append(self)
        for neighbour in tuple(self._street.there.values()):
            seen(neighbour)

    async def again(self) -> None:
        """See `Discovery`."""
        for neighbour in tuple(self._street.there.values()):
            self.seen(neighbour)

    async def announce(self, instance: bytes, port: int) -> None:
        """See `Discovery`."""
        if self._own is not None:
            self._street.leave(self._own)
        self._own = instance
        self._street.announce(Neighbour(instance, (self._street.address,), port))

    async def end(self) -> None:
        """See `Discovery`."""
        if self in self._street.lookers:
            self._street.lookers.remove(self)
        if self._own is not None:
            self._street.leave(self._own)
            self._own = None

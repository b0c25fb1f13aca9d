"""A relay's store that can be held up."""

import asyncio
from collections.abc import Sequence

from chez_relay import storage as s
from chez_relay.errors import StorageFailed
from chez_relay.storage.memory import MemoryStorage
from tests.relay.support import seed

__all__ = ("Gate",)


class Gate(MemoryStorage):
    """A store that stores an entry when it may, or refuses it."""

    def __init__(self) -> None:
        super().__init__(seed("incarnation"))
        self.open = asyncio.Event()
        self.open.set()
        self.fails = False

    async def perform(self, requests: Sequence[s.Request]) -> list[s.Result]:
        if any(isinstance(request, s.AddEntry) for request in requests):
            await self.open.wait()
            if self.fails:
                raise StorageFailed("the disk is full")
        return await super().perform(requests)

    @property
    def entries(self) -> int:
        """How many are stored, of all spaces."""
        return sum(len(space.envelopes) for space in self._spaces.values())

"""What came of a relay and waits until its link has a look: in order, and no more than memory may take."""

import asyncio
from typing import Final

from chez_wire.ephemeral import is_ephemeral
from chez_wire.limits import KIB, MIB

__all__ = ("Inbox",)

MOST_FLEETING: Final = 256
"""Ephemeral messages that wait while the store is written to, 4 MiB of the largest; what comes beyond is let go."""

MOST_WAITING: Final = 16 * MIB
"""Bytes of messages that wait here while the link is at something else, besides the credit of many spaces. Whether a
relay keeps to that is seen as they are read, and one that does not read can hold a link up for as long as it likes; so
what is beyond waits there. Nothing is heard of it meanwhile, not even the answer to a ping: none that is honest gets
so far."""

PER_MESSAGE: Final = KIB
"""What a message counts besides its bytes, no more than an entry has at least. One may have none, and all that wait are
read in one go, which held the event loop up for a second where it was their memory alone."""


class Inbox:
    """The messages of one connection that wait; `len` tells how many."""

    def __init__(self) -> None:
        self.room = asyncio.Event()
        """Whether it takes more; who fills it waits for that."""
        self.room.set()
        self._messages: list[bytes] = []
        self._fleeting = 0
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: bytes, credit: int) -> bool:
        """Keep a message, where `credit` bytes were allowed besides; whether there is room for more."""
        if is_ephemeral(message):  # under no credit
            self._fleeting += 1
            if self._fleeting > MOST_FLEETING:
                return True
        self._messages.append(message)
        self._bytes += len(message) + PER_MESSAGE
        if self._bytes > MOST_WAITING + credit:
            self.room.clear()
        return self.room.is_set()

    def empty(self) -> list[bytes]:
        """All that waits, in order; there is room again."""
        waiting, self._messages, self._fleeting, self._bytes = self._messages, [], 0, 0
        self.room.set()
        return waiting

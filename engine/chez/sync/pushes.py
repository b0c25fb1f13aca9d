"""What a relay sends by itself, until the caller takes it: bounded, whatever a stranger puts into an inbox.

A subscription is bounded by its credit, and the watch of an inbox by nothing: whoever may put
something in can refill it as fast as it is taken out. Items that there is no room for are let
go, for they lie at the relay still, and the watch begins again behind the last one that was kept.
Of ephemeral messages the newest are kept.
"""

from collections import deque
from typing import Final

from chez.errors import RelayMisbehaved
from chez.sync.events import EntriesArrived, EphemeralArrived, InboxArrived, Refused, RolesEnded
from chez_wire.limits import MIB

__all__ = ("EPHEMERAL_ROOM", "ITEM_ROOM", "MAX_UNREAD", "Push", "Pushes")

Push = EntriesArrived | EphemeralArrived | InboxArrived | Refused | RolesEnded

MAX_UNREAD: Final = 64 * MIB
"""Bytes kept for a caller that does not read. What needs credit stays far below; this stops a relay that lies."""

ITEM_ROOM: Final = 16 * MIB
"""Bytes of these for items of inboxes: some twenty pages, more than a caller works off before it looks again."""

EPHEMERAL_ROOM: Final = 256
"""Ephemeral messages kept, 4 MiB of the largest: older ones are out of date."""


class Pushes:
    """The events that were not taken yet, in the order they came."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Push, int]] = deque()
        self._size = 0
        self._ephemeral = 0
        self._upto: dict[bytes, int] = {}
        """By inbox, the number of the last item that was kept, or that the watch began behind."""
        self._missed: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def watched(self, inbox: bytes, after: int) -> None:
        """A watch begins, or begins again, behind the item with this number."""
        self._upto[inbox] = after
        self._missed.discard(inbox)

    def put(self, event: Push, size: int) -> None:
        """Keep an event of so many bytes. Raises `RelayMisbehaved` for more than any honest relay sends unasked."""
        if isinstance(event, InboxArrived) and event.items:
            if event.inbox in self._missed or self._size + size > ITEM_ROOM:
                self._missed.add(event.inbox)
                return
            self._upto[event.inbox] = event.items[-1].number
        if isinstance(event, EphemeralArrived):
            self._ephemeral += 1
            if self._ephemeral > EPHEMERAL_ROOM:
                self._let_go()
        self._size += size
        if self._size > MAX_UNREAD:
            raise RelayMisbehaved("the relay floods this device with items")
        self._waiting.append((event, size))

    def take(self) -> Push:
        """The next event."""
        event, size = self._waiting.popleft()
        self._size -= size
        self._ephemeral -= isinstance(event, EphemeralArrived)
        return event

    def _let_go(self) -> None:
        """Keep the oldest ephemeral message no more."""
        place = next(place for place, (event, _) in enumerate(self._waiting) if isinstance(event, EphemeralArrived))
        self._size -= self._waiting[place][1]
        self._ephemeral -= 1
        del self._waiting[place]

    def missed(self) -> tuple[bytes, int] | None:
        """An inbox of which items were let go, and after which one to watch it again."""
        inbox = min(self._missed, default=None)
        return None if inbox is None else (inbox, self._upto.get(inbox, 0))

"""The inboxes of a relay's store in memory, beside its spaces."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

from chez_relay.storage import (
    AddInbox,
    AddItem,
    Done,
    DropItems,
    InboxInfo,
    InboxItem,
    ItemPage,
    Quotas,
    ReadItems,
    Result,
)
from chez_relay.storage.integrity import item_digest
from chez_relay.storage.refusals import ITEMS_AHEAD, NO_INBOX, OTHER_INBOX_KEYS, OTHER_WRITER, full
from chez_relay.storage.standing import Standing
from chez_wire.limits import MAX_INBOX_TTL

__all__ = ("MemoryInboxes",)


@dataclass(slots=True)
class _Item:
    digest: bytes
    item: bytes
    expires: float


@dataclass(slots=True)
class _Inbox:
    owner_key: bytes
    write_key: bytes
    ttl: int
    expires: float
    items: dict[int, _Item] = field(default_factory=dict)
    last: int = 0


class MemoryInboxes:
    """Inboxes and their items; `clock` gives seconds."""

    def __init__(self, quotas: Quotas, clock: Callable[[], float]) -> None:
        self._quotas = quotas
        self._clock = clock
        self._standing = Standing()
        self._inboxes: dict[bytes, _Inbox] = {}

    def copy(self) -> "MemoryInboxes":
        """An independent copy."""
        twin = MemoryInboxes(self._quotas, self._clock)
        twin._inboxes = copy.deepcopy(self._inboxes)
        return twin

    def info(self, name: bytes) -> InboxInfo | None:
        """An inbox's credentials, if it is there and has not expired."""
        box = self._inbox(name)
        return None if box is None else InboxInfo(box.owner_key, box.write_key)

    def expire(self) -> None:
        """Delete inboxes and items whose time is over."""
        for name in list(self._inboxes):
            if self._inbox(name) is None:
                del self._inboxes[name]
        now = self._clock()
        latest = now + MAX_INBOX_TTL
        there: list[_Inbox | _Item] = [*self._inboxes.values()]
        there += [item for box in self._inboxes.values() for item in box.items.values()]
        if self._standing.believed(now, late=any(one.expires > latest for one in there)):
            for one in there:  # else it was made, or put, while the clock was ahead
                one.expires = min(one.expires, latest)

    def add_inbox(self, request: AddInbox) -> Result:
        """Make an inbox, or let it live on."""
        expires = self._clock() + request.ttl
        box = self._inbox(request.inbox)
        if box is None:
            self._inboxes[request.inbox] = _Inbox(request.owner_key, request.write_key, request.ttl, expires)
            return Done()
        if (box.owner_key, box.write_key) != (request.owner_key, request.write_key):
            return OTHER_INBOX_KEYS
        box.ttl, box.expires = request.ttl, expires
        return Done()

    def add_item(self, request: AddItem) -> Result:
        """Keep an item; the same one again is kept once."""
        box = self._inbox(request.inbox)
        if box is None:
            return NO_INBOX
        if request.under != box.write_key:
            return OTHER_WRITER
        digest = item_digest(request.item)
        if any(item.digest == digest for item in box.items.values()):
            return Done()
        if len(box.items) >= self._quotas.inbox_items:
            return full(self._quotas.inbox_items)
        box.last += 1
        box.items[box.last] = _Item(digest, request.item, self._clock() + box.ttl)
        return Done()

    def read_items(self, request: ReadItems) -> Result:
        """The items after a number, as many as there is room for."""
        box = self._inbox(request.inbox)
        if box is None:
            return NO_INBOX
        if request.after > box.last:
            return ITEMS_AHEAD
        items: list[InboxItem] = []
        room = request.limit
        for number, item in box.items.items():
            if number > request.after:
                room -= len(item.item)
                if room < 0 and items:
                    break
                items.append(InboxItem(number, item.item))
        return ItemPage(tuple(items), box.last)

    def drop_items(self, request: DropItems) -> Result:
        """Delete the items up to a number, which their owner has."""
        if (box := self._inbox(request.inbox)) is None:
            return NO_INBOX
        box.items = {number: item for number, item in box.items.items() if number > request.upto}
        return Done()

    def _inbox(self, name: bytes) -> _Inbox | None:
        # Expiry is decided here, at each look, so that it does not matter when `Expire` comes.
        box = self._inboxes.get(name)
        now = self._clock()
        if box is None or box.expires <= now:
            return None
        box.items = {number: item for number, item in box.items.items() if item.expires > now}
        return box

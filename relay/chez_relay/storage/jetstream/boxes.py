"""The inboxes of the cluster: each a subject whose one message is its state, written by compare-and-set.

Items are messages of their own, named by their hash, stored before the state that names them.
The cluster itself removes what has expired, by and by (`ttl` of each message); whether
something has expired is decided by the clock of this store, at each look.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

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
    Refused,
    Result,
)
from chez_relay.storage.integrity import Damaged, item_digest
from chez_relay.storage.jetstream.blocks import FORMAT, Box, Item, decode_box, encode
from chez_relay.storage.jetstream.engine import Conflict, Engine, Kept, Unavailable
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.refusals import (
    BOXES_FULL,
    DAMAGED,
    ITEMS_AHEAD,
    NO_INBOX,
    OTHER_INBOX_KEYS,
    OTHER_WRITER,
    full,
)

__all__ = ("BoxRequest", "Boxes")

BoxRequest = AddInbox | AddItem | ReadItems | DropItems

COUNTED_SECONDS: Final = 5.0
"""For which it is believed how much all inboxes take: what comes in meanwhile is little beside what they may."""

LEEWAY: Final = 3600
"""Seconds that a message stays after it expired: the cluster's clocks are not this relay's."""

replace = msgspec.structs.replace


class Boxes:
    """All inboxes. `random` gives the marks of their lives."""

    def __init__(self, engine: Engine, places: Places, quotas: Quotas, clock: Callable[[], float],
                 random: Callable[[int], bytes]) -> None:
        self._engine = engine
        self._places = places
        self._quotas = quotas
        self._clock = clock
        self._random = random
        self._taken = (-COUNTED_SECONDS, 0)  # when all inboxes were counted, and their bytes

    async def perform(self, inbox: bytes, requests: Sequence[BoxRequest]) -> list[Result]:
        """Requests to one inbox, in order. Raises `Unavailable` when the cluster gives no answer for too long."""
        return [await patiently(self._engine, lambda one=one: self._perform(inbox, one)) for one in requests]  # type: ignore[misc]

    async def known(self, inbox: bytes) -> InboxInfo | None:
        """An inbox's credentials. Raises `Damaged`, `Unavailable`."""
        _, box = await self._load(inbox)
        return None if box is None else InboxInfo(box.owner_key, box.write_key)

    async def _load(self, inbox: bytes) -> tuple[int, Box | None]:
        """The sequence of an inbox's state, 0 for none, and the state of one that has not expired."""
        kept = await self._engine.last(self._places.stream("box", inbox), self._places.box(inbox))
        if kept is None:
            return 0, None
        if (box := decode_box(kept.data)) is None:
            raise Damaged
        now = self._clock()
        if box.expires <= now:
            return kept.seq, None
        return kept.seq, replace(box, items=tuple(item for item in box.items if item.expires > now))

    async def barrier(self, shard: int) -> None:
        """Have a quorum agree with the leader of a shard's inboxes: what was acknowledged before, it has."""
        await self._engine.publish(self._places.now("box", shard), b"")

    async def _perform(self, inbox: bytes, request: BoxRequest) -> Result:
        sure = False
        while True:
            try:
                result, told = await self._attempt(inbox, request)
            except Conflict:
                continue
            except Damaged:
                return DAMAGED
            if told or sure:
                return result
            await self.barrier(self._places.shard(inbox))
            sure = True

    async def _attempt(self, inbox: bytes, request: BoxRequest) -> tuple[Result, bool]:
        """What comes of a request, and whether it may be told: as a former leader has it, an inbox that was made is not
        there, and what is in it is not. Raises `Conflict`, `Damaged`, `Unavailable`."""
        seq, box = await self._load(inbox)
        if isinstance(request, ReadItems):
            try:
                page = NO_INBOX if box is None else await self._page(inbox, box, request)
            except Damaged:
                if await self._engine.newest(self._places.box(inbox)) == seq:
                    raise
                raise Conflict from None  # its owner took it meanwhile, elsewhere
            return page, isinstance(page, ItemPage)
        if isinstance(request, AddInbox):
            result, after = (BOXES_FULL, None) if box is None and await self._full() else self._renewed(box, request)
        elif box is None:
            return NO_INBOX, False
        elif isinstance(request, AddItem):
            result, after = await self._with(inbox, box, request)
        else:
            result, after = _without(box, request.upto)
        if after is None:
            return result, isinstance(result, Refused) and result.retry
        seq = await self._engine.publish(self._places.box(inbox), encode(after), expected=seq, ttl=after.ttl + LEEWAY)
        if box is not None and isinstance(request, DropItems):
            await self._forget(inbox, box, request.upto, seq)
        return result, True

    async def _full(self) -> bool:
        """Whether all inboxes take as much as they may. Raises `Unavailable`."""
        now = asyncio.get_running_loop().time()
        if now - self._taken[0] >= COUNTED_SECONDS:
            answers = await asyncio.gather(*(
                self._engine.api(f"STREAM.INFO.{name}") for name in self._places.streams("box")))
            if errors := [str(one["error"].get("description", "refused")) for one in answers if "error" in one]:
                raise Unavailable(errors[0])
            self._taken = now, sum(one["state"]["bytes"] for one in answers)
        return self._taken[1] >= self._quotas.inbox_bytes

    def _renewed(self, box: Box | None, request: AddInbox) -> tuple[Result, Box | None]:
        expires = self._clock() + request.ttl
        if box is None:
            return Done(), Box(FORMAT, self._random(8), request.owner_key, request.write_key, request.ttl, expires)
        if (box.owner_key, box.write_key) != (request.owner_key, request.write_key):
            return OTHER_INBOX_KEYS, None
        return Done(), replace(box, ttl=request.ttl, expires=expires)

    async def _with(self, inbox: bytes, box: Box, request: AddItem) -> tuple[Result, Box | None]:
        if request.under != box.write_key:
            return OTHER_WRITER, None
        digest = item_digest(request.item)
        place, waits = self._places.item(inbox, box.birth, digest), any(item.digest == digest for item in box.items)
        if waits and await self._engine.exists(place):
            return Done(), None
        if not waits and len(box.items) >= self._quotas.inbox_items:
            return full(self._quotas.inbox_items), None
        if not waits and await self._full():
            return BOXES_FULL, None
        await self._engine.publish(place, request.item, ttl=box.ttl + LEEWAY)
        if waits:  # the cluster had lost it, and here it is again
            return Done(), None
        item = Item(box.last + 1, digest, self._clock() + box.ttl, len(request.item))
        # What waits in an inbox goes with it: renewing renews it, so its message must outlive its last item.
        return Done(), replace(box, last=box.last + 1, items=(*box.items, item))

    async def _page(self, inbox: bytes, box: Box, request: ReadItems) -> Result:
        if request.after > box.last:
            return ITEMS_AHEAD
        wanted: list[Item] = []
        room = request.limit
        for item in box.items:
            if item.number > request.after:
                room -= item.size
                if room < 0 and wanted:
                    break
                wanted.append(item)
        found = await self._items(inbox, box.birth, wanted)
        return ItemPage(tuple(InboxItem(item.number, data) for item, data in zip(wanted, found, strict=True)), box.last)

    async def _items(self, inbox: bytes, birth: bytes, wanted: Sequence[Item]) -> list[bytes]:
        stream = self._places.stream("box", inbox)
        subjects = [self._places.item(inbox, birth, item.digest) for item in wanted]
        near: dict[str, Kept] = {}
        if subjects:
            try:
                near, _ = await self._engine.lasts(stream, subjects)
            except Unavailable:
                near = {}  # the node that was asked may be the one that is gone

        async def one(subject: str, item: Item) -> bytes:
            kept = near.get(subject)
            if kept is None or item_digest(kept.data) != item.digest:
                kept = await self._engine.last(stream, subject)
            if kept is None or item_digest(kept.data) != item.digest:
                raise Damaged
            return kept.data

        return list(await asyncio.gather(*(one(*pair) for pair in zip(subjects, wanted, strict=True))))

    async def _forget(self, inbox: bytes, box: Box, upto: int, seq: int) -> None:
        """Remove the bytes of items that were taken; what a failure leaves there expires.

        What is behind the state that says so (`seq`) is an equal item that was put since.
        """
        try:
            await asyncio.gather(*(
                self._engine.purge(self._places.stream("box", inbox), self._places.item(inbox, box.birth, item.digest),
                                   below=seq)
                for item in box.items if item.number <= upto))
        except Unavailable:
            return


def _without(box: Box, upto: int) -> tuple[Result, Box | None]:
    items = tuple(item for item in box.items if item.number > upto)
    return Done(), None if items == box.items else replace(box, items=items)

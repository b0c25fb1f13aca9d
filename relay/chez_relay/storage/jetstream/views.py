"""What this relay knows of spaces: their last blocks, which may be behind, and how to be sure of them."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from chez_relay.bounds import MAX_VIEW_BYTES, MAX_VIEWS
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.jetstream.blocks import Block, decode_block
from chez_relay.storage.jetstream.engine import Engine, Kept, Unavailable
from chez_relay.storage.jetstream.log import LOOKS, View
from chez_relay.storage.jetstream.places import Places

__all__ = ("Views",)

SPARE_EVERY: Final = 64
"""Looks at spaces after which it is seen to `MAX_VIEW_BYTES`: each may have brought 3 MB of what was dropped."""

FIRST_LOOKS: Final = 3
"""Times that any node is asked whether a space goes on that a relay never saw: of three, most likely others were."""

_log = logging.getLogger("chez_relay")


class Views:
    """The spaces that were needed lately. `lost` is told when the cluster lost something."""

    def __init__(self, engine: Engine, places: Places, lost: Callable[[], Awaitable[None]]) -> None:
        self._engine = engine
        self._places = places
        self._lost = lost
        self._views: OrderedDict[bytes, View] = OrderedDict()
        self._looks = 0
        self._lately: list[View] = []
        self._total = 0  # of what was counted, some may be gone
        self._recount = 0  # the look at which all are counted again

    def heard(self, handle: bytes, kept: Kept, block: Block) -> None:
        """A block of a space was stored, by this or another relay."""
        view = self._views.get(handle)
        if view is not None and view.loaded and kept.seq > view.seq:
            view.moved(kept.seq, block.state)

    def view(self, handle: bytes) -> View:
        """What is remembered of a space."""
        self._looks += 1
        if self._looks % SPARE_EVERY == 0:
            self._spare()
        view = self._views.get(handle)
        if view is None:
            while len(self._views) >= MAX_VIEWS:
                self._views.popitem(last=False)
            view = self._views[handle] = View()
        self._views.move_to_end(handle)
        self._lately.append(view)
        return view

    def behind(self, handle: bytes, seq: int) -> bool:
        """Whether this relay saw a later block of a space than the one at a sequence."""
        view = self._views.get(handle)
        return view is not None and seq < view.seen

    async def load(self, handle: bytes) -> View:
        """Take a space as the stream's leader has it."""
        view = self.view(handle)
        self._take(view, await self._engine.last(self._places.stream("log", handle), self._places.log(handle)))
        return view

    def _take(self, view: View, kept: Kept | None) -> None:
        """A space's last block is this one. Raises `Damaged`."""
        block = None if kept is None else decode_block(kept.data, kept.seq)
        if kept is not None and block is None:
            raise Damaged
        view.moved(0 if kept is None else kept.seq, None if block is None else block.state)
        if kept is not None and block is not None:
            view.saw(kept.seq, block)
        view.loaded = True

    async def current(self, handle: bytes) -> View:
        """A view that is not behind what the leader has."""
        view = self.view(handle)
        if view.loaded and await self._engine.newest(self._places.log(handle)) == view.seq:
            return view
        return await self.led(handle)

    async def led(self, handle: bytes) -> View:
        """A space as the stream's leader has it, and with all that this relay saw.

        A leader that lacks the last block, for its disk is damaged, lets nobody write another one: it is unseated, and
        `Unavailable` raised.
        """
        new = self.view(handle).seen == 0
        view = await self.load(handle)
        if new and view.seq:
            await self._look_beyond(handle, view)
        if view.seq < view.seen:
            view = await self.surely(handle)
            if await self._engine.newest(self._places.log(handle)) < view.seq:
                await self._engine.unseat(self._places.stream("log", handle))
                raise Unavailable("the leader lacks what other nodes have")
        return view

    async def _look_beyond(self, handle: bytes, view: View) -> None:
        """See whether any node has a later block than the leader, of a space that this relay never saw.

        What a leader that lacks the last ones has of it is whole by itself, and would be written on. An answer is empty
        but for that, so it costs next to nothing.
        """
        stream, subject = self._places.stream("log", handle), self._places.log(handle)
        looks = await asyncio.gather(*(self._engine.run(stream, subject, view.seq + 1, size=1, count=1)
                                       for _ in range(FIRST_LOOKS)), return_exceptions=True)
        for found in looks:
            if isinstance(found, list):  # else that node may be the one that is gone
                view.seen = max(view.seen, *(kept.seq for kept in found), 0)
            elif not isinstance(found, Unavailable):
                raise found

    async def surely(self, handle: bytes) -> View:
        """A view that has all that was acknowledged before: a quorum has just agreed with who leads.

        Of a space that seems not to be there, any node is asked several times: it would be made anew over what is.
        """
        agreed = await self.barrier(self._places.shard(handle))
        view = self.view(handle)
        seen, nearest = view.seen, await self._nearest(handle, agreed)
        if nearest is not None:
            self._take(view, nearest)
        else:
            await self.load(handle)
        if view.seq < max(seen, 1):
            await self._check_loss(handle, view, seen, agreed)
        return view

    async def _nearest(self, handle: bytes, agreed: int) -> Kept | None:
        """A space's last block from any node that has the stream up to a sequence."""
        subject = self._places.log(handle)
        with suppress(Unavailable):  # the node that was asked may be the one that is gone
            near, upto = await self._engine.lasts(self._places.stream("log", handle), [subject])
            return near.get(subject) if upto >= agreed else None
        return None

    async def _check_loss(self, handle: bytes, view: View, seen: int, agreed: int) -> None:
        """A block that this relay saw seems to be gone: no node that is behind, or damaged by itself, proves it."""
        for _ in range(LOOKS):
            nearest = await self._nearest(handle, agreed)
            if nearest is not None and nearest.seq >= seen:
                self._take(view, nearest)
                return
        if seen == 0:
            return
        view.loaded = False
        if (await self.load(handle)).seq < seen:
            view.seen = view.seq
            _log.error("the cluster does not have any more what it acknowledged")
            try:
                await self._lost()
            except BaseException:
                view.seen, view.loaded = max(view.seen, seen), False  # nobody was told yet
                raise

    async def barrier(self, shard: int) -> int:
        """Have a quorum agree with the leader of a shard; all that was acknowledged is up to this sequence."""
        return await self._engine.publish(self._places.now("log", shard), b"", alone=True)

    def _spare(self) -> None:
        """Forget what is remembered beside the last blocks of spaces that were not looked at for longest.

        Only what was looked at lately grew. All are counted where that is too much, and now and then: while a look
        lasts a view grows on.
        """
        for view in self._lately:
            self._total += view.size - view.counted
            view.counted = view.size
        self._lately.clear()
        if self._total <= MAX_VIEW_BYTES and self._looks < self._recount:
            return
        self._recount, self._total = self._looks + len(self._views), 0
        for view in reversed(self._views.values()):
            if self._total + view.size > MAX_VIEW_BYTES:
                view.forget()
            view.counted = view.size
            self._total += view.counted

"""What leaves the spaces of the cluster: deleted lives, what is due, and blocks that others tell anew."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from chez_relay.storage import Quotas
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.jetstream.attachments import Attachments
from chez_relay.storage.jetstream.blocks import Block, Drops, State, decode_block, encode, encode_time, named
from chez_relay.storage.jetstream.draft import Draft
from chez_relay.storage.jetstream.due import after_due, due
from chez_relay.storage.jetstream.engine import Conflict, Engine, Unavailable
from chez_relay.storage.jetstream.log import Log, View
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.views import Views

__all__ = ("Removal", "told_by")

replace = msgspec.structs.replace

MAX_RELEASED: Final = 64
"""Chunks that are removed at a time."""


class Removal:
    """Removes from the spaces that `views` knows, and says so in them."""

    def __init__(self, engine: Engine, places: Places, quotas: Quotas, clock: Callable[[], float], views: Views,
                 attachments: Attachments) -> None:
        self._engine = engine
        self._places = places
        self._quotas = quotas
        self._clock = clock
        self._views = views
        self._attachments = attachments

    async def sweep(self, handle: bytes, store: bytes) -> bool:
        """Remove what a life held, if it is over; whether it is."""
        view = await self._views.current(handle)
        state = view.state
        if state is None or (state.store == store and state.alive):
            return False
        await self._attachments.remove(handle, store)
        await self._engine.purge(self._places.stream("log", handle), self._places.log(handle), below=state.since)
        return True

    async def drop_due(self, handle: bytes, *, ahead: bool) -> float | None:
        """Drop a slice of what is due in a space; when the next of it is due, None when nothing waits any more.

        With `ahead` what waits longer than it may was named while the clock was ahead.
        Raises `Damaged`, `Unavailable`.
        """
        while True:
            view = await self._views.load(handle)
            state, told = view.state, told_by(view)
            if state is None or not state.alive or not state.dropping:
                return None
            log = Log(self._engine, self._places, handle, view)
            try:
                drops, now = await log.drops(state), self._clock()
                if drops.removing:  # what a relay began, that may be gone
                    await self.removed(handle, view, state, drops)
                    continue
                if ahead and (sooner := drops.not_after(now + self._quotas.grace)) is not drops:
                    await self.dropped(handle, view, state, drops, sooner, 0, 0, 0)
                    continue
                found = await due(log, state, drops, now)
                chunks = [chunk for chunk, when in drops.releasing if when <= now][:MAX_RELEASED]
                if not found.spans and not found.over and not chunks:
                    return drops.next_due
                removing = [(chunk, *place) for chunk in chunks if (
                    place := await self._attachments.place(handle, state.store, chunk)) is not None]
                after = after_due(drops, found, chunks, removing)
                stream, begun = self._places.stream("log", handle), 0
                if found.blocks:
                    begun = await self._engine.publish(self._places.begun(handle), encode_time(now))
                try:
                    written = await self.dropped(handle, view, state, drops, after, found.data, found.control, 0)
                except Conflict:
                    if begun:  # nothing was: it is begun anew
                        await self._engine.delete(stream, begun)
                    raise
                await asyncio.gather(*(
                    self._engine.delete(stream, one) for one in found.blocks if one != written.record))
                if begun:
                    await self._engine.delete(stream, begun)
                if removing:
                    await self.removed(handle, view, written, after)
            except Conflict:
                continue
            except Damaged:
                if told_by(await self._views.load(handle)) == told:
                    raise
                continue  # another relay was first
            return replace(after, removing=()).next_due

    async def clear(self, handle: bytes) -> None:
        """Remove what a relay said to be dropped and may have left there. Raises `Damaged`, `Unavailable`."""
        view = await self._views.current(handle)
        state = view.state
        if state is None or not state.alive:
            return  # goes with its life
        log = Log(self._engine, self._places, handle, view)
        for seq in await log.remains(state, await log.drops(state)):
            await self._engine.delete(self._places.stream("log", handle), seq)

    async def removed(self, handle: bytes, view: View, state: State, drops: Drops) -> None:
        """Remove the chunks whose time came, then say so and give their bytes back. Raises `Conflict`."""
        await asyncio.gather(*(self._attachments.delete(handle, seq) for _, _, seq in drops.removing))
        after = replace(drops, removing=())
        await self.dropped(handle, view, state, drops, after, 0, 0, sum(size for _, size, _ in drops.removing))

    async def dropped(self, handle: bytes, view: View, state: State, drops: Drops, after: Drops, data: int,
                       control: int, blobs: int) -> State:
        """Write what becomes of the view's state, and say it. Raises `Conflict` where `state` had other drops."""
        before = view.state  # with what was written here, or heard, since: it would be undone
        if before is None or (before.birth, before.drops) != (state.birth, state.drops):
            raise Conflict
        draft = Draft(before, self._quotas, {}, lambda: b"", drops=drops)
        draft.expire(after, data, control, blobs)
        block = draft.block()
        seq = await self._engine.publish(self._places.log(handle), encode(block), expected=view.seq)
        view.wrote(seq, block, b"")
        written = named(block, seq).state
        await self.replaced(handle, before, written)
        return written

    async def replaced(self, handle: bytes, before: State | None, after: State | None) -> None:
        """Remove what told packets and drops before another block did, unless it has entries that are there.

        No quota counts it. What a failure leaves stays.
        """
        if before is None or after is None or not after.alive or before.birth != after.birth:
            return  # goes with its life
        stream = self._places.stream("log", handle)
        with suppress(Unavailable, Damaged):
            for seq in {before.record, before.drops} - {0, after.record, after.drops, after.index}:
                kept = await self._engine.at(stream, seq)
                block = None if kept is None else decode_block(kept.data, seq)
                if block is not None and block.index is None and not (
                        block.envelopes and await self._live(handle, after, block)):
                    await self._engine.delete(stream, seq)

    async def _live(self, handle: bytes, state: State, block: Block) -> bool:
        """Whether any entry of a block was not dropped. Raises `Damaged`, `Unavailable`."""
        drops = await Log(self._engine, self._places, handle, self._views.view(handle)).drops(state)
        return bool(drops.live(block.first, block.state.end))


def told_by(view: View) -> tuple[object, ...] | None:
    """Which blocks tell what a log has: where others do since, a gap may be what these told that is removed."""
    state = view.state
    return None if state is None else (state.birth, state.store, state.record, state.drops, state.index)

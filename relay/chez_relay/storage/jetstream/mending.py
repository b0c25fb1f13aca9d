"""A log with a hole: what is left of it is laid into a new one, so that devices can fill it.

The new log has other offsets and heads, and the store another incarnation: to devices it is another store, which they
read from its beginning and send what it lacks. They do so with all their spaces, once; less would do, but what entries
say of the heads that their authors saw holds for a store, and would accuse the relay for ever.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from chez_relay.storage import AddEntry, Quotas
from chez_relay.storage.jetstream.blocks import encode
from chez_relay.storage.jetstream.draft import Draft
from chez_relay.storage.jetstream.engine import Conflict, Engine
from chez_relay.storage.jetstream.left import Left
from chez_relay.storage.jetstream.log import View
from chez_relay.storage.jetstream.places import Places
from chez_wire.envelope import entry_id

__all__ = ("Mender",)

BLOCK_BYTES: Final = 256 * 1024
"""Bytes of entries above which a block is closed; it has at most one former block more."""

_log = logging.getLogger("chez_relay")


class Mender:
    """Lays damaged logs anew."""

    def __init__(self, engine: Engine, places: Places, quotas: Quotas, random: Callable[[int], bytes],
                 lost: Callable[[], Awaitable[None]]) -> None:
        self._lost = lost
        self._engine = engine
        self._places = places
        self._quotas = quotas
        self._random = random

    async def mend(self, handle: bytes, view: View) -> None:
        """Lay a space's log anew, as the view has it. Raises `Unavailable`; then what was laid so far is the log.

        As soon as some of it may be laid, answered or not, the store is another one. So it is before, too: where that
        can't be told afterwards, or the relay is killed, nobody takes the new log for the former store's.
        """
        state, seq, size, begun = view.state, view.seq, 0, False
        if state is None or not state.alive:
            return
        _log.error("a log of the cluster is damaged: what is left of it is laid anew")
        stream, subject = self._places.stream("log", handle), self._places.log(handle)
        left = Left(self._engine, stream, subject, state)
        draft = self._draft(view)
        draft.anew(await left.packets())
        await self._lost()
        try:
            async for block in left.blocks(seq):
                if size > BLOCK_BYTES:
                    begun = True
                    seq = await self._lay(view, subject, seq, draft)
                    draft, size = self._draft(view), 0
                draft.perform([
                    AddEntry(handle, entry_id(envelope), envelope, place in block.control,
                             state.control if place in block.control else state.append)
                    for place, envelope in enumerate(block.envelopes)])
                size += sum(len(envelope) for envelope in block.envelopes)
            if draft.changed:
                begun = True
                await self._lay(view, subject, seq, draft)
            since = view.state.since if view.state is not None else 0
            await self._engine.purge(stream, subject, below=since)
        except Conflict:  # another relay mends it, or writes to it: devices send the rest
            pass
        finally:
            view.loaded = False
            if begun:
                await self._lost()

    def _draft(self, view: View) -> Draft:
        return Draft(view.state, self._quotas, {}, lambda: self._random(8))

    async def _lay(self, view: View, subject: str, seq: int, draft: Draft) -> int:
        block = draft.block()
        stored = await self._engine.publish(subject, encode(block), expected=seq)
        view.wrote(stored, block, draft.ids)
        return stored

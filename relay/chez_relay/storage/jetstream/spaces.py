"""The spaces of the cluster: what requests make of them, by compare-and-set on each one's last block.

A view of a space may be behind, for other relays write too. Writing on it then conflicts, and
the view is loaded anew. What is refused writes nothing: before it is, the leader of the
stream proves that it leads (`Views.surely`), or a relay that was cut off with a former leader
would refuse what is allowed, and tell devices that their entries are lost.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress, groupby
from typing import Final

import msgspec

from chez_relay.storage import (
    AddChunk,
    AddEntry,
    ChunkData,
    Done,
    DropEntries,
    FindChunks,
    FoundChunks,
    PacketData,
    Quotas,
    ReadChunk,
    ReadPacket,
    ReadPage,
    ReadUsage,
    Result,
)
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.jetstream.attachments import Attachments
from chez_relay.storage.jetstream.batching import batches
from chez_relay.storage.jetstream.blocks import (
    ID_PREFIX,
    Drops,
    Index,
    State,
    encode,
    encode_time,
)
from chez_relay.storage.jetstream.draft import Change, Draft
from chez_relay.storage.jetstream.engine import Conflict, Engine
from chez_relay.storage.jetstream.log import INDEX_EVERY, Log, View
from chez_relay.storage.jetstream.mending import Mender
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.removing import Removal, told_by
from chez_relay.storage.jetstream.views import Views
from chez_relay.storage.refusals import DAMAGED, NO_CHUNK, NO_PACKET, NO_SPACE, PAGE_AHEAD, ROTATED
from chez_wire.packets import PACKET_COST

__all__ = ("SpaceRequest", "Spaces")

replace = msgspec.structs.replace
Reading = ReadPage | ReadChunk | FindChunks | ReadPacket | ReadUsage
SpaceRequest = Change | Reading

MENDS: Final = 3
"""Times that mending is tried: another relay may be at it."""

_UNSURE: Final = (NO_SPACE, ROTATED, PAGE_AHEAD)
"""Answers to a reader that only somebody who leads may give."""


@dataclass(slots=True)
class _Tries:
    """What is known of one change from one attempt to the next; by its `mark` it knows what it stored unanswered.

    `chunks` were put, and may be stored, under the marks of `stores`; `sent` are blocks that must not come twice, by
    the one that each was built on; `deleted` is the life that a block was to end, and the answer.
    """

    mark: str
    chunks: set[bytes] = field(default_factory=set)
    stores: set[bytes] = field(default_factory=set)
    sent: dict[int, list[Result]] = field(default_factory=dict)
    deleted: tuple[bytes, list[Result]] | None = None


class Spaces:
    """All spaces. `random` gives the marks of their lives; `lost` is told when the cluster lost something."""

    def __init__(self, engine: Engine, places: Places, quotas: Quotas, clock: Callable[[], float],
                 random: Callable[[int], bytes], lost: Callable[[], Awaitable[None]]) -> None:
        self.views = Views(engine, places, lost)
        self._engine = engine
        self._places = places
        self._quotas = quotas
        self._clock = clock
        self._random = random
        self._attachments = Attachments(engine, places)
        self.removal = Removal(engine, places, quotas, clock, self.views, self._attachments)
        self._mender = Mender(engine, places, quotas, random, lost)

    async def perform(self, handle: bytes, requests: Sequence[SpaceRequest]) -> list[Result]:
        """Requests to one space, in order. Raises `Unavailable` when the cluster gives no answer for too long."""
        results: list[Result] = []
        for reading, group in groupby(requests, lambda one: isinstance(one, Reading)):
            if reading:
                reads = [one for one in group if isinstance(one, Reading)]
                results += await patiently(self._engine, lambda reads=reads: self._read(handle, reads))  # type: ignore[misc]
            else:
                for batch in batches([one for one in group if not isinstance(one, Reading)]):
                    results += await self._change(handle, batch)
        return results

    async def known(self, handle: bytes) -> State | None:
        """A space's state, None where there never was one. The leader answers, without proof that it leads."""
        return (await self.views.current(handle)).state

    # --- changes ------------------------------------------------------------------------

    async def _change(self, handle: bytes, batch: Sequence[Change]) -> list[Result]:
        """One block. Chunks are stored before it, and counted in it."""
        tries = _Tries(self._random(8).hex())
        sure = mended = False

        async def attempt() -> list[Result]:
            nonlocal sure, mended
            view = self.views.view(handle)
            while True:
                told = told_by(view)
                try:
                    if not view.loaded:
                        await self.views.led(handle)
                    if view.seq == 0 and not sure:
                        await self.views.surely(handle)
                        sure = True
                    for after, results in tries.sent.items():
                        if await self._arrived(handle, after, tries.mark):
                            return results  # an answer was lost: counted again, its chunks would count twice
                    if tries.deleted is not None and not _lives(view.state, tries.deleted[0]):
                        return tries.deleted[1]  # deleted again, what was made anew since would go
                    results, written = await self._attempt(handle, view, batch, tries)
                    if written or sure:
                        return results
                    await self.views.surely(handle)
                    sure = True
                except Conflict:
                    view.loaded, sure = False, False
                except Damaged:
                    if mended:
                        return [DAMAGED] * len(batch)
                    view = await self.views.surely(handle)
                    if sure and told_by(view) == told:
                        mended = True
                        await self._mender.mend(handle, view)
                    sure = True
                except BaseException:
                    view.loaded, sure = False, False
                    raise

        return await patiently(self._engine, attempt)

    async def _arrived(self, handle: bytes, after: int, mark: str) -> bool:
        """Whether a block that nobody acknowledged is the next one after that on which it was built."""
        kept = await self._engine.next(self._places.stream("log", handle), self._places.log(handle), after + 1)
        return kept is not None and kept.mark == mark

    async def _attempt(self, handle: bytes, view: View, batch: Sequence[Change],
                       tries: _Tries) -> tuple[list[Result], bool]:
        """What comes of requests on a view, and whether that was written. Raises `Conflict`."""
        seq, state = view.seq, view.state
        log = Log(self._engine, self._places, handle, view)
        wanted = [one.entry for one in batch if isinstance(one, AddEntry)]
        known = await log.known(state, wanted) if wanted and state is not None and state.alive else {}
        if state is not None and isinstance(one := batch[0], DropEntries):
            held = await self._attachments.held(handle, state.store, one.chunks)
            # Named beforehand, one that is put when its time comes would be let go as if it had counted.
            batch = [dataclasses.replace(one, chunks=tuple(compress(one.chunks, held)))]
        for store in tries.stores - {state.store if state is not None and state.alive else b""}:
            # That life was swept, perhaps, before its chunks came.
            await self._engine.publish(self._places.gone(handle, store), b"")
            tries.stores.discard(store)
        drops, heads = await self._to_drop(log, state, batch)
        if state is not None and isinstance(batch[0], AddChunk):
            await self._ready(handle, view, state, drops, batch)
        draft = Draft(state, self._quotas, known, lambda: self._random(8), drops=drops, heads=heads, now=self._clock())
        if isinstance(batch[0], AddChunk):
            chunks = [one for one in batch if isinstance(one, AddChunk)]
            earlier, counted = frozenset(tries.chunks), set[bytes]()
            results = [Done() if one.chunk in counted else await self._chunk(
                handle, draft, one, tries, earlier, counted) for one in chunks]
        else:
            results = draft.perform(batch)
        if not draft.changed:
            return results, False
        if isinstance(batch[0], DropEntries):
            await self._engine.publish(self._places.due(handle), encode_time(draft.next_due), alone=True)
        if draft.dropped is not None:
            await self._engine.publish(self._places.gone(handle, draft.dropped.store), b"")
        block = draft.block(self._index(view, draft, state))
        if draft.dropped is not None and draft.alive is None:
            tries.deleted = draft.dropped.birth, results
        elif tries.chunks or draft.dropped is not None:
            tries.sent[seq] = results
        stored = await self._engine.publish(
            self._places.log(handle), encode(block), expected=seq, mark=tries.mark if seq in tries.sent else "")
        view.wrote(stored, block, draft.ids)
        await self.removal.replaced(handle, state, view.state)
        return results, True

    async def _to_drop(self, log: Log, state: State | None, batch: Sequence[Change]) -> tuple[
            Drops, dict[int, bytes]]:
        """What a draft must know to drop entries or to keep chunks: it goes by itself."""
        if state is None or not state.alive or not isinstance(batch[0], AddChunk | DropEntries):
            return Drops(), {}
        drops = await log.drops(state)
        ends = sorted({one.last for change in batch if isinstance(change, DropEntries) for one in change.ranges
                       if one.last <= state.end and drops.covers(one.last) is None})
        return drops, await log.heads(state, ends, drops)

    async def _ready(self, handle: bytes, view: View, state: State, drops: Drops, batch: Sequence[Change]) -> None:
        """Have no chunk removed meanwhile, and none of these let go any more. Raises `Conflict` where one was to be.

        In a block of its own: the one that counts them must stay, so that who had no answer finds it, and what tells
        drops goes with the next that does.
        """
        if drops.removing:
            await self.removal.removed(handle, view, state, drops)
            raise Conflict  # the state is another one now
        wanted = {one.chunk for one in batch if isinstance(one, AddChunk) and one.under == state.append}
        left = tuple(one for one in drops.releasing if one[0] not in wanted)
        if len(left) < len(drops.releasing):
            await self.removal.dropped(handle, view, state, drops, replace(drops, releasing=left), 0, 0, 0)
            raise Conflict

    def _index(self, view: View, draft: Draft, before: State | None) -> Index | None:
        """The index that is due, if one is."""
        state = draft.alive
        if state is None or state.end - state.indexed < INDEX_EVERY:
            return None
        same = before is not None and before.birth == state.birth
        ids = (bytes(view.ids) if same else b"") + draft.ids
        if len(ids) != state.end * ID_PREFIX:
            return None
        return Index(state.index if state.indexed else 0, state.indexed, ids[state.indexed * ID_PREFIX:])

    async def _chunk(self, handle: bytes, draft: Draft, request: AddChunk, tries: _Tries, earlier: frozenset[bytes],
                     counted: set[bytes]) -> Result:
        """Store a chunk, and count it if it is new: `earlier` are those that an attempt before may have stored."""
        state, refusal = draft.state, draft.refusal(request)
        if state is None or refusal is NO_SPACE:
            return NO_SPACE

        async def own() -> bool:
            return request.chunk in earlier and await self._attachments.bears(
                handle, state.store, request.chunk, tries.mark)

        if refusal is not None and await own():
            # Stored before the space was what it is now. It stays: another relay may have told that it is there.
            draft.count(request)
            counted.add(request.chunk)
            return refusal if refusal is ROTATED else Done()
        if refusal is not None:
            (held,) = (False,) if refusal is ROTATED else await self._attachments.held(
                handle, state.store, (request.chunk,))
            return Done() if held else refusal
        tries.chunks.add(request.chunk)
        tries.stores.add(state.store)
        # What an attempt before sent may come only now, just before this: so it is looked for afterwards.
        if await self._attachments.put(handle, state.store, request.chunk, request.data, tries.mark) or await own():
            draft.perform([request])
            counted.add(request.chunk)
        else:
            tries.chunks.discard(request.chunk)
        return Done()

    # --- reading ------------------------------------------------------------------------

    async def _read(self, handle: bytes, requests: Sequence[Reading]) -> list[Result]:
        view = await self.views.current(handle)
        results = await asyncio.gather(*(self._answer(handle, view, one) for one in requests))
        unsure = [n for n, result in enumerate(results) if result in _UNSURE]
        if unsure:
            view = await self.views.surely(handle)
            for n in unsure:
                results[n] = await self._answer(handle, view, requests[n])
        mends = MENDS
        for n in [n for n, result in enumerate(results) if result is DAMAGED]:
            results[n], mends = await self._whole(handle, requests[n], mends)
        return list(results)

    async def _whole(self, handle: bytes, request: Reading, mends: int) -> tuple[Result, int]:
        """What a request is answered that met a gap: it may be what was removed meanwhile, or else the log is mended.

        With it, how often that may be done yet.
        """
        view = await self.views.surely(handle)
        while True:
            told = told_by(view)
            if (result := await self._answer(handle, view, request)) is not DAMAGED:
                return result, mends
            view = await self.views.surely(handle)
            if told_by(view) != told:
                continue
            if mends == 0 or not isinstance(request, ReadPage):
                return result, mends
            mends -= 1
            await self._mender.mend(handle, view)
            view = await self.views.surely(handle)

    async def _answer(self, handle: bytes, view: View, request: Reading) -> Result:
        state = view.state if view.state is not None and view.state.alive else None
        try:
            if isinstance(request, ReadPacket):
                return await self._packet(handle, view, state, request.tag)
            if state is None:
                return NO_SPACE
            if request.under != state.read:
                return ROTATED
            match request:
                case ReadPage(after=after, limit=limit):
                    if after > state.end:
                        return PAGE_AHEAD
                    return await Log(self._engine, self._places, handle, view).page(state, after, limit)
                case ReadChunk(chunk=chunk):
                    data = await self._attachments.get(handle, state.store, chunk)
                    return NO_CHUNK if data is None else ChunkData(data)
                case ReadUsage():
                    return self._quotas.usage(state.data_bytes + state.packets * PACKET_COST, state.control_bytes,
                                              state.blob_bytes)
                case FindChunks(chunks=chunks):
                    drops = await Log(self._engine, self._places, handle, view).drops(state)
                    let_go = {chunk for chunk, *_ in (*drops.releasing, *drops.removing)}
                    held = await self._attachments.held(handle, state.store, chunks)
                    return FoundChunks(tuple(
                        there and chunk not in let_go for chunk, there in zip(chunks, held, strict=True)), state.drop)
        except Damaged:
            return DAMAGED

    async def _packet(self, handle: bytes, view: View, state: State | None, tag: bytes) -> Result:
        if state is None:  # one look all the same, so that time does not tell a space without the tag from no space
            await self._engine.at(self._places.stream("log", handle), 1)
            return NO_PACKET
        block = await Log(self._engine, self._places, handle, view).telling(
            state, state.record, lambda one: one.state.packets_hash == state.packets_hash)
        return next((PacketData(box) for known, box in block.packets if known == tag), NO_PACKET)


def _lives(state: State | None, birth: bytes) -> bool:
    """Whether a space is there, in that life."""
    return state is not None and state.alive and state.birth == birth

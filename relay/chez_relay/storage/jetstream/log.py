"""Reading the log of one space: blocks checked against one another, pages, and which entries are there.

Blocks are read from any node that holds the stream, and every one is held against the chain
of heads; what one node lacks or has damaged, the stream's leader is asked for, and where that
one does, the others.
"""

import bisect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from chez_relay.storage import Dropped, Entry, Page
from chez_relay.storage.integrity import Damaged
from chez_relay.storage.jetstream.blocks import ID_PREFIX, Block, Drops, Index, State, decode_block, named
from chez_relay.storage.jetstream.engine import Engine, Kept, Unavailable
from chez_relay.storage.jetstream.places import Places
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.limits import MAX_DROPPED, MIB

__all__ = ("INDEX_EVERY", "LOOKS", "Log", "View")

INDEX_EVERY: Final = 4096
"""Entries between two indexes (32 KiB each): a relay that never saw a space reads so many entries at most."""

MAX_KNOWN_BLOCKS: Final = 1024
"""Blocks of one space whose sequences are remembered, so that a reader who goes on needs no search."""

BLOCK_BYTES: Final = 170
ROW_BYTES: Final = 200
"""What one block that is remembered takes of memory, and one range or chunk of what was dropped."""

FETCH_BYTES: Final = 2 * MIB

NEAR: Final = 256
"""Entries over which reading on costs less than looking for the block that has the next one."""

LOOKS: Final = 6
"""Times that any node is asked for a block that seems to be gone: of three, most likely all were."""

NOTHING: Final = Drops()


@dataclass(slots=True)
class View:
    """What this relay knows of one space: its last block's sequence (0: none) and state.

    `ids` are the beginnings of the ids of its first entries in order, as far as they were needed.
    """

    loaded: bool = False
    seen: int = 0
    """The last block that this relay ever saw: one before it means that the cluster lost something."""
    seq: int = 0
    state: State | None = None
    ids: bytearray = field(default_factory=bytearray)
    birth: bytes = b""
    drops: tuple[int, Drops] = (0, NOTHING)
    blocks: list[tuple[int, int, int]] = field(default_factory=list)
    """First offset, last offset and sequence of blocks, in order."""
    counted: int = 0
    """What its size was when it was last counted."""

    @property
    def size(self) -> int:
        """Bytes of memory that it takes beside its state, about."""
        return len(self.ids) + BLOCK_BYTES * len(self.blocks) + ROW_BYTES * self.drops[1].rows

    def forget(self) -> None:
        """Let go of that: it is found again."""
        self.ids, self.blocks, self.drops = bytearray(), [], (0, NOTHING)

    def moved(self, seq: int, state: State | None) -> None:
        """The last block is another one."""
        if state is None or state.birth != self.birth or (self.state is not None and seq < self.seq):
            self.ids, self.blocks, self.birth = bytearray(), [], b"" if state is None else state.birth
        self.seq, self.state, self.seen = seq, state, max(self.seen, seq)

    def wrote(self, seq: int, block: Block, ids: bytes) -> None:
        """This relay stored a block at a sequence, with entries whose ids begin so."""
        if seq < self.seq:
            return  # others wrote since, and were heard first
        block = named(block, seq)
        self.moved(seq, block.state)
        self.saw(seq, block)
        if len(self.ids) == (block.first - 1) * ID_PREFIX:
            self.ids += ids

    def saw(self, seq: int, block: Block) -> None:
        """Remember where a block is."""
        if not block.envelopes or block.state.birth != self.birth:
            return
        known = (block.first, block.state.end, seq)
        at = bisect.bisect_left(self.blocks, known)
        if self.blocks[at:at + 1] != [known]:
            self.blocks.insert(at, known)
        if len(self.blocks) > MAX_KNOWN_BLOCKS:
            del self.blocks[1::2]


class Log:
    """The blocks of one space, as a `View` says that they are."""

    def __init__(self, engine: Engine, places: Places, handle: bytes, view: View) -> None:
        self._engine = engine
        self._stream = places.stream("log", handle)
        self._subject = places.log(handle)
        self._view = view

    async def drops(self, state: State) -> Drops:
        """What was dropped, and what is to be. Raises `Damaged`, `Unavailable`."""
        if not state.dropping:
            return Drops()
        if self._view.drops[0] != state.drops:
            block = await self.telling(state, state.drops, lambda one: one.drops is not None)
            self._view.drops = (state.drops, block.drops or NOTHING)
        return self._view.drops[1]

    async def page(self, state: State, after: int, limit: int) -> Page:
        """Entries after an offset that is at most the end. Raises `Damaged`, `Unavailable`."""
        entries: list[Entry] = []
        passed: list[Dropped] = []
        drops, at, head, room = await self.drops(state), after, state.head, limit

        def pass_over() -> None:
            nonlocal at, head
            if at < state.end and (gone := drops.covers(at + 1)) is not None:
                passed.append(Dropped(at + 1, gone.last, gone.head))
                at, head = gone.last, gone.head

        pass_over()
        while at < state.end and (room > 0 or not entries):
            async for _, block in self.blocks(state, at, room, state.end, drops):
                folded = block.before
                for offset, envelope in enumerate(block.envelopes, block.first):
                    if offset > at and ((room < len(envelope) and entries) or len(passed) == MAX_DROPPED):
                        return Page(tuple(entries), head, state.end, tuple(passed))
                    folded = fold_head(folded, entry_id(envelope))
                    if offset > at:
                        room -= len(envelope)
                        entries.append(Entry(offset, envelope))
                        at, head = offset, folded
                        pass_over()
        return Page(tuple(entries), head, state.end, tuple(passed))

    async def place(self, state: State, offset: int) -> tuple[bytes, bytes]:
        """The id of the entry at an offset, and the head just after it. Raises `Damaged`, `Unavailable`."""
        async for _, block in self.blocks(state, offset - 1, 1, offset):
            head = block.before
            for number, envelope in enumerate(block.envelopes, block.first):
                entry = entry_id(envelope)
                head = fold_head(head, entry)
                if number == offset:
                    return entry, head
        raise Damaged

    async def heads(self, state: State, offsets: Sequence[int], drops: Drops) -> dict[int, bytes]:
        """The heads just after rising offsets, of which none was dropped. Raises `Damaged`, `Unavailable`."""
        found, wanted = dict[int, bytes](), set(offsets)
        async for _, block in self.having(state, [(offset, offset) for offset in offsets], drops):
            head = block.before
            for offset, envelope in enumerate(block.envelopes, block.first):
                head = fold_head(head, entry_id(envelope))
                if offset in wanted:
                    found[offset] = head
        return found

    async def known(self, state: State, wanted: Sequence[bytes]) -> dict[bytes, tuple[int, bytes]]:
        """Offset and head of those of these entries that are there. Raises `Damaged`, `Unavailable`."""
        ids, found = await self._learn(state), {}
        drops = await self.drops(state)
        for entry in wanted:
            at = ids.find(entry[:ID_PREFIX])
            while at >= 0:
                if at % ID_PREFIX == 0 and drops.covers(at // ID_PREFIX + 1) is None:
                    held, head = await self.place(state, at // ID_PREFIX + 1)
                    if held == entry:
                        found[entry] = (at // ID_PREFIX + 1, head)
                        break
                at = ids.find(entry[:ID_PREFIX], at + 1)
        return found

    async def _learn(self, state: State) -> bytearray:
        """The ids of all entries: from indexes, and from the entries after the last one."""
        ids = self._view.ids
        if len(ids) // ID_PREFIX < state.indexed:
            indexes: list[Index] = []
            seq, start = state.index, state.indexed
            while start > len(ids) // ID_PREFIX:
                block = await self.telling(state, seq, lambda one, end=start: (  # type: ignore[misc]
                    one.index is not None and one.index.start < end))
                assert block.index is not None
                indexes.append(block.index)
                seq, start = block.index.before, block.index.start
            for index in reversed(indexes):
                ids[index.start * ID_PREFIX:] = index.ids
        known, drops = len(ids) // ID_PREFIX, await self.drops(state)
        async for _, block in self.blocks(state, known, 2**62, state.end, drops):
            for offset, envelope in enumerate(block.envelopes, block.first):
                if offset > len(ids) // ID_PREFIX:
                    ids += bytes((offset - 1) * ID_PREFIX - len(ids))  # of what was dropped nobody asks
                    ids += entry_id(envelope)[:ID_PREFIX]
        ids += bytes(state.end * ID_PREFIX - len(ids))
        if len(ids) // ID_PREFIX != state.end:
            raise Damaged
        return ids

    async def remains(self, state: State, drops: Drops) -> list[int]:
        """The sequences of blocks with nothing but what was dropped, which are there yet. Raises `Unavailable`."""
        found: list[int] = []
        seq, at, last = state.since, 0, drops.dropped[-1].last if drops.dropped else 0
        while at < last and seq < state.drops:
            fetched = await self._fetched(seq, FETCH_BYTES)
            if not fetched and (one := await self._engine.next(self._stream, self._subject, seq)) is not None:
                fetched = [one]
            if not fetched:
                break
            for kept in fetched:
                block = decode_block(kept.data, kept.seq)
                if block is None or block.state.birth != state.birth or not block.envelopes:
                    continue
                at = block.state.end
                told = kept.seq in (state.record, state.index) or block.index is not None or block.drops is not None
                if kept.seq < state.drops and not told and not drops.live(block.first, at):
                    found.append(kept.seq)
            seq = fetched[-1].seq + 1
        return found

    # --- blocks -------------------------------------------------------------------------

    async def telling(self, state: State, seq: int, whole: Callable[[Block], bool]) -> Block:
        """The block at a sequence that alone tells something of a state: of the leader, else of a node that has it.

        Raises `Damaged` where none has it `whole`, `Unavailable`.
        """
        led = await self._engine.at(self._stream, seq)
        found = [] if led is None else [led]
        for look in range(LOOKS + 1):
            for kept in found:
                block = decode_block(kept.data, seq) if (kept.subject, kept.seq) == (self._subject, seq) else None
                if block is not None and whole(block):
                    if look > 0:
                        await self._had_elsewhere(seq, state)
                    return block
            found = await self._fetched(seq, 1)
        raise Damaged

    async def blocks(self, state: State, after: int, size: int, last: int,
                     drops: Drops = NOTHING) -> AsyncIterator[tuple[int, Block]]:
        """Blocks with their sequences, from the one that has the first entry after an offset that is not dropped.

        Each is checked; their entries are about `size` bytes, or go up to offset `last`. Raises `Damaged` where one
        lacks.
        """
        after, head = _past(drops, after, GENESIS_HEAD if after == 0 else None)
        if after >= last:
            return
        seq = await self._find(state, after + 1)
        in_vain = 0
        while after < last:
            if in_vain == 1:
                one = await self._engine.next(self._stream, self._subject, seq)
                fetched = [] if one is None else [one]
            else:
                fetched = await self._fetched(seq, size)
            passed = 0
            for kept in fetched:
                block = decode_block(kept.data, kept.seq)
                if block is None or not _fits(block, state, after, head):
                    break
                if passed == 0 and in_vain > 1:
                    await self._had_elsewhere(kept.seq, state)
                passed += 1
                seq = kept.seq + 1
                if not block.envelopes or block.state.end <= after:
                    continue
                self._view.saw(kept.seq, block)
                after, head = _past(drops, block.state.end, block.state.head)
                size -= sum(len(envelope) for envelope in block.envelopes)
                yield kept.seq, block
                if after >= last or size <= 0:
                    break
            if size <= 0:
                return
            in_vain = 0 if passed else in_vain + 1
            if in_vain > LOOKS:
                raise Damaged
        if after == state.end and head != state.head:
            raise Damaged

    async def having(self, state: State, spans: Sequence[tuple[int, int]],
                     drops: Drops) -> AsyncIterator[tuple[int, Block]]:
        """The blocks that have entries of these spans, once each, with their sequences.

        Spans rise, and nothing of them was dropped. Raises `Damaged`, `Unavailable`.
        """
        at, near, begin = 0, False, spans[0][0] if spans else 0
        while at < len(spans):
            async for seq, block in self.blocks(state, begin - 1, FETCH_BYTES if near else 1, spans[-1][1], drops):
                if spans[at][0] <= block.state.end:
                    yield seq, block
                while at < len(spans) and spans[at][1] <= block.state.end:
                    at += 1
                begin = block.state.end + 1
                if at == len(spans) or spans[at][0] > begin + NEAR:
                    break
            near = at < len(spans) and spans[at][0] <= begin + NEAR
            if at < len(spans) and not near:
                begin = spans[at][0]

    async def _had_elsewhere(self, seq: int, state: State) -> None:
        """Another node has a block that the leader did not give: one that lacks it is unseated.

        Where the space has another state by now, the block may be one that was removed, of which that node is not told
        yet.
        """
        with suppress(Unavailable):
            lacks = await self._engine.at(self._stream, seq) is None and self._view.state == state
            if lacks and await self._engine.newest(self._subject) == self._view.seq:
                await self._engine.unseat(self._stream)

    async def _fetched(self, seq: int, size: int) -> list[Kept]:
        try:
            return await self._engine.run(self._stream, self._subject, seq, size=min(size + 4096, FETCH_BYTES))
        except Unavailable:
            return []  # the node that was asked may be the one that is gone

    async def _find(self, state: State, offset: int) -> int:
        """The sequence of the block that has an offset, or of one before it with nothing between."""
        blocks = self._view.blocks
        at = bisect.bisect_right(blocks, (offset, 2**62, 0))
        low_offset, low = 1, state.since
        if at > 0:
            first, last, seq = blocks[at - 1]
            if first <= offset <= last:
                return seq
            low_offset, low = last + 1, seq + 1
        high = blocks[at][2] if at < len(blocks) else self._view.seq + 1
        # Between two blocks that are known: each look halves what is left.
        while low_offset < offset and low < high:
            middle = (low + high) // 2
            kept = await self._engine.next(self._stream, self._subject, middle)
            block = None if kept is None else decode_block(kept.data, kept.seq)
            if kept is None or block is None or kept.seq >= high:
                high = middle
                continue
            self._view.saw(kept.seq, block)
            if block.first <= offset <= block.state.end:
                return kept.seq
            if block.state.end < offset:
                low_offset, low = block.state.end + 1, kept.seq + 1
            else:
                high = middle
        return low


def _past(drops: Drops, after: int, head: bytes | None) -> tuple[int, bytes | None]:
    """Where a log goes on after an offset, and the head there."""
    gone = drops.covers(after + 1)
    return (after, head) if gone is None else (gone.last, gone.head)


def _fits(block: Block, state: State, after: int, head: bytes | None) -> bool:
    """Whether a block is a whole step of this life that goes on where the one before ended."""
    if block.state.birth != state.birth or block.first > after + 1:
        return False
    if not block.envelopes or block.state.end <= after:  # of what was dropped some may be there yet
        return True
    if head is not None and block.before != head and block.first == after + 1:
        return False
    folded = block.before
    for envelope in block.envelopes:
        folded = fold_head(folded, entry_id(envelope))
    return folded == block.state.head

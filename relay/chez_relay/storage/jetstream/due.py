"""What of a space is to be dropped now: a slice of it, with the bytes that it gives back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez_relay.storage import Dropped
from chez_relay.storage.jetstream.blocks import Drops, State, merged
from chez_relay.storage.jetstream.log import Log
from chez_wire.dropping import united
from chez_wire.envelope import entry_id, fold_head
from chez_wire.limits import MIB

__all__ = ("Due", "after_due", "due")

SLICE_BYTES: Final = 8 * MIB
"""Bytes of entries that are dropped at a time: what waits behind it waits no longer than for a group of appends."""


@dataclass(slots=True)
class Due:
    """What is dropped: `spans` with the heads at their ends, `over` of the table's ranges that are done with.

    `blocks` are those that nothing else needs; `data` and `control` the bytes of entries.
    """

    spans: list[Dropped] = field(default_factory=list)
    over: set[tuple[int, int, float]] = field(default_factory=set)
    blocks: list[int] = field(default_factory=list)
    data: int = 0
    control: int = 0
    more: bool = False

    def drop(self, offset: int, head: bytes, size: int, *, control: bool) -> None:
        """One entry more is dropped, after those before it."""
        if self.spans and self.spans[-1].last == offset - 1:
            self.spans[-1] = Dropped(self.spans[-1].first, offset, head)
        else:
            self.spans.append(Dropped(offset, offset, head))
        self.data += 0 if control else size
        self.control += size if control else 0


async def due(log: Log, state: State, drops: Drops, now: float) -> Due:
    """Look at what is due, up to a slice, in the order of the log. Raises `Damaged`, `Unavailable`."""
    found = Due()
    waiting = [span for span in drops.dropping if span[2] <= now]
    spans = [part for whole in merged((first, last) for first, last, _ in waiting) for part in drops.live(*whole)]
    at, room, done = 0, SLICE_BYTES, state.end  # the span that is next, and up to where all that is due was seen
    async for seq, block in log.having(state, spans, drops):
        folded, inside = block.before, True
        for number, envelope in enumerate(block.envelopes):
            offset = block.first + number
            folded = fold_head(folded, entry_id(envelope))
            while at < len(spans) and spans[at][1] < offset:
                at += 1
            if at == len(spans) or offset < spans[at][0]:
                inside = inside and drops.covers(offset) is not None
                continue
            found.drop(offset, folded, len(envelope), control=number in block.control)
        if inside and block.index is None and block.drops is None:
            found.blocks.append(seq)
        room -= sum(map(len, block.envelopes))
        if room <= 0 and block.state.end < spans[-1][1]:
            done, found.more = block.state.end, True
            break
    found.over = {span for span in waiting if span[1] <= done}
    return found


def after_due(drops: Drops, found: Due, chunks: Sequence[bytes], removing: Sequence[tuple[bytes, int, int]]) -> Drops:
    """The table after a slice was dropped, while chunks whose time came are removed."""
    return Drops(
        tuple(span for span in drops.dropping if span not in found.over),
        tuple(united([*drops.dropped, *found.spans])),
        tuple(one for one in drops.releasing if one[0] not in set(chunks)), tuple(removing))

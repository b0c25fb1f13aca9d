"""What of a space is to be dropped now: a slice of it, with the bytes that it gives back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez_relay.storage import Dropped
from chez_relay.storage.jetstream.blocks import Drops, State
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


async def due(log: Log, state: State, drops: Drops, now: float) -> Due:
    """Look at what is due, up to a slice. Raises `Damaged`, `Unavailable`."""
    found = Due()
    room = SLICE_BYTES
    for span in drops.dropping:
        first, last, when = span
        if when > now:
            continue
        if room <= 0:
            found.more = True
            break
        whole = True
        for begin, end in _live(drops, found.spans, first, last):
            at = begin - 1
            async for seq, block in log.blocks(state, begin - 1, max(room, 1), end):
                head = block.before
                inside = True
                for number, envelope in enumerate(block.envelopes):
                    offset = block.first + number
                    head = fold_head(head, entry_id(envelope))
                    if not begin <= offset <= end:
                        inside = inside and drops.covers(offset) is not None
                        continue
                    at, reached, room = offset, head, room - len(envelope)
                    if number in block.control:
                        found.control += len(envelope)
                    else:
                        found.data += len(envelope)
                if inside and block.index is None and block.drops is None:
                    found.blocks.append(seq)
            if at >= begin:
                found.spans.append(Dropped(begin, at, reached))
            if at < end:
                whole = False
                break
        if whole:
            found.over.add(span)
        else:
            found.more = True
            break
    return found


def _live(drops: Drops, spans: Sequence[Dropped], first: int, last: int) -> list[tuple[int, int]]:
    return Drops(dropped=tuple(united([*drops.dropped, *spans]))).live(first, last)


def after_due(drops: Drops, found: Due, chunks: Sequence[bytes], removing: Sequence[tuple[bytes, int, int]]) -> Drops:
    """The table after a slice was dropped, while chunks whose time came are removed."""
    return Drops(
        tuple(span for span in drops.dropping if span not in found.over),
        tuple(united([*drops.dropped, *found.spans])),
        tuple(one for one in drops.releasing if one[0] not in set(chunks)), tuple(removing))

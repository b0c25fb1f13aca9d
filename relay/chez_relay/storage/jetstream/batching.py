"""Which changes of a space go into one block."""

from collections.abc import Iterator, Sequence
from typing import Final

from chez_relay.storage import AddChunk, AddEntry, AddSpace, DropEntries, DropSpace, RotateSpace
from chez_relay.storage.jetstream.draft import Change
from chez_wire.packets import PACKET_COST

__all__ = ("batches",)

MAX_BLOCK: Final = 512 * 1024
"""Bytes of entries and packets above which a block is closed: a message of a cluster has 1 MiB at most."""

_TOLD_ANEW: Final = (RotateSpace, DropEntries)
"""What tells all packets, or all that is dropped, in place of the block that told it before."""


def batches(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """Runs of changes that go into one block: chunks by themselves, and no more bytes than a message has.

    What a later block tells anew is alone in its own, which goes then: with entries it would have to stay.
    """
    batch: list[Change] = []
    size = 0
    for change in changes:
        cost = _cost(change)
        alone = isinstance(change, _TOLD_ANEW) or (batch and isinstance(batch[0], _TOLD_ANEW))
        mixed = batch and isinstance(change, AddChunk) != isinstance(batch[0], AddChunk)
        if batch and (size + cost > MAX_BLOCK or alone or mixed):
            yield batch
            batch, size = [], 0
        batch.append(change)
        size += cost
    if batch:
        yield batch


def _cost(change: Change) -> int:
    match change:
        case AddEntry(envelope=envelope):
            return len(envelope) + 8
        case AddSpace(packets=packets) | RotateSpace(packets=packets):
            return len(packets) * PACKET_COST
        case AddChunk() | DropSpace() | DropEntries():
            return 0

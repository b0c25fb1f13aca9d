"""Which waiting changes go into which entry: a plain function of their sizes and of their operations.

What one transaction wrote stays in one entry, so that it becomes visible together; when it
is larger than an entry, it becomes a batch of entries of its own. What different outsiders
wrote is never in one entry: compressed together, the size would tell what the one repeats
of the other.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

import msgspec

from chez.spaces.statements import NewEpoch, Signed
from chez.sync.entry import STATEMENT, Item, Part
from chez_wire.limits import MAX_ENTRY_OPERATIONS, MAX_ITEMS, MAX_STATEMENTS, TARGET_INNER

__all__ = ("Waiting", "by_epoch", "plan")

_ROOM: Final = MAX_ITEMS - 1  # an entry may carry the journal's head as well


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """A change in the outbox: its row, its bytes with its names, who provided it, its transaction, its operations."""

    n: int
    size: int
    origin: str | None
    batch: int | None
    weight: int = 1


def plan(waiting: Iterable[Waiting]) -> Iterator[tuple[list[Waiting], Part | None]]:
    """Entries in order: the changes of each, and which part of a batch it is."""
    entry: list[Waiting] = []
    filled = _Load()
    for _, items in groupby(waiting, lambda one: (one.batch, one.n if one.batch is None else 0)):
        group = list(items)
        load = _Load.of(group)
        if load.fits or len(group) == 1:
            if entry and (entry[0].origin != group[0].origin or not (filled + load).fits):
                yield entry, None
                entry, filled = [], _Load()
            entry += group
            filled += load
            continue
        if entry:
            yield entry, None
            entry, filled = [], _Load()
        pieces = list(_cut(group))
        yield from ((piece, Part(number, number == len(pieces) - 1)) for number, piece in enumerate(pieces))
    if entry:
        yield entry, None


class _Load(msgspec.Struct, frozen=True, gc=False):
    """What some changes take of an entry: how many they are, their bytes, their operations."""

    count: int = 0
    size: int = 0
    weight: int = 0

    @classmethod
    def of(cls, group: list[Waiting]) -> "_Load":
        if len(group) == 1:
            return cls(1, group[0].size, group[0].weight)
        return cls(len(group), sum([one.size for one in group]), sum([one.weight for one in group]))

    def __add__(self, other: "_Load") -> "_Load":
        return _Load(self.count + other.count, self.size + other.size, self.weight + other.weight)

    @property
    def fits(self) -> bool:
        return self.count <= _ROOM and self.size <= TARGET_INNER and self.weight <= MAX_ENTRY_OPERATIONS


def _cut(group: list[Waiting]) -> Iterator[list[Waiting]]:
    piece: list[Waiting] = []
    size = weight = 0
    for one in group:
        if piece and (size + one.size > TARGET_INNER or weight + one.weight > MAX_ENTRY_OPERATIONS
                      or len(piece) == _ROOM):
            yield piece
            piece, size, weight = [], 0, 0
        piece.append(one)
        size += one.size
        weight += one.weight
    yield piece


def by_epoch(statements: Sequence[bytes]) -> Iterator[list[Item]]:
    """Statements as items of entries: a new epoch alone in one.

    What is before or after it may be sealed under the epoch that it ends; if it was itself,
    nobody whom it lets in could ever read it.
    """
    entry: list[Item] = []
    size = 0
    for body in statements:
        said = Signed.kept(body).body
        alone = isinstance(said, NewEpoch) and bool(said.previous)
        if entry and (alone or size + len(body) > TARGET_INNER or len(entry) == MAX_STATEMENTS):
            yield entry
            entry, size = [], 0
        entry.append(Item(STATEMENT, "", "", body))
        size += len(body)
        if alone:
            yield entry
            entry, size = [], 0
    if entry:
        yield entry

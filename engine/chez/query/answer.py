"""The answer of a live query, kept current: what changed goes out of it, comes in, or moves.

It holds the matching records in order, up to the last one wanted. Of a cut query nothing
is known of the records behind that, except that they come later; so as long as enough
records remain that are not behind it, whatever is behind it is of no interest. No I/O.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

__all__ = ("Answer", "Row")


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """A record of the answer as the projection has it, and its place in the order; the id tells equals apart."""

    id: str
    json: str
    kinds: str | None
    place: tuple[Any, ...]


@dataclass(frozen=True, slots=True, repr=False)
class _Down:
    """What is sorted the other way round."""

    value: tuple[Any, ...]

    def __lt__(self, other: "_Down") -> bool:
        return other.value < self.value


def _rank(value: Any) -> tuple[Any, ...]:
    """SQLite's order of what a JSON field can be: NULL, numbers, texts by their code points."""
    if value is None:
        return (0,)
    return (2, value) if isinstance(value, str) else (1, value)


_place = attrgetter("place")


@dataclass(slots=True, repr=False)
class Answer:
    """The matching records in order: all, or the first `most` of them.

    `directions` says for each value that a record is sorted by, and for its id behind
    them, whether the order goes down.
    """

    directions: Sequence[bool]
    most: int | None = None
    _rows: list[Row] = field(default_factory=list)
    _by_id: dict[str, Row] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: slice) -> list[Row]:
        return self._rows[which]

    def row(self, id: str, json: str, kinds: str | None, values: Sequence[Any]) -> Row:
        """A record that matches, with the values it is sorted by, as SQLite gave them."""
        ranks = [_rank(value) for value in (*values, id)]
        return Row(id, json, kinds, tuple([_Down(rank) if down else rank
                                           for rank, down in zip(ranks, self.directions, strict=True)]))

    def begin(self, rows: Iterable[Row]) -> None:
        """Start from what asking in full gave, in order."""
        self._rows = list(rows)
        self._by_id = {row.id: row for row in self._rows}

    def take(self, changed: Iterable[tuple[str, Row | None]]) -> bool:
        """Take in records that changed, each once: as it is now, None if it does not match (any more).

        False if what is in the answer now can't be told from this: then `begin` again.
        """
        behind = None if self.most is None or len(self._rows) < self.most or not self._rows else self._rows[-1].place
        for id, row in changed:
            old = self._by_id.pop(id, None)
            if old is not None:
                del self._rows[bisect_left(self._rows, old.place, key=_place)]
            if row is not None:
                insort(self._rows, row, key=_place)
                self._by_id[id] = row
        known = len(self._rows) if behind is None else bisect_right(self._rows, behind, key=_place)
        if behind is not None and self.most is not None and known < self.most:
            return False
        for row in self._rows[self.most:] if self.most is not None else ():
            del self._by_id[row.id]
        if self.most is not None:
            del self._rows[self.most:]
        return True

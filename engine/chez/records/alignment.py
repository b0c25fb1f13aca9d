"""Which item of one list became which of another.

Equal items are paired by their longest common runs. Between these, items that share
most of their content are (by the best sum, in order), and what is left in one gap one by
one: what is paired is edited in place, so that it merges with what others do inside it.
"""

from difflib import SequenceMatcher
from typing import Final

from chez.records.counter import Counter
from chez.records.text import Text
from chez.records.values import Value

__all__ = ("aligned",)

COMPARED: Final = 4096
"""Pairs of unequal items of one gap that are compared; in a larger gap they are paired in order."""

Pairs = list[tuple[int, int]]


def aligned(before: list[Value], after: list[Value], *, gaps: bool = True) -> Pairs:
    """Pairs of positions, both rising: an item, and what it became.

    Without `gaps`, only of items that share something.
    """
    out: Pairs = []
    tokens = [_token(item) for item in before], [_token(item) for item in after]
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, *tokens, autojunk=False).get_opcodes():
        if tag == "equal":
            out += zip(range(i1, i2), range(j1, j2), strict=True)
        elif tag == "replace":
            out += [(i1 + i, j1 + j) for i, j in (_gap if gaps else _best)(before[i1:i2], after[j1:j2])]
    return out


def _gap(before: list[Value], after: list[Value]) -> Pairs:
    out: Pairs = []
    i = j = 0
    for to_i, to_j in [*_best(before, after), (len(before), len(after))]:
        out += zip(range(i, to_i), range(j, to_j), strict=False)
        if to_i < len(before):
            out.append((to_i, to_j))
        i, j = to_i + 1, to_j + 1
    return out


def _best(before: list[Value], after: list[Value]) -> Pairs:
    """The pairs of items alike that together are most alike (an alignment as Needleman and Wunsch 1970 have it)."""
    rows, columns = len(before), len(after)
    if rows * columns > COMPARED:
        return []
    alike = [[_alike(old, new) for new in after] for old in before]
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows - 1, -1, -1):
        for j in range(columns - 1, -1, -1):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + alike[i][j])
    out: Pairs = []
    i = j = 0
    while i < rows and j < columns:
        if alike[i][j] and best[i][j] == best[i + 1][j + 1] + alike[i][j]:
            out.append((i, j))
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return out


def _alike(old: Value, new: Value) -> float:
    """How much two unequal items share, from 0 to 1; scalars share nothing."""
    if type(old) is dict and type(new) is dict:
        shared = sum(1.0 if _token(old[key]) == _token(new[key]) else _alike(old[key], new[key]) / 2
                     for key in old.keys() & new.keys())
        return shared / max(len(old), len(new), 1)
    if type(old) is list and type(new) is list:
        return len({_token(item) for item in old} & {_token(item) for item in new}) / max(len(old), len(new), 1)
    if type(old) is Text and isinstance(new, Text | str):
        return _common(str(old), str(new)) / max(len(old), len(new), 1)
    return 0.0


def _common(old: str, new: str) -> int:
    """Characters of the common beginning and end."""
    size = min(len(old), len(new))
    start = next((at for at in range(size) if old[at] != new[at]), size)
    end = next((at for at in range(size - start) if old[-1 - at] != new[-1 - at]), size - start)
    return start + end


def _token(value: Value) -> object:
    """A hashable stand-in for a value: equal tokens mean equal values."""
    if type(value) is dict:
        return "map", tuple((key, _token(item)) for key, item in sorted(value.items()))
    if type(value) is list:
        return "list", tuple(_token(item) for item in value)
    if type(value) is Text:
        return "text", str(value)
    if type(value) is Counter:
        return "counter", int(value)
    return type(value).__name__, value

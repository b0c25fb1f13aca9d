"""Rows that are written by one statement.

Python's binding lets other threads run at each step of a statement and then waits for its turn again, up to five
milliseconds of it while the event loop is busy: a group that wrote three hundred rows one by one waited three hundred
times.
"""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

__all__ = ("TOGETHER", "together", "values")

T = TypeVar("T")

TOGETHER: Final = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""How many rows one statement may write: few kinds of statements, which SQLite prepares once, and few of them for any
number of rows."""


def together(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut rows into parts that one statement can write."""
    if len(rows) == 1:  # as most
        yield rows
        return
    first = 0
    for count in TOGETHER:
        while len(rows) - first >= count:
            yield rows[first:first + count]
            first += count


def values(rows: int, columns: int) -> str:
    """SQL for that many rows of values to be bound."""
    row = "(" + ", ".join("?" * columns) + ")"
    return "VALUES " + ", ".join([row] * rows)

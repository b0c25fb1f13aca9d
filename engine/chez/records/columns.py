"""How many operations a change claims, counted before anything is unpacked.

A change's columns are run-length encoded: a run of ten million operations takes a few
bytes, and unpacking it exhausts a device's memory inside the document library, which
then ends the process. So each column's run counts are added up here first; a change
that claims more than `MAX_OPERATIONS` is refused.

Source: the Automerge binary format specification, "Change chunk" and "Column encoding".
"""

from functools import lru_cache
from typing import Final

__all__ = ("MAX_OPERATIONS", "TooManyOperations", "check_operations", "read_uleb")

MAX_OPERATIONS: Final = 131_072
"""Operations in one change: about half a second to load, and tens of megabytes."""

_GROUP, _ACTOR, _UINT, _DELTA, _BOOLEAN, _STRING, _META, _RAW = range(8)


class TooManyOperations(ValueError):
    """A change claims more operations than any edit makes, or its columns are malformed."""


def read_uleb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number of at most 64 bits, and where it ends."""
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise TooManyOperations("a number of more than 64 bits")


def check_operations(data: bytes, at: int) -> None:
    """Check a change's columns; `at` is where its start operation is written.

    Raises `TooManyOperations`, and IndexError when the bytes end too soon.
    """
    _, at = read_uleb(data, at)  # start operation
    _, at = read_uleb(data, at)  # time: signed, of the same length
    size, at = read_uleb(data, at)  # message
    actors, at = read_uleb(data, at + size)
    for _ in range(actors):
        size, at = read_uleb(data, at)
        at += size
        if at > len(data):
            raise TooManyOperations("an actor that is cut short")
    count, at = read_uleb(data, at)
    columns = []
    for _ in range(count):
        kind, at = read_uleb(data, at)
        size, at = read_uleb(data, at)
        columns.append((kind, size))
    for kind, size in columns:
        if kind & 8:  # a deflated column is refused like a deflated change
            raise TooManyOperations("a compressed column")
        if kind & 7 != _RAW and _count(kind & 7, data[at : at + size]) > MAX_OPERATIONS:
            raise TooManyOperations(f"more than {MAX_OPERATIONS:,} operations")
        at += size


@lru_cache(maxsize=4096)
def _count(kind: int, column: bytes) -> int:
    """Values in one column. Cached: records of one collection share most of their columns."""
    total = at = 0
    while at < len(column) and total <= MAX_OPERATIONS:
        begin = at
        run, at = read_uleb(column, at)
        if kind == _BOOLEAN:
            total += run
            continue
        if column[at - 1] & 0x40:  # the sign of a signed LEB128 number
            run -= 1 << 7 * (at - begin)
        if run > 0:
            total += run
            at = _skip(kind, column, at)
        elif run < 0:
            total -= run
            for _ in range(-run if total <= MAX_OPERATIONS else 0):
                at = _skip(kind, column, at)
        else:
            nulls, at = read_uleb(column, at)
            total += nulls
    return total


def _skip(kind: int, column: bytes, at: int) -> int:
    size, at = read_uleb(column, at)
    return at + size if kind == _STRING else at

"""The saved form of a document with its columns as they are, instead of deflated one by one.

What Automerge saves has each larger column deflated by itself. Many documents compressed together
come out much smaller when they are not, and a reader that refuses deflated columns
is given no bomb: what it is handed it can measure before it loads it.

    "856f4a83" ‖ checksum (4) ‖ 0 ‖ length ‖ actors ‖ heads ‖ columns of changes and of
    operations: specification and length each ‖ their bytes, in the same order ‖ the rest

Bit 3 of a specification says that a column is deflated (RFC 1951). Source: the Automerge binary
format specification, "Document chunk".
"""

import hashlib
import zlib
from typing import Final

from chez.records.automerge import BadChange
from chez.records.columns import BadColumns, claims_too_much, read_uleb
from chez.records.encode import uleb

__all__ = ("check_flat", "flattened")

_MAGIC: Final = b"\x85\x6f\x4a\x83"
_DOCUMENT: Final = b"\0"
_DEFLATED: Final = 8
_MAX_COLUMNS: Final = 256


def flattened(saved: bytes) -> bytes:
    """A saved document with no column deflated. Raises `BadChange` for what is no saved document."""
    try:
        before, columns, after = _taken_apart(saved)
        flat = [(spec & ~_DEFLATED, zlib.decompress(data, -15) if spec & _DEFLATED else data)
                for part in columns for spec, data in part]
    except (zlib.error, IndexError, BadColumns) as error:
        raise BadChange(f"a saved document can't be read: {error}") from None
    tables, at = [], 0
    for part in columns:
        mine = flat[at : at + len(part)]
        tables.append(uleb(len(mine)) + b"".join([uleb(spec) + uleb(len(data)) for spec, data in mine]))
        at += len(part)
    body = b"".join((before, *tables, *[data for _, data in flat], after))
    chunk = _DOCUMENT + uleb(len(body)) + body
    return _MAGIC + hashlib.sha256(chunk).digest()[:4] + chunk


def check_flat(saved: bytes) -> None:
    """Raises `BadChange` unless these bytes are one saved document of bounded size, of which no column is deflated."""
    try:
        _, columns, _ = _taken_apart(saved)
        if any(spec & _DEFLATED for part in columns for spec, _ in part):
            raise BadChange("a saved document has deflated columns")
        if any(claims_too_much(spec, data) for part in columns for spec, data in part):
            raise BadChange("a saved document has more operations than are loaded at once")
    except (IndexError, BadColumns) as error:
        raise BadChange(f"a saved document can't be read: {error}") from None


def _taken_apart(saved: bytes) -> tuple[bytes, list[list[tuple[int, bytes]]], bytes]:
    """What is before the columns' table, the columns of changes and of operations, and what follows them."""
    if saved[:4] != _MAGIC or saved[8:9] != _DOCUMENT:
        raise BadColumns("no document chunk")
    size, start = read_uleb(saved, 9)
    if start + size != len(saved):
        raise BadColumns("another length than it says")
    count, at = read_uleb(saved, start)
    for _ in range(_bounded(count, saved)):
        length, at = read_uleb(saved, at)
        at += length
    heads, at = read_uleb(saved, at)
    end = at + 32 * heads
    tables = []
    at = end
    for _ in range(2):
        count, at = read_uleb(saved, at)
        if count > _MAX_COLUMNS:
            raise BadColumns("too many columns")
        table = []
        for _ in range(count):
            spec, at = read_uleb(saved, at)
            length, at = read_uleb(saved, at)
            table.append((spec, length))
        tables.append(table)
    columns = []
    for table in tables:
        part = []
        for spec, length in table:
            if at + length > len(saved):
                raise BadColumns("a column beyond its end")
            part.append((spec, saved[at : at + length]))
            at += length
        columns.append(part)
    return saved[start:end], columns, saved[at:]


def _bounded(count: int, saved: bytes) -> int:
    if count > len(saved):
        raise BadColumns("more actors than bytes")
    return count

"""What an edition is of: rows by table and id, the hash of them all, and what differs between two states.

    row digest   BLAKE2b of table, id and JSON with sorted keys ("chez/1 open data row")
    content      BLAKE2b of all digests in order ("chez/1 open data content"): whatever order the rows came in
    before       zlib of MessagePack [[table, id, JSON or nil], ...]: how to go back to the edition before
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec

from chez.crypto import hash_fields
from chez.opendata.errors import DataInvalid
from chez.records.values import MAX_ID

__all__ = (
    "MAX_BEFORE", "MAX_BYTES", "MAX_FIELDS", "MAX_ROW", "MAX_ROWS", "MAX_TABLES", "Change", "Content", "Row",
    "canonical", "changes", "pack_before", "row_id", "undone",
)

MAX_ROWS: Final = 200_000
"""Rows of one dataset: each is a record, which costs a device about a kilobyte."""

MAX_ROW: Final = 32 * 1024
"""Bytes of one row as JSON."""

MAX_BYTES: Final = 128 * 1024 * 1024
"""Bytes of all rows of a dataset as JSON: they are in memory when it is published, and pass through it when checked."""

MAX_FIELDS: Final = 256
"""Fields of one table: a view has a column for each."""

MAX_TABLES: Final = 16
"""Tables of one dataset."""

MAX_BEFORE: Final = 256 * 1024
"""Bytes by which one can go back one edition: more is not kept."""

_MAX_UNPACKED: Final = 16 * 1024 * 1024
_sorted = msgspec.json.Encoder(order="sorted")

Key = tuple[str, str]
"""A row's table and id."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its table, its id there, and its value as JSON in the one form that is signed."""

    table: str
    id: str
    json: bytes = field(repr=False)

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for it."""
        return hash_fields("chez/1 open data row", self.table.encode(), self.id.encode(), self.json)

    @property
    def value(self) -> dict[str, Any]:
        """The value."""
        found: dict[str, Any] = msgspec.json.decode(self.json)
        return found


def canonical(value: Mapping[str, Any]) -> bytes:
    """A row's value as the JSON that is signed. Raises `DataInvalid` for one that has no such form, or is too large."""
    try:
        encoded = _sorted.encode(value)
    except (TypeError, ValueError, RecursionError):
        raise DataInvalid("a row holds what open data can't", "Rows are made of texts, numbers and lists.") from None
    if len(encoded) > MAX_ROW:
        raise DataInvalid(f"a row has {len(encoded)} bytes", f"At most {MAX_ROW} are.")
    return encoded


def row_id(identity: Mapping[str, Any]) -> str:
    """The id of the row that has these identifying fields: the same wherever it is published from."""
    digest = hash_fields("chez/1 open data row id", _sorted.encode(identity))
    return digest[:16].hex()


class Content:
    """All rows of a dataset, bounded while it is filled."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows: dict[Key, bytes] = {}
        self._fields: dict[str, set[str]] = {}
        self._size = 0
        for row in rows:
            self.add(row)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return (Row(table, id, json) for (table, id), json in self._rows.items())

    @property
    def size(self) -> int:
        """Bytes of all rows as JSON."""
        return self._size

    def get(self, table: str, id: str) -> bytes | None:
        """The JSON of a row, None if there is none."""
        return self._rows.get((table, id))

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that have rows, in order."""
        return tuple(sorted(self._fields))

    def fields(self, table: str) -> tuple[str, ...]:
        """The fields that rows of a table have, in order."""
        return tuple(sorted(self._fields.get(table, ())))

    def add(self, row: Row) -> None:
        """Take one more row. Raises `DataInvalid` when it is more than a dataset holds, or was there."""
        key = (row.table, row.id)
        if key in self._rows:
            raise DataInvalid(f"two rows of {row.table} have one id", "Name a key by which rows differ.")
        self._size += len(row.json)
        fields = self._fields.setdefault(row.table, set())
        fields.update(row.value)
        if len(self._rows) >= MAX_ROWS or self._size > MAX_BYTES:
            raise DataInvalid(f"it has more than {MAX_ROWS} rows, or {MAX_BYTES} bytes of them",
                              "Publish it in parts, each a dataset.")
        if len(fields) > MAX_FIELDS or len(self._fields) > MAX_TABLES:
            raise DataInvalid(f"it has more than {MAX_TABLES} tables, or {MAX_FIELDS} fields in one",
                              "Publish the part that people ask for.")
        self._rows[key] = row.json

    @property
    def hash(self) -> bytes:
        """32 bytes that stand for all rows."""
        return hash_fields("chez/1 open data content", *sorted(row.digest for row in self))

    def with_changes(self, made: Iterable["Change"]) -> "Content":
        """What it is after changes. Raises `DataInvalid`."""
        rows = dict(self._rows)
        for one in made:
            if one.after is None:
                rows.pop((one.table, one.id), None)
            else:
                rows[one.table, one.id] = one.after
        return Content(Row(table, id, json) for (table, id), json in rows.items())


@dataclass(frozen=True, slots=True)
class Change:
    """One row that differs: what it was and what it is, None where there is none."""

    table: str
    id: str
    before: bytes | None = field(repr=False)
    after: bytes | None = field(repr=False)


def changes(here: Content, wanted: Content) -> list[Change]:
    """What makes one state the other, in an order that follows from the two."""
    found = [Change(row.table, row.id, here.get(row.table, row.id), row.json) for row in wanted
             if here.get(row.table, row.id) != row.json]
    found += [Change(row.table, row.id, row.json, None) for row in here if wanted.get(row.table, row.id) is None]
    return sorted(found, key=lambda one: (one.table, one.id))


# --- going back ----------------------------------------------------------------------

_Back = tuple[Annotated[str, msgspec.Meta(max_length=MAX_ID)], Annotated[str, msgspec.Meta(max_length=MAX_ID)],
              bytes | None]


def pack_before(made: Iterable[Change]) -> bytes:
    """How to go back from changes; empty when it is more than is kept."""
    packed = zlib.compress(msgspec.msgpack.encode([(one.table, one.id, one.before) for one in made]), 9)
    return packed if len(packed) <= MAX_BEFORE else b""


def undone(content: Content, before: bytes) -> Content:
    """The state that an edition's `before` leads back to. Raises `DataInvalid` for one that is not readable."""
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(before, _MAX_UNPACKED)
        if unpacker.unconsumed_tail:
            raise ValueError
        back = msgspec.msgpack.decode(plain, type=list[_Back])
        steps = [Change(table, id, content.get(table, id), was) for table, id, was in back]
        return content.with_changes(steps)
    except (zlib.error, ValueError, msgspec.DecodeError):
        raise DataInvalid("what leads back to the edition before is not readable") from None


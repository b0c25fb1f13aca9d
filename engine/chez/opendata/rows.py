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
import sqlcipher3

from chez.crypto import FieldsHash, hash_fields, random_bytes
from chez.errors import StorageFailed
from chez.opendata.errors import DataInvalid
from chez.records.values import MAX_ID

__all__ = (
    "MAX_BEFORE", "MAX_BYTES", "MAX_FIELDS", "MAX_ROW", "MAX_ROWS", "MAX_TABLES", "Change", "Content", "Digest", "Row",
    "canonical", "changes", "pack_before", "recorded", "row_id", "undone",
)

MAX_ROWS: Final = 200_000
"""Rows of one dataset: each is a record, which costs each device that has it some 600 bytes, so a million of them would
take more than the room of a followed space."""

MAX_ROW: Final = 32 * 1024
"""Bytes of one row as JSON."""

MAX_BYTES: Final = 128 * 1024 * 1024
"""Bytes of all rows of a dataset as JSON: they pass the memory, and a file of that size, when it is published."""

MAX_FIELDS: Final = 256
"""Fields of one table: a view has a column for each."""

MAX_TABLES: Final = 16
"""Tables of one dataset."""

MAX_BEFORE: Final = 256 * 1024
"""Bytes by which one can go back one edition: more is not kept."""

_MAX_UNPACKED: Final = 16 * 1024 * 1024
_sorted = msgspec.json.Encoder(order="sorted")

_IN_MEMORY: Final = 32_768
"""KiB of rows that are in memory at once. Their ids are hashes, so each comes to another page: with a quarter of this
200,000 take more than twice as long, for pages are sealed and opened again."""


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


def recorded(value: Mapping[str, Any]) -> bytes:
    """A record's value as `canonical` has it, where that is all that it says; else in a form that nobody signs.

    Bytes and times have a form in JSON that is a text's, too, and whoever reads the record sees something else. So they
    are not what was signed, and a publisher's next edition puts right what is there. Raises as `canonical`.
    """
    encoded = canonical(value)
    return encoded if msgspec.json.decode(encoded) == value else encoded + b" "


def row_id(identity: Mapping[str, Any]) -> str:
    """The id of the row that has these identifying fields: the same wherever it is published from."""
    digest = hash_fields("chez/1 open data row id", _sorted.encode(identity))
    return digest[:16].hex()


class Digest:
    """What stands for rows: how many, how large, and the hash of them all, in 32 bytes of memory a row.

    It is bounded while it is filled; the rows themselves are not kept.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        # By their first byte: what is sorted at once, as objects, is a small part of them.
        self._digests = [bytearray() for _ in range(256)]
        self._fields: dict[str, set[str]] = {}
        self._count = 0
        self._size = 0
        for row in rows:
            self.add(row)

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes of all rows as JSON."""
        return self._size

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that have rows, in order."""
        return tuple(sorted(self._fields))

    def fields(self, table: str) -> tuple[str, ...]:
        """The fields that rows of a table have, in order."""
        return tuple(sorted(self._fields.get(table, ())))

    def add(self, row: Row) -> None:
        """Take one more row, another than those before. Raises `DataInvalid` when it is more than a dataset holds."""
        self._size += len(row.json)
        fields = self._fields.setdefault(row.table, set())
        fields.update(row.value)
        if self._count >= MAX_ROWS or self._size > MAX_BYTES:
            raise DataInvalid(f"it has more than {MAX_ROWS:,} rows, or {MAX_BYTES // 2**20} MiB of them",
                              "Publish it in parts, each a dataset, by year or district: people subscribe what they "
                              "need. Or only describe it, and say in `download` where the file is.")
        if len(fields) > MAX_FIELDS or len(self._fields) > MAX_TABLES:
            raise DataInvalid(f"it has more than {MAX_TABLES} tables, or {MAX_FIELDS} fields in one",
                              "Publish the part that people ask for.")
        digest = row.digest
        self._digests[digest[0]] += digest
        self._count += 1

    @property
    def hash(self) -> bytes:
        """32 bytes that stand for all rows."""
        found = FieldsHash("chez/1 open data content")
        for some in self._digests:
            for digest in sorted(bytes(some[at:at + 32]) for at in range(0, len(some), 32)):
                found.add(digest)
        return found.digest()


def _refused(error: sqlcipher3.Error) -> StorageFailed:
    return StorageFailed(f"rows can't be put aside on this disk: {error}", "Free some room there.")


class Content:
    """All rows of a dataset, bounded while it is filled.

    They are in a database of their own, in memory while they are few, else in a file that has no name and is sealed
    under a key that nobody keeps: which datasets somebody reads is to be found on no disk.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._digest = Digest()
        # Used by one thread after the other, as a publisher's steps go on.
        self._db = sqlcipher3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA temp_store = FILE")
        self._db.execute("ATTACH '' AS rows KEY ?", (f"x'{random_bytes(32).hex()}'",))
        for pragma in (f"cache_size = -{_IN_MEMORY}", "synchronous = OFF", "journal_mode = OFF"):
            self._db.execute(f"PRAGMA rows.{pragma}")
        self._db.execute("CREATE TABLE rows.row (tbl TEXT NOT NULL, id TEXT NOT NULL, json BLOB NOT NULL, "
                         "PRIMARY KEY (tbl, id)) WITHOUT ROWID")
        self._db.execute("BEGIN")
        for row in rows:
            self.add(row)

    def __len__(self) -> int:
        return len(self._digest)

    def __iter__(self) -> Iterator[Row]:
        """All rows in the order of their tables and ids. Raises `StorageFailed`."""
        try:  # reading writes as well: what it needs pushes rows out of the memory
            for row in self._db.execute("SELECT tbl, id, json FROM row ORDER BY tbl, id"):
                yield Row(*row)
        except sqlcipher3.Error as error:
            raise _refused(error) from None

    @property
    def size(self) -> int:
        """Bytes of all rows as JSON."""
        return self._digest.size

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that have rows, in order."""
        return self._digest.tables

    def fields(self, table: str) -> tuple[str, ...]:
        """The fields that rows of a table have, in order."""
        return self._digest.fields(table)

    @property
    def hash(self) -> bytes:
        """32 bytes that stand for all rows."""
        return self._digest.hash

    def get(self, table: str, id: str) -> bytes | None:
        """The JSON of a row, None if there is none. Raises `StorageFailed`."""
        try:
            found = self._db.execute("SELECT json FROM row WHERE tbl = ? AND id = ?", (table, id)).fetchone()
        except sqlcipher3.Error as error:
            raise _refused(error) from None
        return None if found is None else found[0]

    def add(self, row: Row) -> None:
        """Take one more row. Raises `DataInvalid` when it is more than a dataset holds, or was there."""
        try:
            self._db.execute("INSERT INTO row VALUES (?, ?, ?)", (row.table, row.id, row.json))
        except sqlcipher3.IntegrityError:
            raise DataInvalid(f"two rows of {row.table} have one id", "Name a key by which rows differ.") from None
        except sqlcipher3.Error as error:
            raise _refused(error) from None
        self._digest.add(row)

    def after(self, made: Iterable["Change"]) -> Iterator[Row]:
        """The rows that it has after changes, those that changed last."""
        changed = {(one.table, one.id): one.after for one in made}
        yield from (row for row in self if (row.table, row.id) not in changed)
        yield from (Row(table, id, json) for (table, id), json in changed.items() if json is not None)

    def with_changes(self, made: Iterable["Change"]) -> "Content":
        """What it is after changes. Raises `DataInvalid`."""
        return Content(self.after(made))


@dataclass(frozen=True, slots=True)
class Change:
    """One row that differs: what it was and what it is, None where there is none."""

    table: str
    id: str
    before: bytes | None = field(repr=False)
    after: bytes | None = field(repr=False)


def changes(here: Iterable[Row], wanted: Iterable[Row]) -> Iterator[Change]:
    """What makes one state the other, row by row, both in the order of tables and ids, as `Content` gives them."""
    old, new = iter(here), iter(wanted)
    was, now = next(old, None), next(new, None)
    while was is not None or now is not None:
        if now is None or (was is not None and (was.table, was.id) < (now.table, now.id)):
            assert was is not None  # one of them is there
            yield Change(was.table, was.id, was.json, None)
            was = next(old, None)
        elif was is None or (now.table, now.id) < (was.table, was.id):
            yield Change(now.table, now.id, None, now.json)
            now = next(new, None)
        else:
            if was.json != now.json:
                yield Change(now.table, now.id, was.json, now.json)
            was, now = next(old, None), next(new, None)


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
        if any(was is not None and not isinstance(msgspec.json.decode(was), dict) for _, _, was in back):
            raise ValueError
        return content.with_changes(steps)
    except (zlib.error, ValueError, msgspec.DecodeError):
        raise DataInvalid("what leads back to the edition before is not readable") from None


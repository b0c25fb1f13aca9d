"""Reading an export by a mapping: the connector of what has no connector.

It is no entry point and recognises nothing: a person chooses the mapping. Everything in the export is accounted for:
a row is a record or a reject; a file, a table or a column that the mapping does not know, or leaves out, is a reject
of its own, once in each file.
"""

import codecs
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.archive import Archive, is_archive
from chez.connectors.mapping import (
    PARENT,
    Column,
    ColumnKind,
    Form,
    Mapping,
    TableMapping,
    mapping_text,
    parent_of,
    read_mapping,
)
from chez.connectors.pieces import Piece, form_of, inner, pieces
from chez.connectors.tables import RowKeys, typed

__all__ = ("EXAMPLE", "NOT_READ", "Mapped", "instant", "is_named", "root_of", "row_kind", "warm")

NOT_READ: Final = "only JSON, CSV and HTML are read of it"
_PYTHON: Final[dict[ColumnKind, Any]] = {
    "text": str | None, "integer": int | None, "number": float | None, "boolean": bool | None, "json": Any,
}
_PLAIN: Final[dict[ColumnKind, type]] = {"text": str, "integer": int, "number": float, "boolean": bool}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?)?",
                          re.ASCII)
MAX_LOOKED: Final = 1000
"""Files by whose names it is found out where an export begins."""

_MILLISECONDS: Final = 10**11
"""From here on a number that is a time counts milliseconds, not seconds, since 1970."""


def _example() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in (("a.json", '[{"at": "2024-01-31"}]'), ("b.csv", "a,b\n1,\xe9\n"), ("c.html", "<p>&eacute;")):
            made.writestr(zipfile.ZipInfo(name), text.encode("cp1252"))
    return out.getvalue()


EXAMPLE: Final = _example()
"""A tiny export with each form of file, one of them in Windows text."""


def warm() -> None:
    """Load the codecs that files may need: behind the walls nothing is loaded any more."""
    for name in ("cp1252", "cp437", "utf-8"):
        codecs.lookup(name)


@dataclass(slots=True)
class _Table:
    """A table of the mapping while it is read."""

    mapping: TableMapping
    kind: type[msgspec.Struct]
    columns: dict[str, Column] = field(repr=False)
    kept: tuple[tuple[str, str, type | None, Column], ...] = field(repr=False)
    """Of each column that is kept: the field, the name in the export, the type its values have in Python."""
    keys: RowKeys = field(default_factory=RowKeys, repr=False)
    lists: "dict[str, _Table]" = field(default_factory=dict, repr=False)
    """The tables within it, by the column that has their rows."""


class Mapped:
    """Reads an export, a zip or a single file, by a mapping: the value, or the bytes of its file."""

    version: int
    example = EXAMPLE

    def __init__(self, mapping: Mapping | bytes) -> None:
        """Raises `InvalidValue` for bytes that are no mapping, and for a value that is not valid."""
        self._mapping = read_mapping(mapping if isinstance(mapping, bytes) else mapping_text(mapping).encode())
        self.configuration = mapping_text(self._mapping).encode()
        """What another process makes the same connector of."""
        self.name = f"mapped-{self._mapping.name}"
        self.version = self._mapping.version
        self.title = self._mapping.title or f"an export of {self._mapping.name}, as mapped"
        self._kinds = {table.collection: row_kind(table, _parent_type(self._mapping, table))
                       for table in self._mapping.tables}
        self.types: tuple[type[msgspec.Struct], ...] = tuple(self._kinds.values())

    def recognise(self, head: bytes, name: str) -> bool:
        """Never: whose export it is, a person says."""
        return False

    def recognise_members(self, names: Sequence[str]) -> bool:
        """Never, in the same way."""
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One record a row. Raises `BadArchive`."""
        warm()
        tables = [_Table(table, self._kinds[table.collection], {one.source: one for one in table.columns},
                         tuple((one.name, one.source, _PLAIN.get(one.type), one)
                               for one in table.columns if not one.drop))
                  for table in self._mapping.tables]
        head = file.read(4)
        file.seek(0)
        if not is_archive(head):
            yield from self._reading(tables, source.name).read(file, source)
            return
        archive = Archive(file, source.size)
        yield from archive.rejects
        cut, added = root_of([member.name for member in archive.members], [one.files for one in self._mapping.tables])
        for member in archive.members:
            yield from archive.items(member, source, self._reading(tables, added + member.name[cut:]).read)
        yield Progress(source.size)


    def _reading(self, tables: Sequence[_Table], name: str) -> "_Reading":
        return _Reading(tables, name, blocks=self._mapping.format > 1)


class _Reading:
    """One file of the export; `blocks` is whether of a page more is read than its tables."""

    def __init__(self, tables: Sequence[_Table], name: str, *, blocks: bool) -> None:
        self._blocks = blocks
        self._form: Form | None = form_of(name)
        named = [one for one in reversed(tables)
                 if one.mapping.form == self._form and is_named(name, one.mapping.files)]
        self._tables = {one.mapping.path: one for one in named if not one.mapping.within}
        self._dropped = all(one.mapping.drop for one in named)
        self._numbers = any(column.type == "number" for one in named for *_, column in one.kept)
        by_place = {(one.mapping.path, one.mapping.within): one for one in named}
        for one in named:
            if one.mapping.within and (outer := by_place.get((one.mapping.path, one.mapping.within[:-1]))):
                outer.lists[one.mapping.within[-1]] = one
        self._told: set[tuple[str, str]] = set()

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """Its rows as records, and all that is not read."""
        if self._form is None:
            yield Reject(1, f"the file is not read: {NOT_READ}", "")
            return
        if not self._tables:
            yield Reject(1, "the file is not read: the mapping does not know it", "")
            return
        if self._dropped:
            yield Reject(1, "the file is not read: the mapping leaves it out", "")
            return
        seen = False
        shapes = {path: one.mapping.shape for path, one in self._tables.items()}
        for piece in pieces(file, source, self._form, shapes, blocks=self._blocks, numbers=self._numbers):
            if not isinstance(piece, Piece):
                seen = seen or isinstance(piece, Reject)
                yield piece
                continue
            seen = True
            table = self._tables.get(piece.path)
            if table is not None and table.lists:
                yield from self._with_lists(table, piece, None)
            elif table is not None and not table.mapping.drop and piece.values.keys() <= table.columns.keys():
                yield _row(table, piece)
            else:
                yield from self._piece(piece, table)
        if not seen:
            yield Reject(1, "there are no rows in the file", "")

    def _piece(self, piece: Piece, table: _Table | None) -> Iterator[Item]:
        """A row of a table that is not read, or that has columns which are not: that is told, and what is read."""
        yield from self._unread(piece, table)
        if table is not None and not table.mapping.drop:
            yield _row(table, piece)

    def _unread(self, piece: Piece, table: _Table | None) -> Iterator[Reject]:
        if table is None or table.mapping.drop:
            why = "leaves it out" if table else "does not know it"
            yield from self._once(piece, "", f"the table {excerpt(piece.path)!r} is not read: the mapping {why}")
            return
        for name in piece.values:
            if name not in table.columns and name not in table.lists:
                yield from self._once(piece, name,
                                      f"the column {excerpt(name)!r} is not read: the mapping does not know it")

    def _with_lists(self, table: _Table, piece: Piece, parent: Any) -> Iterator[Item]:
        """A row, and the rows in its lists, which say in which row they are by what identifies it."""
        yield from self._unread(piece, table)
        key, problem = None, ""
        try:
            values = _values(table, piece)
            try:
                _identify(table, values, parent, piece.line)
            finally:
                # Given twice, as a conversation in two parts: the row is a reject, and whose list it has is known.
                key = _key(table.mapping, values)
            if not table.mapping.drop:
                yield Found(table.kind(**values), piece.line)
        except ValueError as error:
            problem = str(error)
            if not table.mapping.drop:
                yield _reject(piece, error)
        for column, inside in table.lists.items():
            yield from self._list(inside, piece, column, key, problem)

    def _list(self, table: _Table, piece: Piece, column: str, key: Any, problem: str) -> Iterator[Item]:
        items = piece.values.get(column)
        if not items:
            return
        if not isinstance(items, list):
            yield Reject(piece.line, f"the column {excerpt(column)!r} is no list, and it is one elsewhere", "")
        elif key is None:
            yield Reject(piece.line, f"the {len(items):,} rows in {excerpt(column)!r} are not read: nothing identifies "
                                     f"the row that they are in ({problem})", "")
        else:
            for one in inner(piece, column, items):
                if isinstance(one, Reject):
                    yield one
                elif table.lists:
                    yield from self._with_lists(table, one, key)
                else:
                    yield from self._unread(one, table)
                    if not table.mapping.drop:
                        yield _row(table, one, key)

    def _once(self, piece: Piece, column: str, reason: str) -> Iterator[Reject]:
        if (piece.path, column) not in self._told:
            self._told.add((piece.path, column))
            yield Reject(piece.line, reason, "")


def _row(table: _Table, piece: Piece, parent: Any = None) -> Found | Reject:
    try:
        return Found(_record(table, piece, parent), piece.line)
    except ValueError as error:
        return _reject(piece, error)


def _reject(piece: Piece, error: ValueError) -> Reject:
    return Reject(piece.line, str(error), excerpt(str(list(piece.values.values())[:8])[:400]))


def _record(table: _Table, piece: Piece, parent: Any = None) -> msgspec.Struct:
    values = _values(table, piece)
    _identify(table, values, parent, piece.line)
    return table.kind(**values)


def _values(table: _Table, piece: Piece) -> dict[str, Any]:
    """The fields that a row says. Raises `ValueError`."""
    get = piece.values.get
    values: dict[str, Any] = {}
    for name, source, wanted, column in table.kept:
        value = get(source)
        # Most values of JSON are what they are to be; text is looked at in any case.
        values[name] = value if type(value) is wanted and not piece.text else _value(value, column, piece)
    return values


def _identify(table: _Table, values: dict[str, Any], parent: Any, line: int) -> None:
    """Add the fields that reading adds. Raises `ValueError` for a row whose identity is empty, or given twice."""
    mapping = table.mapping
    said = list(values.values())
    outer = []
    if mapping.time:
        values["at"] = instant(values[mapping.time])
    if mapping.within:
        values[PARENT] = parent
        outer = [parent]
    if mapping.identity:
        table.keys.claim([*outer, *(values[name] for name in mapping.identity)], line)
    else:
        values["row"] = table.keys.name([*outer, *said])


def _key(mapping: TableMapping, values: dict[str, Any]) -> Any:
    """What identifies a row, for the rows in it; None where nothing does."""
    if not mapping.identity:
        return values.get("row")
    key = [values[name] for name in mapping.identity]
    if None in key:
        return None
    return key[0] if len(key) == 1 else msgspec.json.encode(key).decode()


def _value(value: Any, column: Column, piece: Piece) -> Any:
    if value is None or column.type == "json":
        return value
    if piece.text and (column.type == "text" or column.type == "integer" or column.type == "number"):
        return typed(value, column.type, comma=piece.comma, doubtful=piece.doubtful.get(column.source, ""))
    if column.type == "number" and type(value) is int and float(value) == value:
        return float(value)
    if type(value) is not _PLAIN[column.type]:
        raise ValueError(f"the column {excerpt(column.source)!r} has a value that is not {column.type}")
    return value


def _parent_type(mapping: Mapping, table: TableMapping) -> Any:
    """The type of what identifies a row of the table that a table is within: of several fields, their JSON."""
    outer = parent_of(mapping, table) if table.within else None
    if outer is None or len(outer.identity) != 1:
        return str
    return next(_PLAIN[one.type] for one in outer.columns if one.name == outer.identity[0])


def row_kind(table: TableMapping, parent: Any = str) -> type[msgspec.Struct]:
    """The type of a table's records, called like its collection; `parent` is that of the field of that name."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    if table.within:
        fields.append((PARENT, parent))
    if not table.identity:
        fields.append(("row", str))
    fields += [(one.name, _PYTHON[one.type], None) for one in table.columns if not one.drop]
    if table.time:
        fields.append(("at", datetime | None, None))
    return msgspec.defstruct(table.collection, fields, kw_only=True, module=__name__, namespace={
        "__collection__": table.collection, "__identity__": _identity(table)})


def _identity(table: TableMapping) -> tuple[str, ...]:
    # A row's name is made of its parent as well; a column's value need not be the only one of its kind in other rows.
    return ((PARENT, *table.identity) if table.within else table.identity) if table.identity else ("row",)


def instant(value: Any) -> datetime | None:
    """The instant that a value says in UTC, or None: ISO 8601, without a zone taken for UTC, or seconds or
    milliseconds since 1970.
    """
    try:
        if isinstance(value, str):
            if not _TIME.fullmatch(value):
                return None
            found = datetime.fromisoformat(value.replace(" UTC", "+00:00").replace(",", "."))
            at = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            at = datetime.fromtimestamp(value / 1000 if abs(value) >= _MILLISECONDS else value, UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return at if MIN_YEAR <= at.year <= MAX_YEAR else None


def root_of(names: Sequence[str], patterns: Sequence[str]) -> tuple[int, str]:
    """What to cut off names, and to put before them, so that the patterns of a mapping mean any of them.

    An export may lie in a folder of its own inside its zip; unpacked, or packed again, it has one folder more or less.
    """
    wanted = list(dict.fromkeys(patterns))
    outer, inner = _first(names), _first(wanted)
    cut, added = len(outer), "" if "*" in inner else inner
    for way in ((0, ""), (cut, ""), (0, added), (cut, added)):
        if any(is_named(way[1] + name[way[0]:], pattern) for name in names[:MAX_LOOKED] for pattern in wanted):
            return way
    return 0, ""


def _first(names: Sequence[str]) -> str:
    """The folder that all names begin with, with its slash; nothing if there is none."""
    folders = {name[: name.find("/") + 1] for name in names}
    return folders.pop() if len(folders) == 1 else ""


def is_named(name: str, pattern: str) -> bool:
    """Whether a file's name is one that a pattern means: `*` stands for anything but "/"."""
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(_fits, parts, wanted))


def _fits(part: str, pattern: str) -> bool:
    first, *middle = pattern.split("*")
    if not middle:
        return part == first
    *middle, last = middle
    if len(part) < len(first) + len(last) or not part.startswith(first) or not part.endswith(last):
        return False
    at, end = len(first), len(part) - len(last)
    for text in middle:
        found = part.find(text, at, end)
        if found < 0:
            return False
        at = found + len(text)
    return True

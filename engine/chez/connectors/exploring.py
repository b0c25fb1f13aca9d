"""What is in an export that no connector knows: its tables, and a mapping that would bring them home.

The export is read behind walls as every file is (`chez.connectors.walled`): looking is a connector, `Explorer`, whose
records say what each table is. What it says is text from a hostile file until it is escaped.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, BinaryIO, ClassVar, Final

import msgspec

from chez.connectors.api import Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.archive import Archive, is_archive
from chez.connectors.mapped import EXAMPLE, NOT_READ, instant, warm
from chez.connectors.mapping import (
    FORMAT,
    MAX_WITHIN,
    PARENT,
    RESERVED,
    Column,
    ColumnKind,
    Form,
    Mapping,
    Shape,
    TableMapping,
    is_taken,
)
from chez.connectors.pieces import Piece, form_of, inner, is_rows, pieces
from chez.connectors.tables import MAX_COLUMNS, Typing, column_names, doubtful_signs, slug
from chez.crypto import hash_fields
from chez.errors import InvalidValue

__all__ = ("MAX_TABLES", "ColumnSeen", "Explorer", "TableSeen", "file_patterns", "propose")

MAX_TABLES: Final = 400
"""Tables that one mapping may have."""

MAX_KEYS: Final = 1_000_000
"""Values that are compared to find out whether a column identifies rows."""

MANY: Final = 5
"""Folders with files of one name that are taken for the same thing over and over."""

SAMPLES: Final = 3
SAMPLE_CHARACTERS: Final = 60
_DIGITS: Final = re.compile(r"[0-9]+")
_KEY: Final = re.compile(r"(?:.*_)?(?:id|uuid|guid|key|number|no|ref|reference)", re.ASCII)
_TIMELY: Final = re.compile(r"(?:.*_)?(?:at|on|date|day|time|timestamp|datetime|created|updated|sent|when)(?:_.*)?",
                            re.ASCII)


class ColumnSeen(msgspec.Struct, frozen=True):
    """A column: its name, what its values are, in how many rows it has one, some of them; whether they are all
    different and there, and whether they are all times."""

    source: str
    type: ColumnKind
    filled: int
    samples: list[str]
    unique: bool
    times: bool

    def __repr__(self) -> str:
        return f"<ColumnSeen {self.type}, {self.filled} filled>"


class TableSeen(msgspec.Struct, frozen=True):
    """A table of an export: the files that have it, where in them, what a record is, and how many there are."""

    __collection__: ClassVar[str] = "tables_seen"
    __identity__: ClassVar[tuple[str, ...]] = ("files", "form", "path", "within")

    files: str
    form: Form
    shape: Shape
    path: str
    rows: int
    members: int
    columns: list[ColumnSeen]
    within: list[str] = []
    """The columns that lead to it, where it is in lists of another table's rows."""


@dataclass(slots=True)
class _Column:
    """A column while its values are looked at."""

    text: Typing | None
    kinds: set[type] = field(default_factory=set)
    filled: int = 0
    samples: list[str] = field(default_factory=list, repr=False)
    seen: set[bytes] | None = field(default_factory=set, repr=False)
    times: bool = True
    exact: bool = True
    lists: bool = True
    """Whether all values so far are lists without anything but objects."""
    rows: bool = False
    """Whether one has an object."""

    def look(self, value: Any, key: bool) -> None:
        """Take a value into account."""
        if value is None or (self.text is not None and not value.strip()):
            return
        self.filled += 1
        if self.text is not None:
            self.text.look([value])
            value = value.strip()
        self.kinds.add(type(value))
        if self.lists:
            rows = is_rows(value)
            self.rows, self.lists = self.rows or rows, rows or value == []
        if type(value) is int and float(value) != value:
            self.exact = False
        if len(self.samples) < SAMPLES and (shown := excerpt(_shown(value))[:SAMPLE_CHARACTERS]) not in self.samples:
            self.samples.append(shown)
        self.times = self.times and instant(value) is not None
        if self.seen is not None:
            digest = hash_fields("chez/1 seen value", _shown(value).encode("utf-8", "replace"))[:8] if key else b""
            if not key or digest in self.seen or len(self.seen) >= MAX_KEYS:
                self.seen = None
            else:
                self.seen.add(digest)

    @property
    def type(self) -> ColumnKind:
        """What its values are."""
        if self.text is not None:
            return self.text.types[0]
        kinds = self.kinds
        if kinds <= {str}:
            return "text"
        if kinds == {bool}:
            return "boolean"
        if kinds == {int}:
            return "integer"
        return "number" if kinds <= {int, float} and self.exact else "json"


@dataclass(slots=True)
class _Table:
    """A table while its rows are looked at."""

    shape: Shape
    rows: int = 0
    members: set[str] = field(default_factory=set, repr=False)
    columns: dict[str, _Column] = field(default_factory=dict, repr=False)
    wide: bool = False

    def inside(self) -> list[str]:
        """The columns whose values are tables within it; none of them where it has no other column."""
        lists = [name for name, one in self.columns.items() if one.rows and one.lists]
        return lists if len(lists) < len(self.columns) else []

    def look(self, piece: Piece, name: str) -> None:
        """Take a row into account."""
        self.rows += 1
        self.members.add(name)
        if self.shape != piece.shape:
            self.shape = "mixed"
        for column, value in piece.values.items():
            if column not in self.columns:
                if len(self.columns) >= MAX_COLUMNS:
                    self.wide = True
                    return
                self.columns[column] = _Column(
                    Typing(1, comma=piece.comma, signs=True) if piece.text else None)
            self.columns[column].look(value, _KEY.fullmatch(slug(column.rpartition("/")[2])) is not None)


_Place = tuple[str, Form, str, tuple[str, ...]]
"""Where a table is: files, form, path, and the columns that lead to it."""


class Explorer:
    """Reads an export, a zip or a single file, into what its tables are: `TableSeen` records, after all rows."""

    name = "explorer"
    version = 1
    title = "what is in an export"
    example = EXAMPLE
    types = (TableSeen,)

    def recognise(self, head: bytes, name: str) -> bool:
        """Never: it is asked for."""
        return False

    def recognise_members(self, names: Sequence[str]) -> bool:
        """Never, in the same way."""
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """What could not be read, then one record for each table. Raises `BadArchive`."""
        warm()
        found: dict[_Place, _Table] = {}
        head = file.read(4)
        file.seek(0)
        if is_archive(head):
            archive = Archive(file, source.size)
            yield from archive.rejects
            patterns = file_patterns([member.name for member in archive.members])
            for member in archive.members:
                yield from archive.items(member, source, _Looking(found, member.name, patterns[member.name]).read)
            yield Progress(source.size)
        else:
            yield from _Looking(found, source.name, file_patterns([source.name])[source.name]).read(file, source)
        for number, place in enumerate((one for one in found if _is_table(found, one)), 1):
            yield Found(_seen(*place, found[place]), number)


def _is_table(found: dict[_Place, _Table], place: _Place) -> bool:
    """Whether the rows are a table by themselves: those in lists are, where their column has nothing else."""
    files, form, path, within = place
    if not within:
        return True
    outer = found[files, form, path, within[:-1]]
    return (not outer.wide and within[-1] in outer.inside() and _is_table(found, (files, form, path, within[:-1])))


class _Looking:
    """One file of the export."""

    def __init__(self, found: dict[_Place, _Table], name: str, files: str) -> None:
        self._found, self._name, self._files = found, name, files

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """Its rejects; the rows go into the tables."""
        form = form_of(self._name)
        if form is None:
            yield Reject(1, f"the file is not read: {NOT_READ}", "")
            return
        seen = False
        for piece in pieces(file, source, form, {}):
            if not isinstance(piece, Piece):
                seen = seen or isinstance(piece, Reject)
                yield piece
                continue
            seen = True
            if not self._look(piece, form, piece.path, ()):
                yield Reject(piece.line, f"the export has more than {MAX_TABLES} tables: others are not listed", "")
                return
        if not seen:
            yield Reject(1, "there are no rows in the file", "")

    def _look(self, piece: Piece, form: Form, path: str, within: tuple[str, ...]) -> bool:
        """Take a row and the rows in its lists into account; False when these are too many tables."""
        table = self._found.get((self._files, form, path, within))
        if table is None:
            if len(self._found) >= MAX_TABLES:
                return False
            table = self._found[self._files, form, path, within] = _Table(piece.shape)
        table.look(piece, self._name)
        if len(within) == MAX_WITHIN:
            return True
        return all(self._look(one, form, path, (*within, column))
                   for column, value in piece.values.items() if type(value) is list and is_rows(value)
                   for one in inner(piece, column, value) if isinstance(one, Piece))


def file_patterns(names: Sequence[str]) -> dict[str, str]:
    """Which files have the same tables, by what they are called: for each name the pattern that means them all.

    Digits may differ, and a folder where `MANY` have files of one name: a conversation in each, say.
    """
    parts = {name: _DIGITS.sub("*", name).replace("***", "*").split("/") for name in names}
    for level in range(max((len(one) for one in parts.values()), default=1) - 1):
        alike: dict[tuple[str, ...], set[str]] = {}
        for one in parts.values():
            if level < len(one) - 1:
                alike.setdefault((*one[:level], "", *one[level + 1:]), set()).add(one[level])
        for one in parts.values():
            if level < len(one) - 1 and len(alike[(*one[:level], "", *one[level + 1:])]) >= MANY:
                one[level] = "*"
    return {name: "/".join(one) for name, one in parts.items()}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _seen(files: str, form: Form, path: str, within: tuple[str, ...], table: _Table) -> TableSeen:
    inside = table.inside() if len(within) < MAX_WITHIN else []
    signs = [one.text.signs[0] if one.text is not None else frozenset[str]() for one in table.columns.values()]
    doubtful = dict(zip(table.columns, doubtful_signs(signs), strict=True))
    columns = [ColumnSeen(name, "text" if doubtful[name] else one.type, one.filled, one.samples,
                          one.filled == table.rows and one.seen is not None, one.filled > 0 and one.times)
               for name, one in table.columns.items() if name not in inside]
    shape = table.shape
    if table.wide and form in ("json", "lines"):  # so many columns are no fields: each row is kept as one value
        shape = "whole"
        columns = [ColumnSeen("value", "json", table.rows, [f"more than {MAX_COLUMNS} columns"], False, False)]
    return TableSeen(files, form, shape, path, table.rows, len(table.members), columns, list(within))


# --- a mapping for it ----------------------------------------------------------------


def propose(name: str, tables: Iterable[TableSeen]) -> Mapping:
    """A mapping of all tables, under a service's name. Raises `InvalidValue` when there are none, or for the name."""
    service = slug(name)[:32].strip("_")
    if not service:
        raise InvalidValue(f"{name!r} has no letters or digits for a name", "Name the service, as in `dating`.")
    if is_taken(service):
        service = f"my_{service}"
    taken: Counter[str] = Counter()
    mapped = tuple(_table(service, one, taken) for one in tables)
    if not mapped:
        raise InvalidValue("there is no table in the export", f"Of an export, {NOT_READ}.")
    # What an older Chez reads as well is not kept from it.
    newer = any(one.within or (one.form == "html" and one.path.startswith("<")) for one in mapped)
    return Mapping(format=FORMAT if newer else 1, name=service, version=1, tables=mapped)


def _table(service: str, seen: TableSeen, taken: "Counter[str]") -> TableMapping:
    names = column_names([column.source for column in seen.columns], (*RESERVED, *([PARENT] if seen.within else [])))
    columns = tuple(Column(column.source, name, column.type)
                    for column, name in zip(seen.columns, names, strict=True))
    pairs = list(zip(seen.columns, names, strict=True))
    keys = [name for column, name in pairs if column.unique and column.type in ("text", "integer")]
    times = [name for column, name in pairs if column.times
             and (column.type == "text" or (column.type != "json" and _TIMELY.fullmatch(name)))]
    return TableMapping(files=seen.files, form=seen.form, shape=seen.shape, path=seen.path,
                        collection=_collection(service, seen, taken), columns=columns,
                        identity=tuple(keys[:1]), time=times[0] if times else "", within=tuple(seen.within))


def _collection(service: str, seen: TableSeen, taken: "Counter[str]") -> str:
    """The service, the file's name and, in JSON, the last of the names that lead to the table, and to rows in rows."""
    stem = PurePath(seen.files).stem
    parts = [slug(stem.replace("*", " ")), slug(seen.path.rpartition("/")[2]) if seen.form == "json" else "",
             *(slug(column.rpartition("/")[2]) for column in seen.within)]
    wanted = name = "_".join([service, *filter(None, parts)])[:56].rstrip("_")
    if name == service:
        wanted = name = f"{service}_rows"
    while taken[name]:
        taken[wanted] += 1
        name = f"{wanted}_{taken[wanted]}"
    taken[name] += 1
    return name

"""Any table of text with a header: the columns become the records' fields.

It is no entry point and recognises nothing: every export of a service is a table, and has a connector that knows what
it means. Publishers of open data read with it, and say what a table is: `CsvTable(identity=("number",))`.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, BinaryIO

import msgspec

from chez.connectors.api import Found, Item, Reject, Source, excerpt
from chez.connectors.cells import Cells, Dialect, cells
from chez.connectors.tables import (
    ColumnType,
    RowKeys,
    Typing,
    column_names,
    dialect_of,
    row_type,
    slug,
    typed,
)
from chez.errors import InvalidValue

__all__ = ("CsvTable",)


class _Shape(msgspec.Struct, frozen=True):
    """What a table's rows are read by."""

    dialect: Dialect
    columns: tuple[tuple[str, ColumnType], ...]
    identity: tuple[str, ...]
    kind: type[msgspec.Struct]
    header: int
    """The line that names the columns."""
    doubtful: tuple[str, ...]
    """Of each column of the file the signs that may part thousands."""


class CsvTable(msgspec.Struct, frozen=True):
    """Reads a table into records of its own columns, in `collection`, or else `table_` and the file's name.

    `identity` names the columns that identify a row, as the file does or as SQL will; without, a row is identified by
    all that it says. `types` declares columns; others are what all their cells are. `before` has types that columns
    had, and keep if they are there.
    """

    identity: tuple[str, ...] = ()
    types: Mapping[str, ColumnType] = msgspec.field(default_factory=dict)
    before: Mapping[str, ColumnType] = msgspec.field(default_factory=dict)
    delimiter: str | None = None
    codec: str | None = None
    collection: str | None = None

    name = "csv"
    version = 3
    title = "any table of text with a header"

    def recognise(self, head: bytes, name: str) -> bool:
        """Never: what a table means is not in it."""
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One record a row. Raises `InvalidValue` for what is no table, or has not the columns that are declared."""
        shape = self._shape(file, source)
        file.seek(0)
        keys = RowKeys()
        for one in cells(file, shape.dialect):
            if not isinstance(one, Cells):
                yield one
            elif one.line != shape.header:
                try:
                    yield Found(_record(shape, one, keys), one.line)
                except ValueError as error:
                    yield Reject(one.line, str(error), excerpt(shape.dialect.delimiter.join(one.values)))

    def _shape(self, file: BinaryIO, source: Source) -> _Shape:
        """Look through the file once: its dialect, and what its columns are."""
        dialect = dialect_of(file, self.delimiter, self.codec)
        rows = (one for one in cells(file, dialect) if isinstance(one, Cells))
        header = next(rows, None)
        if header is None:
            raise InvalidValue("the table has no header", "Its first line names the columns.")
        names = column_names(header.values, () if self.identity else ("row",))
        typing = Typing(len(names), comma=dialect.delimiter != ",", signs=True)
        for row in rows:
            if len(row.values) == len(names):
                typing.look(row.values)
        declared = {slug(name, name): kind for name, kind in self.types.items()}
        key = tuple(slug(name, name) for name in self.identity)
        if unknown := [name for name in (*key, *declared) if name not in names]:
            raise InvalidValue(f"the table has no column {unknown[0]!r}", f"It has: {', '.join(names[:20])}.")
        said = {**self.before, **declared}
        columns = tuple((name, said.get(name, kind)) for name, kind in zip(names, typing.types, strict=True))
        if not key:
            columns = (("row", "text"), *columns)
        collection = self.collection or f"table_{slug(PurePath(source.name).stem, 'rows')}"
        return _Shape(dialect, columns, key, row_type(collection, columns, key or ("row",)), header.line,
                      typing.doubtful)


def _record(shape: _Shape, row: Cells, keys: RowKeys) -> msgspec.Struct:
    columns = shape.columns if shape.identity else shape.columns[1:]
    if len(row.values) != len(columns):
        raise ValueError(f"the row has {len(row.values)} cells, and the header {len(columns)}")
    comma = shape.dialect.delimiter != ","  # else 1,234 in quotes may be a thousand and more
    values: dict[str, Any] = {
        name: typed(value, kind, comma=comma, doubtful=doubtful)
        for (name, kind), value, doubtful in zip(columns, row.values, shape.doubtful, strict=True)}
    if shape.identity:
        keys.claim([values[name] for name in shape.identity], row.line)
    else:
        values["row"] = keys.name(list(values.values()))
    return shape.kind(**values)

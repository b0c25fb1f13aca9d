"""A publisher's table of text, read behind the walls of all that reads foreign files.

What a table's columns are is known when it was looked through, there. So its rows come from there in one form, whatever
they have; here it is seen whether they are open data.
"""

from collections.abc import Iterator
from typing import Annotated, BinaryIO, ClassVar, Final, Self

import msgspec
from msgspec import Meta

from chez.connectors import Found, Item, Source
from chez.connectors.csv_table import CsvTable
from chez.connectors.tables import ColumnType

__all__ = ("ROWS", "TableRow", "TableRows")

ROWS: Final = "rows"
"""What a table of text calls its collection here: it has one, and needs no name beside the dataset's."""

Name = Annotated[str, Meta(max_length=512, pattern="^[a-z][a-z0-9_]*$")]
"""As columns are called in SQL: none of those that are kept for Chez itself begin so."""


class TableRow(msgspec.Struct, frozen=True):
    """A row: its values by column, and which of these identify it."""

    __collection__: ClassVar[str] = ROWS
    __identity__: ClassVar[tuple[str, ...]] = ("identity",)

    identity: tuple[Name, ...]
    values: dict[Name, str | int | float | bool | None]


class _Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a publisher declares of a table, and what it was before; as of `CsvTable`."""

    identity: tuple[str, ...] = ()
    types: dict[str, ColumnType] = {}
    before: dict[str, ColumnType] = {}


class TableRows:
    """Reads any table of text with a header into `TableRow`s; `configuration` is what it is made of elsewhere."""

    name = "csv"
    version = 2
    title = CsvTable.title
    types = (TableRow,)
    example = "Größe;Zeit\n1,5;2024-12-31\n".encode("cp1252")

    def __init__(self, configuration: bytes = b"{}") -> None:
        """Raises `msgspec.MsgspecError` for bytes that another version declared."""
        declared = msgspec.json.decode(configuration, type=_Declared)
        self.configuration = configuration
        self._table = CsvTable(identity=declared.identity, types=declared.types, before=declared.before,
                               collection=ROWS)

    @classmethod
    def declared(cls, identity: tuple[str, ...], types: dict[str, ColumnType], before: dict[str, ColumnType]) -> Self:
        """One for a table of which that is declared."""
        return cls(msgspec.json.encode(_Declared(identity, types, before)))

    def recognise(self, head: bytes, name: str) -> bool:
        """Never: what a table means is not in it."""
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One a row. Raises as `CsvTable`."""
        for item in self._table.read(file, source):
            if isinstance(item, Found):
                row = TableRow(type(item.record).__identity__,  # type: ignore[attr-defined]
                               msgspec.to_builtins(item.record))
                yield Found(row, item.row)
            else:
                yield item

"""The tables in a page of HTML, row by row, in bounded memory.

The parser is the standard library's, which follows nothing, runs nothing and expands no entity that a page
declares. What a hostile page could do with it, and what is done against that: one endless tag, comment or script, which
it would gather whole, is refused after `MAX_TOKEN` characters; tables inside tables after `MAX_DEPTH`; a cell or a
row that is too long costs its row.

The first row is the header when it is all `<th>`, or stands in `<thead>`; a table without one has numbered columns.
"""

from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from typing import BinaryIO, Final, NamedTuple

from chez.connectors.api import Progress, Reject, excerpt
from chez.connectors.tables import MAX_COLUMNS, dialect_of
from chez.errors import InvalidValue

__all__ = ("MAX_CELL", "MAX_DEPTH", "MAX_TOKEN", "PageRow", "page_rows")

CHUNK: Final = 64 * 1024
MAX_TOKEN: Final = 1024 * 1024
"""Characters of one tag, comment, script or style: pages have pictures and fonts inside them."""
MAX_CELL: Final = 64 * 1024
"""Characters of one row's cells."""
MAX_DEPTH: Final = 16
"""Tables inside each other."""
BREAKS: Final = frozenset(("br", "p", "div", "li"))
"""Elements that begin a new line in a cell."""


class PageRow(NamedTuple):
    """A row: its line in the file, its table's header or nothing, its cells' text."""

    line: int
    header: tuple[str, ...]
    cells: list[str]


def page_rows(file: BinaryIO) -> Iterator[PageRow | Reject | Progress]:
    """The rows of all tables of a page. Raises `InvalidValue` for what goes beyond a bound of this module."""
    codec = dialect_of(file, ",").codec
    decode = getincrementaldecoder(codec)("replace").decode
    parser = _Parser()
    done = 0
    while chunk := file.read(CHUNK):
        parser.feed(decode(chunk))
        if len(parser.rawdata) > MAX_TOKEN:
            raise InvalidValue(f"a tag, comment or script of the page is longer than {MAX_TOKEN} characters")
        done += len(chunk)
        yield from parser.taken()
        yield Progress(done)
    parser.feed(decode(b"", final=True))
    parser.close()
    parser.over()
    yield from parser.taken()


class _Table:
    """A table that is open: its header, the row and the cell that are."""

    def __init__(self) -> None:
        self.header: tuple[str, ...] | None = None
        self.row: list[str] | None = None
        self.cell: list[str] | None = None
        self.heads = self.size = 0
        self.line = 1
        self.in_head = False

    def end_cell(self) -> None:
        """What the cell said is the row's."""
        if self.cell is not None and self.row is not None:
            self.row.append("\n".join(" ".join(line.split()) for line in "".join(self.cell).split("\n")).strip())
        self.cell = None

    def end_row(self) -> PageRow | Reject | None:
        """The row that ends, unless it is the header or empty."""
        self.end_cell()
        row, self.row = self.row, None
        if row is None or not any(row):
            return None
        if self.size > MAX_CELL:
            return Reject(self.line, f"the row has more than {MAX_CELL} characters", excerpt(row[0]))
        if len(row) > MAX_COLUMNS:
            return Reject(self.line, f"the row has more than {MAX_COLUMNS} cells", excerpt(row[0]))
        if self.header is None:
            is_header = self.in_head or self.heads == len(row)
            self.header = tuple(_titles(row)) if is_header else ()
            if is_header:
                return None
        if self.header and len(row) > len(self.header):
            return Reject(self.line, f"the row has {len(row)} cells, and the header {len(self.header)}",
                          excerpt(" | ".join(row)))
        return PageRow(self.line, self.header, row)


class _Parser(HTMLParser):
    """What the standard library's parser calls."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._tables: list[_Table] = []
        self._out: list[PageRow | Reject] = []

    def taken(self) -> list[PageRow | Reject]:
        """What was found since the last time."""
        out, self._out = self._out, []
        return out

    def over(self) -> None:
        """The page ends, whatever is open."""
        while self._tables:
            self._end_row(self._tables.pop())

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "table":
            if len(self._tables) >= MAX_DEPTH:
                raise InvalidValue(f"more than {MAX_DEPTH} tables are inside each other")
            self._tables.append(_Table())
            return
        if not self._tables:
            return
        table = self._tables[-1]
        if tag in ("thead", "tbody", "tfoot"):
            self._end_row(table)
            table.in_head = tag == "thead"
        elif tag == "tr":
            self._end_row(table)
            self._begin_row(table)
        elif tag in ("td", "th"):
            table.end_cell()
            if table.row is None:
                self._begin_row(table)
            table.cell = []
            table.heads += tag == "th"
        elif tag in BREAKS and table.cell is not None:
            table.cell.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if not self._tables:
            return
        table = self._tables[-1]
        if tag in ("td", "th"):
            table.end_cell()
        elif tag in ("tr", "thead", "tbody", "tfoot", "table"):
            self._end_row(table)
            table.in_head = table.in_head and tag == "tr"
            if tag == "table":
                self._tables.pop()

    def handle_data(self, data: str) -> None:
        if self._tables and (cell := self._tables[-1].cell) is not None:
            table = self._tables[-1]
            table.size += len(data)
            if table.size <= MAX_CELL:
                cell.append(data)

    def _begin_row(self, table: _Table) -> None:
        table.row, table.heads, table.size, table.line = [], 0, 0, self.getpos()[0]

    def _end_row(self, table: _Table) -> None:
        if (row := table.end_row()) is not None:
            self._out.append(row)


def _titles(header: Sequence[str]) -> Iterator[str]:
    """The names of a header's cells, all different."""
    seen: dict[str, int] = {}
    for number, title in enumerate(header, 1):
        name = title[:200] or f"column {number}"
        count = seen[name] = seen.get(name, 0) + 1
        yield name if count == 1 else f"{name} ({count}, column {number})"

"""The rows of all tables in a file of JSON, text or HTML, whatever it means: what exploring and mapping have in common.

JSON has no tables, so what counts as one is settled here (`Shape`):

- a list of objects has a row for each ("rows"), any other list one for each item ("values");
- an object whose keys are days, or that has more than `MAX_FIELDS`, has one for each key ("pairs");
- any other object is one row ("object") of what it holds, but for the objects and lists in it, which are tables by
  themselves, their path being the names that lead there.

Inside a row objects are columns of their own ("sender/name"), lists are values; those of objects may be tables within
the table (`inner`). A mapping says which shape a table
has; where it does not know the path, these rules say it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

import msgspec

from chez.connectors.api import Progress, Reject, Source, excerpt
from chez.connectors.cells import Cells, Dialect, cells
from chez.connectors.mapping import Form, Shape
from chez.connectors.objects import Object, objects
from chez.connectors.page_blocks import BlockRow, block_rows
from chez.connectors.pages import PageRow, page_rows
from chez.connectors.tables import MAX_COLUMNS, Typing, dialect_of
from chez.errors import InvalidValue

__all__ = ("MAX_FIELDS", "MAX_JSON", "Piece", "form_of", "inner", "is_rows", "pieces")

MAX_JSON: Final = 16 * 1024 * 1024
"""Bytes of a JSON document that is read as a whole; of a longer one that is a list, the objects are read one by one."""

MAX_LINE: Final = 512 * 1024
"""Bytes of one line of JSON."""

MAX_FIELDS: Final = 40
"""Fields that an object may have as one record."""

MAX_TITLE: Final = 200
"""Characters of a column's name, or of a path."""

MAX_NESTED: Final = 16
"""Names in a path."""

FLAT: Final = 4
"""Objects inside each other in a row that become columns; what is deeper is a value."""

FORMS: Final[Mapping[str, Form]] = {
    "json": "json", "jsonl": "lines", "ndjson": "lines", "csv": "csv", "tsv": "csv", "html": "html", "htm": "html",
}
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].{1,30})?", re.ASCII)
_TOO_LONG: Final = f"a name in it is longer than {MAX_TITLE} characters"
_BAD_JSON: Final = (msgspec.MsgspecError, RecursionError, ValueError)


class Piece(msgspec.Struct, frozen=True):
    """A row of a table: the table's path and shape, the row's line or number, its values by column."""

    path: str
    shape: Shape
    line: int
    values: dict[str, Any]
    text: bool = False
    """Whether all values are text, whatever they say."""
    comma: bool = False
    """Whether a comma in a number is a decimal one."""
    doubtful: Mapping[str, str] = {}
    """Of each column the signs that may part thousands in its numbers (`chez.connectors.tables.Typing`)."""

    def __repr__(self) -> str:
        return f"Piece(path={self.path!r}, shape={self.shape!r}, line={self.line})"


def form_of(name: str) -> Form | None:
    """How a file of this name is written, by its ending; None for what is not read here."""
    return FORMS.get(name.rpartition(".")[2].lower())


def pieces(file: BinaryIO, source: Source, form: Form, shapes: Mapping[str, Shape], *,
           blocks: bool = True, numbers: bool = False) -> Iterator[Piece | Reject | Progress]:
    """The rows of a file; `shapes` says for paths what a record is there, `blocks` whether more of pages is read than
    tables, `numbers` whether columns of text are read as numbers: then it is found first which of them may be others.
    Raises `InvalidValue`."""
    if form == "json":
        yield from _document(file, source, shapes)
    elif form == "lines":
        yield from _lines(file, shapes.get(""))
    elif form == "csv":
        yield from _table(file, numbers)
    else:
        yield from _page(file)
        if blocks:
            yield from _blocks(file, source)


def _blocks(file: BinaryIO, source: Source) -> Iterator[Piece | Reject | Progress]:
    for row in block_rows(file, dialect_of(file, ",").codec, source.size):
        yield Piece(row.path, "rows", row.line, dict(row.values), text=True) if isinstance(row, BlockRow) else row


def _page(file: BinaryIO) -> Iterator[Piece | Reject | Progress]:
    for row in page_rows(file):
        if isinstance(row, PageRow):
            names = row.header or [f"column {number}" for number in range(1, len(row.cells) + 1)]
            path = " | ".join(row.header)[:MAX_TITLE] or f"{len(names)} columns"
            yield Piece(path, "rows", row.line, dict(zip(names, row.cells, strict=False)), text=True)
        else:
            yield row


def _table(file: BinaryIO, numbers: bool) -> Iterator[Piece | Reject | Progress]:
    try:
        dialect = dialect_of(file)
    except InvalidValue:
        dialect = dialect_of(file, ",")  # a table of one column
    names: list[str] = []
    signs = _doubtful(file, dialect) if numbers and dialect.delimiter != "," else ()
    doubtful: dict[str, str] = {}
    for row in cells(file, dialect):
        if not isinstance(row, Cells):
            yield row
        elif not names:
            if len(row.values) > MAX_COLUMNS:
                raise InvalidValue(f"the table has {len(row.values):,} columns", f"At most {MAX_COLUMNS} are read.")
            names = _titles(row.values)
            doubtful = dict(zip(names, signs, strict=False))
        elif len(row.values) != len(names):
            yield Reject(row.line, f"the row has {len(row.values)} cells, and the header {len(names)}",
                         excerpt(dialect.delimiter.join(row.values)))
        else:
            yield Piece("", "rows", row.line, dict(zip(names, row.values, strict=True)), text=True,
                        comma=dialect.delimiter != ",", doubtful=doubtful)


def _doubtful(file: BinaryIO, dialect: Dialect) -> Sequence[str]:
    """Of each column the signs that may part thousands, from all of the file, which is at its beginning again."""
    looked: Typing | None = None
    for row in cells(file, dialect):
        if isinstance(row, Cells):
            if looked is None:
                looked = Typing(len(row.values), comma=True, signs=True)
            elif len(row.values) == len(looked.signs):
                looked.look(row.values)
    file.seek(0)
    return looked.doubtful if looked is not None else ()


def _titles(header: list[str]) -> list[str]:
    names: dict[str, None] = {}
    for number, title in enumerate(header, 1):
        name = title.strip()[:MAX_TITLE] or f"column {number}"
        names[name if name not in names else f"{name} (column {number})"] = None
    return list(names)


# --- JSON --------------------------------------------------------------------------


def _lines(file: BinaryIO, shape: Shape | None) -> Iterator[Piece | Reject | Progress]:
    number = done = 0
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        done += len(raw)
        if len(raw) > MAX_LINE:
            yield Reject(number, f"the line is longer than {MAX_LINE} bytes", excerpt(raw))
            while not raw.endswith(b"\n") and (raw := file.readline(MAX_LINE)):
                done += len(raw)
        elif raw.strip():
            yield _parsed(raw.removeprefix(b"\xef\xbb\xbf"), shape, number)
        if number % 512 == 0:
            yield Progress(done)
    yield Progress(done)


def _parsed(data: bytes, known: Shape | None, line: int) -> Piece | Reject:
    try:
        value = msgspec.json.decode(data)
    except _BAD_JSON as error:
        return Reject(line, f"it is no JSON: {excerpt(str(error))}", excerpt(data))
    shape: Shape = "rows" if isinstance(value, dict) else "values"
    if known == "rows" or known == "values":
        shape = known
    return _row(value, "", "values" if known == "whole" else shape, line)


def _document(file: BinaryIO, source: Source, shapes: Mapping[str, Shape]) -> Iterator[Piece | Reject | Progress]:
    data = file.read(MAX_JSON + 1)
    if len(data) > MAX_JSON:
        if not data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
            raise InvalidValue(f"a JSON document of more than {MAX_JSON >> 20} MiB that is no list is not read")
        del data
        file.seek(0)
        for item in objects(file):
            yield _parsed(item.bytes, shapes.get(""), item.line) if isinstance(item, Object) else item
        return
    try:
        value = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except _BAD_JSON as error:
        raise InvalidValue(f"the file is no JSON: {excerpt(str(error))}") from None
    del data
    yield from _walk(value, (), shapes)
    yield Progress(source.size)


def _walk(value: Any, names: tuple[str, ...], shapes: Mapping[str, Shape]) -> Iterator[Piece | Reject]:
    path = "/".join(map(_token, names))
    if len(path) > MAX_TITLE or len(names) > MAX_NESTED:
        yield Reject(1, f"it lies deeper than {MAX_NESTED} names or {MAX_TITLE} characters", excerpt(path))
        return
    shape = _shape(value, shapes.get(path))
    if isinstance(value, dict) and shape == "object":
        inner = {name: one for name, one in value.items() if isinstance(one, dict | list)}
        if own := {name: one for name, one in value.items() if name not in inner}:
            yield _row(own, path, shape, 1)
        for name, one in inner.items():
            yield from _walk(one, (*names, name), shapes)
    elif isinstance(value, dict) and shape == "pairs":
        for number, (name, one) in enumerate(value.items(), 1):
            yield Piece(path, "pairs", number, {"key": name, "value": one})
    else:
        for number, one in enumerate(value if isinstance(value, list) else [value], 1):
            yield _row(one, path, shape, number)


def _shape(value: Any, known: Shape | None) -> Shape:
    """What a record is in this value, as it was known if the value can still be that."""
    if known == "whole":
        return "values"
    if isinstance(value, dict):
        if known in ("pairs", "object"):
            return known
        return "pairs" if len(value) > MAX_FIELDS or (value and all(map(_DAY.fullmatch, value))) else "object"
    if known == "rows" or known == "values":
        return known
    return "rows" if isinstance(value, list) and all(isinstance(one, dict) for one in value) else "values"


def _row(value: Any, path: str, shape: Shape, line: int) -> Piece | Reject:
    if shape not in ("rows", "object"):
        return Piece(path, "values", line, {"value": value})
    if not isinstance(value, dict):
        return Reject(line, "it is no object, and the others of its list are", excerpt(str(value)[:400]))
    flat: dict[str, Any] = {}
    if not _flatten(value, "", FLAT, flat):
        return Reject(line, _TOO_LONG, "")
    return Piece(path, shape, line, flat)


def inner(piece: Piece, column: str, items: list[Any]) -> Iterator[Piece | Reject]:
    """The objects of a list in a row, as rows of a table of their own."""
    path = f"{piece.path}/{column}" if piece.path else column
    for item in items:
        yield _row(item, path, "rows", piece.line)


def is_rows(value: Any) -> bool:
    """Whether a value in a row is a list of objects; an empty one is none."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _flatten(value: dict[str, Any], before: str, depth: int, out: dict[str, Any]) -> bool:
    """Columns of an object, whose objects are columns; False when a name is too long."""
    for name, one in value.items():
        column = before + (_token(name) if "~" in name or "/" in name else name)
        if len(column) > MAX_TITLE:
            return False
        if isinstance(one, dict) and one and depth > 1:
            if not _flatten(one, f"{column}/", depth - 1, out):
                return False
        else:
            out[column] = one
    return True


def _token(name: str) -> str:
    """A name as RFC 6901 writes it in a path."""
    return name.replace("~", "~0").replace("/", "~1")

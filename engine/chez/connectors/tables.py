"""Tables of text as rows, however hostile: delimiter and encoding found, columns named and typed.

What a file does not say, and how it is settled here:

- Text is UTF-8 if all of the file is, with or without BOM; else it is Windows-1252, which has every
  Latin-1 text as well.
- The delimiter is the one of `, ; TAB |` by which most of the first lines have as many cells as the header.
- A column is a number if every cell of it that is not empty is one, written as numbers are: `02010` has a zero
  in front that a number would lose, so it is text. A decimal comma counts where the delimiter is none.
- Where commas and points both stand in numbers, one of them may part thousands: `1.234` beside `7,25`. Three digits
  behind a sign are decimals only if its column, or else the table, has no other sign before decimals; else the column
  is text, and such a cell of a declared one costs its row.

Source: RFC 4180 for quotes; the rest is what people export.
"""

import keyword
import re
import unicodedata
from codecs import getincrementaldecoder
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache
from io import SEEK_SET
from typing import Any, BinaryIO, Final, Literal

import msgspec

from chez.connectors.cells import Cells, Dialect, cells
from chez.crypto import field_hasher
from chez.errors import InvalidValue

__all__ = (
    "MAX_COLUMNS", "ColumnType", "RowKeys", "Typing", "column_names", "dialect_of",
    "doubtful_signs", "row_type", "slug", "typed",
)

MAX_COLUMNS: Final = 200
"""Columns of one table: SQLite reads some more, nobody does."""

MAX_NAME: Final = 48
"""Characters of a column's name."""

SAMPLE: Final = 32
"""Lines by which a delimiter is found."""

DIGEST: Final = 16
"""Bytes of what stands for a row's key, or for what it says."""

MAX_SAID: Final = 64
"""Bytes of a key that is held as it is, unhashed; one that is as long as a hash is hashed, so that it is none."""

DELIMITERS: Final = (",", ";", "\t", "|")

ColumnType = Literal["integer", "number", "text"]
"""What the cells of a column are."""

_INTEGER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})", re.ASCII)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,17})?", re.ASCII)
_COMMA: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:,\d{1,17})?", re.ASCII)
_GROUPED: Final = re.compile(r"-?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)
_PYTHON: Final[Mapping[ColumnType, Any]] = {"integer": int | None, "number": float | None, "text": str | None}
_CHUNK: Final = 1 << 20


def dialect_of(file: BinaryIO, delimiter: str | None = None, codec: str | None = None) -> Dialect:
    """How a file is written, as far as it is not declared; leaves the file at its beginning.

    Raises `InvalidValue` for what is no table with two columns or more, unless the delimiter is declared.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        raise InvalidValue(f"{delimiter!r} can't be a delimiter", "Use one character, such as ; or a tab.")
    found = _codec(file) if codec is None else codec
    if found not in ("utf-8", "cp1252"):
        raise InvalidValue(f"{found!r} is no encoding of a table here", "Use utf-8 or cp1252.")
    if delimiter is None:
        delimiter = _delimiter(file, found)
    file.seek(0, SEEK_SET)
    return Dialect(delimiter, found)


def _codec(file: BinaryIO) -> str:
    file.seek(0, SEEK_SET)
    head = file.read(2)
    if head in (b"\xff\xfe", b"\xfe\xff"):
        raise InvalidValue("the table is UTF-16 text", "Save it as UTF-8.")
    file.seek(0, SEEK_SET)
    decoder = getincrementaldecoder("utf-8")()
    try:
        while chunk := file.read(_CHUNK):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter(file: BinaryIO, codec: str) -> str:
    best = (0.0, 0, "")
    for at, delimiter in enumerate(DELIMITERS):
        file.seek(0, SEEK_SET)
        rows = [row for row, _ in zip((one for one in cells(file, Dialect(delimiter, codec)) if isinstance(one, Cells)),
                                      range(SAMPLE), strict=False)]
        width = len(rows[0].values) if rows else 0
        if width > 1:
            same = sum(len(row.values) == width for row in rows) / len(rows)
            best = max(best, (same, width, DELIMITERS[at]), key=lambda one: one[:2])
    if not best[2]:
        raise InvalidValue("the file is no table: no delimiter gives its first line two columns",
                           "If it has one column only, say which delimiter to take.")
    return best[2]


# --- columns -----------------------------------------------------------------------


def slug(text: str, otherwise: str = "") -> str:
    """A name for SQL of what people call something: small letters, digits and `_`, beginning with a letter.

    `otherwise` where nothing of it is left.
    """
    plain = unicodedata.normalize("NFKD", text[:4 * MAX_NAME]).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:MAX_NAME].rstrip("_")
    if not name:
        return otherwise
    if name[0].isdigit():
        name = f"c_{name}"
    return f"{name}_" if keyword.iskeyword(name) else name


def column_names(header: Sequence[str], taken: Iterable[str] = ()) -> tuple[str, ...]:
    """A name for each column, all different. Raises `InvalidValue` for more than `MAX_COLUMNS`, or none."""
    if not 1 <= len(header) <= MAX_COLUMNS:
        raise InvalidValue(f"the table has {len(header)} columns", f"A table has 1 to {MAX_COLUMNS}.")
    names: dict[str, None] = {}
    known = set(taken)
    for number, title in enumerate(header, 1):
        wanted = name = slug(title, f"column_{number}")
        count = 1
        while name in names or name in known:
            count += 1
            name = f"{wanted}_{count}"
        names[name] = None
    return tuple(names)


class Typing:
    """What the columns of a table are, from all cells that were looked at.

    With `signs` it is found as well where a number may be another one (`doubtful`).
    """

    def __init__(self, width: int, *, comma: bool, signs: bool = False) -> None:
        self._numeric: list[re.Pattern[str] | None] = [_INTEGER] * width
        self._any = [False] * width
        self._decimal = _COMMA if comma else _NUMBER
        self._signs: list[set[str]] | None = [set() for _ in range(width)] if comma and signs else None

    def look(self, values: Sequence[str]) -> None:
        """Take a row's cells into account."""
        if self._signs is not None:
            for value, known in zip(values, self._signs, strict=True):
                if ("," in value or "." in value) and (written := _sign(value.strip())):
                    known.add(written)
        for at, value in enumerate(values):
            pattern = self._numeric[at]
            if pattern is None or not (value := value.strip()):
                continue
            self._any[at] = True
            if pattern.fullmatch(value) is None:
                other = pattern is _INTEGER and self._decimal.fullmatch(value) is not None
                # A column that began with whole numbers has decimals: all of it is to fit them.
                self._numeric[at] = self._decimal if other else self._plain_or_none(pattern, value)

    def _plain_or_none(self, pattern: re.Pattern[str], value: str) -> re.Pattern[str] | None:
        return _NUMBER if pattern is _INTEGER and _NUMBER.fullmatch(value) else None

    @property
    def types(self) -> tuple[ColumnType, ...]:
        """The types found; a column without any value is text, and one in which a number may be another."""
        return tuple("text" if pattern is None or not there or doubtful else "integer" if pattern is _INTEGER
                     else "number"
                     for pattern, there, doubtful in zip(self._numeric, self._any, self.doubtful, strict=True))

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Of each column the signs behind which three digits may be no decimals: "", ".", "," or both."""
        return doubtful_signs(self.signs) if self._signs is not None else ("",) * len(self._numeric)

    @property
    def signs(self) -> Sequence[Set[str]]:
        """Of each column how its numbers with a sign are written: ".", "," or, where it may part thousands, ".3", ",3";
        nothing where that was not asked for."""
        return self._signs or [set() for _ in self._numeric]


def doubtful_signs(signs: Sequence[Set[str]]) -> tuple[str, ...]:
    """Of each column of a table the signs behind which three digits may be no decimals, by how all of them are written.
    """
    table = {sign for known in signs for sign in known if len(sign) == 1}
    return tuple("".join(sign for sign in ".," if f"{sign}3" in known and not _decides(sign, known, table))
                 for known in signs)


def _sign(value: str) -> str:
    """How a number with a sign is written, as in `Typing`; empty for what is none."""
    sign = "," if "," in value else "."
    if (_COMMA if sign == "," else _NUMBER).fullmatch(value) is None:
        return ""
    return f"{sign}3" if _GROUPED.fullmatch(value) else sign


def _decides(sign: str, column: Set[str], table: Set[str]) -> bool:
    """Whether a sign stands before decimals, by what else its column has, or else the table."""
    other = "," if sign == "." else "."
    if other in column or f"{other}3" in column:
        return False
    return sign in column or table != {other}


def typed(value: str, kind: ColumnType, *, comma: bool, doubtful: str = "") -> str | int | float | None:
    """A cell as its column's type has it, None for an empty one; `comma` is whether one may stand before decimals, and
    `doubtful` are the signs that may part thousands (`Typing`).

    Raises `ValueError`.
    """
    value = value.strip()
    if not value:
        return None
    if kind == "text":
        return value
    if kind == "integer":
        if _INTEGER.fullmatch(value) is None:
            raise ValueError("a cell is no whole number, and its column is of such")
        return int(value)
    if _NUMBER.fullmatch(value) is None and not (comma and _COMMA.fullmatch(value)):
        raise ValueError("a cell is no number, and its column is of such")
    if doubtful and value[-4:-3] in tuple(doubtful) and _GROUPED.fullmatch(value):
        raise ValueError("a cell may have decimals, or thousands: others of this table have another sign before theirs")
    return float(value.replace(",", "."))


# --- rows as records ---------------------------------------------------------------


@lru_cache(maxsize=64)
def row_type(
    collection: str, columns: tuple[tuple[str, ColumnType], ...], key: tuple[str, ...]
) -> type[msgspec.Struct]:
    """The type of a table's rows, the same one for the same columns; `key` names those that identify a row."""
    fields = [(name, _PYTHON[kind]) for name, kind in columns]
    return msgspec.defstruct("Row", fields, namespace={"__collection__": collection, "__identity__": key},
                             kw_only=True, module=__name__)


class RowKeys:
    """Tells rows with one key apart from rows that stand twice, and names those that have no key."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}

    def claim(self, key: Sequence[object], line: int) -> None:
        """Note that a row has a key. Raises `ValueError` for an empty one, and one that another row has."""
        if None in key:
            raise ValueError("the row's key is empty")
        said = _encode(key)
        if len(said) > MAX_SAID or len(said) == DIGEST:
            said = _hash(said)[:DIGEST]
        first = self._seen.setdefault(said, line)
        if first != line:
            raise ValueError(f"the row's key is given already on line {first}")

    def name(self, values: Sequence[object]) -> str:
        """A name that follows from what a row says, and from how many before it say the same."""
        digest = _hash(_encode(values))[:DIGEST]
        count = self._seen[digest] = self._seen.get(digest, 0) + 1
        return f"row:{digest.hex()}" + (f":{count}" if count > 1 else "")


_encode: Final = msgspec.json.Encoder().encode
_hash: Final = field_hasher("chez/1 table row")

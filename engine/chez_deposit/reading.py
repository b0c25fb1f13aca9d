"""From the organisation's file into its book: each record checked against what its customer's address takes.

    JSON Lines   {"customer": "C-001", "collection": "contracts", "record": {"number": "12", ...}}
    CSV          a column `customer`, and one for each field; its records are of one collection

A line that can't be taken costs that line, with its number and the reason. What was read is durable every few thousand
lines, with the place up to which that is: a reading that was killed goes on there.
"""

import csv
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from chez.deposits.types import Checked, RecordType
from chez.errors import InvalidValue, NotFound, StorageFailed
from chez.shown import NO_FILE, UNREADABLE
from chez_deposit.book import Book

__all__ = ("Staged", "bounded_lines", "stage")

STEP: Final = 4096
"""Lines between two commits."""

MAX_LINE: Final = 48 * 1024
"""Bytes of one line: a record has to fit a message."""

MAX_KNOWN: Final = 4096
"""Customers whose types are kept in memory."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What was read of a file: `batch` is its id in the book."""

    batch: str
    records: int
    rejected: int


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    customer: str
    collection: str
    record: msgspec.Raw


def stage(book: Book, path: Path, *, batch: str | None = None, collection: str | None = None) -> Staged:
    """Read a file into a book; with `collection` it is CSV. Doing it again changes nothing, but that a file of which no
    line could be taken yet is read anew.

    `batch` names what is sent, by default after the file's content: the same file under one name is one batch, however
    often it is given. Raises `NotFound`, `StorageFailed`, `InvalidValue` for another file under a name that was used,
    for one that was begun as something else, and for what is no file.
    """
    if path.exists() and not path.is_file():
        # It is read twice: a pipe could not be, and a device may never end.
        raise InvalidValue(f"{path} is not a file", "Save the lines to a file first.")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            id = batch or digest[:16]
            n = _begin(book, id, digest)
            _read(book, n, file, collection)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", NO_FILE) from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}", UNREADABLE) from None
    records, rejected = book.db.execute("SELECT records, rejected FROM batch WHERE n = ?", (n,)).fetchone()
    return Staged(id, records, rejected)


def _begin(book: Book, id: str, digest: str) -> int:
    if not 1 <= len(id) <= 128 or not id.isprintable():
        raise InvalidValue(f"{id[:64]!r} can't name a batch", "Use 1 to 128 printable characters.")
    with book.writing() as db:
        db.execute("INSERT OR IGNORE INTO batch (id, digest, at, line, whole, records, rejected) "
                   "VALUES (?, ?, 0, 0, 0, 0, 0)", (id, digest))
        n, known = db.execute("SELECT n, digest FROM batch WHERE id = ?", (id,)).fetchone()
    if known != digest:
        raise InvalidValue(f"batch {id!r} was another file", "Give this one another name.")
    found: int = n
    return found


def _read(book: Book, n: int, file: BinaryIO, collection: str | None) -> None:
    at, line, whole, records = book.db.execute("SELECT at, line, whole, records FROM batch WHERE n = ?",
                                               (n,)).fetchone()
    if whole and records:
        return
    _read_as(book, n, collection, begun=records > 0)
    if at and not records:
        # Nothing of it can be sent yet: perhaps it was read as what it is not, or customers were added since.
        with book.writing() as db:
            db.execute("DELETE FROM reject WHERE batch = ?", (n,))
            db.execute("UPDATE batch SET at = 0, line = 0, whole = 0, rejected = 0 WHERE n = ?", (n,))
        at = line = 0
    file.seek(0)
    rows = _Json(book) if collection is None else _Csv(book, collection, file)
    file.seek(max(at, file.tell()))
    line = max(line, 0 if collection is None else 1)  # the one that names the columns
    while True:
        staged: list[tuple[int, int, str, bytes]] = []
        rejects: list[tuple[int, int, str]] = []
        ended = True
        for text in bounded_lines(file, MAX_LINE):
            line += 1
            if not text.strip():
                continue
            try:
                staged.append((n, *rows.read(text)))
            except (InvalidValue, NotFound) as error:
                rejects.append((n, line, error.message))
            if len(staged) + len(rejects) >= STEP:
                ended = False
                break
        with book.writing() as db:
            db.executemany("INSERT INTO staged (batch, customer, collection, record) VALUES (?, ?, ?, ?)", staged)
            db.executemany("INSERT INTO reject (batch, line, reason) VALUES (?, ?, ?)", rejects)
            db.execute("UPDATE batch SET at = ?, line = ?, whole = ?, records = records + ?, rejected = rejected + ? "
                       "WHERE n = ?", (file.tell(), line, ended, len(staged), len(rejects), n))
        if ended:
            return


def _read_as(book: Book, n: int, collection: str | None, *, begun: bool) -> None:
    """Note what a batch is read as; one of which records are taken goes on as it was begun. Raises `InvalidValue`."""
    way, key = "lines of JSON" if collection is None else f"CSV, with records of {collection}", f"reading {n}"
    with book.writing() as db:
        row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if begun and row is not None and row[0] != way:
            raise InvalidValue(f"this batch was begun as {row[0]}, and is not whole",
                               "Give it in the same way again; or with another --batch name, as what it is.")
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, way))


def bounded_lines(file: BinaryIO, most: int) -> Iterator[bytes]:
    """Lines without their ends; of one that is longer than `most` bytes its beginning, which is none."""
    while text := file.readline(most + 1):
        while len(text) > most and not text.endswith(b"\n") and (more := file.readline(most)):
            if more.endswith(b"\n"):
                break
        yield text.rstrip(b"\r\n")


class _Known:
    """Customers' rows and types, as long as they are needed again soon."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._found: dict[str, tuple[int, dict[str, tuple[RecordType, Callable[[bytes], Checked]]]]] = {}

    def type_of(self, ref: str, collection: str) -> tuple[int, RecordType, Callable[[bytes], Checked]]:
        """A customer's row, the type of a collection, and what checks a record of it.

        Raises `NotFound`, `InvalidValue`.
        """
        found = self._found.get(ref)
        if found is None:
            if len(self._found) >= MAX_KNOWN:
                self._found.clear()
            n, customer = self._book.customer(ref)
            found = self._found[ref] = n, {one.collection: (one, one.checker()) for one in customer.address.types}
        kind = found[1].get(collection)
        if kind is None:
            raise InvalidValue(f"the address of {ref!r} takes no records of {collection[:64]!r}")
        return found[0], *kind


class _Json:
    """Lines of JSON."""

    def __init__(self, book: Book) -> None:
        self._known = _Known(book)
        self._decoder = msgspec.json.Decoder(_Line)

    def read(self, text: bytes) -> tuple[int, str, bytes]:
        """The customer, the collection and the record of a line. Raises `InvalidValue`, `NotFound`."""
        if len(text) > MAX_LINE:
            raise InvalidValue(f"it has more than {MAX_LINE:,} bytes")
        try:
            line = self._decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidValue(f"it is no line of a batch: {error}") from None
        n, _, check = self._known.type_of(line.customer, line.collection)
        record = bytes(line.record)
        check(record)
        return n, line.collection, record


class _Csv:
    """Lines of CSV, UTF-8, whose first one names the columns; no field has a line break in it."""

    def __init__(self, book: Book, collection: str, file: BinaryIO) -> None:
        self._known = _Known(book)
        self._collection = collection
        head = file.readline(MAX_LINE).decode("utf-8-sig", "replace").strip("\r\n")
        self._delimiter = ";" if head.count(";") > head.count(",") else ","
        self._columns = next(csv.reader(io.StringIO(head), delimiter=self._delimiter), [])
        if "customer" not in self._columns or len(set(self._columns)) != len(self._columns):
            raise InvalidValue("the first line of this file names no column `customer`, or one twice",
                               "Without --csv a file is read as JSON Lines.")

    def read(self, text: bytes) -> tuple[int, str, bytes]:
        """The customer, the collection and the record of a line. Raises `InvalidValue`, `NotFound`."""
        if len(text) > MAX_LINE:
            raise InvalidValue(f"it has more than {MAX_LINE:,} bytes")
        try:
            (cells,) = csv.reader([text.decode()], delimiter=self._delimiter, strict=True)
        except (ValueError, csv.Error):
            raise InvalidValue("it is no line of CSV in UTF-8") from None
        if len(cells) != len(self._columns):
            raise InvalidValue(f"it has {len(cells)} columns, the first line {len(self._columns)}")
        row = dict(zip(self._columns, cells, strict=True))
        n, kind, check = self._known.type_of(row.pop("customer"), self._collection)
        record = msgspec.json.encode({name: _value(kind.fields.get(name, "text"), cell)
                                      for name, cell in row.items() if cell != ""})
        if len(record) > MAX_LINE:  # JSON has six characters for one that is hidden: no message has room for it
            raise InvalidValue(f"it has more than {MAX_LINE:,} bytes")
        check(record)
        return n, self._collection, record


def _value(kind: str, cell: str) -> Any:
    """A cell as JSON has it; what is none of its kind stays text, and is refused with a reason."""
    plain = kind.rstrip("?")
    try:
        if plain == "integer":
            return int(cell)
        if plain == "number":
            return float(cell)
        if plain == "data":
            return msgspec.json.decode(cell)
    except (ValueError, msgspec.DecodeError):
        return cell
    return {"true": True, "false": False}.get(cell.lower(), cell) if plain == "boolean" else cell

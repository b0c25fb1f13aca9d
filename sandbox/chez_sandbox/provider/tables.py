"""Results as Parquet files: what the file of results has, in columns, for whatever computes on tables.

    FOLDER/evening-1-5be0c2f1/00000000000000-00000000045678-1f0c55d2a91b3e44.parquet

One folder for each bundle: its job, version and hash, or more of the hash alone for results that were held against no
bundle when they were taken. A file has the results of its bundle between two places of the file of results, and its
name says which: so a file is whole or not there, the next one begins where the last one ends, and nothing else has to
be remembered. One is written when there are enough results for it, when the first of them has waited for an
hour, or when results are not followed any longer.

The writer is the extra "parquet" (arro3), which is loaded when tables are asked for.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

from chez.errors import InvalidValue, NotFound, StorageFailed
from chez.shown import UNWRITABLE
from chez_sandbox.bundle import Bundle
from chez_sandbox.provider.results import BEGINNING, Line, Place, ResultBook
from chez_sandbox.release.types import BooleanType, EnumType, NullableType, NumberType, ObjectType, Type

__all__ = ("ROWS", "SECONDS", "Tables", "table_columns")

ROWS: Final = 10_000
"""Results of a file at most."""

SECONDS: Final = 3600.0
"""How long a result waits for others to be written with, at most."""

Column = Literal["text", "whole", "number", "truth", "json"]

FIXED: Final[dict[str, Column]] = {
    "id": "text", "received": "text", "run_date": "text", "outcome": "text", "pseudonym": "text", "grant": "text",
    "sequence": "whole", "bytes": "whole",
}  # fmt: skip
"""The columns that every file has, as in the file of results."""

NAME: Final = re.compile(r"(\d{14})-(\d{14})-([0-9a-f]{16})\.parquet")


def table_columns(bundle: Bundle | None) -> dict[str, Column]:
    """The columns of a bundle's results: objects become one column for each of their fields ("result.watts").

    What has no column of its own kind (lists, what may be null as a whole, whole numbers of more than 63 bits) is
    its JSON text, and so is the result of a bundle that is not known.
    """
    if bundle is None:
        return {**FIXED, "result": "json"}
    return {**FIXED, **dict(_flat(bundle.manifest.schema.root, "result"))}


def _flat(kind: Type, name: str) -> Iterator[tuple[str, Column]]:
    if isinstance(kind, ObjectType):
        for key, inner in kind.fields:
            yield from _flat(inner, f"{name}.{key}")
    else:
        yield name, _column(kind.kind if isinstance(kind, NullableType) else kind)


def _column(kind: Type) -> Column:
    if isinstance(kind, BooleanType):
        return "truth"
    if isinstance(kind, NumberType):
        bounds = kind.text(kind.low), kind.text(kind.high)
        if any("." in bound for bound in bounds):
            return "number"
        return "whole" if all(-(2**63) <= int(bound) < 2**63 for bound in bounds) else "json"
    return "text" if isinstance(kind, EnumType) else "json"


@dataclass(slots=True)
class _Table:
    """One bundle's folder: up to where its files are, and what waits to be written."""

    folder: Path
    place: Place
    found: bool
    """Whether the place was met in the book."""
    bundle: Bundle | None = None
    waiting: list[dict[str, Any]] = field(default_factory=list)
    end: Place = BEGINNING
    """Behind what waits."""


class Tables:
    """A sink of results. What waits for its file is in the book, so it is durable; see `Sink`.

    Raises `NotFound` when the extra is not installed, `StorageFailed`, and `InvalidValue` when
    the folder has tables of another file of results.
    """

    def __init__(
        self, book: ResultBook, folder: Path, now: Callable[[], datetime], *, rows: int = ROWS, seconds: float = SECONDS
    ) -> None:
        _require_writer()
        self._book = book
        self._folder = folder
        self._now = now
        self._rows = rows
        self._seconds = seconds
        self._place = BEGINNING
        self._tables = {table.folder.name: table for table in self._there()}

    def _there(self) -> Iterator[_Table]:
        """The tables of earlier runs; a file that was being written is removed."""
        try:
            self._folder.mkdir(exist_ok=True)
            for folder in sorted(path for path in self._folder.iterdir() if path.is_dir()):
                (folder / NEW).unlink(missing_ok=True)
                ends = [found for path in folder.iterdir() if (found := NAME.fullmatch(path.name))]
                if ends:
                    last = max(ends, key=lambda found: int(found[2]))
                    yield _Table(folder, Place(int(last[2]), last[3]), False)
        except OSError as error:
            raise StorageFailed(f"{self._folder} can't be used: {error.strerror}") from None

    async def take(self) -> None:
        """Note what the book has more, and write the files that are due."""
        first = self._place == BEGINNING
        for line in self._book.lines(self._place):
            self._note(line)
            self._place = line.end
        if first and not all(table.found for table in self._tables.values()):
            raise InvalidValue(
                f"{self._folder} has tables of another file of results than {self._book.path}",
                "bring that one back with --out, or name another folder",
            )
        for table in self._tables.values():
            if table.waiting and self._left(table) <= 0:
                self._write(table)

    def _note(self, line: Line) -> None:
        for table in self._tables.values():
            table.found = table.found or table.place == line.end
        if line.value.get("outcome") == "invalid":
            return
        name, bundle = self._of(line.value)
        if bundle is None and line.value["job"] is not None:
            return  # its columns are not known today: it is written when the bundle is given again
        table = self._tables.setdefault(name, _Table(self._folder / name, BEGINNING, True))
        if line.end.offset > table.place.offset:
            table.bundle = bundle
            table.waiting.append(line.value)
            table.end = line.end
            if len(table.waiting) >= self._rows:
                self._write(table)

    def _of(self, value: dict[str, Any]) -> tuple[str, Bundle | None]:
        """The folder that a line belongs to, today and always, and the bundle that it was held against."""
        if value["job"] is None:
            return value["bundle"][:16], None
        name = f"{value['job']}-{value['version']}-{value['bundle'][:8]}"
        return name, self._book.bundles.get(bytes.fromhex(value["bundle"]))

    def due(self) -> float | None:
        """Seconds until the first file is to be written."""
        return min((max(0.0, self._left(table)) for table in self._tables.values() if table.waiting), default=None)

    def _left(self, table: _Table) -> float:
        waited = (self._now() - datetime.fromisoformat(table.waiting[0]["received"])).total_seconds()
        return self._seconds - max(0.0, waited)  # a clock that was set back makes nothing wait longer

    async def close(self) -> None:
        """Write what waits."""
        for table in self._tables.values():
            if table.waiting:
                self._write(table)

    def _write(self, table: _Table) -> None:
        content = _encoded(table.waiting, table_columns(table.bundle))
        target = table.folder / f"{table.place.offset:014d}-{table.end.offset:014d}-{table.end.mark}.parquet"
        try:
            table.folder.mkdir(exist_ok=True)
            with (table.folder / NEW).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            (table.folder / NEW).replace(target)
        except OSError as error:
            raise StorageFailed(f"{target} can't be written: {error.strerror}", UNWRITABLE) from None
        table.place, table.waiting = table.end, []


NEW: Final = ".new"
"""A file that is being written: readers of *.parquet do not see it."""


def _encoded(rows: list[dict[str, Any]], columns: dict[str, Column]) -> bytes:
    """The rows as one Parquet file, compressed with zstd."""
    from arro3.core import Array, DataType, Table
    from arro3.io import write_parquet

    kinds = {
        "text": DataType.utf8(), "json": DataType.utf8(), "whole": DataType.int64(), "number": DataType.float64(),
        "truth": DataType.bool(),
    }  # fmt: skip
    table = Table.from_pydict({
        name: Array([_cell(row, name, kind) for row in rows], kinds[kind]) for name, kind in columns.items()
    })  # fmt: skip
    file = BytesIO()
    write_parquet(table, file, compression="zstd(3)")
    return file.getvalue()


def _cell(row: dict[str, Any], name: str, kind: Column) -> object:
    if name in FIXED:
        return row[name]
    value: Any = row["result"]
    for key in name.split(".")[1:]:
        value = None if value is None else value[key]
    if value is None:
        return None
    if kind == "number":
        return float(value)
    return json.dumps(value) if kind == "json" else value


def _require_writer() -> None:
    try:
        import arro3.core
        import arro3.io  # noqa: F401
    except ImportError:
        hint = "pip install 'chez[parquet]'"
        raise NotFound("tables need a writer of Parquet, and none is installed", hint) from None

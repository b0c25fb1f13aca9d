"""Sample data: a folder of `<collection>.jsonl` files that stands for a person's home.

The same scope code reads it as reads a home, so `chez-job test` shows a job exactly the
columns, rows and window that a person's device would. A line may say in `_id` which record
it is, and in `_space` in which space; otherwise it is in the private one.
"""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from chez.errors import InvalidValue

__all__ = ("SampleHome", "open_samples")


PRIVATE: Final = "private"
"""The name of a person's own space; here also its id."""


class _Info(msgspec.Struct, frozen=True):
    name: str


class _Space(msgspec.Struct, frozen=True):
    id: str
    role: str = "owner"


class _Rows(msgspec.Struct, frozen=True):
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


class SampleHome:
    """The part of a home that a scope reads (`consent.scope.Source`)."""

    def __init__(self, database: sqlite3.Connection, names: list[str]) -> None:
        self._database = database
        self._names = names

    async def collections(self) -> list[_Info]:
        """One for each sample file."""
        return [_Info(name) for name in self._names]

    def space(self) -> _Space:
        """The private space."""
        return _Space(PRIVATE)

    async def spaces(self) -> list[_Space]:
        """Those that the records name: whoever made the samples has a role in each."""
        rows = (self._database.execute(f'select distinct _space_id from "{name}"') for name in self._names)
        return [_Space(id) for id in sorted({id for found in rows for (id,) in found})]

    async def collection(self, name: str, /) -> AsyncIterator[Any]:
        """None: what is followed is among the records as any other space is."""
        nothing: tuple[Any, ...] = ()
        for record in nothing:
            yield record

    async def sql(self, query: str, params: Sequence[Any] = (), /, *, limit: int = 10_000) -> _Rows:
        """Rows of one statement."""
        cursor = self._database.execute(query, tuple(params))
        return _Rows(tuple(column[0] for column in cursor.description), cursor.fetchmany(limit))


@contextlib.contextmanager
def open_samples(folder: Path) -> Iterator[SampleHome]:
    """Load every `<collection>.jsonl` of a folder. Raises `InvalidValue` naming file and line."""
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        names = []
        for path in sorted(folder.glob("*.jsonl")) if folder.is_dir() else []:
            names.append(path.stem)
            _load(database, path)
        yield SampleHome(database, names)


def _load(database: sqlite3.Connection, path: Path) -> None:
    if not path.stem.replace("_", "").isalnum() or not path.stem.isascii():
        raise InvalidValue(f"{path} is not named like a collection")
    records: list[dict[str, Any]] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise InvalidValue(f"{path}, line {number} is not a JSON object")
            space = str(record.get("_space", PRIVATE))
            records.append({"_id": f"{path.stem}/{number}", **record, "_space": space, "_space_id": space})
    known = ["_id", "_space", "_space_id"]
    fields = list(dict.fromkeys([*known, *(name for record in records for name in record)]))
    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in fields)
    database.execute(f'create table "{path.stem}" ({columns})')
    database.executemany(
        f'insert into "{path.stem}" values ({", ".join("?" * len(fields))})',
        ([_cell(record.get(name)) for name in fields] for record in records),
    )


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value

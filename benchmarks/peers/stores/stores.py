"""The work of `store.peers`, and stores that do it by hand in SQLite: with JSON alone, with Loro, with Yjs documents.

    python stores.py NAME fill FOLDER     make, read, query and update; prints the figures as JSON
    python stores.py NAME open FOLDER     a new process: from before its libraries are imported to the first answer

Standard library only, apart from what a store itself needs: it runs in an environment of its own.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Protocol

COUNT = 5_000
CITIES = 250
READS = 300
QUERIES = 100
UPDATES = 200
FOUND = COUNT // CITIES

Record = dict[str, Any]


def record(number: int) -> Record:
    """The record of this number: six fields, about 130 bytes of JSON. `stores.mjs` makes the same."""
    return {"name": f"person {number}", "city": f"city {number % CITIES}", "number": number,
            "amount": number * 37 % 10_000 / 100, "done": number % 3 == 0,
            "note": f"what is to be said about person {number}"}


def name(number: int) -> str:
    """The id of this record."""
    return f"{number:05d}"


def asked(count: int) -> Iterator[int]:
    """So many records, far apart from each other: what was made last is in no cache."""
    return (number * 7919 % COUNT for number in range(count))


def check(found: list[Record], city: int) -> None:
    """Raise `SystemExit` unless a query found what it must."""
    if len(found) != FOUND or any(one["city"] != f"city {city}" for one in found):
        raise SystemExit(f"the query found {len(found)} records, not the {FOUND} of its city")


class Store(Protocol):
    """What a store must do. Each call that writes returns once it is as durable as the store makes it."""

    def create(self, records: list[tuple[str, Record]]) -> None:
        """All these records, in its best way."""

    def read(self, id: str) -> Record:
        """One record."""

    def query(self, city: str) -> list[Record]:
        """Those with this city."""

    def update(self, id: str, number: int) -> None:
        """Change one field."""

    def close(self) -> None:
        """End."""


class Sqlite:
    """SQLite with JSON by hand: no history, no way to merge."""

    def __init__(self, folder: Path) -> None:
        import sqlite3

        self.db = sqlite3.connect(folder / "store.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE IF NOT EXISTS record (id TEXT PRIMARY KEY, json TEXT NOT NULL, doc BLOB)")
        self.db.execute("CREATE INDEX IF NOT EXISTS city ON record (json_extract(json, '$.city'))")

    def create(self, records: list[tuple[str, Record]]) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany("INSERT INTO record VALUES (?, ?, ?)",
                            ((id, json.dumps(value), self.document(value)) for id, value in records))
        self.db.execute("COMMIT")

    def read(self, id: str) -> Record:
        found: Record = json.loads(self.db.execute("SELECT json FROM record WHERE id = ?", (id,)).fetchone()[0])
        return found

    def query(self, city: str) -> list[Record]:
        rows = self.db.execute("SELECT json FROM record WHERE json_extract(json, '$.city') = ?", (city,)).fetchall()
        return [json.loads(text) for (text,) in rows]

    def update(self, id: str, number: int) -> None:
        self.db.execute("BEGIN IMMEDIATE")
        text, doc = self.db.execute("SELECT json, doc FROM record WHERE id = ?", (id,)).fetchone()
        value = json.loads(text) | {"number": number}
        self.db.execute("UPDATE record SET json = ?, doc = ? WHERE id = ?",
                        (json.dumps(value), self.changed(doc, number), id))
        self.db.execute("COMMIT")

    def close(self) -> None:
        self.db.close()

    def document(self, value: Record) -> bytes | None:
        """What is kept beside the JSON, so that devices can merge."""
        return None

    def changed(self, doc: Any, number: int) -> bytes | None:
        """That, with one field changed."""
        return None


class Loro(Sqlite):
    """A Loro document for each record, its snapshot a blob beside the JSON that queries read."""

    def __init__(self, folder: Path) -> None:
        import loro

        self.loro = loro
        super().__init__(folder)

    def document(self, value: Record) -> bytes | None:
        doc = self.loro.LoroDoc()
        fields = doc.get_map("record")
        for key, item in value.items():
            fields.insert(key, item)
        return self._saved(doc)

    def changed(self, doc: Any, number: int) -> bytes | None:
        loaded = self.loro.LoroDoc()
        loaded.import_(doc)
        loaded.get_map("record").insert("number", number)
        return self._saved(loaded)

    def _saved(self, doc: Any) -> bytes:
        doc.commit()
        return bytes(doc.export(self.loro.ExportMode.Snapshot()))


class Yjs(Sqlite):
    """A Yjs document (pycrdt) for each record, its state a blob beside the JSON that queries read."""

    def __init__(self, folder: Path) -> None:
        import pycrdt

        self.pycrdt = pycrdt
        super().__init__(folder)

    def document(self, value: Record) -> bytes | None:
        doc = self.pycrdt.Doc()
        doc["record"] = self.pycrdt.Map(value)
        return bytes(doc.get_update())

    def changed(self, doc: Any, number: int) -> bytes | None:
        loaded = self.pycrdt.Doc()
        loaded.apply_update(doc)
        loaded.get("record", type=self.pycrdt.Map)["number"] = number
        return bytes(loaded.get_update())


STORES: dict[str, Callable[[Path], Store]] = {"sqlite": Sqlite, "loro": Loro, "pycrdt": Yjs}


def _timed(work: Callable[[Any], Any], arguments: Iterator[Any]) -> float:
    """Median milliseconds of a call."""
    taken = []
    for argument in arguments:
        began = time.perf_counter()
        work(argument)
        taken.append((time.perf_counter() - began) * 1e3)
    return median(taken)


def fill(store: Store) -> dict[str, float]:
    """All the work in an empty store; its figures."""
    records = [(name(number), record(number)) for number in range(COUNT)]
    began = time.perf_counter()
    store.create(records)
    found = {"create": COUNT / (time.perf_counter() - began)}
    found["read"] = _timed(lambda number: store.read(name(number)), asked(READS))
    found["query"] = _timed(lambda number: check(store.query(f"city {number % CITIES}"), number % CITIES),
                            asked(QUERIES))
    found["update"] = _timed(lambda number: store.update(name(number), -number - 1), asked(UPDATES))
    for number in asked(UPDATES):
        if store.read(name(number)) != record(number) | {"number": -number - 1}:
            raise SystemExit(f"record {number} is not what it was updated to")
    return found


def main(which: str, verb: str, folder: Path) -> None:
    """Do one of the two and print what was measured."""
    began = time.perf_counter()
    store = STORES[which](folder)
    if verb == "fill":
        found = fill(store)
    else:
        check(store.query("city 77"), 77)
        found = {"open": (time.perf_counter() - began) * 1e3}
    store.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))

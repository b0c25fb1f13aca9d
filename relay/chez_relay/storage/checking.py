"""Whether all that a store's file holds is what was written there: every row against its hash, every head folded.

Runs beside a serving relay, on what the file holds when it begins, a row at a time.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chez_relay.storage.copies import looking
from chez_relay.storage.entry_hashes import start
from chez_relay.storage.integrity import INCARNATION_BYTES, SQLITE_ERRORS, item_digest, seal
from chez_relay.storage.migrations import checked_version, steps
from chez_relay.storage.space_rows import PLACES
from chez_wire.chunks import chunk_id
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head

__all__ = ("MAX_FINDINGS", "Report", "check")

MAX_FINDINGS: Final = 100
"""Findings that are told one by one; those beyond are counted."""


_DROPS: Final = (
    ("a range that is to be dropped", "SELECT space, first, last, due, seal FROM dropping"),
    ("a range that was dropped", "SELECT space, first, last, head, seal FROM dropped"),
    ("a chunk that is let go", "SELECT space, chunk, due, seal FROM releasing"),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what is wrong; it names spaces by their number in the file, as nothing else may.

    `structure` is SQLite's own word on the file's pages, empty when they are sound; `findings` the first
    rows that are damaged, `damaged` how many there are.
    """

    entries: int
    chunks: int
    packets: int
    items: int
    structure: tuple[str, ...]
    findings: tuple[str, ...]
    damaged: int

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.structure or self.damaged)


def check(path: Path) -> Report:
    """Look at every row of the store's file. Raises `StoreUnusable` when there is none, or it can't be opened."""
    with looking(path) as db:
        checked_version(db, len(steps()))
        return _Check(db).run()


class _Check:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._findings: list[str] = []
        self._damaged = 0
        self._counts = {"entries": 0, "chunks": 0, "packets": 0, "items": 0}

    def run(self) -> Report:
        try:
            rows = self._db.execute("PRAGMA integrity_check(100)").fetchall()
            structure = tuple(str(text) for (text,) in rows if text != "ok")
        except SQLITE_ERRORS as error:
            structure = (str(error),)
        for part in (self._facts, self._spaces, self._dropping, self._chunks, self._packets, self._inboxes,
                     self._items):
            try:
                part()
            except SQLITE_ERRORS as error:  # a page that can't be read: the parts after it may
                self._found(f"{part.__name__.strip('_')} can't be read to the end: {error}")
        return Report(**self._counts, structure=structure, findings=tuple(self._findings), damaged=self._damaged)

    def _found(self, what: str) -> None:
        self._damaged += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(what)

    def _each(self, kind: str, query: str, *values: object) -> Iterator[tuple[Any, ...]]:
        for row in self._db.execute(query, values):
            self._counts[kind] += 1
            yield row

    def _facts(self) -> None:
        rows = self._db.execute("SELECT value FROM facts WHERE name = 'incarnation'").fetchall()
        if [len(_bytes(value)) for (value,) in rows] != [INCARNATION_BYTES]:
            self._found("the store's incarnation")

    def _spaces(self) -> None:
        spaces = self._db.execute(
            "SELECT space, handle, admin_key, recovery_key, read_key, append_key, control_key, last, hashed, head,"
            " data_bytes, control_bytes, blob_bytes, packets, packets_hash, last_drop, seal FROM spaces"
            " ORDER BY space").fetchall()
        for number, handle, *rest, sealed in spaces:
            if seal(handle, number, *rest) != sealed:
                self._found(f"space {number}: its keys or counters")
            else:
                self._log(number, rest[5], rest[6], rest[7], rest[8] + rest[9])

    def _log(self, space: int, last: int, hashed: int, head: bytes, size: int) -> None:
        """The entries of one space: each by its hash, in a chain that ends at the space's head.

        It has no gap but where entries were dropped, and goes on from the head there. Up to `hashed` each is found by
        its hash, and nothing else is.
        """
        gone = {first: (end, _bytes(after)) for first, end, after in self._db.execute(
            "SELECT first, last, head FROM dropped WHERE space = ?", (space,))}
        offset, before = gone.get(1, (0, GENESIS_HEAD))
        summed = 0
        listed: list[bool] = []
        for place, entry, after, envelope in self._each(
            "entries", "SELECT place, entry, head, envelope FROM entries WHERE place > ? AND place < ? ORDER BY place",
            space * PLACES, (space + 1) * PLACES,
        ):
            if place != space * PLACES + offset + 1:
                self._found(f"space {space}: entries lack after offset {offset}")
            elif fold_head(before, _bytes(entry)) != after:
                self._found(f"space {space}: the head at offset {offset + 1}")
            offset, before = place - space * PLACES, _bytes(after)
            summed += len(_bytes(envelope))
            if entry_id(_bytes(envelope)) != entry:
                self._found(f"space {space}: the entry at offset {offset}")
            if offset <= hashed:
                listed.append(self._listed(space, _bytes(entry), offset))
            offset, before = gone.get(offset + 1, (offset, before))
        if (offset, before, summed) != (last, head, size):
            self._found(f"space {space}: its entries are not those that it counts")
        (rows,) = self._db.execute("SELECT count(*) FROM hashes WHERE space = ?", (space,)).fetchone()
        if not all(listed) or len(listed) != rows:
            self._found(f"space {space}: the hashes by which its entries are found")

    def _listed(self, space: int, entry: bytes, offset: int) -> bool:
        return self._db.execute("SELECT 1 FROM hashes WHERE space = ? AND start = ? AND offset = ?",
                                (space, start(entry), offset)).fetchone() is not None

    def _dropping(self) -> None:
        """What is to be dropped or was, and chunks that are let go: rows that name others."""
        for what, query in _DROPS:
            for *fields, sealed in self._db.execute(query):
                if seal(*fields) != sealed:
                    self._found(f"space {fields[0]}: {what}")

    def _chunks(self) -> None:
        for space, chunk, data in self._each("chunks", "SELECT space, chunk, data FROM chunks ORDER BY number"):
            if chunk_id(_bytes(data)) != chunk:
                self._found(f"space {space}: a chunk of an attachment")

    def _packets(self) -> None:
        for space, tag, box, sealed in self._each("packets", "SELECT space, tag, box, seal FROM packets"):
            if seal(space, tag, box) != sealed:
                self._found(f"space {space}: a packet")

    def _inboxes(self) -> None:
        for number, name, owner, writer, sealed in self._db.execute(
            "SELECT inbox, name, owner_key, write_key, seal FROM inboxes"
        ):
            if seal(name, owner, writer) != sealed:
                self._found(f"inbox {number}: its keys")

    def _items(self) -> None:
        for inbox, number, digest, item in self._each("items", "SELECT inbox, number, digest, item FROM items"):
            if item_digest(_bytes(item)) != digest:
                self._found(f"inbox {inbox}: item {number}")


def _bytes(value: object) -> bytes:
    """What a column holds that must hold bytes; damage can turn one kind of value into another."""
    return value if isinstance(value, bytes) else b""

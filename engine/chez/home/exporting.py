"""Writing an export: everything in one state of the store, line by line, in flat memory.

The journal says so before the first line is written, for this is plaintext that leaves
the store, and again when the export is whole. The folder appears at its place only then.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from chez.errors import ChezError, Damaged, InvalidValue
from chez.home import unfinished
from chez.home.archive import (
    ATTACHMENTS,
    CHANGES,
    INDEX,
    MANIFEST,
    NO_KINDS,
    RECORDS,
    ChangeLine,
    File,
    Holds,
    Manifest,
    RecordLine,
    file_name,
)
from chez.home.attached import Attached, ContentOf
from chez.home.building import beside, building, ensure_free
from chez.journal import Journal
from chez.records import automerge
from chez.records.imported import IMPORT_ACTOR
from chez.records.rows import PURGED, Rows
from chez.store.database import Connection, Database
from chez.store.disk import sync_folder

__all__ = ("ExportReport", "Exporter", "OnProgress", "on_loop")

OnProgress = Callable[[int, int], None]
STEP: Final = 256
"""Lines between two reports of progress."""


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote: records, changes and attachments, bytes of all files, and the manifest's SHA-256.

    `missing` attachments are held by records and not whole on this device, so not in it.
    """

    path: str
    records: int
    changes: int
    bytes: int
    sha256: str
    attachments: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Exporter:
    """What an export needs of a home; `space` is its row, `made` the time in RFC 3339."""

    database: Database
    journal: Journal
    content: ContentOf
    space: int
    person: bytes
    device: bytes
    name: str
    made: str

    async def export(self, path: Path, history: bool, progress: OnProgress | None) -> ExportReport:
        """Write an export; see `Home.export`."""
        def taken() -> InvalidValue:
            return InvalidValue(f"there is something at {path} already", "Name a folder that does not exist yet.")

        def begin(db: Connection) -> None:
            unfinished.begin(db, scratch)
            self.journal.record(db, "export", {"to": str(path), "history": history})

        ensure_free(path, taken)
        scratch = beside(path)
        await self.database.write(begin)
        try:
            with building(path, taken, scratch) as folder:
                note = on_loop(progress)
                report = await self.database.aside(
                    lambda db, check: _Writing(db, self, folder, note, check).write(path, history))
                await self.journal.append("export-complete", {
                    "to": str(path), "records": report.records, "changes": report.changes, "manifest": report.sha256,
                    "attachments": report.attachments})
        finally:
            # A store that refuses this does it when it is opened again.
            with suppress(ChezError):
                await self.database.write(lambda db: unfinished.end(db, scratch))
        return report


def on_loop(progress: OnProgress | None) -> OnProgress:
    """`progress` as a function that a thread may call: it is called on this event loop."""
    if progress is None:
        return lambda done, total: None
    loop, tell = asyncio.get_running_loop(), progress

    def note(done: int, total: int) -> None:
        loop.call_soon_threadsafe(tell, done, total)

    return note


class _Lines:
    """One file as it is written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.lines = self.size = 0

    def write(self, line: bytes) -> None:
        """Add one line."""
        data = line + b"\n"
        self._file.write(data)
        self._digest.update(data)
        self.lines += 1
        self.size += len(data)

    def sha256(self) -> str:
        """The hash of all lines so far."""
        return self._digest.hexdigest()


class _Writing:
    """One export being written, on a connection of its own."""

    def __init__(self, db: Connection, exporter: Exporter, folder: Path, note: OnProgress,
                 check: Callable[[], None]) -> None:
        self._db = db
        self._exporter = exporter
        self._folder = folder
        self._note = note
        self._check = check
        self._done = self._total = 0
        self._encode = msgspec.json.Encoder().encode

    def write(self, path: Path, history: bool) -> ExportReport:
        self._db.execute("BEGIN")  # all that follows reads one state of the store
        here = "SELECT collection, count(*) FROM record WHERE space = ?{} GROUP BY collection ORDER BY collection"
        records = self._db.execute(here.format(" AND deleted = 0"), (self._exporter.space,)).fetchall()
        past = here.format(f" AND deleted <> {PURGED}")
        all = self._db.execute(past, (self._exporter.space,)).fetchall() if history else []
        self._total = sum(count for _, count in [*records, *all])
        (self._folder / RECORDS).mkdir(mode=0o700)
        files = [self._file(RECORDS, name, self._records(name)) for name, _ in records]
        if history:
            (self._folder / CHANGES).mkdir(mode=0o700)
            files += [self._file(CHANGES, name, self._changes(name)) for name, _ in all]
        attached = Attached(self._db, self._exporter.content, self._folder, self._check)
        if attached.any(self._exporter.space):
            (self._folder / ATTACHMENTS).mkdir(mode=0o700)
            files.append(self._file(ATTACHMENTS, "", attached.lines(self._exporter.space)))
        for folder in {file.holds for file in files} | {RECORDS}:
            sync_folder(self._folder / folder)
        who = self._exporter
        manifest = msgspec.json.format(self._encode(Manifest(
            made=who.made, person=who.person.hex(), device=who.device.hex(), name=who.name, history=history,
            files=files)))
        self._store(MANIFEST, manifest)
        self._note(self._total, self._total)
        lines = {holds: sum(file.lines for file in files if file.holds == holds) for holds in (RECORDS, CHANGES)}
        return ExportReport(str(path), lines[RECORDS], lines[CHANGES], sum(file.bytes for file in files) +
                            attached.bytes, hashlib.sha256(manifest).hexdigest(), attached.written, attached.missing)

    def _file(self, holds: Holds, collection: str, lines: Iterator[bytes]) -> File:
        path = INDEX if holds == ATTACHMENTS else f"{holds}/{file_name(collection)}"
        with open(os.open(self._folder / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            out = _Lines(file)
            for line in lines:
                out.write(line)
            file.flush()
            os.fsync(file.fileno())
        return File(path, collection, holds, out.lines, out.size, out.sha256())

    def _store(self, name: str, data: bytes) -> None:
        with open(os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def _step(self) -> None:
        self._done += 1
        if self._done % STEP == 0:
            self._check()
            self._note(self._done, self._total)

    def _records(self, collection: str) -> Iterator[bytes]:
        decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        for id, json, kinds in self._db.execute(
                "SELECT id, json, kinds FROM record WHERE space = ? AND collection = ? AND deleted = 0 ORDER BY id",
                (self._exporter.space, collection)):
            fields = decode(json)
            about = {name[1:]: fields.pop(name) for name in list(fields) if name.startswith("_")}
            yield self._encode(RecordLine(id, fields, NO_KINDS if kinds is None else msgspec.Raw(kinds.encode()),
                                          about or None))
            self._step()

    def _changes(self, collection: str) -> Iterator[bytes]:
        rows = Rows(self._exporter.device)
        for n, id in self._db.execute("SELECT n, id FROM record WHERE space = ? AND collection = ? "
                                      f"AND deleted <> {PURGED} ORDER BY id", (self._exporter.space, collection)):
            made = {hash: (device, time, origin) for hash, device, time, origin in self._db.execute(
                "SELECT change.hash, coalesce(author, ?), time, origin FROM change LEFT JOIN entry "
                "ON entry.n = change.entry WHERE record = ? AND state < 2", (self._exporter.device, n))}
            try:
                document = automerge.load(rows.base(self._db, n), self._exporter.device)
                changes = [automerge.read_change(data) for data in automerge.changes_of(document, ())]
            except automerge.BadChange as error:
                raise Damaged(f"the history of record {id!r} in {collection!r} can't be read: {error.message}",
                              "Run `chez doctor`; an export without history leaves it out.") from None
            for change in changes:
                device, time, origin = made.get(change.hash, (change.actor, 0, None))
                author = "import" if change.actor == IMPORT_ACTOR else device.hex()
                yield self._encode(ChangeLine(
                    id, change.hash.hex(), author, change.sequence, [hash.hex() for hash in change.dependencies],
                    time or None, origin, change.bytes))
            self._step()

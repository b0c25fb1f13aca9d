"""Writing an export: everything in one state of the store, line by line, in flat memory.

The journal says so before the first line is written, for this is plaintext that leaves
the store, and again when the export is whole. The folder appears at its place only then.
"""

import asyncio
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from chez.errors import ChezError, Damaged, InvalidValue
from chez.home import unfinished
from chez.home.archive import (
    ATTACHMENTS,
    CHANGES,
    INDEX,
    LEFT_OUT,
    MANIFEST,
    NO_KINDS,
    RECORDS,
    SPACES,
    ChangeLine,
    File,
    Holds,
    Manifest,
    Part,
    RecordLine,
    file_name,
)
from chez.home.attached import Attached, ContentOf
from chez.home.building import beside, building, ensure_free
from chez.home.names import check_path
from chez.journal import Journal
from chez.records import automerge
from chez.records.imported import IMPORT_ACTOR
from chez.records.rows import PURGED, Rows
from chez.store.database import Connection, Database
from chez_durable.folders import sync_folder

__all__ = ("ExportReport", "Exported", "Exporter", "OnProgress", "on_loop")

OnProgress = Callable[[int, int], None]
STEP: Final = 256
"""Lines between two reports of progress."""


class ExportReport(msgspec.Struct, frozen=True):
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


class Exported(msgspec.Struct, frozen=True):
    """A space to be exported: its row, id and name, and what gives the contents of its attachments."""

    n: int
    id: str
    name: str
    content: ContentOf


class Exporter(msgspec.Struct, frozen=True):
    """What an export needs of a home: the spaces, of which the others come with the first; `made` in RFC 3339."""

    database: Database
    journal: Journal
    spaces: Sequence[Exported]
    person: bytes
    device: bytes
    name: str
    made: str

    async def export(self, path: Path, history: bool, progress: OnProgress | None) -> ExportReport:
        """Write an export; see `Home.export`."""
        def taken() -> InvalidValue:
            return InvalidValue(f"there is something at {path} already", "Name a folder that does not exist yet.")

        def begin(db: Connection) -> None:
            unfinished.begin(db, scratch, path)
            self.journal.record(db, "export", {"to": str(path), "history": history,
                                               "spaces": [space.name for space in self.spaces]})

        def end(db: Connection) -> None:
            unfinished.end(db, scratch)
            if report is None:
                self.journal.record(db, "export-failed", {"to": str(path)})

        check_path(path)
        ensure_free(path, taken)
        scratch = beside(path)
        report: ExportReport | None = None
        try:
            await self.database.write(begin)
            with building(path, taken, scratch) as folder:
                note = on_loop(progress)
                written = await self.database.aside(
                    lambda db, check: _Export(db, self, note, check, history).write(folder, path))
                await self.journal.append("export-complete", {
                    "to": str(path), "records": written.records, "changes": written.changes, "manifest": written.sha256,
                    "attachments": written.attachments})
            report = written  # it is at its place
        finally:
            # A store that refuses this ends it when it is opened again, and says it then.
            with suppress(ChezError):
                await self.database.write(end)
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


class _Export:
    """One export being written, on a connection of its own: one state of the store."""

    def __init__(self, db: Connection, exporter: Exporter, note: OnProgress, check: Callable[[], None],
                 history: bool) -> None:
        self.db = db
        self.about = exporter
        self.check = check
        self.history = history
        self._note = note
        self._done = self._total = 0

    def write(self, folder: Path, path: Path) -> ExportReport:
        self.db.execute("BEGIN")  # all that follows reads one state of the store
        (first, *others) = [_Writing(self, space) for space in self.about.spaces]
        self._total = sum(one.lines for one in (first, *others))
        parts = []
        if others:
            (folder / SPACES).mkdir(mode=0o700)
        for one in others:
            part = Part(one.space.id, one.space.name, "")
            (folder / part.path).mkdir(mode=0o700)
            parts.append(Part(part.id, part.name, one.write(folder / part.path)))
        sha256 = first.write(folder, parts)
        self._note(self._total, self._total)
        all = (first, *others)
        return ExportReport(str(path), sum(one.count(RECORDS) for one in all), sum(one.count(CHANGES) for one in all),
                            sum(one.bytes for one in all), sha256, sum(one.attachments for one in all),
                            sum(one.missing for one in all))

    def step(self) -> None:
        """A line was written."""
        self._done += 1
        if self._done % STEP == 0:
            self.check()
            self._note(self._done, self._total)


class _Writing:
    """One space of an export being written."""

    def __init__(self, export: _Export, space: Exported) -> None:
        self.space = space
        self.bytes = self.attachments = self.missing = 0
        self._export = export
        self._db = export.db
        self._encode = msgspec.json.Encoder().encode
        self._files: list[File] = []
        self._here = self._counts("deleted = 0")
        self._past = self._counts(f"deleted <> {PURGED}") if export.history else []

    @property
    def lines(self) -> int:
        """How many there are to write."""
        return sum(count for _, count in [*self._here, *self._past])

    def _counts(self, which: str) -> list[tuple[str, int]]:
        """The collections that are exported, each with how many records."""
        return [(name, count) for name, count in self._db.execute(
            f"SELECT collection, count(*) FROM record WHERE space = ? AND {which} AND collection <> '' "
            "GROUP BY collection ORDER BY collection", (self.space.n,)) if name not in LEFT_OUT]

    def count(self, holds: Holds) -> int:
        """How many of a kind were written."""
        return sum(file.lines for file in self._files if file.holds == holds)

    def write(self, folder: Path, parts: Sequence[Part] = ()) -> str:
        """Write all of it; the manifest's SHA-256."""
        (folder / RECORDS).mkdir(mode=0o700)
        files = [self._file(folder, RECORDS, name, self._records(name)) for name, _ in self._here]
        if self._export.history:
            (folder / CHANGES).mkdir(mode=0o700)
            files += [self._file(folder, CHANGES, name, self._changes(name)) for name, _ in self._past]
        attached = Attached(self._db, self.space.content, folder, self._export.check)
        if attached.any(self.space.n):
            (folder / ATTACHMENTS).mkdir(mode=0o700)
            files.append(self._file(folder, ATTACHMENTS, "", attached.lines(self.space.n)))
        for name in {file.holds for file in files} | {RECORDS}:
            sync_folder(folder / name)
        for part in parts:
            sync_folder(folder / part.path)
        if parts:
            sync_folder(folder / SPACES)
        who = self._export.about
        manifest = msgspec.json.format(self._encode(Manifest(
            made=who.made, person=who.person.hex(), device=who.device.hex(), name=who.name,
            history=self._export.history, space=self.space.name, files=files, spaces=list(parts))))
        _store(folder / MANIFEST, manifest)
        self._files = files
        self.bytes = sum(file.bytes for file in files) + attached.bytes
        self.attachments, self.missing = attached.written, attached.missing
        return hashlib.sha256(manifest).hexdigest()

    def _file(self, folder: Path, holds: Holds, collection: str, lines: Iterator[bytes]) -> File:
        path = INDEX if holds == ATTACHMENTS else f"{holds}/{file_name(collection)}"
        with open(os.open(folder / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            out = _Lines(file)
            for line in lines:
                out.write(line)
            file.flush()
            os.fsync(file.fileno())
        return File(path, collection, holds, out.lines, out.size, out.sha256())

    def _records(self, collection: str) -> Iterator[bytes]:
        decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        for id, json, kinds in self._db.execute(
                "SELECT id, json, kinds FROM record WHERE space = ? AND collection = ? AND deleted = 0 ORDER BY id",
                (self.space.n, collection)):
            fields = decode(json)
            about = {name[1:]: fields.pop(name) for name in list(fields) if name.startswith("_")}
            yield self._encode(RecordLine(id, fields, NO_KINDS if kinds is None else msgspec.Raw(kinds.encode()),
                                          about or None))
            self._export.step()

    def _changes(self, collection: str) -> Iterator[bytes]:
        rows = Rows(self._export.about.device)
        for n, id in self._db.execute("SELECT n, id FROM record WHERE space = ? AND collection = ? "
                                      f"AND deleted <> {PURGED} ORDER BY id", (self.space.n, collection)):
            made = {hash: (device, time, origin) for hash, device, time, origin in self._db.execute(
                "SELECT change.hash, coalesce(author, ?), time, origin FROM change LEFT JOIN entry "
                "ON entry.n = change.entry WHERE record = ? AND state < 2", (self._export.about.device, n))}
            try:
                document = automerge.load(rows.base(self._db, n), self._export.about.device)
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
            self._export.step()


def _store(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

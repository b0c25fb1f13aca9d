"""Reading an export back: what `chez export` wrote becomes equal records, in this or another home.

Every file's hash is checked before anything is written. Then lines are read and written
in batches, each durable by itself, so that an import that was cut off is finished by
running it again. A line that can't be stored costs that line.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from chez.connectors import Reject
from chez.connectors.api import excerpt
from chez.errors import BadArchive, ChezError, InvalidValue
from chez.home.archive import MANIFEST, MAX_LINE, RECORDS, File, RecordLine, read_manifest
from chez.home.importing import BATCH, ImportReport, OnProgress, reject
from chez.journal import Journal
from chez.records.collection import Engine
from chez.records.rows import PURGED
from chez.records.values import Value, check_collection, check_id, check_value, from_json
from chez.store.database import Connection

__all__ = ("import_export",)

CONNECTOR: Final = "chez-export"
_decode = msgspec.json.Decoder(RecordLine).decode
_encode = msgspec.json.Encoder().encode


async def import_export(engine: Engine, journal: Journal, path: Path, progress: OnProgress | None) -> ImportReport:
    """Import an export's records; see `Home.import_file`."""
    folder = path if path.is_dir() else path.parent
    manifest = await asyncio.to_thread(read_manifest, folder)
    files = [file for file in manifest.files if file.holds == RECORDS]
    for file in files:
        check_collection(file.collection)
    await asyncio.to_thread(_verify, folder, manifest.files)
    digest = hashlib.sha256(await asyncio.to_thread((folder / MANIFEST).read_bytes)).hexdigest()
    report = ImportReport(CONNECTOR, folder.name)
    total, before = sum(file.bytes for file in files), 0
    for file in files:
        lines = _lines(folder, file, report)
        while batch := await asyncio.to_thread(_batch, lines):
            for outcome in await engine.database.write(_writing(engine, file.collection, batch)):
                setattr(report, outcome, getattr(report, outcome) + 1)
            if progress is not None:
                progress(before + batch[-1].end, total)
        before += file.bytes
    if progress is not None:
        progress(total, total)
    await journal.append("import", {
        "connector": CONNECTOR, "version": manifest.version, "file": folder.name, "sha256": digest,
        "added": report.added, "updated": report.updated, "unchanged": report.unchanged, "purged": report.purged,
        "rejected": report.rejected})
    return report


def _verify(folder: Path, files: list[File]) -> None:
    for file in files:
        try:
            with (folder / file.path).open("rb") as opened:
                same = hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
        except OSError as error:
            raise BadArchive(f"this export lacks {file.path} ({error.strerror})", "Export again.") from None
        if not same:
            raise BadArchive(f"{file.path} is not what the manifest says: it was altered or cut short",
                             "Export again; to bring edited records home, use `chez put COLLECTION --file`.")


@dataclass(frozen=True, slots=True)
class _Line:
    """A record that was read, and where its line ends in the file."""

    id: str
    value: dict[str, Value]
    end: int


def _batch(lines: Iterator[_Line]) -> list[_Line]:
    return [line for line, _ in zip(lines, range(BATCH), strict=False)]


def _lines(folder: Path, file: File, report: ImportReport) -> Iterator[_Line]:
    try:
        with (folder / file.path).open("rb") as opened:
            number = 0
            while raw := opened.readline(MAX_LINE + 1):
                number += 1
                try:
                    id, value = _record(raw)
                except (ChezError, ValueError, TypeError, LookupError, RecursionError) as error:
                    why = error.message if isinstance(error, ChezError) else str(error) or type(error).__name__
                    reject(report, Reject(number, f"{file.path}: {why}", excerpt(raw)))
                else:
                    yield _Line(id, value, opened.tell())
    except OSError as error:
        raise BadArchive(f"{file.path} can't be read any more ({error.strerror})", "Import it again.") from None


def _record(raw: bytes) -> tuple[str, dict[str, Value]]:
    """A line as id and stored value. Raises `InvalidValue`, or what a line that fits nothing leads to."""
    if len(raw) > MAX_LINE:
        raise InvalidValue(f"the line is longer than {MAX_LINE} bytes")
    line = _decode(raw)
    about = {"_" + name: item for name, item in (line.about or {}).items()}
    if "_deleted" in about:
        raise InvalidValue("a deleted record is no part of an export")
    whole = from_json(_encode(line.value | about).decode(), bytes(line.kinds).decode() or None)
    kept = check_value({name[1:]: whole.pop(name) for name in about})
    return check_id(line.id), check_value(whole) | {"_" + name: item for name, item in kept.items()}


def _writing(engine: Engine, collection: str, batch: list[_Line]) -> Callable[[Connection], list[str]]:
    find = "SELECT json, kinds, deleted FROM record WHERE space = ? AND collection = ? AND id = ?"

    def work(db: Connection) -> list[str]:
        outcomes = []
        for line in batch:
            at: tuple[Any, ...] = (engine.space, collection, line.id)
            before = db.execute(find, at).fetchone()
            if before is not None and before[2] == PURGED:
                outcomes.append("purged")
                continue
            engine.records.put(db, engine.space, collection, line.id, line.value)
            same = before == db.execute(find, at).fetchone()
            outcomes.append("unchanged" if same else "added" if before is None or before[2] else "updated")
        return outcomes

    return work

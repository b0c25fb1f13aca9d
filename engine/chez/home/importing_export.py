"""Reading an export back: what `chez export` wrote becomes equal records, in this or another home.

Every file's hash is checked before anything is written. Then attachments are added, and
lines are read and written in batches, each durable by itself, so that an import that was
cut off is finished by running it again. A line that can't be stored costs that line.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chez.blobs.attachments import Blobs
from chez.connectors import Reject
from chez.connectors.api import excerpt
from chez.errors import BadArchive, ChezError, InvalidValue
from chez.home.archive import (
    ATTACHMENTS,
    MANIFEST,
    MAX_LINE,
    RECORDS,
    File,
    Manifest,
    RecordLine,
    is_own,
    open_file,
    read_manifest,
)
from chez.home.attached import bring_back, index_lines, retargeted
from chez.home.importing import BATCH, ImportReport, OnProgress, reject
from chez.home.importing_marks import forget_marks
from chez.journal import Journal
from chez.records.engine import Engine
from chez.records.rows import PURGED
from chez.records.values import Value, check_collection, check_id, check_value, from_json
from chez.store.database import Connection

__all__ = ("import_export",)

CONNECTOR: Final = "chez-export"
BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes of lines in one transaction: a few that are as long as may be are not held together."""

_decode = msgspec.json.Decoder(RecordLine).decode
_encode = msgspec.json.Encoder().encode


Into = Callable[[str], "tuple[Engine, Blobs] | None"]
"""Where the records of a space go, by its id; None for one that is not here, or where nothing may be written."""


async def import_export(engine: Engine, journal: Journal, blobs: Blobs, into: Into, path: Path,
                        progress: OnProgress | None, *, private: int) -> ImportReport:
    """Import an export's records; see `Home.import_file`.

    What the export is of goes where `engine` and `blobs` are; the spaces that came with it go `into` theirs, where this
    device made the export, or one that this home was before it was restored or copied: anybody may write a folder that
    names a public space, or one that they share, and others would take what is in it for this person's. `private` is
    the number of the private space.
    """
    folder = path if path.is_dir() else path.parent
    first = await asyncio.to_thread(_open, folder, "", engine.space == private)
    report = ImportReport(CONNECTOR, folder.name, first.manifest.version)
    exports = [(first, engine, blobs)]
    made = await engine.database.read(lambda db: _made(journal, db))
    for part in first.manifest.spaces:
        if first.sha256 not in made or (there := into(part.id)) is None:
            report.skipped.append(part.name)
        else:
            opened = await asyncio.to_thread(_open, folder / part.path, part.sha256, there[0].space == private)
            exports.append((opened, *there))
    report.left_out = sorted({name for export, _, _ in exports for name in export.left_out})
    total, done = sum(export.bytes for export, _, _ in exports), 0
    for export, target, attached in exports:
        before = done

        def note(now: int, before: int = before) -> None:
            if progress is not None:
                progress(before + now, total)

        await _bring(export, target, attached, report, note)
        done += export.bytes
    if progress is not None:
        progress(total, total)
    await journal.append("import", {
        "connector": CONNECTOR, "version": first.manifest.version, "file": folder.name, "sha256": first.sha256,
        "added": report.added, "updated": report.updated, "unchanged": report.unchanged, "purged": report.purged,
        "rejected": report.rejected})
    return report


def _made(journal: Journal, db: Connection) -> set[Any]:
    """The hashes of the manifests of the exports that this home made, also as other devices than it is now."""
    receipts = journal.find(db, "export-complete", {}) + journal.find_former(db, "export-complete", {})
    return {receipt.body.get("manifest") for receipt in receipts}


class _Opened(msgspec.Struct, frozen=True):
    """One space's export, each file of it checked against its hash; `bytes` in all that is brought home."""

    folder: Path
    manifest: Manifest
    sha256: str
    bytes: int
    records: tuple[File, ...]
    """The files of records, as far as they are brought home."""
    left_out: frozenset[str]
    """The collections of the others."""


def _open(folder: Path, sha256: str, private: bool) -> _Opened:
    """Read and check an export that goes into the private space, or another; `sha256` is what its manifest must have,
    if that is known. Raises `BadArchive`."""
    manifest = read_manifest(folder)
    digest = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    if sha256 not in ("", digest):
        raise BadArchive(f"{folder / MANIFEST} is not what the export says: it was altered", "Export again.")
    every = [file for file in manifest.files if file.holds == RECORDS]
    for file in every:
        check_collection(file.collection)
    files = tuple(file for file in every if not is_own(file.collection, private))
    return _Opened(folder, manifest, digest, sum(file.bytes for file in files) + _verify(folder, manifest.files), files,
                   frozenset(file.collection for file in every if file not in files))


async def _bring(export: _Opened, engine: Engine, blobs: Blobs, report: ImportReport,
                 note: Callable[[int], None]) -> None:
    """Bring one space's attachments home, then its records."""
    folder, before = export.folder, 0
    ids: dict[str, str] = {}
    for file in export.manifest.files:
        if file.holds == ATTACHMENTS:
            ids = await bring_back(blobs, folder, index_lines(folder, file.path, file.bytes), note)
            before = export.bytes - sum(file.bytes for file in export.records)
    for file in export.records:
        lines = _lines(folder, file, report, ids)
        while batch := await asyncio.to_thread(_batch, lines):
            for outcome in await _write(engine, file, batch, report):
                setattr(report, outcome, getattr(report, outcome) + 1)
            report.collections.add(file.collection)
            note(before + batch[-1].end)
        before += file.bytes


def _verify(folder: Path, files: list[File]) -> int:
    """Check all files; returns how many bytes the attachments have."""
    size = 0
    for file in files:
        _check_hash(folder, file.path, file.bytes, file.sha256)
    for file in files:
        if file.holds == ATTACHMENTS:
            for line in index_lines(folder, file.path, file.bytes):
                _check_hash(folder, line.path, line.bytes, line.sha256)
                size += line.bytes
    return size


def _check_hash(folder: Path, path: str, size: int, sha256: str) -> None:
    try:
        with open_file(folder, path, size) as opened:
            same = hashlib.file_digest(opened, "sha256").hexdigest() == sha256
    except OSError as error:
        raise BadArchive(f"{path} can't be read ({error.strerror})", "Export again.") from None
    if not same:
        raise BadArchive(f"{path} is not what the manifest says: it was altered or cut short",
                         "Export again; to bring edited records home, use `chez put COLLECTION --file`.")


class _Line(msgspec.Struct, frozen=True):
    """A record that was read, and where its line ends in the file."""

    number: int
    id: str
    value: dict[str, Value]
    size: int
    end: int


def _batch(lines: Iterator[_Line]) -> list[_Line]:
    batch, size = [], 0
    for line in lines:
        batch.append(line)
        size += line.size
        if len(batch) == BATCH or size >= BATCH_BYTES:
            break
    return batch


def _lines(folder: Path, file: File, report: ImportReport, ids: Mapping[str, str]) -> Iterator[_Line]:
    try:
        with open_file(folder, file.path, file.bytes) as opened:
            number = 0
            while raw := opened.readline(MAX_LINE + 1):
                number += 1
                try:
                    id, value = _record(raw)
                except (ChezError, ValueError, TypeError, LookupError, RecursionError) as error:
                    why = error.message if isinstance(error, ChezError) else str(error) or type(error).__name__
                    reject(report, Reject(number, f"{file.path}: {why}", excerpt(raw)))
                else:
                    yield _Line(number, id, retargeted(value, ids) if ids else value, len(raw), opened.tell())
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


async def _write(engine: Engine, file: File, batch: list[_Line], report: ImportReport) -> list[str]:
    """Write a batch; what became of each line that was written.

    What the store does not take (a field kept for Chez, a record too large) costs itself alone.
    """
    try:
        return await engine.database.write(_writing(engine, file.collection, batch))
    except InvalidValue as error:
        if len(batch) == 1:
            reject(report, Reject(batch[0].number, f"{file.path}: {error.message}", excerpt(batch[0].id.encode())))
            return []
    return [outcome for line in batch for outcome in await _write(engine, file, [line], report)]


def _writing(engine: Engine, collection: str, batch: list[_Line]) -> Callable[[Connection], list[str]]:
    find = ("SELECT json, kinds, deleted, json_extract(json, '$._version') FROM record "
            "WHERE space = ? AND collection = ? AND id = ?")

    def work(db: Connection) -> list[str]:
        outcomes = []
        for line in batch:
            at: tuple[Any, ...] = (engine.space, collection, line.id)
            before = db.execute(find, at).fetchone()
            if before is not None and before[2] == PURGED:
                outcomes.append("purged")
                continue
            version = line.value.get("_version", 1)
            if before is not None and type(version) is int and (before[3] or 1) > version:
                # A version is never lowered: the old form would stand there as the new one.
                raise InvalidValue(f"the record here was migrated to version {before[3]} since, the line has version "
                                   f"{version}", "It stays as it is. To have the old form, import into a new home.")
            engine.records.put(db, engine.space, collection, line.id, line.value)
            same = before == db.execute(find, at).fetchone()
            outcomes.append("unchanged" if same else "added" if before is None or before[2] else "updated")
        if "updated" in outcomes:
            forget_marks(db, engine.space)
        return outcomes

    return work

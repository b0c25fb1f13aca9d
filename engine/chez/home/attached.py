"""The attachments of an export: written beside its records, each once, and added again from there.

The ids in an export are those of the home that made it. What is added from it gets an id
of its own here (the one it had, where this home holds that content), and the records that
come with it get these ids in place of the others: an id in a file is never trusted.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from chez.blobs.attachments import Blobs
from chez.errors import BadArchive, BlobDamaged, BlobMissing
from chez.home.archive import AttachmentLine, open_file
from chez.records.reference import KEY
from chez.store.database import Connection

__all__ = ("Attached", "ContentOf", "bring_back", "index_lines", "retargeted")

ContentOf = Callable[[Connection, str], Iterator[bytes]]
"""Gives the content of an attachment that is whole here, as `content_of` does."""

PART: Final = 1024 * 1024
"""Bytes read at a time."""

MAX_INDEX_LINE: Final = 1024
_decode = msgspec.json.Decoder(AttachmentLine).decode
_encode = msgspec.json.Encoder().encode


class Attached:
    """Writes the attachments that a space's records hold into a folder; `missing` counts those that are not here."""

    def __init__(self, db: Connection, content: ContentOf, folder: Path, check: Callable[[], None]) -> None:
        self._db = db
        self._content = content
        self._folder = folder
        self._check = check
        self.written = self.missing = self.bytes = 0

    def any(self, space: int) -> bool:
        """Whether there is anything to write, or to miss."""
        return self._of(space).fetchone() is not None

    def lines(self, space: int) -> Iterator[bytes]:
        """Write each content, and give its line of the index."""
        for (id,) in self._of(space):
            self._check()
            try:
                line = self._write(id)
            except (BlobMissing, BlobDamaged):
                self.missing += 1
                continue
            self.written += 1
            self.bytes += line.bytes
            yield _encode(line)

    def _of(self, space: int) -> Any:
        return self._db.execute(
            "SELECT DISTINCT blob FROM blob_reference AS held JOIN record ON record.n = held.record "
            "WHERE record.space = ? AND deleted = 0 ORDER BY blob", (space,))

    def _write(self, id: str) -> AttachmentLine:
        # Before there is a file: what a member wrote as an id may be any text, what is whole here has a plain one.
        parts = self._content(self._db, id)
        first = next(parts)
        line = AttachmentLine(id, 0, "")
        path = self._folder / line.path
        digest = hashlib.sha256()
        try:
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                for data in chain((first,), parts):
                    self._check()
                    out.write(data)
                    digest.update(data)
                    line.bytes += len(data)
                out.flush()
                os.fsync(out.fileno())
        except (BlobMissing, BlobDamaged):
            path.unlink()
            raise
        line.sha256 = digest.hexdigest()
        return line


def index_lines(folder: Path, path: str, size: int) -> Iterator[AttachmentLine]:
    """The lines of an index. Raises `BadArchive`."""
    with open_file(folder, path, size) as opened:
        seen = set()
        while raw := opened.readline(MAX_INDEX_LINE + 1):
            try:
                line = _decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise BadArchive(f"a line of {path} can't be read: {error}", "Export again.") from None
            if line.id in seen:
                raise BadArchive(f"{path} names an attachment twice", "Export again.")
            seen.add(line.id)
            yield line


async def bring_back(blobs: Blobs, folder: Path, lines: Iterable[AttachmentLine],
                     progress: Callable[[int], None]) -> dict[str, str]:
    """Add an export's attachments; the ids that they have here, by those in the export.

    `progress` hears of all bytes so far. Raises `BadArchive`, and what `Blobs.add` raises.
    """
    ids, before = {}, 0
    for line in lines:
        ids[line.id] = (await blobs.add(_stream(folder, line), name="")).id
        before += line.bytes
        progress(before)
    return ids


async def _stream(folder: Path, line: AttachmentLine) -> AsyncIterator[bytes]:
    digest = hashlib.sha256()
    with await asyncio.to_thread(open_file, folder, line.path, line.bytes) as opened:
        while data := await asyncio.to_thread(opened.read, PART):
            digest.update(data)
            yield data
    if digest.hexdigest() != line.sha256:  # raised before the addition is finished, so nothing of it stays
        raise BadArchive(f"{line.path} is not what the export says: it was altered", "Export again.")


def retargeted(value: Any, ids: Mapping[str, str]) -> Any:
    """A checked value with these ids of attachments in place of those they had."""
    if type(value) is dict:
        found = {key: retargeted(item, ids) for key, item in value.items()}
        if type(old := found.get(KEY)) is str:
            found[KEY] = ids.get(old, old)
        return found
    return [retargeted(item, ids) for item in value] if type(value) is list else value

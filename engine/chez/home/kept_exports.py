"""Exports that are kept as they came, so that a better connector can read them again.

A kept export is a record of the collection `kept_exports` with the file as its attachment,
known by the file's hash: kept twice, it is there once, and it goes to all devices that are
in the space. It may be deleted like any record. A folder is kept as the zip that it would be, and what was
read by a mapping with that mapping.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, BinaryIO, Final

import msgspec

from chez import connectors
from chez.blobs.attachments import Blobs
from chez.connectors import Connector, Source
from chez.connectors.folders import folder_of
from chez.connectors.frames import configuration_of
from chez.errors import InvalidValue
from chez.home.importing import Importer, ImportReport, OnProgress
from chez.records.collection import Collection
from chez.records.reference import Blob

__all__ = ("COLLECTION", "MAX_AGAIN", "KeptExport", "KeptExports")

COLLECTION: Final = "kept_exports"

MAX_AGAIN: Final = 1 << 30
"""Bytes of a kept export that is read again: it lies in memory meanwhile, for on a disk it would be plain."""

_PART: Final = 512 * 1024


class KeptExport(msgspec.Struct, frozen=True):
    """A file that is kept: its name, SHA-256 in hexadecimal and size in bytes, and who read it last."""

    file: str
    sha256: str
    size: int
    connector: str
    version: int


class KeptExports:
    """Those of one space."""

    def __init__(self, blobs: Blobs, collection: Collection[dict[str, Any]], importer: Importer) -> None:
        self._blobs, self._collection, self._importer = blobs, collection, importer

    async def keep(self, file: BinaryIO, source: Source, connector: Connector | None, report: ImportReport) -> None:
        """Keep an open file that was imported, by this connector where one was named.

        Raises `InvalidValue` when it is not the one that was imported.
        """
        digest = hashlib.sha256()

        async def parts() -> AsyncIterator[bytes]:
            file.seek(0)
            while data := await asyncio.to_thread(file.read, _PART):
                digest.update(data)
                yield data
            if digest.digest() != source.sha256:
                raise InvalidValue(f"{source.name!r} changed while it was imported, and is not kept",
                                   "Import it again.")

        name = source.name if folder_of(file) is None else f"{source.name}.zip"
        blob = await self._blobs.add(parts(), name=_plain(name))
        await self._collection.put({
            "file": source.name, "sha256": source.sha256.hex(), "connector": report.connector,
            "version": report.version, "export": blob, **_mapping(connector)}, id=source.sha256.hex())
        report.kept = True

    async def all(self) -> list[KeptExport]:
        """All of them, by the file's name."""
        kept = [KeptExport(value["file"], value["sha256"], value["export"].size, value["connector"], value["version"])
                async for record in self._collection if _is_kept(value := record.value)]
        return sorted(kept, key=lambda one: (one.file, one.sha256))

    async def read_again(self, sha256: str, connector: Connector | None, progress: OnProgress | None) -> ImportReport:
        """Import a kept export by this connector, else as those of today read it, or by the mapping kept with it.

        Raises `NotFound`, and what importing raises.
        """
        record = await self._collection.get(sha256)
        if not _is_kept(value := record.value):
            raise InvalidValue(f"the record {sha256[:16]!r} of {COLLECTION!r} is no kept export")
        blob: Blob = value["export"]
        if blob.size > MAX_AGAIN:
            raise InvalidValue(f"{value['file']!r} has {blob.size:,} bytes; at most {MAX_AGAIN:,} are read again",
                               f"Save it (chez fetch {COLLECTION} {sha256[:16]}… export), and import the file.")
        with _in_memory() as file:
            digest = hashlib.sha256()
            async with aclosing(self._blobs.read(blob)) as parts:
                async for part in parts:
                    digest.update(part)
                    file.write(part)
            file.seek(0)
            source = Source(value["file"], digest.digest(), blob.size)
            chosen = connector or await self._again(file, source, value)
            same = (chosen.name, chosen.version) == (value["connector"], value["version"]) and (
                _mapping(chosen).get("mapping") == value.get("mapping"))
            read = self._importer.import_open if same else self._importer.import_anew
            report = await read(file, source, chosen, progress)
        async with self._collection.edit(sha256) as draft:
            draft["connector"], draft["version"] = report.connector, report.version
            for name, text in _mapping(chosen).items():
                draft[name] = text
        report.kept = True
        return report

    async def _again(self, file: BinaryIO, source: Source, value: dict[str, Any]) -> Connector:
        """Who reads it now: its mapping, whoever knows it, else the one that was named then."""
        if isinstance(text := value.get("mapping"), str):
            from chez.connectors.mapped import Mapped  # what it parses with is loaded by who maps

            return Mapped(text.encode())
        try:
            return await asyncio.to_thread(connectors.recognise_open, file, source)
        except InvalidValue:
            file.seek(0)
            return connectors.find(value["connector"])


def _in_memory() -> BinaryIO:
    """A file that is on no disk. Raises `InvalidValue` where the system has none."""
    if not hasattr(os, "memfd_create"):
        raise InvalidValue("kept exports are read again on Linux only: elsewhere the plain file would lie on a disk",
                           "Save it with chez fetch, and import the file.")
    return os.fdopen(os.memfd_create("export", os.MFD_CLOEXEC), "w+b")


def _is_kept(value: dict[str, Any]) -> bool:
    """Whether a record is what `keep` makes: others may have written it by hand."""
    return isinstance(value.get("export"), Blob) and all(
        isinstance(value.get(name), kind) for name, kind in (("file", str), ("sha256", str), ("connector", str),
                                                              ("version", int)))


def _mapping(connector: Connector | None) -> dict[str, str]:
    """The mapping that a connector reads by, as a field of the record; no field for any other connector."""
    if connector is None or not (configuration := configuration_of(connector)):
        return {}
    from chez.connectors.mapped import Mapped

    return {"mapping": configuration.decode()} if isinstance(connector, Mapped) else {}


def _plain(name: str) -> str:
    """The name as an attachment may have it, or none."""
    return name if len(name) <= 255 and name.isprintable() and not set(name) & set("/\\") else ""

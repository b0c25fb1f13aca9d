"""The import engine: what a connector finds becomes records, idempotently, with provenance.

A record's id comes from its identity, so importing a file again, or an overlapping
export, finds the same records and changes only what differs. Rows are parsed in a
thread and written in batches, each durable by itself: an import that was cut off is
finished by running it again.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from chez import connectors
from chez.connectors import Connector, Found, Progress, Reject
from chez.journal import Journal
from chez.query import decimals
from chez.records.engine import Engine
from chez.records.imported import record_id
from chez.records.types import collection_of
from chez.records.values import Value, check_value
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection

__all__ = ("BATCH", "ImportReport", "OnProgress", "import_file", "reject")

OnProgress = Callable[[int, int], None]
BATCH: Final = 512
"""Records in one transaction: under a tenth of a second, so that others get their turn."""

MAX_REJECTS: Final = 10_000
"""Rejected rows that a report keeps; the rest are counted (a wrong file has nothing else)."""


@dataclass(slots=True)
class ImportReport:
    """What an import did. `rejects` has the rows that could not be read, with reasons.

    `purged` records were in the source, and are not brought back. `skipped` are the spaces in
    an export, by name, that are not on this device: nothing of them was brought home.
    """

    connector: str
    source: str
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    purged: int = 0
    rejected: int = 0
    rejects: list[Reject] = field(default_factory=list, repr=False)
    skipped: list[str] = field(default_factory=list)


async def import_file(engine: Engine, journal: Journal, space: SpaceKeys, path: Path, connector: Connector | str | None,
                      progress: OnProgress | None) -> ImportReport:
    """Import one file; see `Home.import_file`."""
    chosen = connectors.find(connector) if isinstance(connector, str) else connector
    if chosen is None:
        chosen = await asyncio.to_thread(connectors.recognise, path)
    file, source = await asyncio.to_thread(connectors.open_source, path)
    report = ImportReport(chosen.name, source.name)
    digest = source.sha256.hex()
    provenance = f"{chosen.name}/{chosen.version} {digest[:16]}"
    with file:
        items = connectors.read_open(chosen, file, source)
        while batch := await asyncio.to_thread(_batch, items, report, progress, source.size):
            prepared = [_prepare(found, space.record_key, provenance) for found in batch]
            for outcome in await engine.database.write(_writing(engine, prepared, provenance)):
                setattr(report, outcome, getattr(report, outcome) + 1)
    if progress is not None:
        progress(source.size, source.size)
    await journal.append("import", {
        "connector": chosen.name, "version": chosen.version, "file": source.name, "sha256": digest,
        "added": report.added, "updated": report.updated, "unchanged": report.unchanged, "purged": report.purged,
        "rejected": report.rejected})
    return report


def reject(report: ImportReport, item: Reject) -> None:
    """Count a row that could not be read; the first so many are kept."""
    report.rejected += 1
    if len(report.rejects) < MAX_REJECTS:
        report.rejects.append(item)


def _batch(items: Iterator[Any], report: ImportReport, progress: OnProgress | None, size: int) -> list[Found]:
    found: list[Found] = []
    for item in items:
        if isinstance(item, Found):
            found.append(item)
            if len(found) == BATCH:
                break
        elif isinstance(item, Reject):
            reject(report, item)
        elif isinstance(item, Progress) and progress is not None:
            progress(item.done, size)
    return found


@dataclass(frozen=True, slots=True)
class _Prepared:
    kind: type[msgspec.Struct]
    collection: str
    id: str
    identity: dict[str, Value]
    values: dict[str, Value]
    source: str


def _prepare(found: Found, key: bytes, provenance: str) -> _Prepared:
    kind = type(found.record)
    plain = check_value(msgspec.to_builtins(found.record, builtin_types=(bytes, datetime)))
    names = kind.__identity__  # type: ignore[attr-defined]
    identity = {name: plain.pop(name) for name in sorted(names)}
    collection = collection_of(kind)
    id = record_id(key, collection, identity)
    by, _, file = provenance.partition(" ")
    where = f"{found.member}:{found.row}" if found.member else str(found.row)
    return _Prepared(kind, collection, id, identity, plain, f"{found.by or by} {file} {where}")


def _writing(engine: Engine, prepared: list[_Prepared], origin: str) -> Callable[[Connection], list[str]]:
    numeric = {collection: decimals.fields_of(kind) for collection, kind in
               {item.collection: item.kind for item in prepared}.items()}

    def work(db: Connection) -> list[str]:
        for collection, names in numeric.items():
            decimals.declare(db, collection, names)
        return [engine.records.put_imported(db, engine.space, item.collection, item.id, item.identity, item.values,
                                            item.source, origin) for item in prepared]

    return work

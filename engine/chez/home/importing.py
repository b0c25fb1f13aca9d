"""The import engine: what a connector finds becomes records, idempotently, with provenance.

A record's id comes from its identity, so importing a file again, or an overlapping
export, finds the same records and changes only what differs. Rows are parsed in a walled
process (`chez.connectors.walled`) and written in batches, each durable by itself, with how
far the file was read: an import that was cut off goes on from there when it is run again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

import msgspec

from chez import connectors
from chez.connectors import Connector, Found, Item, Progress, Reject, Source
from chez.connectors.archive import MAX_MEMBERS
from chez.connectors.folders import left_out
from chez.connectors.walled import WalledReading
from chez.errors import ChezError, ImportStopped, InvalidValue, StorageFailed
from chez.home.exporting import on_loop
from chez.home.importing_marks import ImportMark
from chez.home.importing_rows import COARSER, Prepared, prepare, records_left, writing
from chez.journal import Journal
from chez.records.engine import Engine
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection

__all__ = ("BATCH", "ImportReport", "Importer", "Keep", "OnProgress", "reject")

T = TypeVar("T")

OnProgress = Callable[[int, int], None]
BATCH: Final = 512
"""Records in one transaction: under a tenth of a second, so that others get their turn."""

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes of rows in one transaction, roughly: a few that are as large as may be are not held together."""

MAX_REJECTS: Final = 10_000
"""Rejected rows that a report keeps; the rest are counted (a wrong file has nothing else)."""

_TWICE: Final = "another file told this time in shorter intervals: it would be counted twice"

_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class ImportReport:
    """What an import did. `rejects` has the rows that could not be read, with reasons.

    `resumed` of the `unchanged` records had come with an import of this file that was cut off; in `edited` of them the
    file says otherwise, but only where the person changed something since an import gave it: that stays.
    `purged` records were in the source, and are not brought back. `version` is the connector's;
    `kept` says whether the file itself is kept. `skipped` are the spaces in an export, by name, that
    are not on this device, that are only read here, or all where the export was not made on this device:
    nothing of them was brought home, each is imported by itself (`Space.import_file`). `left_out` are the collections
    in it that no import takes, Chez's own. `collections` are those of the records that were added, updated or
    found unchanged.
    """

    connector: str
    source: str
    version: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    resumed: int = 0
    edited: int = 0
    purged: int = 0
    rejected: int = 0
    kept: bool = False
    rejects: list[Reject] = field(default_factory=list, repr=False)
    skipped: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    collections: set[str] = field(default_factory=set)


def reject(report: ImportReport, item: Reject) -> None:
    """Count a row that could not be read; the first so many are kept."""
    report.rejected += 1
    if len(report.rejects) < MAX_REJECTS:
        report.rejects.append(item)


Keep = Callable[[BinaryIO, Source, Connector | None, ImportReport], Awaitable[None]]
"""What keeps an open file that was imported, by a connector that was named or by none."""


class Importer:
    """Brings files into one space; to `overwrite` what a person changed there, if so."""

    def __init__(self, engine: Engine, journal: Journal, space: SpaceKeys, *, overwrite: bool = False) -> None:
        self._engine, self._journal, self._space, self._overwrite = engine, journal, space, overwrite
        self._given: set[str] | None = None  # the records of what is imported anew

    async def import_file(self, path: Path, connector: Connector | str | None, progress: OnProgress | None,
                          in_process: bool, keep: Keep | None) -> ImportReport:
        """Import a file or a folder, and give it to `keep` afterwards; see `Home.import_file`."""
        named = connectors.find(connector) if isinstance(connector, str) else connector
        note = on_loop(progress)
        file, source = await _begun(partial(connectors.open_export, path, lambda done: note(done, 0)),
                                    lambda opened: opened[0].close())
        with file:
            report = await self.import_open(file, source, named, progress, in_process)
            if keep is not None:
                await keep(file, source, named, report)
            return report

    async def import_open(self, file: BinaryIO, source: Source, connector: Connector | None,
                          progress: OnProgress | None, in_process: bool = False) -> ImportReport:
        """Import a file that is open at its beginning, and stays the caller's to close."""
        chosen = connector
        if chosen is None:
            chosen = await asyncio.to_thread(connectors.recognise_open, file, source)
        report = ImportReport(chosen.name, source.name, chosen.version)
        mark = ImportMark(self._engine.space, chosen, source)
        # What was written before it was cut off, without overwriting anything, may have to be written again.
        there = 0 if self._overwrite else await self._engine.database.read(mark.begin)
        report.resumed = report.unchanged = there
        try:
            async with _reading(chosen, file, source, in_process) as items:
                batches = _Batches(chain(left_out(file), items), report, progress, source.size, there)
                while batch := await asyncio.to_thread(batches.next):
                    await self._keep(batch, f"{chosen.name}/{chosen.version} {mark.digits}",
                                     mark, batches.taken, report, batches.members)
        except ImportStopped as stop:
            await self._receipt(chosen, source, report, {"stopped": stop.message})
            raise
        except StorageFailed as failed:
            raise _kept_before(failed, report) from None
        if progress is not None:
            progress(source.size, source.size)
        if self._given is not None and not report.resumed:  # else what was written before it was cut off is not known
            await self._tell_left(source, report, self._given)
        await self._receipt(chosen, source, report, {})
        await self._engine.database.write(mark.forget)
        return report

    async def import_anew(self, file: BinaryIO, source: Source, connector: Connector,
                          progress: OnProgress | None) -> ImportReport:
        """The same of a file that was read in another way before: what that gave and this does not is told, as rejects.

        It stays: the person may have gone on with it.
        """
        self._given = set()
        try:
            return await self.import_open(file, source, connector, progress)
        finally:
            self._given = None

    async def _tell_left(self, source: Source, report: ImportReport, given: set[str]) -> None:
        space = self._engine.space
        rejects, more = await self._engine.database.read(
            lambda db: records_left(db, space, source, given, MAX_REJECTS))
        for one in rejects:
            reject(report, one)
        report.rejected += more

    async def _receipt(self, connector: Connector, source: Source, report: ImportReport, more: dict[str, str]) -> None:
        await self._journal.append("import", {
            "connector": connector.name, "version": connector.version, "file": source.name,
            "sha256": source.sha256.hex(), "added": report.added, "updated": report.updated,
            "unchanged": report.unchanged, "purged": report.purged, "rejected": report.rejected, **more})

    async def _keep(self, batch: list[Found], provenance: str, mark: ImportMark, position: int, report: ImportReport,
                    members: Mapping[str, int]) -> None:
        """Write a batch, up to a position of its file. What the store does not take (a reserved name, a record too
        large) costs itself alone.
        """
        prepared: list[Prepared] = []
        for found in batch:
            try:
                prepared.append(prepare(found, self._space.record_key, provenance))
            except InvalidValue as error:
                reject(report, Reject(found.row, error.message, "", found.member))
        try:
            await self._write(prepared, provenance, mark, position, report, members)
        except InvalidValue:
            for one in prepared:
                try:
                    await self._write([one], provenance, mark, 0, report, members)
                except InvalidValue as error:
                    reject(report, Reject(one.row, error.message, "", one.member))
            await self._write([], provenance, mark, position, report, members)

    async def _write(self, prepared: list[Prepared], provenance: str, mark: ImportMark, position: int,
                     report: ImportReport, members: Mapping[str, int]) -> None:
        work = writing(self._engine, prepared, provenance, members, self._overwrite)

        def both(db: Connection) -> list[str]:
            outcomes = work(db)
            mark.set(db, position=position, updated="updated" in outcomes)
            return outcomes

        outcomes = await self._engine.database.write(both)
        if self._given is not None:
            self._given.update(one.id for one in prepared)
        report.collections.update(one.collection for one in prepared)
        for one, outcome in zip(prepared, outcomes, strict=True):
            if outcome == COARSER:
                reject(report, Reject(one.row, _TWICE, "", one.member))
            elif outcome == "edited":
                report.unchanged += 1
                report.edited += 1
            else:
                setattr(report, outcome, getattr(report, outcome) + 1)


def _kept_before(failed: StorageFailed, report: ImportReport) -> StorageFailed:
    """What the disk refused, with what of the file is kept all the same: each batch is durable by itself."""
    kept = report.added + report.updated + report.unchanged + report.purged
    if not kept:
        return failed
    what = "the first record of it is" if kept == 1 else f"the first {kept:,} records of it are"
    return StorageFailed(f"{failed.message}; {what} here, from before", f"{failed.hint} The same import goes on there.")


class _Batches:
    """The items of a file as batches of records; everything else is told on the way."""

    def __init__(self, items: Iterator[Item], report: ImportReport, progress: OnProgress | None, size: int,
                 skip: int) -> None:
        self._items, self._report, self._progress, self._size, self._skip = items, report, progress, size, skip
        self._error: ChezError | None = None
        self.taken = 0
        """Records that came so far, those skipped included."""
        self.members: dict[str, int] = {}
        """The members of an archive that they are of, in their order, and the place of each in it."""

    def next(self) -> list[Found]:
        """The next records, none at the end. Raises what reading raises, after the records before it."""
        if self._error is not None:
            raise self._error
        found: list[Found] = []
        try:
            self._fill(found)
        except ChezError as error:
            if not found:
                raise
            self._error = error
        return found

    def _fill(self, found: list[Found]) -> None:
        size = 0
        for item in self._items:
            if isinstance(item, Found):
                self.taken += 1
                if len(self.members) < MAX_MEMBERS:
                    self.members.setdefault(item.member, len(self.members))
                if self.taken <= self._skip:
                    continue
                try:
                    size += len(_encode(item.record))
                except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
                    # Decoding takes what encoding does not: a time whose offset leads out of the calendar.
                    reject(self._report, Reject(item.row, f"the record can't be kept: {type(error).__name__}", "",
                                                item.member))
                    continue
                found.append(item)
                if len(found) == BATCH or size >= BATCH_BYTES:
                    break
            elif isinstance(item, Reject):
                reject(self._report, item)
            elif isinstance(item, Progress) and self._progress is not None:
                self._progress(item.done, self._size)


@asynccontextmanager
async def _reading(connector: Connector, file: BinaryIO, source: Source,
                   in_process: bool) -> AsyncIterator[Iterator[Item]]:
    """What a connector finds in a file, behind walls unless it is to be read here."""
    if in_process:
        yield connectors.read_open(connector, file, source)
        return
    reading = await _begun(partial(WalledReading, connector, file, source), WalledReading.close)
    try:
        yield reading
    finally:
        # A thread that waits for the next item hears the end of it.
        reading.close()


async def _begun(begin: Callable[[], T], close: Callable[[T], None]) -> T:
    """What a thread begins, which may take long: of who gave up meanwhile it is closed when it is there."""
    starting = asyncio.ensure_future(asyncio.to_thread(begin))

    def ended(starting: "asyncio.Future[T]") -> None:
        if not starting.cancelled() and starting.exception() is None:
            close(starting.result())

    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        starting.add_done_callback(ended)
        raise

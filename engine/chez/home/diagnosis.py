"""`chez doctor`: a home is examined, and mended when the person says so.

Examining reads, beside an owner too. Mending needs the home for itself:

- a file with damaged pages is not touched: what can be read goes into a new one beside it,
  which is checked, mended and then put in its place in one step; the damaged one stays as
  `chez.db.damaged-N`, encrypted as it was
- the rest is one transaction (`home.mending`)

so a process that is killed at any point leaves the home as it was, or mended.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlcipher3

from chez.checked import checked
from chez.errors import ChezError, Damaged
from chez.home.assembly import unix_milliseconds
from chez.home.backup import SCRATCH, STORE_FILE
from chez.home.examine import Finding, examine
from chez.home.exporting import OnProgress, on_loop
from chez.home.lifecycle import check_home, locked, new_device, open
from chez.home.mending import Mended, mend, settle_references
from chez.home.surroundings import surroundings
from chez.store.database import Connection
from chez.store.disk import disk_error, storage_error
from chez.store.file import connect
from chez.store.keyring import database_key
from chez.store.salvage import Salvage, require, salvage
from chez.tasks import finished
from chez_durable.folders import sync_folder

__all__ = ("Diagnosis", "doctor")


_STAYS: Final = frozenset(("copy", "journal"))
"""What no mending changes: another device does the first, nothing the second."""


class Diagnosis(msgspec.Struct, frozen=True):
    """What was found, and what was done about it, in plain words; `damaged` is where the old file is kept.

    `renewed` says that the home is a new device now, `fetch` that the relay is read again for
    what was lost here.
    """

    findings: tuple[Finding, ...]
    done: tuple[str, ...] = ()
    damaged: str | None = None
    renewed: bool = False
    fetch: bool = False

    @property
    def sound(self) -> bool:
        """Whether nothing that was found does harm."""
        return not any(finding.harm for finding in self.findings)

    @property
    def left(self) -> tuple[Finding, ...]:
        """What does harm still: all that was found to, or, where it was mended, what that does not change."""
        return tuple(one for one in self.findings if one.harm and (not self.done or (
            one.kind in _STAYS and not (one.kind == "copy" and self.renewed))))


@checked
async def doctor(path: Path | str, *, passphrase: str | None = None, repair: bool = False, rebuild: bool = False,
                 progress: OnProgress | None = None) -> Diagnosis:
    """Examine a home; with `repair` mend what is found, with `rebuild` make every record again from the log.

    Examining alone changes nothing, and may be done while an owner has the home open.
    `progress(done, total)` in steps of whatever is under way. Raises as `open` does;
    `Damaged` when the keys are lost or the file does not open at all.
    """
    folder, note = Path(path), on_loop(progress)
    check_home(folder)
    if not (repair or rebuild):
        key = await asyncio.to_thread(database_key, folder, passphrase)
        return await asyncio.to_thread(_examined, folder, key, note)
    with locked(folder):
        key = await asyncio.to_thread(database_key, folder, passphrase)
        with _typed(folder):
            diagnosis = await finished(asyncio.to_thread(_mended, folder, key, rebuild, note))
    return await _fetched(folder, passphrase, diagnosis) if diagnosis.fetch else diagnosis


async def _fetched(folder: Path, passphrase: str | None, diagnosis: Diagnosis) -> Diagnosis:
    """Read again from the relay what was lost, if that is possible now."""
    try:
        async with open(folder, passphrase=passphrase) as home:
            if home.relay is None:
                said = "no relay is set: what other devices had sent here is not read again"
            else:
                report = await home.sync()
                said = f"{report.received:,} entries were read again from {report.relay}"
    except ChezError as error:
        said = f"the relay could not be read again ({error.message}): run `chez sync`, or join again"
    return msgspec.structs.replace(diagnosis, done=(*diagnosis.done, said))


def _examined(folder: Path, key: bytes, step: Callable[[int, int], Any]) -> Diagnosis:
    with _store(folder / STORE_FILE, key, read_only=True) as db:
        return Diagnosis((*examine(db, step), *surroundings(db, folder, unix_milliseconds())))


@contextmanager
def _typed(folder: Path) -> Iterator[None]:
    """What the disk refuses, as an error for people."""
    try:
        yield
    except sqlcipher3.Error as error:
        raise storage_error(error) from None
    except OSError as error:
        raise disk_error(error, f"the home in {folder} can't be mended") from None


def _mended(folder: Path, key: bytes, rebuild: bool, step: Callable[[int, int], Any]) -> Diagnosis:
    store = folder / STORE_FILE
    found = list(_examined(folder, key, step).findings)
    if any(finding.kind == "keys" for finding in found):
        raise Damaged(f"what this home is nothing without is damaged: {found[0].meaning}",
                      "Restore a backup, or join again from another device: the relay still holds the entries.")
    if not rebuild and not any(finding.harm and finding.kind not in _STAYS for finding in found):
        return Diagnosis(tuple(found))
    with _store(store, key) as db:
        if not any(finding.kind == "store" for finding in found):
            return _told(found, _cure(db, found, step, everything=rebuild))
        _written_back(db)  # so that the file is the store
    return _replaced(folder, key, found, step)


def _written_back(db: Connection) -> None:
    if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise Damaged("the store's log can't be written into it", "End other programs that have it open.")


def _replaced(folder: Path, key: bytes, found: list[Finding], step: Callable[[int, int], Any]) -> Diagnosis:
    """Save what can be read into a new store, mend that, and put it in the place of the old."""
    store = folder / STORE_FILE
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as scratch:
        fresh = Path(scratch, STORE_FILE)
        fresh.touch(0o600)
        saved = salvage(store, fresh, key, step)
        with _store(fresh, key) as db:
            require(db)
            db.execute("PRAGMA foreign_keys = OFF")
            with _transaction(db):
                settle_references(db)
            db.execute("PRAGMA foreign_keys = ON")
            more = _beyond_the_file(db)
            mended = _cure(db, [*found, *more], step, everything=True, lost=saved.lost)
            # All of it into one file, to be moved as one. It keeps its way of logging: set back by the
            # next who opens it, a process that is killed then would leave what readers can't undo.
            _written_back(db)
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        kept = next(at for n in range(1, 10_000) if not (at := folder / f"{STORE_FILE}.damaged-{n}").exists())
        _keep(store, kept)
        fresh.rename(store)
        sync_folder(folder)
    return _told([*found, *more], mended, saved, str(kept))


def _keep(store: Path, kept: Path) -> None:
    try:
        os.link(store, kept)
    except OSError:  # a file system without second names
        shutil.copyfile(store, kept)
        kept.chmod(0o600)


def _beyond_the_file(db: Connection) -> list[Finding]:
    """What is found in a store whose references lead nowhere in places; its full-text indexes are made anew anyway."""
    return [finding for finding in examine(db) if finding.kind not in ("store", "search")]


def _cure(db: Connection, found: list[Finding], step: Callable[[int, int], Any], *, everything: bool,
          lost: Collection[str] | None = None) -> Mended:
    with _transaction(db):
        return mend(db, found, new_device(), unix_milliseconds(), step, everything=everything, lost=lost)


@contextmanager
def _transaction(db: Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, sqlcipher3.Error):
            raise storage_error(error) from None
        raise


@contextmanager
def _store(path: Path, key: bytes, *, read_only: bool = False) -> Iterator[Connection]:
    db = connect(path, key, read_only=read_only)
    try:
        yield db
    finally:
        db.close()


def _told(found: list[Finding], mended: Mended, saved: Salvage | None = None, kept: str | None = None) -> Diagnosis:
    done = []
    if saved is not None:
        done.append(f"{saved.saved:,} rows could be read and are in a new store")
        done += [f"some of the table of {table}s could not be read" for table in sorted(saved.lost)]
        done.append(f"the damaged store is kept as {kept}")
    if mended.records:
        done.append(f"{mended.records:,} records were made again from the log")
    if any(finding.kind == "search" for finding in found):
        done.append("full-text indexes are made anew, by the next search")
    if mended.entries:
        done.append(f"{mended.entries:,} damaged entries were let go")
    if mended.renewed:
        done.append("this home is a new device now, for its own chain of entries was damaged; what may not have "
                    "arrived goes out anew")
    fetch = bool(mended.entries or mended.renewed or saved)
    return Diagnosis(tuple(found), tuple(done), kept, mended.renewed, fetch)

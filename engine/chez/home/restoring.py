"""Restoring a backup, and making a copied home a device of its own.

Both end in `home.renewal`: what comes out is a new device of the same person, so that it
and the one it comes from can both go on.
"""

import asyncio
import threading
from pathlib import Path

import msgspec
import sqlcipher3

from chez import crypto
from chez.checked import checked
from chez.errors import BadArchive, Damaged, StorageFailed
from chez.home.assembly import unix_milliseconds
from chez.home.backup import STORE_FILE, About, open_backup, unseal
from chez.home.coming_back import coming_back, sweep
from chez.home.exporting import OnProgress, on_loop
from chez.home.lifecycle import home_exists, locked, new_device
from chez.home.names import check_name
from chez.home.renewal import Reason, Renewal, own_device, renew
from chez.home.schema import check_written_here
from chez.spaces.space import load_space
from chez.store.database import Connection, Database
from chez.store.disk import is_of_the_file, storage_error
from chez.store.file import connect, rekey
from chez.store.keyfile import unwrap_key, write_key
from chez.store.keyring import database_key
from chez.store.sealed import Header
from chez.tasks import finished

__all__ = ("Restored", "become_new_device", "restore")


class Restored(msgspec.Struct, frozen=True):
    """What was restored: when the backup was made, the device it is now and was, its records.

    `unsent` of them held work that may not have reached any relay: it goes out anew.
    """

    made: str
    name: str
    device: bytes
    former: bytes
    records: int
    unsent: int


@checked
async def restore(file: Path | str, path: Path | str, *, passphrase: str, name: str | None = None,
                  kdf: crypto.Kdf | None = None, progress: OnProgress | None = None) -> Restored:
    """Make a home from a backup: a new device of its person, which holds what the backup holds.

    `passphrase` is the one the home had when the backup was made, and the new home's.
    `name` is what the new device is called; by default as the old one. Nothing is at `path`
    until all of it was checked; what was cut off is begun anew by the same call. `progress(done, total)` in bytes.
    Raises `HomeExists`, `NotFound`, `WrongPassphrase`, `BadArchive`, `StorageFailed`, `InvalidValue`.
    """
    folder = Path(path)
    if name is not None:
        check_name(name, "device")
    note, unwanted = on_loop(progress), threading.Event()

    def step(done: int, total: int) -> None:
        if unwanted.is_set():  # it may be large, and who gave up waits for its end
            raise StorageFailed("this was cancelled")
        note(done, total)

    sweep(folder)
    with coming_back(folder, lambda: home_exists(folder)) as made:
        about, old = await finished(asyncio.to_thread(_take_apart, Path(file), passphrase, made, step), unwanted.set)
        key = crypto.random_bytes(32)
        await finished(asyncio.to_thread(rekey, made / STORE_FILE, old, key))
        await finished(asyncio.to_thread(write_key, made, key, passphrase, kdf or crypto.Kdf.moderate()))
        renewal, records = await _renewed_if_sound(made / STORE_FILE, key, about, name or about.name)
    return Restored(about.made, name or about.name, renewal.device, renewal.former, records, renewal.records)


async def _renewed_if_sound(path: Path, key: bytes, about: About, name: str) -> tuple[Renewal, int]:
    """Make a restored store a new device; also the number of its records. Raises `BadArchive`, `Damaged`."""
    try:
        await finished(asyncio.to_thread(_check_schema, path, key))
        database = await Database.open(path, key)
        try:
            await database.read(lambda db: _is_of(db, about))
            renewal = await _renewed(database, name, "restored")
            return renewal, await database.read(
                lambda db: db.execute("SELECT count(*) FROM record WHERE deleted = 0").fetchone()[0])
        finally:
            await database.close()
    except (sqlcipher3.Error, ValueError, TypeError, LookupError, OSError) as error:
        if is_of_the_file(error):
            raise storage_error(error) from None
        # Whoever signed a backup may have put anything in the place of its store.
        raise BadArchive(f"what is in the backup is no store of a home ({error})", "Use another backup.") from None


@checked
async def become_new_device(path: Path | str, *, passphrase: str | None = None, name: str | None = None) -> Renewal:
    """Make a copied home a device of its own, in place: certified, with its unsent work, without its allowances.

    One transaction: killed at any instant, the home is as it was or done. Raises as `open`
    does, `Damaged` when a record with unsent work can't be read, and `BadArchive` when the
    store has tables, views or triggers that Chez does not make.
    """
    folder = Path(path)
    if name is not None:
        check_name(name, "device")
    with locked(folder):
        key = await asyncio.to_thread(database_key, folder, passphrase)
        await finished(asyncio.to_thread(_check_schema, folder / STORE_FILE, key))
        database = await Database.open(folder / STORE_FILE, key)
        try:
            called = await database.read(lambda db: db.execute(
                "SELECT value FROM meta WHERE key = 'device.name'").fetchone())
            return await _renewed(database, name or (called[0] if called else "device"), "copied")
        finally:
            await database.close()


async def _renewed(database: Database, name: str, why: Reason) -> Renewal:
    device = new_device()
    return await database.write(lambda db: renew(db, own_device(db), device, name, unix_milliseconds(), why))


def _check_schema(path: Path, key: bytes) -> None:
    db = connect(path, key)
    try:
        check_written_here(db)
    except sqlcipher3.Error as error:
        raise storage_error(error) from None
    finally:
        db.close()


def _take_apart(file: Path, passphrase: str, folder: Path, note: OnProgress) -> tuple[About, bytes]:
    keys: list[bytes] = []

    def secret(header: Header) -> bytes:
        try:
            keys.append(unwrap_key(header.wrapped, passphrase))
        except Damaged as error:
            raise BadArchive(f"the backup's header was altered: {error.message}", "Use another backup.") from None
        return keys[0]

    with open_backup(file) as opened:
        size = file.stat().st_size
        about = unseal(opened, secret, folder, lambda done: note(min(done, size), size))
    note(size, size)
    return about, keys[0]


def _is_of(db: Connection, about: About) -> None:
    """The store must be that of the device that signed. Raises `BadArchive`, `Damaged`."""
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    device = own_device(db).id
    ours = (meta.get("person"), device) == (about.person, about.device) and "private" in meta
    if not ours or device not in load_space(db, meta["private"]).membership.devices:
        raise BadArchive("the backup's store is not the one that its signature speaks of", "Use another backup.")

"""Creating, opening and joining: how a home comes to be and is entered.

    PATH/chez.key     the database key, wrapped by the passphrase
    PATH/chez.keyring the same, wrapped by what the system's keyring keeps (chez.store.keyring)
    PATH/chez.db      the store (SQLCipher)
    PATH/blobs/       sealed pieces of attachments (chez.blobs.files), made with the first
    PATH/owner.lock   says which process has the home open, by which the folder is locked

A home is made in a folder beside its own and moved into place when it is whole.
"""

import asyncio
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from chez import crypto
from chez.checked import checked
from chez.errors import (
    BadEntry,
    BadPairing,
    Damaged,
    HomeBusy,
    HomeExists,
    HomeMissing,
    InvalidValue,
    StorageFailed,
)
from chez.home import unfinished
from chez.home.assembly import unix_milliseconds
from chez.home.backup import SCRATCH, STORE_FILE
from chez.home.building import building, ensure_room
from chez.home.home import Home
from chez.home.names import check_name
from chez.home.pairing import split_code
from chez.home.relay_list import take_told
from chez.home.replying import type_code
from chez.home.returning import forget_when_heard, kept
from chez.home.twins import note_place
from chez.home.unlocking import note_key_files
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.keys.epochs import Epoch
from chez.keys.person import new_words, person_of
from chez.spaces.enrolment import enrol
from chez.spaces.membership import Membership
from chez.spaces.space import create_space, load_space, store_space
from chez.spaces.statements import Kind, Signed
from chez.store.database import Connection, Database
from chez.store.keyfile import KEY_FILE, WIPING_FILE, write_key
from chez.store.keyring import database_key
from chez.sync.pairing import Bundle, NewDevice
from chez.tasks import finished
from chez_wire.login import handle_of

__all__ = (
    "LOCK_FILE", "check_home", "check_new", "create", "fill_store", "hold", "home_exists", "join",
    "locked", "make_store", "new_device", "open", "opened",
)

LOCK_FILE: Final = "owner.lock"
JOIN_SECONDS: Final = 600


@checked
async def create(path: Path | str, *, passphrase: str, name: str = "device", person: str | None = None,
                 words: str | None = None, fresh: bool = False, kdf: crypto.Kdf | None = None) -> str:
    """Make a home for a new person (or for the one of `words`) and return the 24 words.

    The words are nowhere else: show them once. `name` is what this device is called, `person`
    what others who share a space see its person called (for good; as the device, unless given).
    `fresh` says that the `words` were just made (`new_words`) and no home is of them: only a person's first home
    has allowance for jobs. Raises `HomeExists`, `InvalidValue`, `StorageFailed`.
    """
    check_name(name, "device")
    if person is not None:
        check_name(person, "person")
    phrase = words or new_words(crypto.random_bytes(32))
    keys = person_of(phrase)
    device = new_device()
    log = enrol(keys, device, name, crypto.random_bytes(32), person)
    id, statements, epoch = create_space("private", Kind.PRIVATE, keys.root.public, log, device, keys.admin.seed,
                                         keys.nonce + crypto.random_bytes(64))

    def fill(db: Connection) -> int:
        return store_space(db, id, "private", statements, [epoch], handle_of(keys.admin.public), sent=False)

    await _make(Path(path), passphrase, kdf, device, name, keys.root.public, None, fill,
                "home-created" if words is None or fresh else "home-created-again", {"name": name})
    return phrase


@checked
async def join(path: Path | str, code: str, *, passphrase: str, name: str = "device", relay: str | None = None,
               kdf: crypto.Kdf | None = None) -> None:
    """Make a home that is another device of the person who shows this pairing code.

    `relay` is needed when the code does not name one. Afterwards open it and sync.
    Raises `BadPairing`, `HomeExists`, `RelayUnreachable`, `InvalidValue`, and `NotFound` when
    the relay knows of no such code.
    """
    short, named = split_code(code)
    url = relay or named
    if url is None:
        raise InvalidValue("the code names no relay", "Add it: chez join CODE --relay URL.")
    # Before the code is used, which works once, and lets this device in for good.
    check_new(passphrase, name)
    ensure_room(Path(path), lambda: home_exists(Path(path)))
    device = new_device()
    machine = NewDevice(short, device.signing, device.sealing.public, name, crypto.random_bytes(32))
    bundle = await type_code(short, "pairing", url, machine.answer, machine.welcome, JOIN_SECONDS,
                             "It ended, is of another relay, or is a guest's, who has a home already: "
                             "ask for a new one.")
    spaces = _check(bundle, device)

    def fill(db: Connection) -> int:
        rows = [store_space(db, membership.space, membership.state.name, statements, epochs,
                            handle_of(membership.state.admins[-1]), sent=False)
                for membership, statements, epochs in spaces]
        take_told(db, bundle.relays)
        return rows[0]

    await _make(Path(path), passphrase, kdf, device, name, bundle.person, url, fill, "home-joined", {"name": name})


def _check(bundle: Bundle, device: DeviceKeys) -> list[tuple[Membership, list[Signed], list[Epoch]]]:
    """Verify what the old device gave: it is trusted with the code, not with our life."""
    try:
        spaces = [handover.check() for handover in bundle.spaces]
    except BadEntry as error:
        raise BadPairing(f"what the other device sent does not hold together: {error.message}",
                         "Update Chez on both and pair again.") from None
    create = spaces[0][0].create
    ours = create is not None and create.person == bundle.person and create.kind is Kind.PRIVATE
    if not ours or not all(device.id in membership.devices for membership, _, _ in spaces):
        raise BadPairing("what the other device sent does not hold together", "Update Chez on both and pair again.")
    return spaces


def new_device() -> DeviceKeys:
    """Fresh keys."""
    return DeviceKeys.from_seeds(crypto.random_bytes(32), crypto.random_bytes(32))


async def _make(path: Path, passphrase: str, kdf: crypto.Kdf | None, device: DeviceKeys, name: str, person: bytes,
                relay: str | None, fill: Callable[[Connection], int], kind: str, body: dict[str, str]) -> None:
    check_new(passphrase, name)
    with building(path, lambda: home_exists(path)) as folder:
        def work(db: Connection, journal: Journal) -> None:
            fill_store(db, device, name, person, relay, fill)
            journal.record(db, kind, body)

        await make_store(folder, passphrase, kdf, device, work)


async def make_store(folder: Path, passphrase: str, kdf: crypto.Kdf | None, device: DeviceKeys,
                     work: Callable[[Connection, Journal], None]) -> bytes:
    """A new store and its key file in a folder, which `work` fills in one transaction; returns the database's key."""
    key = crypto.random_bytes(32)
    await finished(asyncio.to_thread(write_key, folder, key, passphrase, kdf or crypto.Kdf.moderate()))
    # Private by itself too, should somebody open the folder; WAL and index files take its mode.
    (folder / STORE_FILE).touch(0o600)
    database = await Database.open(folder / STORE_FILE, key)
    try:
        journal = Journal(database, device, unix_milliseconds)
        await database.write(lambda db: work(db, journal))
    finally:
        await database.close()
    return key


def check_new(passphrase: str, name: str) -> None:
    """The passphrase of a new home, and its device's name. Raises `InvalidValue`."""
    if not passphrase:
        raise InvalidValue("an empty passphrase protects nothing", "Choose a longer one.")
    check_name(name, "device")


def home_exists(path: Path) -> HomeExists:
    """The answer to a home that should be made where something is."""
    return HomeExists(f"there is something at {path} already", "Choose another folder, or open it.")


def fill_store(db: Connection, device: DeviceKeys, name: str, person: bytes, relay: str | None,
               fill: Callable[[Connection], int]) -> None:
    """Whose store it is, and its private space: `fill` writes that and returns its row."""
    n = fill(db)
    rows: list[tuple[str, Any]] = [
        ("person", person), ("device.signing", device.signing.seed), ("device.sealing", device.sealing.seed),
        ("device.name", name), ("private", n)]
    if relay is not None:
        db.execute("UPDATE space SET relay = ? WHERE n = ?", (relay, n))
    db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", rows)


@checked
@asynccontextmanager
async def open(path: Path | str, *, passphrase: str | None = None, read_only: bool = False) -> AsyncIterator[Home]:
    """Open a home; it is this process's alone until the block ends.

    Without a passphrase the operating system's keyring opens it, where `home.keyring.add()`
    allowed that; else `HomeLocked` or `KeyringUnavailable` is raised.

    With `read_only` it opens beside the process that owns it, or without one: it sees what
    is committed each time it looks, is told of nothing (live answers come once), and every
    write raises `NotAllowed`. So opens a home on a disk that is read-only, unless it was cut off there.
    Raises `HomeMissing`, `HomeBusy` (naming the owner), `WrongPassphrase`, `Damaged`, `StorageFailed`.
    """
    folder = Path(path)
    check_home(folder)
    with nullcontext() if read_only else locked(folder):
        # No name for the key here: it would live as long as the home is open.
        async with opened(folder, await asyncio.to_thread(database_key, folder, passphrase),
                          read_only=read_only) as home:
            yield home


@asynccontextmanager
async def opened(folder: Path, key: bytes, *, read_only: bool = False) -> AsyncIterator[Home]:
    """A home opened by its database key; the caller has it for itself (`locked`), or only reads."""
    database = await Database.open(folder / STORE_FILE, key, read_only=read_only)
    del key
    try:
        home = await database.read(lambda db: _load(db, folder, database))
        home._spaces.use(await database.read(kept))
        try:
            if not read_only:
                # A full disk keeps no home from opening: the next time tries again.
                with suppress(StorageFailed):
                    await unfinished.remove(database, home.journal)
                    await note_key_files(folder, database, home.journal)
                    await note_place(database, folder)
                    await forget_when_heard(database, home._spaces, home.device_id)
                await home._spaces.start()
                await home.begin()
            yield home
        finally:
            await finished(_ended(home))
    finally:
        await database.close()


async def _ended(home: Home) -> None:
    await home._spaces.close()
    await home.end_shared()


def check_home(folder: Path) -> None:
    """Raise `HomeMissing` when there is no home in a folder, `Damaged` when a file of it is missing."""
    if (folder / WIPING_FILE).exists():
        raise HomeMissing(f"the home at {folder} was being wiped", "`chez wipe` ends that.")
    if (folder / KEY_FILE).is_file() and (folder / STORE_FILE).is_file():
        return
    if (folder / KEY_FILE).exists() or (folder / STORE_FILE).exists():
        missing = STORE_FILE if (folder / KEY_FILE).exists() else KEY_FILE
        raise Damaged(f"the home at {folder} is incomplete: {missing} is missing", "Restore it from a backup.")
    raise HomeMissing(f"there is no home at {folder}", "Make one with `chez init`, or `chez join CODE`.")


@contextmanager
def locked(folder: Path, handle: int | None = None) -> Iterator[int]:
    """Hold a home for this process, while the block lasts; gives the lock's descriptor.

    `handle` is one that this process holds already, from before it replaced its program.

    Raises `HomeMissing`, `Damaged` when a file of it is missing, `HomeBusy`, `StorageFailed`.
    """
    check_home(folder)
    lock = hold(folder) if handle is None else handle
    try:
        check_home(folder)  # it may have been wiped just before
        for left in folder.glob(SCRATCH + "*"):  # by a process that was killed: whoever had the home is gone
            shutil.rmtree(left, ignore_errors=True)
        yield lock
    finally:
        os.close(lock)


def _load(db: Connection, folder: Path, database: Database) -> Home:
    meta = dict(db.execute("SELECT key, value FROM meta").fetchall())
    try:
        device = DeviceKeys.from_seeds(meta["device.signing"], meta["device.sealing"], meta.get("device.former", b""))
        private: int = meta["private"]
        rows = [n for (n,) in db.execute("SELECT n FROM space ORDER BY n <> ?, n", (private,)).fetchall()]
        return Home(folder, database, device, meta["device.name"], meta["person"], [load_space(db, n) for n in rows])
    except KeyError as error:
        raise Damaged(f"the store lacks {error}", "Restore it from a backup.") from None


def hold(folder: Path) -> int:
    """Take a folder for this process: a lock's descriptor, which goes with the process, however that ends.

    The folder itself is locked. The file says whose it is, and can be removed: whoever came then would lock another one
    of its name, and two that write at once spoil what both edit. Raises `HomeBusy`, `StorageFailed`.
    """
    try:
        file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        handle = _lock(os.open(folder, os.O_RDONLY | os.O_CLOEXEC))
        # A network's file system may lock no folders.
        handle = _lock(os.dup(file)) if handle is None else handle
        with suppress(OSError):
            os.ftruncate(file, 0)
            os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        owner = os.read(file, 32).decode(errors="replace").strip()
        if owner == str(os.getpid()):
            raise HomeBusy(f"this program has this home open already (process {owner})",
                           "Use what `open` gave there, in all of its tasks, or leave that block first.") from None
        raise HomeBusy(f"process {owner or '(unknown)'} has this home open",
                       "Wait until it ends. With an owner (chez up) commands share a home; "
                       "chez lock ends it.") from None
    except OSError as error:
        raise _unwritable(folder, error) from None
    finally:
        os.close(file)
    if handle is None:
        raise StorageFailed(f"the home at {folder} can't be locked", "Keep it on a disk of this machine.")
    return handle


def _lock(handle: int) -> int | None:
    """A descriptor, locked; None where it can't be. Raises `BlockingIOError` where another process has the lock."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return handle
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise
        return None


def _unwritable(folder: Path, error: OSError) -> StorageFailed:
    return StorageFailed(f"the home at {folder} can't be written: {error.strerror}",
                         "Check its permissions and its disk. To read it needs neither: `chez get`, or read_only=True.")

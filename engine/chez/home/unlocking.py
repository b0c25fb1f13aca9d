"""What opens a home beside its store: the passphrase changed, the keyring added and removed; each with a receipt.

The store holds the digests of the key file and of the keyring's. A file is in place before the
transaction that writes the receipt ends, so a crash can leave a new file without its receipt and
nothing worse; the next opening sees that the digest differs, and writes what it saw. That also
tells of a file that somebody put back.
"""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from chez import crypto
from chez.errors import Damaged, InvalidValue, NotAllowed, StorageFailed
from chez.journal import Journal
from chez.store.database import Connection, Database
from chez.store.keyfile import KEY_FILE, cost_of, put_file, read_key_file, unwrap_key, wrap_key
from chez.store.keyring import (
    Added,
    KeyringStatus,
    add_key,
    forget_key,
    keyring_file,
    keyring_status,
    put_back,
    remove_key,
)
from chez.tasks import finished

__all__ = ("Keyring", "change_key_file", "note_key_files")

_KEY: Final = "key.file"
_KEYRING: Final = "keyring.file"
"""Where the store holds the digests. Without the one nothing was seen yet, without the other there is no such file."""

_TOLD: Final = "Open it without read_only=True: the journal is to tell of it."


async def change_key_file(folder: Path, database: Database, journal: Journal, old: str, new: str,
                          kdf: crypto.Kdf | None) -> None:
    """What `Home.change_passphrase` does."""
    if not new:
        raise InvalidValue("an empty passphrase protects nothing", "Choose a longer one.")
    before = await asyncio.to_thread(read_key_file, folder)
    cost = kdf or cost_of(before)

    def wrapped() -> bytes:
        return wrap_key(unwrap_key(before, old), new, cost)

    after = await asyncio.to_thread(wrapped)
    given_up = threading.Event()

    def work(db: Connection) -> None:
        if given_up.is_set():
            raise NotAllowed("the change of the passphrase was given up", "Nothing is changed.")
        # Transactions follow each other: of two changes at once, one finds that it came second.
        if read_key_file(folder) != before:
            raise NotAllowed("the passphrase was changed meanwhile", "Try again, with the one that it is now.")
        journal.record(db, "passphrase-changed", _told(after))
        _remember(db, _KEY, after)
        put_file(folder / KEY_FILE, after)

    async def put() -> None:
        try:
            await database.write(work)
        except Exception:  # of the work, or of its commit
            await asyncio.to_thread(_put_back, folder, before, after)
            raise

    await finished(put(), given_up.set)  # whoever gives up: it is done, or as it was


def _put_back(folder: Path, before: bytes, after: bytes) -> None:
    """The transaction failed: who is told so must find the passphrase as it was."""
    if read_key_file(folder) == after:
        with suppress(StorageFailed):  # the disk may fail once the file is there
            put_file(folder / KEY_FILE, before)
        if read_key_file(folder) == after:
            raise StorageFailed("the passphrase is the new one, and its receipt is missing",
                                "Check the disk. The receipt is written when the home opens next.")


async def note_key_files(folder: Path, database: Database, journal: Journal) -> None:
    """Write receipts when the files are not those that the store knows. Called when a home opens for writing."""
    key, ring = await asyncio.to_thread(lambda: (read_key_file(folder), keyring_file(folder)))
    now = (_digest(key), None if ring is None else _digest(ring))
    seen = await database.read(lambda db: (_seen(db, _KEY), _seen(db, _KEYRING)))
    if seen == now:
        return

    def work(db: Connection) -> None:
        if seen[0] not in (None, now[0]):
            journal.record(db, "key-file-changed", _told(key))
        if seen[1] != now[1]:
            journal.record(db, "keyring-removed" if ring is None else "keyring-file-changed", {})
        _remember(db, _KEY, key)
        _remember(db, _KEYRING, ring)

    await database.write(work)


def _told(data: bytes) -> dict[str, int | bool]:
    try:
        cost = cost_of(data)
    except Damaged:  # the keyring opened the home
        return {"damaged": True}
    return {"passes": cost.operations, "memory": cost.memory}


def _seen(db: Connection, name: str) -> bytes | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (name,)).fetchone()
    return None if row is None else bytes(row[0])


def _remember(db: Connection, name: str, data: bytes | None) -> None:
    if data is None:
        db.execute("DELETE FROM meta WHERE key = ?", (name,))
    else:
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (name, _digest(data)))


def _digest(data: bytes) -> bytes:
    return crypto.hash_fields("chez/1 key file seen", data)


class Keyring:
    """The operating system's keyring as a second way to open a home; `home.keyring`.

    Whoever can ask the keyring while it is unlocked can open the home (docs/security.md).
    """

    def __init__(self, folder: Path, database: Database, journal: Journal) -> None:
        self._folder = folder
        self._database = database
        self._journal = journal
        self._one = asyncio.Lock()
        """One change at a time: receipts are in the order of what they tell."""

    def __repr__(self) -> str:
        return f"<Keyring of {self._folder}>"

    async def add(self) -> str:
        """Let the keyring open this home, without its passphrase, from now on; give the keyring's name.

        Raises `KeyringUnavailable` when there is none, or it refuses; `NotAllowed` where the home is open for
        reading only. Where the journal can't tell of it (`StorageFailed`), or who waits gives up before it does, all
        stays as it was.
        """
        self._database.check_writable(_TOLD)
        given_up = threading.Event()

        def adding() -> Added:
            added = add_key(self._folder, self._database.key)
            if given_up.is_set():  # here, for the loop may have ended: Ctrl-C came again while the keyring asked
                put_back(self._folder, added.before)
            return added

        async def work() -> str:
            added = await asyncio.to_thread(adding)

            def told(db: Connection) -> None:
                if given_up.is_set():
                    raise NotAllowed("adding to the keyring was given up", "Nothing is changed.")
                self._journal.record(db, "keyring-added", {"keyring": added.backend})
                _remember(db, _KEYRING, keyring_file(self._folder))

            try:
                await self._database.write(told)
            except BaseException:
                await asyncio.to_thread(put_back, self._folder, added.before)
                raise
            await asyncio.to_thread(forget_key, added.before)
            return added.backend

        async with self._one:
            # No way into a home is left that its journal does not tell of, however often who waits gives up.
            return await finished(work(), given_up.set)

    async def remove(self) -> bool:
        """The keyring opens this home no longer; whether it did. Works without a keyring, too.

        Raises `StorageFailed`, also where it is done and the journal can't tell of it yet; `NotAllowed` where the
        home is open for reading only.
        """
        self._database.check_writable(_TOLD)

        async def work() -> bool:
            there = await asyncio.to_thread(remove_key, self._folder)

            def told(db: Connection) -> None:
                if there or _seen(db, _KEYRING) is not None:
                    self._journal.record(db, "keyring-removed", {})
                    _remember(db, _KEYRING, None)

            try:
                await self._database.write(told)
            except StorageFailed as error:
                raise StorageFailed(f"the keyring opens this home no longer, and its receipt is missing: "
                                    f"{error.message}", "The receipt is written when the home opens next.") from None
            return there

        async with self._one:
            return await finished(work())  # whoever gives up: the journal tells of what was done

    async def status(self) -> KeyringStatus:
        """Whether the keyring opens this home, and if not, why."""
        return await asyncio.to_thread(keyring_status, self._folder)

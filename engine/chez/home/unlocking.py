"""What opens a home beside its store: the passphrase changed, the keyring added and removed; each with a receipt.

The store holds the digest of the key file. The file is put in place inside the transaction
that writes the receipt, so a crash can leave a new file without its receipt and nothing
worse; the next opening sees that the digest differs, and writes what it saw. That also
tells of a key file that somebody put back.
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
from chez.store.keyring import KeyringStatus, add_key, keyring_status, remove_key
from chez.tasks import finished

__all__ = ("Keyring", "change_key_file", "note_key_file")

_SEEN: Final = "key.file"


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
        _remember(db, after)
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


async def note_key_file(folder: Path, database: Database, journal: Journal) -> None:
    """Write a receipt when the key file is not the one that the store knows. Called when a home opens for writing."""
    data = await asyncio.to_thread(read_key_file, folder)

    def known(db: Connection) -> bytes | None:
        row = db.execute("SELECT value FROM meta WHERE key = ?", (_SEEN,)).fetchone()
        return None if row is None else bytes(row[0])

    seen = await database.read(known)
    if seen == _digest(data):
        return

    def work(db: Connection) -> None:
        if seen is not None:
            journal.record(db, "key-file-changed", _told(data))
        _remember(db, data)

    await database.write(work)


def _told(data: bytes) -> dict[str, int | bool]:
    try:
        cost = cost_of(data)
    except Damaged:  # the keyring opened the home
        return {"damaged": True}
    return {"passes": cost.operations, "memory": cost.memory}


def _remember(db: Connection, data: bytes) -> None:
    db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_SEEN, _digest(data)))


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

    def __repr__(self) -> str:
        return f"<Keyring of {self._folder}>"

    async def add(self) -> str:
        """Let the keyring open this home, without its passphrase, from now on; give the keyring's name.

        Raises `KeyringUnavailable` when there is none, or it refuses. Where the journal can't tell of it
        (`StorageFailed`), or who waits gives up before it does, the keyring does not open it.
        """
        given_up = threading.Event()

        def adding() -> str:
            backend = add_key(self._folder, self._database.key)
            if given_up.is_set():  # here, for the loop may have ended: Ctrl-C came again while the keyring asked
                remove_key(self._folder)
            return backend

        async def work() -> str:
            backend = await asyncio.to_thread(adding)
            told = False
            try:
                if not given_up.is_set():
                    await self._journal.append("keyring-added", {"keyring": backend})
                    told = True
            finally:
                if not told:
                    await asyncio.to_thread(remove_key, self._folder)
            return backend

        # No way into a home is left that its journal does not tell of, however often who waits gives up.
        return await finished(work(), given_up.set)

    async def remove(self) -> bool:
        """The keyring opens this home no longer; whether it did. Works without a keyring, too."""
        async def work() -> bool:
            there = await asyncio.to_thread(remove_key, self._folder)
            if there:
                await self._journal.append("keyring-removed", {})
            return there

        return await finished(work())  # whoever gives up: the journal tells of what was done

    async def status(self) -> KeyringStatus:
        """Whether the keyring opens this home, and if not, why."""
        return await asyncio.to_thread(keyring_status, self._folder)

"""The database key of a home, wrapped by a secret that the operating system's keyring keeps.

    PATH/chez.keyring   {"version": 1, "id", "nonce", "wrapped"}        JSON, bytes in hex
    the keyring         service "chez", user name `id`: 32 random bytes in hex

Neither opens the home without the other: a copied disk has no keyring, and what is left in
a keyring after `remove`, or after the home was wiped, opens nothing. The passphrase is in
neither, and changing it changes neither. Every program that runs as this user may ask an
unlocked keyring for the secret (docs/security.md).

The library is `keyring`, an extra (`chez[keyring]`); which keyring it finds is the system's
and the user's choice.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from chez import crypto
from chez.errors import ChezError, Damaged, HomeLocked, KeyringUnavailable, StorageFailed
from chez.store.disk import disk_error, erase
from chez.store.keyfile import put_file, read_key

__all__ = (
    "KEYRING_FILE", "Added", "KeyringStatus", "add_key", "database_key", "forget_key", "keyring_file", "keyring_key",
    "keyring_status", "put_back", "remove_key",
)

KEYRING_FILE: Final = "chez.keyring"
SERVICE: Final = "chez"
_CONTEXT: Final = b"chez/1 keyring file"
ID_BYTES: Final = 16


class _File(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    id: str
    nonce: str
    wrapped: str


class KeyringStatus(msgspec.Struct, frozen=True):
    """Whether a home opens by the keyring, and which keyring that is.

    `added` says that the home has a file for it, `opens` that the keyring gave the secret
    that fits; `problem` says why not, in plain words, and `backend` names the keyring.
    """

    added: bool
    opens: bool
    backend: str = ""
    problem: str = ""


class Added(msgspec.Struct, frozen=True):
    """The keyring that opens a home now, and the bytes of the file by which one did before."""

    backend: str
    before: bytes | None


def database_key(folder: Path, passphrase: str | None) -> bytes:
    """The database key of a home (32 bytes): by its passphrase, or where none is given by the keyring.

    Raises `WrongPassphrase`, `HomeLocked` when no passphrase is given and the keyring does
    not know the home, `KeyringUnavailable`, `Damaged`, `Unavailable`.
    """
    if passphrase is not None:
        return read_key(folder, passphrase)
    if not (folder / KEYRING_FILE).exists():
        raise HomeLocked(f"the home at {folder} is locked: no passphrase was given, and the keyring does not know it",
                         "Give the passphrase; `chez keyring add` makes the keyring open it.")
    return keyring_key(folder)


def keyring_key(folder: Path) -> bytes:
    """The database key, by the keyring. Raises `HomeLocked`, `KeyringUnavailable`, `Damaged`."""
    file = _read(folder)
    text = _asked(lambda library: library.get_password(SERVICE, file.id))
    if text is None:
        raise HomeLocked("the keyring no longer holds the secret of this home",
                         "Unlock it with the passphrase, and run `chez keyring add` again.")
    try:
        return crypto.decrypt(bytes.fromhex(text), bytes.fromhex(file.nonce), bytes.fromhex(file.wrapped),
                              _associated(file))
    except (crypto.CryptoFailed, ValueError):
        raise Damaged(f"what the keyring holds does not open {KEYRING_FILE}",
                      "Unlock it with the passphrase, and run `chez keyring add` again.") from None


def add_key(folder: Path, key: bytes | bytearray) -> Added:
    """Let the keyring open this home from now on. `put_back` undoes it, `forget_key` makes it final.

    Raises `KeyringUnavailable`, also when the keyring takes the secret and does not give it
    back, and `StorageFailed`; what opened the home before does so still, then.
    """
    before = keyring_file(folder)
    secret, id = crypto.random_bytes(crypto.KEY_BYTES), crypto.random_bytes(ID_BYTES).hex()
    nonce = crypto.random_bytes(crypto.NONCE_BYTES)
    file = _File(1, id, nonce.hex(), "")
    file.wrapped = crypto.encrypt(secret, nonce, bytes(key), _associated(file)).hex()
    backend = _backend()
    _asked(lambda library: library.set_password(SERVICE, id, secret.hex()))
    if _asked(lambda library: library.get_password(SERVICE, id)) != secret.hex():
        raise KeyringUnavailable(f"the keyring ({backend}) does not keep what it is given",
                                 "Set up another keyring, or go on with the passphrase.")
    try:
        put_file(folder / KEYRING_FILE, msgspec.json.format(msgspec.json.encode(file)))
    except ChezError:
        with suppress(ChezError):
            put_back(folder, before)
        _forget(id)
        raise
    return Added(backend, before)


def put_back(folder: Path, before: bytes | None) -> None:
    """Let the file be as it was before it was added, and the keyring forget what was. Raises `StorageFailed`."""
    now = keyring_file(folder)
    if before is None:
        remove_key(folder)
    elif now != before:
        put_file(folder / KEYRING_FILE, before)
        forget_key(now)


def remove_key(folder: Path) -> bool:
    """The keyring opens this home no longer; whether it did. The secret that it still keeps opens nothing.

    Never fails for the keyring: the file goes first. Raises `StorageFailed`.
    """
    path, file = folder / KEYRING_FILE, None
    there = path.exists()
    with suppress(StorageFailed):  # what can't be read is removed all the same
        file = keyring_file(folder)
    try:
        erase(path)
    except OSError as error:
        raise disk_error(error, f"{KEYRING_FILE} can't be removed") from None
    forget_key(file)
    return there


def keyring_file(folder: Path) -> bytes | None:
    """The bytes of a home's file for the keyring, None where there is none. Raises `StorageFailed`."""
    try:
        return (folder / KEYRING_FILE).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise disk_error(error, f"{KEYRING_FILE} can't be read") from None


def forget_key(file: bytes | None) -> None:
    """The keyring keeps no secret for a file that is in place no longer, where it does that."""
    if file is not None:
        with suppress(ChezError):
            _forget(_parsed(file).id)


def _forget(id: str) -> None:
    """Remove an entry, where the keyring does it; without its file it opens nothing."""
    with suppress(KeyringUnavailable):
        _asked(lambda library: library.delete_password(SERVICE, id))


def keyring_status(folder: Path) -> KeyringStatus:
    """Whether the keyring opens this home, and what stands in the way. Asks the keyring."""
    added = (folder / KEYRING_FILE).exists()
    try:
        backend = _backend()
        if added:
            keyring_key(folder)
        return KeyringStatus(added, added, backend)
    except ChezError as error:
        with suppress(KeyringUnavailable):
            return KeyringStatus(added, False, _backend(), error.message)
        return KeyringStatus(added, False, "", error.message)


def _library() -> ModuleType:
    try:
        import keyring
    except ImportError:
        raise KeyringUnavailable("the keyring library is not installed",
                                 "Install chez[keyring], or go on with the passphrase.") from None
    return keyring


def _backend() -> str:
    name: str = _asked(lambda library: library.get_keyring().name)
    return name


def _asked(ask: Callable[[ModuleType], Any]) -> Any:
    """Ask the keyring. Whatever goes wrong in there is `KeyringUnavailable`; none there at all is, too."""
    library = _library()
    from keyring.backends import fail
    from keyring.errors import NoKeyringError

    try:
        if not isinstance(library.get_keyring(), fail.Keyring):
            return ask(library)
    except NoKeyringError:
        pass
    except Exception as error:  # each system's backend has errors of its own
        raise KeyringUnavailable(f"the keyring refuses ({type(error).__name__})",
                                 "Unlock it, or go on with the passphrase.") from None
    raise KeyringUnavailable("there is no keyring on this system, or none that runs",
                             "A desktop has one (GNOME Keyring, KWallet, the macOS keychain); without, the "
                             "passphrase opens the home.")


def _associated(file: _File) -> bytes:
    return b"|".join((_CONTEXT, str(file.version).encode(), file.id.encode()))


def _read(folder: Path) -> _File:
    try:
        return _parsed((folder / KEYRING_FILE).read_bytes())
    except OSError as error:
        raise _unreadable(error) from None


def _parsed(data: bytes) -> _File:
    try:
        file = msgspec.json.decode(data, type=_File)
        if file.version != 1 or len(bytes.fromhex(file.id)) != ID_BYTES:
            raise ValueError(f"version {file.version}")
        return file
    except ValueError as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> Damaged:
    return Damaged(f"{KEYRING_FILE} can't be read ({type(error).__name__})",
                   "Unlock the home with its passphrase, and run `chez keyring add` again.")

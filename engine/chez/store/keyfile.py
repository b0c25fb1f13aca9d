"""The key file of a home: the database key, wrapped by the passphrase.

    {"version": 1, "kdf": "argon2id", "operations", "memory", "salt", "nonce", "wrapped"}

JSON, bytes in hex. The database key is random and never derived from the passphrase, so
that changing the passphrase rewrites this file alone. The header is associated data:
lowering the stored cost or swapping the salt makes it fail to open.
"""

import os
from pathlib import Path

import msgspec

from chez import crypto
from chez.errors import Damaged, Unavailable, WrongPassphrase
from chez.store.disk import disk_error
from chez_durable.folders import sync_folder

__all__ = (
    "KEY_FILE", "WIPING_FILE", "cost_of", "put_file", "read_key", "read_key_file", "unwrap_key", "wrap_key",
    "write_key",
)

KEY_FILE = "chez.key"
WIPING_FILE = "chez.wiping"
"""There from the first step of a wipe to its last: such a home never opens again."""
_CONTEXT = b"chez/1 key file"


class _KeyFile(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    kdf: str
    operations: int
    memory: int
    salt: str
    nonce: str
    wrapped: str


def _associated(file: _KeyFile) -> bytes:
    return b"|".join((_CONTEXT, str(file.version).encode(), file.kdf.encode(), str(file.operations).encode(),
                      str(file.memory).encode(), file.salt.encode()))


def _wrapping_key(passphrase: str, salt: bytes, kdf: crypto.Kdf) -> bytes:
    try:
        return crypto.passphrase_key(passphrase, salt, kdf)
    except MemoryError:
        raise Unavailable(f"there is too little free memory for the passphrase: {kdf.memory // 2**20} MiB are needed",
                          "End other programs and try again.") from None


def wrap_key(key: bytes, passphrase: str, kdf: crypto.Kdf) -> bytes:
    """The key file of a database key, as bytes. Raises `Unavailable` when there is too little memory."""
    salt, nonce = crypto.random_bytes(crypto.SALT_BYTES), crypto.random_bytes(crypto.NONCE_BYTES)
    file = _KeyFile(1, "argon2id", kdf.operations, kdf.memory, salt.hex(), nonce.hex(), "")
    # The wrapping key is used for this nonce only: a new salt makes a new key each time.
    wrapping = _wrapping_key(passphrase, salt, kdf)
    file.wrapped = crypto.encrypt(wrapping, nonce, key, _associated(file)).hex()
    return msgspec.json.format(msgspec.json.encode(file))


def _parsed(data: bytes) -> tuple[_KeyFile, bytes, bytes, bytes, crypto.Kdf]:
    try:
        file = msgspec.json.decode(data, type=_KeyFile)
        salt, nonce, wrapped = (bytes.fromhex(text) for text in (file.salt, file.nonce, file.wrapped))
        if file.version != 1 or file.kdf != "argon2id" or len(salt) != crypto.SALT_BYTES:
            raise ValueError(f"version {file.version}, {file.kdf}")
        return file, salt, nonce, wrapped, crypto.Kdf.bounded(file.operations, file.memory)
    except ValueError as error:
        raise Damaged(f"the wrapped key can't be read ({error})",
                      f"Restore {KEY_FILE} from a backup, or join again from another device.") from None


def cost_of(data: bytes) -> crypto.Kdf:
    """What a key file's passphrase costs to try. Raises `Damaged`."""
    return _parsed(data)[4]


def unwrap_key(data: bytes, passphrase: str) -> bytes:
    """The database key (32 bytes) in the bytes of a key file.

    Raises `WrongPassphrase`, `Damaged` for bytes that are no key file, `Unavailable` when
    there is too little memory. What was tampered with inside its fields can't be told from
    a wrong passphrase, on purpose.
    """
    file, salt, nonce, wrapped, kdf = _parsed(data)
    try:
        return crypto.decrypt(_wrapping_key(passphrase, salt, kdf), nonce, wrapped, _associated(file))
    except crypto.CryptoFailed:
        raise WrongPassphrase("this passphrase does not open the home", "Check capitals and keyboard layout.") from None


def write_key(folder: Path, key: bytes, passphrase: str, kdf: crypto.Kdf) -> None:
    """Wrap the database key and put the file in place at once (owner-only, fsynced).

    Raises `Unavailable` when there is too little memory to, `StorageFailed`.
    """
    put_file(folder / KEY_FILE, wrap_key(key, passphrase, kdf))


def put_file(path: Path, data: bytes) -> None:
    """Put a private file in place of another: killed or cut off at any instant, one of the two is there, whole.

    Raises `StorageFailed`.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error(error, f"the key file in {path.parent} can't be written") from None


def read_key_file(folder: Path) -> bytes:
    """The bytes of a home's key file. Raises `Damaged`."""
    try:
        return (folder / KEY_FILE).read_bytes()
    except OSError as error:
        raise Damaged(f"the key file of this home can't be read ({error.strerror})",
                      f"Restore {KEY_FILE} from a backup, or join again from another device.") from None


def read_key(folder: Path, passphrase: str) -> bytes:
    """Unwrap the database key of a home (32 bytes); raises like `unwrap_key`."""
    return unwrap_key(read_key_file(folder), passphrase)

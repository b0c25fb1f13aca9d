"""A sealed file: a stream of any length, encrypted in chunks that can't be cut, moved or mixed.

    "CZB" 1 ‖ length of the header (4 bytes) ‖ header ‖ chunk 0 ‖ chunk 1 ‖ ... ‖ last chunk

    key        H("chez/1 sealed file", salt) under the secret; the salt is the header's
    header     MessagePack [salt, what the opener needs to find the secret]
    chunk i    XChaCha20-Poly1305 of 64 KiB; the last has 0 bytes up to 64 KiB
    nonce      i, as a whole number of 24 bytes
    associated H("chez/1 sealed file header", header) ‖ i (8 bytes) ‖ whether it is the last

This is the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, "Online
Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance", CRYPTO 2015), with the mark
of the last chunk in the associated data. The salt is random, so a key seals one file; in it
the counter never repeats, so no nonce is used twice. A chunk opens at its own place of its
own file only, and a file that ends without a last chunk was cut.
"""

from typing import Annotated, BinaryIO, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadArchive

__all__ = ("CHUNK", "Header", "SealedReader", "SealedWriter", "read_header")

MAGIC: Final = b"CZB\x01"
CHUNK: Final = 64 * 1024
"""Bytes of content in a chunk: what is held in memory, and what a flipped bit spoils."""

MAX_HEADER: Final = 64 * 1024
_SEALED: Final = CHUNK + crypto.TAG_BYTES


class Header(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What stands in clear: the salt, and the wrapped secret's key file."""

    salt: Annotated[bytes, Meta(min_length=32, max_length=32)]
    wrapped: Annotated[bytes, Meta(max_length=MAX_HEADER // 2)]

    def digest(self) -> bytes:
        """What binds the chunks to the header."""
        return crypto.hash_fields("chez/1 sealed file header", msgspec.msgpack.encode(self))

    def key(self, secret: bytes) -> bytes:
        """The key of this file."""
        return crypto.keyed_hash(secret, "chez/1 sealed file", self.salt)


def read_header(file: BinaryIO) -> Header:
    """The header at a file's beginning. Raises `BadArchive`."""
    start = file.read(len(MAGIC) + 4)
    size = int.from_bytes(start[len(MAGIC):], "big")
    if start[: len(MAGIC)] != MAGIC or size > MAX_HEADER:
        raise BadArchive("this is no backup of Chez, or of a later version", "Choose another file, or update Chez.")
    data = file.read(size)
    try:
        header = msgspec.msgpack.decode(data, type=Header)
    except msgspec.DecodeError as error:
        raise BadArchive(f"the backup's header can't be read: {error}", "Use another backup.") from None
    if msgspec.msgpack.encode(header) != data:  # one header has one form: the digest is of it
        raise BadArchive("the backup's header was altered", "Use another backup.")
    return header


class _Chunks:
    def __init__(self, header: Header, secret: bytes) -> None:
        self._key = header.key(secret)
        self._digest = header.digest()
        self._count = 0

    def _place(self, last: bool) -> tuple[bytes, bytes]:
        count, self._count = self._count, self._count + 1
        return count.to_bytes(24, "big"), self._digest + count.to_bytes(8, "big") + bytes((last,))


class SealedWriter(_Chunks):
    """Writes a sealed file; `close` writes the last chunk, without which it does not open."""

    def __init__(self, file: BinaryIO, header: Header, secret: bytes) -> None:
        super().__init__(header, secret)
        self._file = file
        self._buffer = bytearray()
        encoded = msgspec.msgpack.encode(header)
        file.write(MAGIC + len(encoded).to_bytes(4, "big") + encoded)

    def write(self, data: bytes) -> None:
        """Add content."""
        self._buffer += data
        while len(self._buffer) > CHUNK:  # a full one may be the last, so it waits
            self._seal(bytes(self._buffer[:CHUNK]), last=False)
            del self._buffer[:CHUNK]

    def close(self) -> None:
        """Write the last chunk."""
        self._seal(bytes(self._buffer), last=True)

    def _seal(self, data: bytes, *, last: bool) -> None:
        nonce, associated = self._place(last)
        self._file.write(crypto.encrypt(self._key, nonce, data, associated))


class SealedReader(_Chunks):
    """Reads a sealed file whose header was read; what it gives was authenticated."""

    def __init__(self, file: BinaryIO, header: Header, secret: bytes) -> None:
        super().__init__(header, secret)
        self._file = file
        self._next = file.read(_SEALED)
        self._data = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        """Exactly so many bytes of content. Raises `BadArchive`, also when there are no more."""
        while len(self._data) < size:
            if self._ended:
                raise BadArchive("the backup ends in the middle", "Use another backup.")
            self._data += self._open()
        data, self._data = self._data[:size], self._data[size:]
        return data

    def end(self) -> None:
        """Check that there is nothing more. Raises `BadArchive`."""
        while not self._ended and not self._data:
            self._data += self._open()
        if self._data:
            raise BadArchive("the backup goes on behind its end", "Use another backup.")

    def _open(self) -> bytes:
        sealed, self._next = self._next, self._file.read(_SEALED)
        self._ended = not self._next
        nonce, associated = self._place(self._ended)
        try:
            return crypto.decrypt(self._key, nonce, sealed, associated)
        except crypto.CryptoFailed:
            raise BadArchive("the backup is cut short or was altered", "Use another backup.") from None

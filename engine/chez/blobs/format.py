"""The format of an attachment: how content becomes sealed pieces, and pieces content again.

Pure functions: keys and nonces are arguments, nothing is read or written.

    content   padded with zeros to its Padmé size (floor 1 KiB), cut into chunks of 512 KiB
    chunk     XChaCha20-Poly1305 of one of them under the blob's key, 32 random bytes
    page      the same of a list of up to 8192 chunk ids; only where one list is not enough
    manifest  "CZB" ‖ version 1 ‖ epoch id (32) ‖ nonce (24) ‖ XChaCha20-Poly1305 of
              length (4 bytes) ‖ MessagePack (class Manifest) ‖ zeros to the Padmé size
    id        BLAKE2b-256 of a sealed piece; a blob's id is its manifest's

Nonce of a chunk or page: kind (1 byte) ‖ position (8) ‖ 15 zeros. A key is used for one
blob, and there for one content at each place, so no nonce repeats under a key. The
associated data is a label, the space, kind, position and whether it is the last: a piece
can't be moved, repeated, cut off or shown in another space (the STREAM construction:
Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance", CRYPTO 2015, section 7). The manifest's key is derived from the secret
of the epoch that its header names; the header and the space are its associated data.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from chez import crypto
from chez.errors import BadEntry, BlobDamaged, InvalidValue
from chez.keys.epochs import Epoch
from chez.records.reference import MAX_SIZE
from chez.sync.entry import pad, padded_size, unpad
from chez_wire.chunks import chunk_id
from chez_wire.limits import ID_BYTES, KIB, MAX_CHUNK

__all__ = ("CHUNK", "LISTED", "MANIFEST", "Content", "Manifest", "Piece", "Sealer", "chunk_count", "open_chunk",
           "open_manifest", "open_page", "page_count", "page_position", "seal_manifest", "split_ids")

CHUNK: Final = 512 * KIB
"""Bytes of content in one chunk: half a frame, a few milliseconds of work."""

LISTED: Final = 8192
"""Chunk ids in one list: 4 GiB of content, 256 KiB of ids."""

MANIFEST: Final = -1
"""The position of the manifest; pages are at -2, -3, ..., chunks at 0, 1, ..."""

_MAGIC: Final = b"CZB\x01"
_HEADER: Final = len(_MAGIC) + ID_BYTES + crypto.NONCE_BYTES
_DATA, _PAGE = 0, 1

Key = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Manifest(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a blob consists of; `ids` are its chunks', or its pages' when there are more than 8192."""

    version: Annotated[int, Meta(ge=1, le=1)]
    key: Key
    size: Annotated[int, Meta(ge=0, le=MAX_SIZE)]
    content: Key
    ids: Annotated[bytes, Meta(min_length=ID_BYTES, max_length=LISTED * ID_BYTES)]

    @property
    def paged(self) -> bool:
        """Whether `ids` are those of pages."""
        return chunk_count(self.size) > LISTED

    def __repr__(self) -> str:
        return f"<Manifest of {self.size:,} bytes>"


@dataclass(frozen=True, slots=True)
class Piece:
    """One sealed piece and its place (see `MANIFEST`)."""

    position: int
    id: bytes
    data: bytes = field(repr=False)


class Content:
    """The hash of a content, in any number of parts: plain BLAKE2b, as it only stands inside the encryption."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32, person=b"chez.blob")

    def update(self, data: "bytes | memoryview") -> None:
        """Go on with the next part."""
        self._hash.update(data)

    def digest(self) -> bytes:
        """The hash of all parts so far (32 bytes)."""
        return self._hash.digest()


def chunk_count(size: int) -> int:
    """How many chunks a content of so many bytes takes, padding included."""
    return -(-padded_size(size) // CHUNK)


def page_count(size: int) -> int:
    """How many pages list the chunks of a content; 0 when the manifest does."""
    count = chunk_count(size)
    return -(-count // LISTED) if count > LISTED else 0


def page_position(chunk: int) -> int:
    """The position of the page that lists a chunk."""
    return MANIFEST - 1 - chunk // LISTED


def _associated(kind: int, space: bytes, index: int, last: bool) -> bytes:
    # Fixed lengths behind a label of its own: no two places encode alike.
    return b"chez/1 blob piece" + space + bytes((kind,)) + index.to_bytes(8, "big") + bytes((last,))


def _nonce(kind: int, index: int) -> bytes:
    return (bytes((kind,)) + index.to_bytes(8, "big")).ljust(crypto.NONCE_BYTES, b"\0")


def _seal(key: bytes, kind: int, space: bytes, index: int, last: bool, plain: bytes) -> bytes:
    return crypto.encrypt(key, _nonce(kind, index), plain, _associated(kind, space, index, last))


def _open(key: bytes, kind: int, space: bytes, index: int, last: bool, data: bytes) -> bytes:
    try:
        return crypto.decrypt(key, _nonce(kind, index), data, _associated(kind, space, index, last))
    except crypto.CryptoFailed:
        raise _broken("a piece of it does not open in its place") from None


def _broken(why: str) -> BlobDamaged:
    return BlobDamaged(f"an attachment can't be read: {why}",
                       "It was made so, or altered: ask for it again from whoever added it.")


class Sealer:
    """Turns a stream of content into sealed pieces, holding no more than two chunks of it.

    `key` is 32 fresh random bytes that seal nothing else. Call `feed` with any parts,
    then `finish` once; what they yield are the pieces in the order to store them.
    """

    def __init__(self, key: bytes, space: bytes) -> None:
        self._key = key
        self._space = space
        self._buffer = bytearray()
        self._content = Content()
        self._ids = bytearray()
        self._pages = bytearray()
        self._count = 0
        self.size = 0

    def feed(self, data: "bytes | memoryview") -> Iterator[Piece]:
        """Take the next part of the content. Raises `InvalidValue` when it grows too large."""
        self.size += len(data)
        if self.size > MAX_SIZE:
            raise InvalidValue(f"an attachment has at most {MAX_SIZE:,} bytes")
        self._content.update(data)
        self._buffer += data
        yield from self._cut()

    def finish(self, epoch: Epoch, nonce: bytes) -> Iterator[Piece]:
        """The rest: padding, pages, and the manifest last. `nonce` is 24 fresh random bytes."""
        zeros = padded_size(self.size) - self.size
        while zeros > 0:
            step = min(zeros, CHUNK)
            self._buffer += bytes(step)
            zeros -= step
            yield from self._cut()
        yield self._chunk(len(self._buffer), last=True)
        if self._pages:
            yield self._page(last=True)
        ids = bytes(self._pages or self._ids)
        manifest = Manifest(1, self._key, self.size, self._content.digest(), ids)
        data = seal_manifest(manifest, self._space, epoch, nonce)
        yield Piece(MANIFEST, chunk_id(data), data)

    @property
    def content(self) -> bytes:
        """The hash of the content so far."""
        return self._content.digest()

    def _cut(self) -> Iterator[Piece]:
        # One chunk stays behind, because the last one is marked as the last.
        while len(self._buffer) > CHUNK:
            yield self._chunk(CHUNK, last=False)
            # One more chunk is sure to come, so a full list is no longer all of them.
            if len(self._ids) == LISTED * ID_BYTES:
                yield self._page(last=False)

    def _chunk(self, length: int, *, last: bool) -> Piece:
        with memoryview(self._buffer) as view:
            plain = bytes(view[:length])
        del self._buffer[:length]
        data = _seal(self._key, _DATA, self._space, self._count, last, plain)
        piece = Piece(self._count, chunk_id(data), data)
        self._ids += piece.id
        self._count += 1
        return piece

    def _page(self, *, last: bool) -> Piece:
        number = len(self._pages) // ID_BYTES
        data = _seal(self._key, _PAGE, self._space, number, last, pad(bytes(self._ids)))
        self._ids.clear()
        piece = Piece(page_position(number * LISTED), chunk_id(data), data)
        self._pages += piece.id
        return piece


def open_chunk(manifest: Manifest, space: bytes, position: int, data: bytes) -> bytes:
    """The content in a chunk, without the padding (so empty in those that hold only that).

    Raises `BlobDamaged` when it is not the one of this blob at this place.
    """
    total = padded_size(manifest.size)
    last = position == chunk_count(manifest.size) - 1
    plain = _open(manifest.key, _DATA, space, position, last, data)
    if len(plain) != (total - position * CHUNK if last else CHUNK):
        raise _broken("a piece of it has another size")
    inside = min(max(manifest.size - position * CHUNK, 0), len(plain))
    if plain.count(0, inside) != len(plain) - inside:
        raise _broken("its padding is wrong")
    return plain if inside == len(plain) else plain[:inside]


def open_page(manifest: Manifest, space: bytes, number: int, data: bytes) -> list[bytes]:
    """The chunk ids that a page lists, `number` counting from 0. Raises `BlobDamaged`."""
    count = chunk_count(manifest.size)
    last = number == page_count(manifest.size) - 1
    ids = _unpadded(_open(manifest.key, _PAGE, space, number, last, data))
    if len(ids) != ID_BYTES * (count - number * LISTED if last else LISTED):
        raise _broken("a list of its pieces has another length")
    return split_ids(ids)


def split_ids(ids: bytes) -> list[bytes]:
    """A list of ids, from their concatenation."""
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]


def _unpadded(plain: bytes) -> bytes:
    try:
        return unpad(plain)
    except BadEntry:
        raise _broken("its padding is wrong") from None


def _manifest_key(epoch: Epoch) -> bytes:
    return crypto.derive(epoch.secret, "chez/1 blob manifest key")


def seal_manifest(manifest: Manifest, space: bytes, epoch: Epoch, nonce: bytes) -> bytes:
    """A manifest sealed under an epoch's key; `nonce` is 24 fresh random bytes."""
    header = _MAGIC + epoch.id + nonce
    plain = pad(msgspec.msgpack.encode(manifest))
    return header + crypto.encrypt(_manifest_key(epoch), nonce, plain, b"chez/1 blob manifest" + space + header)


def open_manifest(data: bytes, space: bytes, epochs: Mapping[bytes, Epoch]) -> Manifest:
    """Open a sealed manifest.

    Raises `BlobDamaged`: another format or space, an epoch whose key is not here,
    altered, or lists that do not fit its size.
    """
    if not _HEADER < len(data) <= MAX_CHUNK or data[:4] != _MAGIC:
        raise _broken("it has another format")
    header, nonce = data[:_HEADER], data[_HEADER - crypto.NONCE_BYTES : _HEADER]
    epoch = epochs.get(header[4 : 4 + ID_BYTES])
    if epoch is None:
        raise _broken("it was sealed under a key that is not on this device")
    try:
        plain = crypto.decrypt(_manifest_key(epoch), nonce, data[_HEADER:], b"chez/1 blob manifest" + space + header)
        manifest = msgspec.msgpack.decode(_unpadded(plain), type=Manifest)
    except crypto.CryptoFailed:
        raise _broken("its manifest was altered, or is another space's") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _broken("its manifest is none") from None
    listed = page_count(manifest.size) or chunk_count(manifest.size)
    if len(manifest.ids) != ID_BYTES * listed:
        raise _broken("its manifest does not list what its size takes")
    return manifest

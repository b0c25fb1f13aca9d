"""The content of a blob that is whole on this device, read by a plain function: no network, nothing noted."""

from collections.abc import Iterator
from typing import Final

from chez.blobs import tables
from chez.blobs.files import DamagedPiece, PieceFiles
from chez.blobs.format import Content, chunk_count, open_chunk, open_manifest
from chez.errors import BlobDamaged, BlobMissing
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection

__all__ = ("content_of",)

ROWS: Final = 256
"""Pieces looked up at a time: 128 MiB of content."""


def content_of(db: Connection, files: PieceFiles, space: SpaceKeys, id: str) -> Iterator[bytes]:
    """The content in parts, each checked, and at the end the whole.

    Raises `BlobMissing` for one that is not all here, `BlobDamaged`, `StorageFailed`.
    """
    known = tables.get_complete(db, space.n, id)
    if known is None:
        raise BlobMissing("the attachment is not all on this device", "Fetch it first: `home.blobs.pin`.")
    manifest = open_manifest(_piece(files, bytes.fromhex(known.id)), space.id, space.epochs)
    content = Content()
    count = chunk_count(manifest.size)
    for first in range(0, count, ROWS):
        for row in tables.rows(db, known.n, first, min(first + ROWS, count) - 1):
            data = open_chunk(manifest, space.id, row.position, _piece(files, row.id))
            content.update(data)
            yield data
    if content.digest() != manifest.content:
        raise BlobDamaged("an attachment's content is not what its manifest says",
                          "Whoever added it made it so: do not use it.")


def _piece(files: PieceFiles, id: bytes) -> bytes:
    try:
        data = files.read(id)
    except DamagedPiece:
        raise BlobDamaged("a piece of the attachment is damaged on this disk", "Read it while connected.") from None
    if data is None:
        raise BlobMissing("a piece of the attachment is not on this device any more", "Fetch it again.")
    return data

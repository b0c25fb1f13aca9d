"""A member's manifest may list anything: the pieces of others, itself, enormous sizes. Others' attachments are safe."""

import asyncio
from typing import Any

import pytest

import chez
from chez import crypto
from chez.blobs import adding
from chez.blobs.format import MANIFEST, Manifest, Piece, Sealer, seal_manifest
from chez.errors import BlobDamaged, BlobMissing, ChezError
from chez.records.reference import MAX_SIZE, Blob
from chez_wire.chunks import chunk_id
from tests.blobs.support import CHUNK, content, files, read, settled


def planted(home: chez.Home, size: int, ids: bytes) -> Blob:
    """An attachment that a member made by hand: its manifest is on this disk, as if it had been fetched."""
    space = home._replica.space
    manifest = Manifest(1, b"k" * 32, size, b"c" * 32, ids)
    data = seal_manifest(manifest, space.id, space.epoch, crypto.random_bytes(24))
    home.blobs._shared.files.write(chunk_id(data), data)
    return Blob(id=chunk_id(data).hex(), size=size)


async def pieces_of(home: chez.Home, blob: Blob) -> bytes:
    """The ids of the chunks of an attachment."""
    return b"".join(await home._database.read(lambda db: [id for (id,) in db.execute(
        "SELECT chunk.id FROM chunk JOIN blob ON blob.n = chunk.blob WHERE blob.id = ? AND position >= 0 "
        "ORDER BY position", (blob.id,))]))


async def test_pieces_of_others_stay(home: chez.Home) -> None:
    """A list of somebody else's pieces opens nothing, and freeing it frees none of them."""
    mine = await home.blobs.add(content(2 * CHUNK))
    await home.collection("notes").put({"file": mine}, id="mine")
    ids = await pieces_of(home, mine)
    hostile = planted(home, mine.size, ids)
    await home.collection("notes").put({"file": hostile}, id="hostile")
    with pytest.raises(BlobDamaged):
        await read(home, hostile)
    with pytest.raises(ChezError):
        await home.blobs.evict(hostile)
    await home.collection("notes").purge("hostile")
    await settled(home)
    for _ in range(4):
        await home.blobs.collect()
    assert not (await home.blobs.info(hostile)).complete
    assert await read(home, mine) == content(2 * CHUNK)
    there = {chunk_id(file.read_bytes()).hex() for file in files(home.path)}
    assert there >= {ids[:32].hex(), ids[32:64].hex(), mine.id}


async def test_lists_of_lists_and_of_the_largest(home: chez.Home) -> None:
    """The largest size there is, its lists being one piece over and over, costs a typed error and no more."""
    mine = await home.blobs.add(content(CHUNK))
    await home.collection("notes").put({"file": mine}, id="mine")
    piece = (await pieces_of(home, mine))[:32]
    for id, error in ((piece, BlobDamaged), (bytes(32), BlobMissing)):
        hostile = planted(home, MAX_SIZE, id * 8192)
        for start in (0, MAX_SIZE // 2, MAX_SIZE - 1):
            with pytest.raises(error):
                await read(home, hostile, start, start + 1)
        with pytest.raises(error):
            await home.blobs.pin(hostile)
        await home.collection("notes").put({"file": hostile}, id="hostile")
        report = await home.export(home.path.parent / f"out-{error.__name__}")
        assert (report.attachments, report.missing) == (1, 1)
    assert await read(home, mine) == content(CHUNK)


async def test_no_key_seals_two_contents(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is added, again, at once, or cut off in the middle, each addition has a key of its own."""
    keys: list[bytes] = []
    sealed: list[Piece] = []

    class Watched(Sealer):
        def __init__(self, key: bytes, space: bytes) -> None:
            keys.append(key)
            super().__init__(key, space)

        def _chunk(self, length: int, *, last: bool) -> Piece:
            piece = super()._chunk(length, last=last)
            sealed.append(piece)
            return piece

    monkeypatch.setattr(adding, "Sealer", Watched)

    async def failing() -> Any:
        yield content(3 * CHUNK)
        raise OSError("the camera was unplugged")

    await home.blobs.add(content(2 * CHUNK))
    await asyncio.gather(*(home.blobs.add(content(2 * CHUNK, seed)) for seed in (0, 0, 1)))
    for _ in range(2):
        with pytest.raises(OSError):
            await home.blobs.add(failing())
    cut = asyncio.ensure_future(home.blobs.add(content(9 * CHUNK)))
    await asyncio.sleep(0)
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    await home.blobs.add(content(9 * CHUNK))
    assert len(set(keys)) == len(keys) >= 7
    assert len({piece.id for piece in sealed}) == len(sealed) and MANIFEST not in {piece.position for piece in sealed}

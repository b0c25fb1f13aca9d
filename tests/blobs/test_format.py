"""Sealing and opening attachments: any size, any parts, and nothing that was moved, cut or altered."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez import crypto
from chez.blobs import format
from chez.blobs.format import CHUNK, LISTED, MANIFEST, Manifest, Piece, Sealer
from chez.errors import BlobDamaged, InvalidValue
from chez.keys.epochs import Epoch
from chez.sync.entry import pad, padded_size
from chez_wire.limits import MAX_CHUNK
from tests.vectors.fixed import CREATE, EPOCH, filled
from tests.vectors.golden import golden, survivors
from tests.vectors.make_blobs import KEY, NONCE, content, vectors

SPACE = CREATE.hash
EPOCHS = {EPOCH.id: EPOCH}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 2 KiB, three in a list: the same code with boundaries that are soon reached."""
    monkeypatch.setattr(format, "CHUNK", 2048)
    monkeypatch.setattr(format, "LISTED", 3)


def sealed(parts: list[bytes], space: bytes = SPACE) -> tuple[Sealer, dict[int, Piece]]:
    """All pieces of a content that comes in parts."""
    sealer = Sealer(KEY, space)
    pieces = [piece for part in parts for piece in sealer.feed(part)]
    pieces += sealer.finish(EPOCH, NONCE)
    assert pieces[-1].position == MANIFEST
    assert len({piece.position for piece in pieces}) == len(pieces)
    return sealer, {piece.position: piece for piece in pieces}


def opened(pieces: dict[int, Piece]) -> bytes:
    """The content of sealed pieces, each checked against the list that names it."""
    manifest = format.open_manifest(pieces[MANIFEST].data, SPACE, EPOCHS)
    ids = format.split_ids(manifest.ids)
    if manifest.paged:
        pages = [format.open_page(manifest, SPACE, n, pieces[MANIFEST - 1 - n].data) for n in range(len(ids))]
        assert ids == [pieces[MANIFEST - 1 - n].id for n in range(len(ids))]
        ids = [id for page in pages for id in page]
    assert ids == [pieces[n].id for n in range(format.chunk_count(manifest.size))]
    plain = b"".join(format.open_chunk(manifest, SPACE, n, pieces[n].data) for n in range(len(ids)))
    hash = format.Content()
    hash.update(plain)
    assert hash.digest() == manifest.content
    return plain


SIZES = st.one_of(st.integers(0, 30_000), st.builds(lambda n, d: max(0, 2048 * n + d), st.integers(0, 14),
                                                    st.integers(-2, 2)))


@pytest.mark.usefixtures("small")
@given(SIZES, st.lists(st.integers(0, 5000), max_size=8))
@settings(deadline=None)
def test_any_content_in_any_parts_comes_back(size: int, lengths: list[int]) -> None:
    """Whatever the size and however it came in parts, the pieces are the same and open to the content."""
    plain, parts, at = content(size), [], 0
    for length in lengths:
        parts.append(plain[at : at + length])
        at += length
    sealer, pieces = sealed([*parts, plain[at:]])
    assert (sealer.size, opened(pieces)) == (size, plain)
    assert pieces == sealed([plain])[1]


@pytest.mark.usefixtures("small")
@given(SIZES)
@settings(deadline=None)
def test_sizes_are_padded(size: int) -> None:
    """The pieces' sizes follow from the padded size alone, which is at most 12% above, or 1 KiB."""
    padded = padded_size(size)
    shape = {position: len(piece.data) for position, piece in sealed([content(size)])[1].items()}
    assert shape == {position: len(piece.data) for position, piece in sealed([content(padded)])[1].items()}
    assert sum(length - 16 for position, length in shape.items() if position >= 0) == padded
    assert size <= padded <= max(1024, size * 1.12)


@pytest.mark.parametrize("size", [0, 1, 1024, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_real_chunks(size: int) -> None:
    """At the boundaries of the real size, content comes back and each piece fits a frame."""
    _, pieces = sealed([content(size)])
    assert opened(pieces) == content(size)
    assert max(len(piece.data) for piece in pieces.values()) <= MAX_CHUNK


def test_the_longest_lists_fit() -> None:
    """A full page and a full manifest are no larger than a chunk may be."""
    manifest = Manifest(1, KEY, LISTED * CHUNK, bytes(32), bytes(32 * LISTED))
    assert format.chunk_count(manifest.size) == LISTED and not manifest.paged
    assert len(format.seal_manifest(manifest, SPACE, EPOCH, NONCE)) <= MAX_CHUNK
    assert len(pad(bytes(32 * LISTED))) + 16 <= MAX_CHUNK
    assert format.page_count(LISTED * CHUNK) == 0
    assert format.page_count(2**45) == LISTED


@pytest.mark.usefixtures("small")
@given(st.integers(1, 20_000), st.data())
@settings(deadline=None)
def test_a_piece_opens_at_its_place_only(size: int, data: st.DataObject) -> None:
    """A chunk shown at another place, another size, another space or under another key does not open."""
    _, pieces = sealed([content(size)])
    manifest = format.open_manifest(pieces[MANIFEST].data, SPACE, EPOCHS)
    count = format.chunk_count(size)
    position, other = data.draw(st.integers(0, count - 1)), data.draw(st.integers(0, count))
    if position != other:
        with pytest.raises(BlobDamaged):
            format.open_chunk(manifest, SPACE, other, pieces[position].data)
    wrong = data.draw(st.sampled_from(["space", "key", "longer", "page", "cut", "flipped"]))
    taken, space, key = pieces[position].data, SPACE, manifest
    if wrong == "space":
        space = filled(9)
    elif wrong == "key":
        key = msgspec.structs.replace(manifest, key=filled(9))
    elif wrong == "cut":
        taken = taken[: data.draw(st.integers(0, len(taken) - 1))]
    elif wrong == "flipped":
        at = data.draw(st.integers(0, len(taken) - 1))
        taken = taken[:at] + bytes((taken[at] ^ 1 << data.draw(st.integers(0, 7)),)) + taken[at + 1 :]
    elif wrong == "longer":  # the last chunk says that it is the last
        key = msgspec.structs.replace(manifest, size=size + 2048 * 5)
        position, taken = count - 1, pieces[count - 1].data
    else:
        with pytest.raises(BlobDamaged):
            format.open_page(manifest, SPACE, 0, taken)
        return
    with pytest.raises(BlobDamaged):
        format.open_chunk(key, space, position, taken)


@pytest.mark.usefixtures("small")
def test_pages_open_at_their_place_only() -> None:
    """A page is no other page, no chunk, and can't be cut off at the end."""
    _, pieces = sealed([content(20_000)])
    manifest = format.open_manifest(pieces[MANIFEST].data, SPACE, EPOCHS)
    assert format.page_count(20_000) == 4
    for number in range(4):
        for other in range(5):
            if number != other:
                with pytest.raises(BlobDamaged):
                    format.open_page(manifest, SPACE, other, pieces[MANIFEST - 1 - number].data)
        with pytest.raises(BlobDamaged):
            format.open_chunk(manifest, SPACE, number, pieces[MANIFEST - 1 - number].data)


def test_a_manifest_with_any_bit_changed_is_refused() -> None:
    """No flip of a sealed manifest opens, in another space it does not, nor without its epoch's key."""
    _, pieces = sealed([b"hello"])
    data = pieces[MANIFEST].data
    assert survivors(lambda bytes: format.open_manifest(bytes, SPACE, EPOCHS), data, BlobDamaged) == []
    for space, epochs in ((filled(9), EPOCHS), (SPACE, {}), (SPACE, {EPOCH.id: Epoch(EPOCH.id, 1, filled(9), None)})):
        with pytest.raises(BlobDamaged):
            format.open_manifest(data, space, epochs)


@pytest.mark.parametrize("fields", [
    [2, KEY, 5, bytes(32), bytes(32)], [1, KEY[:31], 5, bytes(32), bytes(32)], [1, KEY, -1, bytes(32), bytes(32)],
    [1, KEY, 2**46, bytes(32), bytes(32)], [1, KEY, 5, bytes(32), bytes(64)], [1, KEY, 5, bytes(32), bytes(33)],
    [1, KEY, 5, bytes(32), b""], [1, KEY, CHUNK + 1, bytes(32), bytes(32)], [1, KEY, 5, bytes(32), bytes(32), 0],
    [1, KEY, 2**45, bytes(32), bytes(32)], {}, [[[[[]]]]], "text",
])
def test_a_manifest_that_a_member_seals_wrongly_is_refused(fields: object) -> None:
    """Fields of another size, lists that do not fit the size, or another shape: typed, and before any is read."""
    key = crypto.derive(EPOCH.secret, "chez/1 blob manifest key")
    header = b"CZB\1" + EPOCH.id + NONCE
    plain = pad(msgspec.msgpack.encode(fields))
    data = header + crypto.encrypt(key, NONCE, plain, b"chez/1 blob manifest" + SPACE + header)
    with pytest.raises(BlobDamaged):
        format.open_manifest(data, SPACE, EPOCHS)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_are_refused(outside: bytes, inside: bytes) -> None:
    """Any bytes as a manifest, and any bytes sealed as one, are a typed error."""
    key = crypto.derive(EPOCH.secret, "chez/1 blob manifest key")
    header = b"CZB\1" + EPOCH.id + NONCE
    sealed_inside = header + crypto.encrypt(key, NONCE, inside, b"chez/1 blob manifest" + SPACE + header)
    for data in (outside, b"CZB\1" + outside, sealed_inside):
        with pytest.raises(BlobDamaged):
            format.open_manifest(data, SPACE, EPOCHS)


def test_padding_that_carries_something_is_refused() -> None:
    """What follows the content in its last chunk is zeros, so that two readers see one content."""
    manifest = Manifest(1, KEY, 5, bytes(32), bytes(32))
    associated = b"chez/1 blob piece" + SPACE + b"\0" + bytes(8) + b"\1"
    for plain, good in ((b"hello".ljust(1024, b"\0"), True), (b"hello".ljust(1024, b"x"), False), (b"hello", False)):
        data = crypto.encrypt(KEY, bytes(24), plain, associated)
        if good:
            assert format.open_chunk(manifest, SPACE, 0, data) == b"hello"
        else:
            with pytest.raises(BlobDamaged):
                format.open_chunk(manifest, SPACE, 0, data)


@pytest.mark.usefixtures("small")
def test_a_page_lists_as_many_pieces_as_it_takes() -> None:
    """A member that seals a shorter or longer list is told for what it is, before any piece is asked for."""
    _, pieces = sealed([content(20_000)])
    manifest = format.open_manifest(pieces[MANIFEST].data, SPACE, EPOCHS)
    ids = format.open_page(manifest, SPACE, 0, pieces[MANIFEST - 1].data)
    associated = b"chez/1 blob piece" + SPACE + b"\1" + bytes(8) + b"\0"
    for listed in (ids, ids[1:], [*ids, ids[0]], []):
        data = crypto.encrypt(KEY, (b"\1" + bytes(8)).ljust(24, b"\0"), pad(b"".join(listed)), associated)
        if listed == ids:
            assert format.open_page(manifest, SPACE, 0, data) == ids
        else:
            with pytest.raises(BlobDamaged, match="another length"):
                format.open_page(manifest, SPACE, 0, data)


def test_a_content_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what a manifest can list, adding stops with a reason."""
    monkeypatch.setattr(format, "MAX_SIZE", 5000)
    sealer = Sealer(KEY, SPACE)
    assert list(sealer.feed(bytes(5000))) == []
    with pytest.raises(InvalidValue):
        list(sealer.feed(b"x"))


def test_golden_vectors() -> None:
    """The pinned pieces are what the layout on paper gives, what is sealed now, and what opens."""
    pinned = golden("blobs")
    assert pinned == vectors()
    for vector in pinned["blobs"]:
        _, pieces = sealed([content(vector["size"])])
        assert pieces[MANIFEST].data.hex() == vector["sealed_manifest"]
        assert pieces[MANIFEST].id.hex() == vector["id"]
        assert [pieces[n].id.hex() for n in range(len(pieces) - 1)] == vector["chunks"]
        assert opened(pieces) == content(vector["size"])

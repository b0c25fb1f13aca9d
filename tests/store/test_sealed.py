"""The sealed file that a backup is."""

from io import BytesIO

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez import crypto
from chez.errors import BadArchive
from chez.store.sealed import CHUNK, MAX_HEADER, Header, SealedReader, SealedWriter, read_header

SECRET = b"s" * 32


def seal(content: bytes, pieces: list[int]) -> bytes:
    """A sealed file of content that is written in pieces."""
    out = BytesIO()
    writer = SealedWriter(out, Header(b"\1" * 32, b"wrapped"), SECRET)
    at = 0
    for size in pieces:
        writer.write(content[at:at + size])
        at += size
    writer.write(content[at:])
    writer.close()
    return out.getvalue()


@settings(deadline=None)
@given(st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7]),
       st.lists(st.integers(0, 2 * CHUNK), max_size=4), st.lists(st.integers(0, 2 * CHUNK), max_size=4))
def test_sealed_files_give_back_their_content(size: int, written: list[int], read: list[int]) -> None:
    """Whatever the pieces in which it is written and read, and each length around a chunk's."""
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    sealed = seal(content, written)
    assert sealed == seal(content, [])
    file = BytesIO(sealed)
    reader = SealedReader(file, read_header(file), SECRET)
    out = b""
    for piece in read:
        out += reader.read(min(piece, size - len(out)))
    out += reader.read(size - len(out))
    reader.end()
    assert out == content
    with pytest.raises(BadArchive):
        reader.read(1)


@given(st.binary(max_size=200))
def test_headers_of_any_bytes(data: bytes) -> None:
    """A header is read or refused with a typed error."""
    for start in (b"", b"CZB\x01", b"CZB\x01" + len(data).to_bytes(4, "big")):
        try:
            read_header(BytesIO(start + data))
        except BadArchive:
            pass


def test_a_header_is_of_this_version_and_of_one_form() -> None:
    """One of a later version is told as that; none says how much is read of it; and none that says the same by other
    bytes is taken for it."""
    sealed = seal(b"content", [])
    header = msgspec.msgpack.encode(Header(b"\1" * 32, b"wrapped"))
    assert sealed.startswith(b"CZB\x01" + len(header).to_bytes(4, "big") + header)
    with pytest.raises(BadArchive, match="later version"):
        read_header(BytesIO(b"CZB\x02" + sealed[4:]))
    endless = BytesIO(b"CZB\x01" + b"\xff" * 4 + bytes(MAX_HEADER * 2))
    with pytest.raises(BadArchive, match="no backup"):
        read_header(endless)
    assert endless.tell() == 8
    other = header.replace(b"\xc4\x20", b"\xc5\x00\x20", 1)  # the salt's length in two bytes
    assert msgspec.msgpack.decode(other, type=Header) == read_header(BytesIO(sealed))
    with pytest.raises(BadArchive, match="altered"):
        read_header(BytesIO(b"CZB\x01" + len(other).to_bytes(4, "big") + other + sealed[8 + len(header):]))


@pytest.mark.parametrize("read", [0, 1, CHUNK, 2 * CHUNK])
def test_what_goes_on_behind_its_end_is_told(read: int) -> None:
    """Wherever the reader is in a chunk."""
    file = BytesIO(seal(b"x" * (2 * CHUNK + 1), []))
    reader = SealedReader(file, read_header(file), SECRET)
    reader.read(read)
    with pytest.raises(BadArchive, match="goes on"):
        reader.end()


def test_a_chunk_opens_in_its_own_file_only() -> None:
    """Two files under one secret: their chunks can't be exchanged, for each has a salt."""
    files = []
    for salt in (b"\1", b"\2"):
        out = BytesIO()
        writer = SealedWriter(out, Header(salt * 32, b""), SECRET)
        writer.write(b"x" * CHUNK * 2)
        writer.close()
        files.append(out.getvalue())
    assert len(files[0]) == len(files[1])
    start = len(files[0]) - 2 * (CHUNK + crypto.TAG_BYTES)
    file = BytesIO(files[0][:start] + files[1][start:])
    reader = SealedReader(file, read_header(file), SECRET)
    with pytest.raises(BadArchive):
        reader.read(1)

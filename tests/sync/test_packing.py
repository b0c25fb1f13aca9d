"""Signed bytes as they are kept and sealed: zstd that anybody reads, though few of them are not compressed."""

import os

import pytest
import zstandard

from chez.crypto import SigningKey
from chez.sync.entry import CHECKPOINTS, GENESIS, MANIFEST, Inner, Item, read_signed, sign_entry, unpacked_size

AUTHOR = SigningKey.from_seed(bytes(32))


@pytest.mark.parametrize("size", [1, 60, 200, 250, 256, 300, 310, 320, 400, 700, 5000])
def test_an_entry_of_any_size_is_read_by_any_reader_of_zstd(size: int) -> None:
    """On both sides of where compressing begins, and of where a length takes one more byte."""
    items = [Item(MANIFEST, "", "", os.urandom(size // 2) + bytes(size - size // 2), 0)]
    entry = sign_entry(Inner(1, bytes(32), AUTHOR.public, 1, GENESIS, 0, CHECKPOINTS, items, [], None), AUTHOR)
    signed = zstandard.ZstdDecompressor().decompress(entry.packed)
    assert unpacked_size(entry.packed) == len(signed) > size
    assert len(entry.packed) < len(signed) + 16
    assert len(signed) <= 512 or len(entry.packed) < len(signed) - size // 4
    assert read_signed(entry.packed).hash == entry.hash
    with pytest.raises(zstandard.ZstdError):
        zstandard.ZstdDecompressor().decompress(entry.packed[:-1])

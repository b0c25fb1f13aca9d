"""A file as blocks of whole lines, however hostile its bytes: what is done to all of a block costs each line little.

No more than a block is held, and of a line that is too long only its beginning.
"""

from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

__all__ = ("LineBlock", "line_blocks")

BLOCK: Final = 16 * 1024
"""Bytes that are read at once: some hundred lines. Larger ones are hardly faster, and all of one is held."""


class LineBlock(msgspec.Struct, frozen=True):
    """Lines, with what stands between them but not the last one's end; `first` is the first one's number, from 1."""

    first: int
    data: bytes
    count: int
    """How many lines it has: at least one."""
    done: int
    """The file's bytes up to its end."""
    whole: bool
    """Whether no line is too long; else those that are have a byte too many, and the rest of them is left out."""
    ends: bool
    """Whether its last line ends: the file's last one need not."""

    def __repr__(self) -> str:
        return f"LineBlock(first={self.first}, count={self.count})"

    def texts(self, codec: str) -> list[str] | None:
        """The lines as text; None when one of them is too long, or no text in this codec."""
        if not self.whole:
            return None
        try:
            return self.data.decode(codec).split("\n")
        except UnicodeDecodeError:
            return None


def line_blocks(file: BinaryIO, longest: int) -> Iterator[LineBlock]:
    """The lines of a file from where it stands, without the mark of UTF-8 before the first one.

    Lines end with LF, which is not counted in the bytes, `longest`, that one may have.
    """
    begun = file.read(len(BOM_UTF8))
    begun, done = (b"", len(begun)) if begun == BOM_UTF8 else (begun, 0)
    rest, first = b"", 1
    while data := begun + file.read(BLOCK):
        begun, end = b"", data.rfind(b"\n")
        if end >= 0:
            block = _block(first, rest + data[:end], done + end + 1, longest, ends=True)
            yield block
            first += block.count
            rest = data[end + 1 :]
        else:
            rest += data
        # One byte more than it may have is kept: that it has too many is not forgotten.
        rest = rest[: longest + 1]
        done += len(data)
    if rest:
        yield _block(first, rest, done, longest, ends=False)


def _block(first: int, data: bytes, done: int, longest: int, *, ends: bool) -> LineBlock:
    lines = data.split(b"\n")
    whole = max(map(len, lines)) <= longest
    if not whole:
        data = b"\n".join(line[: longest + 1] for line in lines)
    return LineBlock(first, data, len(lines), done, whole, ends)

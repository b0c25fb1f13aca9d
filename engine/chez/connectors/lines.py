"""A file as numbered lines of text, however hostile its bytes.

Never more than `MAX_LINE` bytes of a line are held; what is longer, or is not UTF-8, is
a `Reject`, and reading goes on with the next line.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Progress, Reject, excerpt
from chez.connectors.line_blocks import LineBlock, line_blocks

__all__ = ("MAX_COLUMNS", "MAX_LINE", "Line", "columns", "decimal_day", "lines")

MAX_LINE: Final = 16 * 1024
"""Bytes in one line of a table: the longest honest ones seen have a few hundred."""

MAX_COLUMNS: Final = 256
"""Columns in one line of a table."""

DAY: Final = re.compile(r"\d\d/\d\d/\d{4}", re.ASCII)


class Line(msgspec.Struct, frozen=True):
    """One line without its end, and its number from 1."""

    number: int
    text: str

    def __repr__(self) -> str:
        return f"Line(number={self.number})"


def lines(file: BinaryIO) -> Iterator[Line | Reject | Progress]:
    """The non-blank lines of a UTF-8 file, with or without BOM, ends LF or CRLF."""
    done = 0
    for block in line_blocks(file, MAX_LINE):
        texts = block.texts("utf-8")
        if texts is None:
            yield from _one_by_one(block)
        else:
            for number, text in enumerate(texts, block.first):
                if text := text.strip("\r\n \t"):
                    yield Line(number, text)
        done = block.done
        yield Progress(done)
    if not done:
        yield Progress(0)


def _one_by_one(block: LineBlock) -> Iterator[Line | Reject]:
    """The lines of a block in which one is no text, or too long."""
    for number, raw in enumerate(block.data.split(b"\n"), block.first):
        if len(raw) > MAX_LINE:
            yield Reject(number, f"the line is longer than {MAX_LINE} bytes", excerpt(raw))
            continue
        try:
            if text := raw.decode().strip("\r\n \t"):
                yield Line(number, text)
        except UnicodeDecodeError:
            yield Reject(number, "the line is not UTF-8 text", excerpt(raw))


def columns(text: str) -> list[str]:
    """Split a line at `;`. Raises `ValueError` when it has too many columns."""
    parts = text.split(";", MAX_COLUMNS)
    if len(parts) > MAX_COLUMNS:
        raise ValueError(f"the line has more than {MAX_COLUMNS} columns")
    return [part.strip(' "') for part in parts]


def decimal_day(text: str) -> date:
    """A day written dd/mm/yyyy. Raises `ValueError` with a reason for people."""
    if not DAY.fullmatch(text):
        raise ValueError("the date is not dd/mm/yyyy")
    day, month, year = text.split("/")
    if not MIN_YEAR <= int(year) <= MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise ValueError("there is no such day") from None

"""A table's text as rows of cells, however hostile.

A cell may have line breaks inside quotes. A quote that does not end within `MAX_LINES` lines was none: its line is
rejected, and reading goes on with the next one.

Rows are split in the cheapest way that gives what `csv` gives: a block of lines without a quote at its delimiters, one
with quotes by `csv` in one go as long as each row ends in it, and what is left row by row. Source: RFC 4180.
"""

import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import Progress, Reject, excerpt
from chez.connectors.line_blocks import LineBlock, line_blocks

__all__ = ("MAX_LINES", "MAX_RECORD", "Cells", "Dialect", "cells")

MAX_RECORD: Final = 32 * 1024
"""Bytes of one line, and characters of all lines of a row but the last."""

MAX_LINES: Final = 64
"""Lines that one row may have."""

MAX_TRIES: Final = 8
"""How often the rest of a block is given to `csv` after a row that did not end in it: each reads all that is left."""

_ENDLESS: Final = "the row does not end: a quote is opened and not closed"


class Dialect(msgspec.Struct, frozen=True):
    """How a table is written: its delimiter, and the codec of its text."""

    delimiter: str
    codec: str


class Cells(msgspec.Struct, frozen=True):
    """One row: the number of its first line, from 1, and its cells."""

    line: int
    values: list[str]

    def __repr__(self) -> str:
        return f"Cells(line={self.line})"


def cells(file: BinaryIO, dialect: Dialect) -> Iterator[Cells | Reject | Progress]:
    """The rows of a table from where the file stands, its header first; empty lines are left out."""
    source = _Lines(file, dialect)
    while (block := source.left()) is not None:
        if source.plain is not None:
            for number, text in enumerate(source.plain[source.at :], block.first + source.at):
                values = text.split(dialect.delimiter)
                if values[0].strip() or any(map(str.strip, values)):
                    yield Cells(number, values)
            source.at = block.count
        elif source.texts is not None and source.tries < MAX_TRIES:
            yield from _quoted(source, block, source.texts)
        else:
            while source.block is block and source.at < block.count:
                yield from _careful(source)
        yield Progress(source.done)
    if not source.done:
        yield Progress(0)


def _quoted(source: "_Lines", block: LineBlock, texts: list[str]) -> Iterator[Cells | Reject]:
    """Rows up to the end of the block, or up to one that is not well quoted in it, that one included."""
    source.tries += 1
    rest, before = [f"{text}\n" for text in texts[source.at :]], 0
    # Strict: what is then taken is a row in any case.
    reader = csv.reader(rest, delimiter=source.dialect.delimiter, strict=True)
    try:
        for values in reader:
            after = reader.line_num
            if after > before + MAX_LINES or sum(map(len, rest[before : after - 1])) > MAX_RECORD:
                break
            if any(map(str.strip, values)):
                yield Cells(block.first + source.at + before, values)
            before = after
    except csv.Error:
        pass
    source.at += before
    if source.at < block.count:
        yield from _careful(source)


def _careful(source: "_Lines") -> Iterator[Cells | Reject]:
    """One row, and those that begin in the lines which it did not need after all."""
    while True:
        values, problem, was_ended = None, "", source.ended
        source.taken, source.size = [], 0
        try:
            values = next(csv.reader(source, delimiter=source.dialect.delimiter), None)
        except (ValueError, csv.Error) as error:
            problem = str(error)
        yield from source.rejects
        source.rejects = []
        if not source.taken:
            return
        if not problem and source.ended and not was_ended and len(source.taken) > 1:
            problem = _ENDLESS
        if problem:
            number, text = source.give_back()
            source.ended = False
            yield Reject(number, problem, excerpt(text))
        elif values is not None and any(map(str.strip, values)):
            yield Cells(source.taken[0][0], values)
        if not source.again:
            return


class _Lines:
    """The lines of a file, taken by the row that needs them and given back by one that ends nowhere."""

    def __init__(self, file: BinaryIO, dialect: Dialect) -> None:
        self.dialect = dialect
        self._blocks = line_blocks(file, MAX_RECORD)
        self._raw: list[bytes] = []
        self.block: LineBlock | None = None
        self.at = self.done = self.size = self.tries = 0
        self.texts: list[str] | None = None
        """The block's lines, when all of them may be taken."""
        self.plain: list[str] | None = None
        """The same without their ends, when none has a quote or a break in the middle: delimiters alone make cells."""
        self.again: deque[tuple[int, str]] = deque()
        self.taken: list[tuple[int, str]] = []
        self.rejects: list[Reject] = []
        self.ended = False

    def left(self) -> LineBlock | None:
        """The block that has the next line, `at` lines of it being taken; None at the end of the file."""
        if self.block is None or self.at >= self.block.count:
            self.block = next(self._blocks, None)
            self.at = self.tries = 0
            if self.block is not None:
                self._look(self.block)
        return self.block

    def _look(self, block: LineBlock) -> None:
        self.done = block.done
        self.texts = None if b"\0" in block.data else block.texts(self.dialect.codec)
        self._raw = [] if self.texts is not None else block.data.split(b"\n")
        self.plain = None if b'"' in block.data else self.texts
        if self.plain is not None and b"\r" in block.data:
            plain = [text.removesuffix("\r") for text in self.plain]
            self.plain = None if any("\r" in text for text in plain) else plain

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= MAX_LINES or self.size > MAX_RECORD:
            raise ValueError(_ENDLESS)
        while not self.again:
            self._read()
        number, text = self.again.popleft()
        self.taken.append((number, text))
        self.size += len(text)
        return text

    def _read(self) -> None:
        """One more line, if it is one that may be taken."""
        block = self.left()
        if block is None:
            self.ended = True
            raise StopIteration
        number, at = block.first + self.at, self.at
        self.at += 1
        end = "\n" if block.ends or self.at < block.count else ""
        if self.texts is not None:
            self.again.append((number, self.texts[at] + end))
            return
        raw = self._raw[at]
        try:
            if len(raw) > MAX_RECORD:
                raise ValueError(f"the line is longer than {MAX_RECORD} bytes")
            if b"\0" in raw:
                raise ValueError("the line has a zero byte")
            self.again.append((number, raw.decode(self.dialect.codec) + end))
        except UnicodeDecodeError:
            self.rejects.append(Reject(number, f"the line is not {self.dialect.codec} text", excerpt(raw)))
        except ValueError as error:
            self.rejects.append(Reject(number, str(error), excerpt(raw)))

    def give_back(self) -> tuple[int, str]:
        """All lines of the row but its first, which is returned: they are read again."""
        first, *rest = self.taken
        self.again.extendleft(reversed(rest))
        return first

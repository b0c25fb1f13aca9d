"""The objects in a large JSON file, one at a time, in bounded memory and linear time.

A parser of JSON stops at the first mistake, and one that streams gathers a string of any length. Here
the file is only cut: at the braces that stand in no string (RFC 8259), at one depth, which is where
the format keeps its records. Each object is then parsed by itself, so that a bad one costs itself,
and nothing that is longer than `MAX_OBJECT` or deeper than `MAX_DEPTH` is ever held.

Most chunks are a run of whole objects that look alike, which a parser in C tells apart at a fraction of the cost
(`_run`). What it does not take, it takes nothing of: then the braces are counted here.

Where keys say which objects are meant, or more is wanted than objects: `chez.connectors.elements`.
"""

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from typing import BinaryIO, Final, TypeVar, cast

import msgspec

from chez.connectors.api import Found, Item, Progress, Reject, excerpt
from chez.connectors.json_bytes import BOM, CHUNK, FLAT, OUTSIDE, REST, UNMARKED

__all__ = ("MAX_DEPTH", "MAX_OBJECT", "Object", "objects", "records", "typed_records")

MAX_OBJECT: Final = 64 * 1024
"""Bytes of one object."""
MAX_DEPTH: Final = 64
"""Brackets inside each other."""
BETWEEN: Final = b" \t\n\r\f\v,"
"""What may stand between two objects: a comma, and what `\\s` is in bytes."""
GAP: Final = 64
RUN: Final = msgspec.json.Decoder(list[msgspec.Raw])
RUNS: Final = 2
"""How often a run is looked for in a chunk: each time costs all its bytes, and the first object of a list may stand
otherwise than the others."""
NEAR: Final = 4096
"""How far ahead the beginning and the end of an object are looked for at once."""
_BAD_JSON: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
Kind = TypeVar("Kind", bound=msgspec.Struct)
TOO_DEEP: Final = f"it is deeper than {MAX_DEPTH} brackets"


class Object(msgspec.Struct, frozen=True):
    """The bytes of one object, and the line of the file (from 1) on which it begins."""

    line: int
    bytes: bytes

    def __repr__(self) -> str:
        return f"Object(line={self.line})"


def objects(file: BinaryIO, depth: int = 1) -> Iterator[Object | Reject | Progress]:
    """The objects of a file that stand in so many brackets: 1 for the items of an array.

    An object that is too long or too deep is a reject, and so is the end of the file inside one.
    Whether an object is JSON is for its parser to say.
    """
    for item in _cut(file, depth):
        if isinstance(item, _Run):
            yield from map(Object, item.lines, item.objects)
        else:
            yield item


def _cut(file: BinaryIO, depth: int) -> Iterator["Object | _Run | Reject | Progress"]:
    cutter = _Cutter(depth)
    done = 0
    while chunk := file.read(CHUNK):
        if not done:
            chunk = chunk.removeprefix(BOM)
        yield from cutter.feed(chunk)
        done += len(chunk)
        yield Progress(done)
    yield from cutter.end()


def typed_records(file: BinaryIO, kind: type[Kind], record: Callable[[Kind], msgspec.Struct],
                  depth: int = 1) -> Generator[Item, None, bool]:
    """What `record` makes of each object, which is of a type; one that is not, or for which it raises `ValueError`, is
    a reject.

    Returns whether there was any object. A run of objects is told apart and read in two calls.
    """
    seen = False
    one, many = msgspec.json.Decoder(kind), msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    for item in _cut(file, depth):
        if isinstance(item, Reject | Progress):
            yield item
            continue
        seen = True
        run = item if isinstance(item, _Run) else _Run((item.line,), [item.bytes])
        try:
            values: Sequence[Kind | None] = many.decode(run.bytes) if run.bytes else [None]
        except _BAD_JSON:
            values = [None] * len(run.objects)
        for line, data, value in zip(run.lines, run.objects, values, strict=False):
            try:
                yield Found(record(one.decode(data) if value is None else value), line)
            except _BAD_JSON as error:
                yield Reject(line, f"it is nothing that is read here: {excerpt(str(error))}", excerpt(data))
            except ValueError as error:
                yield Reject(line, str(error), excerpt(data))
    return seen


def records(file: BinaryIO, record: Callable[[bytes], msgspec.Struct], depth: int = 1) -> Generator[Item, None, bool]:
    """What `record` makes of each object; one for which it raises msgspec's errors or `ValueError` is a reject.

    Returns whether there was any object.
    """
    seen = False
    for item in objects(file, depth):
        if not isinstance(item, Object):
            yield item
            continue
        seen = True
        try:
            yield Found(record(item.bytes), item.line)
        except _BAD_JSON as error:
            yield Reject(item.line, f"it is nothing that is read here: {excerpt(str(error))}", excerpt(item.bytes))
        except ValueError as error:
            yield Reject(item.line, str(error), excerpt(item.bytes))
    return seen


def _plain(chunk: bytes, at: int) -> tuple[int, int] | None:
    """The span that `_flat` finds, in half the time, where no escape and no other bracket is near."""
    # Bounded, so that what is looked at in vain is not looked at again for each of many small pieces.
    begin = chunk.find(b"{", at, at + GAP)
    end = chunk.find(b"}", begin, begin + NEAR) + 1 if begin >= 0 else 0
    if not end or chunk[at:begin].strip(BETWEEN):
        return None
    marks = chunk[begin:end].translate(None, UNMARKED)
    quotes = len(marks) - 2
    return None if quotes & 1 or marks.count(b'"') != quotes else (begin, end)


class _Run(msgspec.Struct):
    """Objects that stand beside each other: their lines, each by itself, and the list that they are."""

    lines: Iterable[int]
    objects: list[bytes]
    bytes: bytes = b""
    begin: int = 0
    end: int = 0


def _run(chunk: bytes, at: int) -> _Run | None:
    """The objects from here to the last one that begins as the first does, if a parser says that this is what they are.

    Each stands at the next brace after the one before: there are but blanks and a comma between them.
    """
    begin = chunk.find(b"{", at, at + GAP)
    between = chunk[at:begin]
    key = chunk.find(b'"', begin + 1, begin + GAP)
    end = chunk.find(b'"', key + 1, key + GAP) + 1
    if begin < 0 or key < 0 or not end or between.strip(BETWEEN):
        return None
    last = chunk.rfind(b"," + between.rpartition(b",")[2] + chunk[begin:end], end)
    end = chunk.rfind(b"}", end, last) + 1 if last >= 0 else 0
    if not end:
        return None
    run = b"[%b]" % chunk[begin:end]
    try:
        found = [bytes(one) for one in RUN.decode(run)]
    except _BAD_JSON:
        return None
    if {one[0] for one in found} != {0x7B} or not _is_low(found, begin, end, chunk):
        return None
    return _Run((), found, run, begin, end)


def _lines(run: _Run, chunk: bytes, line: int) -> tuple[Iterable[int], int]:
    """The lines on which the objects of a run begin, the first one on this; and the line at their end."""
    inside = list(map(bytes.count, run.objects, repeat(b"\n")))
    if run.end - run.begin == sum(map(len, run.objects)) + len(inside) - 1:  # between them are but commas
        return accumulate(inside, initial=line), line + sum(inside)
    lines, counted, at = [], run.begin, run.begin
    for one in run.objects:
        begin = chunk.find(b"{", at)
        line += chunk.count(b"\n", counted, begin)
        counted, at = begin, begin + len(one)
        lines.append(line)
    return lines, line + chunk.count(b"\n", counted, run.end)


def _is_low(found: list[bytes], begin: int, end: int, chunk: bytes) -> bool:
    """Whether none of these objects can be too deep: an object has no more brackets inside each other than brackets."""
    deepest = max(map(bytes.count, found, repeat(b"{")))
    if chunk.find(b"[", begin, end) >= 0:
        deepest += max(map(bytes.count, found, repeat(b"[")))
    return deepest <= MAX_DEPTH


def _flat(chunk: bytes, at: int) -> tuple[int, int] | None:
    found = FLAT.match(chunk, at)
    return None if found is None else found.span(1)


class _Cutter:
    """Where in the file the cutting is: how deep, in a string or not, and what there is of the object begun."""

    __slots__ = ("_at", "_begun", "_depth", "_escaped", "_inside", "_line", "_parts", "_problem", "_size", "_stray",
                 "_string")

    def __init__(self, at: int) -> None:
        self._at = at
        self._depth = 0
        self._string = self._escaped = self._inside = False
        self._line = self._begun = 1
        self._stray = 0
        self._parts: list[bytes] = []
        self._size = 0
        self._problem = ""

    def feed(self, chunk: bytes) -> Iterator[Object | _Run | Reject]:
        """Go on with some more bytes."""
        begin = counted = runs = 0
        at = self._string_ended(chunk)
        while not self._string:
            if self._depth == self._at and not self._problem and runs < RUNS:
                runs += 1
                if (run := _run(chunk, at)) is not None:
                    self._line += chunk.count(b"\n", counted, run.begin)
                    run.lines, self._line = _lines(run, chunk, self._line)
                    counted = at = run.end
                    yield run
            while self._depth == self._at and (flat := _plain(chunk, at) or _flat(chunk, at)) is not None:
                begin, at = flat
                self._line += chunk.count(b"\n", counted, begin)
                counted, self._begun = begin, self._line
                if self._problem or at - begin > MAX_OBJECT:
                    yield self._ended(chunk[begin:at])
                else:
                    yield Object(self._line, chunk[begin:at])
            if (found := OUTSIDE.search(chunk, at)) is None:
                break
            at = found.end()
            token = chunk[at - 1]
            if token == 0x22:
                if at - found.start() == 1:
                    self._string = True
                    self._string_ended(chunk, at)
            elif token in b"{[":
                if token == 0x7B and self._depth == self._at:
                    begin = at - 1
                    self._line += chunk.count(b"\n", counted, begin)
                    counted, self._begun, self._inside = begin, self._line, True
                self._depth += 1
                if self._depth - self._at > MAX_DEPTH:
                    self._problem = TOO_DEEP
            else:
                if not self._depth:
                    self._stray = self._stray or self._line + chunk.count(b"\n", counted, at)
                self._depth = max(0, self._depth - 1)
                if self._inside and self._depth <= self._at:
                    yield self._ended(chunk[begin:at])
        if self._inside:
            self._keep(chunk[begin:])
        self._line += chunk.count(b"\n", counted)

    def _string_ended(self, chunk: bytes, at: int = 0) -> int:
        """Past the end of the string that is open, if it is in the chunk; a backslash may be the chunk's last byte."""
        if not self._string:
            return at
        rest = cast("re.Match[bytes]", REST.match(chunk, at + self._escaped))  # it matches nothing, too
        self._string = not rest[1]
        self._escaped = self._string and rest.end() < len(chunk)
        return rest.end()

    def end(self) -> Iterator[Reject]:
        """The file is over."""
        if self._inside or self._depth or self._string:
            yield Reject(self._begun if self._inside else self._line,
                         "the file ends inside an object or a list: a part is missing", excerpt(b"".join(self._parts)))
        if self._stray:
            yield Reject(self._stray, "a bracket closes here that is opened nowhere: a part of what is before it may "
                                      "be missing", "")

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_OBJECT:
            self._problem = self._problem or f"it is longer than {MAX_OBJECT} bytes"
            self._parts[1:] = []
        if not self._problem or not self._parts:
            self._parts.append(part[:MAX_OBJECT])

    def _ended(self, part: bytes) -> Object | Reject:
        self._keep(part)
        whole, problem = b"".join(self._parts), self._problem
        self._inside = False
        self._parts.clear()
        self._size, self._problem = 0, ""
        return Reject(self._begun, problem, excerpt(whole)) if problem else Object(self._begun, whole)

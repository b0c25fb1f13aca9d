"""Keystrokes as changes of a document, each one a change of its own.

Few are made by the document library, one transaction each. For many, as when a text is
typed by a program or a session was offline from its home's disk, their bytes are written
here and taken in together, which costs a fraction: they are those that the library makes
for the same edits (tests/records compare them). To know which operation put in the
character at a place, the text as it was is asked once for each place that is needed, and
what the strokes did since is kept as pieces of old and new characters.

Source: the Automerge binary format specification, "Change chunk" and "Column encoding".
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from chez.records import automerge
from chez.records.automerge import Document, RawChange
from chez.records.encode import sleb, uleb
from chez.records.operations import DELETE, HEAD, SET, Operation, OpId, encode
from chez.records.patches import Patch
from chez.records.places import operation_id

__all__ = ("TEXT", "changes_by_hand", "changes_by_library", "is_worth_it")

_MAGIC: Final = b"\x85\x6f\x4a\x83"
TEXT: Final = 6
"""The kind of a value that is a string, as the format has it."""

_FEW: Final = 64


def is_worth_it(strokes: int, operations: int) -> bool:
    """Whether so many strokes, on a document of so many operations, are better written here.

    The library takes about 50 µs for one; taken in together they need a tenth of that, and 0.1 µs
    for each operation that is there.
    """
    return strokes > _FEW + operations // 300


def changes_by_library(document: Document, text: bytes, strokes: Sequence[Patch]) -> list[RawChange]:
    """Make the changes in the document itself, one for each stroke.

    `strokes` are stepwise, each on the text that the one before left.
    """
    heads = document.get_heads()
    for steps in strokes:
        automerge.splice(document, text, [(one.at, one.delete, one.insert) for one in steps])
    return [automerge.read_change(data) for data in automerge.changes_of(document, heads)]


def changes_by_hand(document: Document, text: bytes, own: tuple[int, bytes], last: int,
                    strokes: Sequence[Patch]) -> list[RawChange]:
    """The same changes, made beside the document, which is to take them in.

    `own` are the number and hash of its actor's last change (0 for none), `last` is the number of the last
    operation that its heads know of. For a text of which each character is an operation that put it in, and no
    other stands over it; and without marks: what is typed at the edge of one belongs to it or not, as the library
    decides.
    """
    actor = bytes(document.get_actor())
    line = _Line(document, text, actor)
    writer = _Writer(actor, operation_id(text))
    sequence, previous = own
    dependencies = sorted({*map(bytes, document.get_heads()), *([previous] if sequence else [])})
    start = last + 1
    out = []
    for number, steps in enumerate(strokes, sequence + 1):
        change = writer.change(line, number, start, dependencies, steps)
        start, dependencies = change.last + 1, [change.hash]
        out.append(change)
    return out


class _Line:
    """The operations that put in the characters of a text, while strokes change it."""

    def __init__(self, document: Document, text: bytes, actor: bytes) -> None:
        self._document = document
        self._text = text
        self._actor = actor
        # Stretches of characters: where the first was in the old text, or the number of the
        # operation that put it in; how many; whether they are new.
        self._pieces: list[tuple[int, int, bool]] = [(0, automerge.length(document, text), False)]
        self._at = 0  # the piece that was used last
        self._begin = 0  # where that begins

    def before(self, at: int) -> OpId:
        """What is put in at a place comes after this."""
        return HEAD if at == 0 else self.at(at - 1)

    def at(self, position: int) -> OpId:
        """The operation that put in a character."""
        self._seek(position)
        begin = self._begin
        first, size, new = self._pieces[self._at]
        if position == begin + size:
            begin += size
            first, size, new = self._pieces[self._at + 1]
        if new:
            return first + position - begin, self._actor
        return operation_id(automerge.character(self._document, self._text, first + position - begin))

    def splice(self, at: int, delete: int, first: int, count: int) -> None:
        """Characters go, and `count` come, put in by the operations from the number `first` on."""
        begin = self._split(at)
        end = self._split(at + delete) if delete else begin
        new = (first, count, True)
        size = 0
        if begin and count and self._pieces[begin - 1][2]:
            before, size, _ = self._pieces[begin - 1]
            if before + size == first:
                begin, new = begin - 1, (before, size + count, True)
            else:
                size = 0
        self._pieces[begin:end] = [new] if count else []
        if not self._pieces:
            self._pieces.append((0, 0, False))
        self._at, self._begin = begin, at - size
        if begin == len(self._pieces):
            self._at -= 1
            self._begin -= self._pieces[self._at][1]

    def _seek(self, at: int) -> None:
        while at < self._begin:
            self._at -= 1
            self._begin -= self._pieces[self._at][1]
        while at > self._begin + self._pieces[self._at][1]:
            self._begin += self._pieces[self._at][1]
            self._at += 1

    def _split(self, at: int) -> int:
        """The number of the piece that begins at a place."""
        self._seek(at)
        first, size, new = self._pieces[self._at]
        here = at - self._begin
        if here == 0 or here == size:
            return self._at + (here > 0)
        self._pieces[self._at : self._at + 1] = [(first, here, new), (first + here, size - here, new)]
        return self._at + 1


class _Writer:
    """Writes the changes of one actor in one text."""

    def __init__(self, actor: bytes, text: OpId) -> None:
        self._actor = actor
        self._text = text
        own = text[1] == actor
        self._others = b"\0" if own else b"\1" + uleb(len(text[1])) + text[1]
        number = b"\x7f" + uleb(text[0])
        self._widths = b"\1\2\2" + uleb(len(number))
        self._object = (b"\x7f\0" if own else b"\x7f\1") + number

    def change(self, line: _Line, sequence: int, start: int, dependencies: Sequence[bytes],
               steps: Patch) -> RawChange:
        """The change of one stroke; `line` has it afterwards."""
        if len(steps) == 1:
            one = steps[0]
            if one.delete == 0 and len(one.insert) == 1:
                after = line.before(one.at)
                line.splice(one.at, 0, start, 1)
                if after is HEAD or after[1] == self._actor:
                    return self._closed(sequence, start, dependencies, self._put_in(after, one.insert.encode()), 1)
                return self._any(sequence, start, dependencies, [self._insertion(start, after, one.insert)])
            if one.delete == 1 and not one.insert:
                gone = line.at(one.at)
                line.splice(one.at, 1, 0, 0)
                if gone[1] == self._actor:
                    return self._closed(sequence, start, dependencies, self._taken_out(gone), 2)
                return self._any(sequence, start, dependencies, [self._deletion(start, gone)])
        operations: list[Operation] = []
        for one in steps:
            at = start + len(operations)
            after = line.before(one.at)
            gone_ids = [line.at(n) for n in range(one.at, one.at + one.delete)]
            line.splice(one.at, one.delete, at, len(one.insert))
            for n, letter in enumerate(one.insert):
                operations.append(self._insertion(at + n, after, letter))
                after = (at + n, self._actor)
            operations += [self._deletion(at + len(one.insert) + n, id) for n, id in enumerate(gone_ids)]
        return self._any(sequence, start, dependencies, operations)

    def _put_in(self, after: OpId, raw: bytes) -> bytes:
        """The columns of one character that comes."""
        key = b"\x7f" + sleb(after[0])
        meta = b"\x7f" + uleb(len(raw) << 4 | TEXT)
        who, count = (b"", b"\x08") if after is HEAD else (b"\x11\2", b"\x09")
        return b"".join((
            count, self._widths, who, b"\x13", uleb(len(key)), b"\x34\2\x42\2\x56", uleb(len(meta)), b"\x57",
            uleb(len(raw)), b"\x70\2",
            self._object, b"\x7f\0" if who else b"", key, b"\0\1", b"\x7f\1", meta, raw, b"\x7f\0"))

    def _taken_out(self, gone: OpId) -> bytes:
        """The columns of one character that goes."""
        key = b"\x7f" + sleb(gone[0])
        size = uleb(len(key))
        return b"".join((
            b"\x0a", self._widths, b"\x11\2\x13", size, b"\x34\1\x42\2\x56\2\x70\2\x71\2\x73", size,
            self._object, b"\x7f\0", key, b"\1", b"\x7f\3", b"\x7f\0", b"\x7f\1", b"\x7f\0", key))

    def _closed(self, sequence: int, start: int, dependencies: Sequence[bytes], columns: bytes,
                weight: int) -> RawChange:
        body = b"".join((
            uleb(len(dependencies)), *dependencies, uleb(len(self._actor)), self._actor, uleb(sequence), uleb(start),
            b"\0\0",  # no time, no message
            self._others, columns))
        tail = b"\1" + uleb(len(body)) + body
        digest = hashlib.sha256(tail).digest()
        return RawChange(digest, self._actor, sequence, tuple(dependencies), start, start, weight,
                         _MAGIC + digest[:4] + tail)

    def _any(self, sequence: int, start: int, dependencies: Sequence[bytes],
             operations: list[Operation]) -> RawChange:
        return encode(self._actor, sequence, start, dependencies, operations)

    def _insertion(self, number: int, after: OpId, letter: str) -> Operation:
        return Operation((number, self._actor), self._text, after, True, SET, TEXT, letter.encode(), ())

    def _deletion(self, number: int, gone: OpId) -> Operation:
        return Operation((number, self._actor), self._text, gone, False, DELETE, 0, b"", (gone,))

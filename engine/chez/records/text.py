"""Collaborative text: the value that shows it, and how an edit of it is kept.

A text is a sequence of characters that each have an identity in the document, so edits
made on two devices merge character by character. Outside a draft a `Text` never changes;
in a draft it records what is done to it, step by step, and exactly these steps go into
the document. Positions count code points, as Python's do.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any, Final, Literal

import msgspec

from chez.errors import InvalidValue, Misuse

__all__ = ("Expand", "Mark", "Marking", "Pen", "Splice", "Text", "Unmarking", "check_mark", "splices")

Expand = Literal["none", "before", "after", "both"]
"""Whether a mark grows over what is typed at its edges."""

COMPARED: Final = 250_000
"""Characters of one text times those of the other, that are compared one by one: 50 ms at worst."""


class Pen:
    """What makes values editable: those of one draft share it, and it is lifted when the draft ends."""

    __slots__ = ("lifted",)

    def __init__(self) -> None:
        self.lifted = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A stretch of a text, from `start` to before `end`, that has a property, such as being bold."""

    start: int
    end: int
    name: str
    value: str | int | float | bool | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Splice:
    """At a position, so many characters are taken out, and others put in."""

    at: int
    delete: int
    insert: str = field(repr=False)


class Marking(msgspec.Struct, frozen=True):
    """A mark is set."""

    mark: Mark
    expand: Expand


class Unmarking(msgspec.Struct, frozen=True):
    """A mark is taken away from a stretch."""

    start: int
    end: int
    name: str
    expand: Expand


class Text:
    """A text that several devices may edit at once: `Note(body=chez.Text("Hello"))`.

    It reads like a str (`str(text)`, `len`, `in`, slices, `==`). In a draft it can be
    edited; elsewhere that raises `Misuse`. A plain str put in its place is the smallest
    edit that makes the one into the other.
    """

    __slots__ = ("_content", "_marks", "_pen", "base", "steps")

    def __init__(self, content: str = "", marks: tuple[Mark, ...] = (), *, pen: Pen | None = None) -> None:
        if not isinstance(content, str):
            raise InvalidValue(f"a text is made of a str, not {type(content).__name__}")
        self._content = self.base = content
        self._marks = marks
        self._pen = pen
        self.steps: list[Splice | Marking | Unmarking] = []
        """What was done to it in its draft; with `base`, the content before that, for the engine."""

    def opened(self, pen: Pen) -> "Text":
        """The same text as a draft has it."""
        return Text(self._content, self._marks, pen=pen)

    @property
    def untouched(self) -> bool:
        """In a draft, and nothing was done to it."""
        return self._pen is not None and not self.steps

    # --- reading ------------------------------------------------------------------------

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Its marks, in order; those of a draft as they were when it began."""
        return self._marks

    def __str__(self) -> str:
        return self._content

    def __repr__(self) -> str:
        return f"<Text of {len(self._content)} characters>"

    def __len__(self) -> int:
        return len(self._content)

    def __bool__(self) -> bool:
        return bool(self._content)

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __contains__(self, part: str) -> bool:
        return part in self._content

    def __getitem__(self, at: int | slice) -> str:
        return self._content[at]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Text):
            return self._content == other._content and self._marks == other._marks
        return self._content == other if isinstance(other, str) else NotImplemented

    def __hash__(self) -> int:
        if self._pen is not None:
            raise TypeError("a text in a draft changes, so it has no hash")
        return hash(self._content)

    def __deepcopy__(self, memo: Any) -> "Text":
        return Text(self._content, self._marks)

    # --- editing, in a draft ------------------------------------------------------------

    def splice(self, at: int, delete: int = 0, insert: str = "") -> None:
        """Take out `delete` characters at a position and put in others.

        Raises `InvalidValue` for a position outside the text, `Misuse` outside a draft.
        """
        self._check(at, at + delete)
        if not isinstance(insert, str):
            raise InvalidValue(f"a text takes in a str, not {type(insert).__name__}")
        if delete or insert:
            self.steps.append(Splice(at, delete, insert))
            self._content = self._content[:at] + insert + self._content[at + delete :]

    def insert(self, at: int, text: str) -> None:
        """Put characters in at a position. Raises as `splice` does."""
        self.splice(at, 0, text)

    def delete(self, at: int, count: int = 1) -> None:
        """Take characters out at a position. Raises as `splice` does."""
        self.splice(at, count)

    def append(self, text: str) -> None:
        """Put characters in at the end. Raises as `splice` does."""
        self.splice(len(self._content), 0, text)

    def assign(self, content: str) -> None:
        """Make it read `content`, by the smallest edit. Raises as `splice` does."""
        for one in splices(self._content, str(content)):
            self.splice(one.at, one.delete, one.insert)

    def mark(self, start: int, end: int, name: str, value: str | int | float | bool | None = True, *,
             expand: Expand = "after") -> None:
        """Mark a stretch, for instance `mark(0, 5, "bold")`.

        `expand` says at which edges it grows over what is typed there. Raises
        `InvalidValue` for an empty stretch or one outside the text, `Misuse` outside a draft.
        """
        self._check(start, end)
        self.steps.append(Marking(check_mark(Mark(start, end, name, value), len(self._content)), _expand(expand)))

    def unmark(self, start: int, end: int, name: str, *, expand: Expand = "none") -> None:
        """Take a mark away from a stretch. Raises as `mark` does."""
        self._check(start, end)
        check_mark(Mark(start, end, name, None), len(self._content))
        self.steps.append(Unmarking(start, end, name, _expand(expand)))

    def _check(self, start: int, end: int) -> None:
        if self._pen is None or self._pen.lifted:
            raise Misuse("a text is edited inside a draft", "async with notes.edit(id) as draft: ...")
        if not 0 <= start <= end <= len(self._content):
            raise InvalidValue(f"{start} to {end} is not within the text of {len(self._content)} characters")


def check_mark(mark: Mark, length: int) -> Mark:
    """A mark that a text of so many characters can have. Raises `InvalidValue`."""
    ends = type(mark.start) is int and type(mark.end) is int and 0 <= mark.start < mark.end <= length
    if not ends or not _storable(mark.name) or not mark.name:
        raise InvalidValue("a mark has a name, and a stretch within the text that is not empty")
    value = mark.value
    if not (value is None or type(value) is bool or (type(value) is float and math.isfinite(value))
            or (type(value) is int and -(2**63) <= value < 2**63) or _storable(value)):
        raise InvalidValue("a mark's value is a text, a number of 64 bits, a boolean or None")
    return mark


def _storable(text: object) -> bool:
    try:
        return type(text) is str and text.encode() is not None
    except UnicodeEncodeError:
        return False


def _expand(expand: Expand) -> Expand:
    if expand not in ("none", "before", "after", "both"):
        raise InvalidValue(f"a mark expands 'none', 'before', 'after' or 'both', not {expand!r}")
    return expand


def splices(old: str, new: str) -> list[Splice]:
    """Edits that make one text into another, in order, each upon the one before.

    Compared character by character where that is quick, else line by line, else what
    differs between the common beginning and end is replaced.
    """
    start = 0
    for a, b in zip(old, new, strict=False):
        if a != b:
            break
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    middle = old[start : len(old) - end], new[start : len(new) - end]
    if len(middle[0]) * len(middle[1]) <= COMPARED:
        return _compared(middle[0], middle[1], start)
    lines = middle[0].splitlines(keepends=True), middle[1].splitlines(keepends=True)
    if len(lines[0]) * len(lines[1]) > COMPARED:
        return [Splice(start, len(middle[0]), middle[1])]
    return _compared(lines[0], lines[1], start)


def _compared(old: str | list[str], new: str | list[str], start: int) -> list[Splice]:
    out = []
    at = start
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = "".join(old[i1:i2]), "".join(new[j1:j2])
        if tag != "equal":
            out.append(Splice(at, len(gone), come))
        at += len(come)
    return out

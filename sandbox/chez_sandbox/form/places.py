"""Where each key and each array element of a TOML text stands.

`tomllib` reads values and forgets where they were. This walks a text that tomllib has
accepted (TOML 1.0, https://toml.io/en/v1.0.0) and remembers only that, so that a mistake
can be shown at its line and column. It checks nothing.
"""

import tomllib
from collections.abc import Mapping
from typing import Final

import msgspec

__all__ = ("Path", "Place", "find", "places")

Path = tuple[str | int, ...]
"""Keys and, inside arrays, numbers from 0: ("reads", 0, "window", "field")."""

_BARE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


class Place(msgspec.Struct, frozen=True):
    """Line and column, both from 1, in characters."""

    line: int
    column: int


def places(text: str) -> Mapping[Path, Place]:
    """The place of every key, table and array element of a valid TOML text.

    A path that is written in several places (a table and its keys) has the first one. What
    is no TOML gives what was found before the fault; nothing is raised.
    """
    walk = _Walk(text)
    try:
        walk.document()
    except (IndexError, RecursionError, ValueError):
        pass  # not valid, or too deep: the caller has an error of its own to show
    return walk.found()


def find(known: Mapping[Path, Place], path: Path) -> Place | None:
    """The place of a path, or of the nearest table around it."""
    while path:
        if path in known:
            return known[path]
        path = path[:-1]
    return None


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n") + "\n"  # as tomllib has it
        self._at = 0
        self._offsets: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}
        """How many tables an array of tables has so far."""

    def found(self) -> dict[Path, Place]:
        """Offsets as lines and columns."""
        starts = [0]
        starts += [number + 1 for number, char in enumerate(self._text) if char == "\n"]
        known: dict[Path, Place] = {}
        line = 0
        for path, offset in sorted(self._offsets.items(), key=lambda item: item[1]):
            while line + 1 < len(starts) and starts[line + 1] <= offset:
                line += 1
            known[path] = Place(line + 1, offset - starts[line] + 1)
        return known

    def document(self) -> None:
        base: Path = ()
        while True:
            self._skip()
            if self._at >= len(self._text):
                return
            if self._text.startswith("[[", self._at):
                self._at += 2
                base = self._header(array=True)
                self._at += 2
            elif self._text[self._at] == "[":
                self._at += 1
                base = self._header(array=False)
                self._at += 1
            else:
                self._pair(base)

    def _skip(self) -> None:
        """Blanks, line ends and comments."""
        while self._at < len(self._text):
            if self._text[self._at] in " \t\n":
                self._at += 1
            elif self._text[self._at] == "#":
                self._at = self._text.index("\n", self._at)
            else:
                return

    def _header(self, array: bool) -> Path:
        path: Path = ()
        keys = self._keys()
        for number, (key, offset) in enumerate(keys):
            path = (*path, key)
            self._offsets.setdefault(path, offset)
            if array and number == len(keys) - 1:
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
                self._offsets.setdefault(path, offset)
        return path

    def _pair(self, base: Path) -> None:
        path = base
        for key, offset in self._keys():
            path = (*path, key)
            self._offsets.setdefault(path, offset)
        self._at += 1  # the equals sign
        self._value(path)

    def _keys(self) -> list[tuple[str, int]]:
        """A dotted key: its parts, and where each begins; ends at what follows it."""
        keys = []
        while True:
            self._skip()
            keys.append(self._key())
            self._skip()
            if self._text[self._at] != ".":
                return keys
            self._at += 1

    def _key(self) -> tuple[str, int]:
        begin = self._at
        if self._text[begin] in "\"'":
            self._string()
            return tomllib.loads(f"k = {self._text[begin : self._at]}")["k"], begin
        while self._text[self._at] in _BARE:
            self._at += 1
        if begin == self._at:
            raise ValueError("no key")
        return self._text[begin : self._at], begin

    def _value(self, path: Path) -> None:
        self._skip()
        match self._text[self._at]:
            case "[":
                self._array(path)
            case "{":
                self._inline(path)
            case '"' | "'":
                self._string()
            case _:
                while self._text[self._at] not in ",]}#\n":
                    self._at += 1

    def _array(self, path: Path) -> None:
        self._at += 1
        number = 0
        while True:
            self._skip()
            if self._text[self._at] == "]":
                self._at += 1
                return
            self._offsets.setdefault((*path, number), self._at)
            self._value((*path, number))
            number += 1
            self._comma("]")

    def _inline(self, path: Path) -> None:
        self._at += 1
        while True:
            self._skip()
            if self._text[self._at] == "}":
                self._at += 1
                return
            self._pair(path)
            self._comma("}")

    def _comma(self, end: str) -> None:
        """What follows an element: each turn of the caller's loop goes on by at least this."""
        self._skip()
        if self._text[self._at] == ",":
            self._at += 1
        elif self._text[self._at] != end:
            raise ValueError("no comma")

    def _string(self) -> None:
        quote = self._text[self._at]
        long = self._text.startswith(quote * 3, self._at)
        end = quote * 3 if long else quote
        self._at += len(end)
        if quote == "'":  # without escapes
            self._at = self._text.index(end, self._at)
        while not self._text.startswith(end, self._at):
            self._at += 2 if self._text[self._at] == "\\" else 1
        self._at += len(end)
        while long and self._text[self._at] == quote:
            self._at += 1  # up to two quotes may stand before the closing three

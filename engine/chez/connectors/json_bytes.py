"""The bytes of a JSON file, token by token, read in chunks: what is cut here is parsed elsewhere.

What a value is made of is found at the brackets that stand in no text (RFC 8259), so that one that is broken costs
itself. Nothing longer than `MAX_ELEMENT` is held: it is passed over, however long it is.
"""

import re
from typing import BinaryIO, Final, cast

__all__ = (
    "BOM", "CHUNK", "FLAT", "MAX_ELEMENT", "OUTSIDE", "REST", "STRING", "UNMARKED", "JsonBytes", "TooLong", "is_low",
    "values_in",
)

CHUNK: Final = 64 * 1024
MAX_ELEMENT: Final = 1024 * 1024
"""Bytes of one value: as many values as an element may have, with fifty bytes each."""
# Possessive throughout (*+): nothing is tried twice, so that a match costs what it is long.
STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
OUTSIDE: Final = re.compile(STRING + rb'|["{}\[\]]', re.S)
"""What matters outside of strings: a whole string, the beginning of one that goes on in the next chunk, a bracket."""
FLAT: Final = re.compile(rb'[\s,]*+(\{[^"{}\[\]]*+(?:' + STRING + rb'[^"{}\[\]]*+)*+\})', re.S)
"""The next whole object, if there are no lists or objects in it, which is so for most: found at once."""
REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+("?)', re.S)
"""What is left of a string that began in an earlier chunk."""
UNMARKED: Final = bytes(set(range(256)) - set(b'"\\{}[]'))
BOM: Final = b"\xef\xbb\xbf"

_BLANK: Final = re.compile(rb"[ \t\n\r]*+")
_BARE: Final = re.compile(rb'[^ \t\n\r{}\[\]:,"]*+')
_TEXT: Final = re.compile(rb'"[^"]*+"')
_PAIR: Final = re.compile(rb"\{\}|\[\]")
_EMPTY: Final = re.compile(rb"\{[ \t\n\r]*+\}|\[[ \t\n\r]*+\]")
_WHOLE: Final = re.compile(STRING, re.S)
_INNER: Final = bytes(set(range(256)) - set(b'"{}[]'))


class TooLong(ValueError):
    """A value has more than `MAX_ELEMENT` bytes; it was passed over."""

    def __init__(self) -> None:
        super().__init__(f"a value is longer than {MAX_ELEMENT} bytes")


class JsonBytes:
    """A file from where it stands: what was read and is not done with, and where in it the next token is."""

    __slots__ = ("_file", "at", "data", "done")

    def __init__(self, file: BinaryIO) -> None:
        """Past a mark of the byte order, which some programs write."""
        self._file = file
        self.data = b""
        self.at = 0
        self.done = 0
        while len(self.data) < len(BOM) and self._more(len(BOM) - len(self.data)):
            pass
        self.data = self.data.removeprefix(BOM)

    def _more(self, size: int = CHUNK) -> bool:
        """Go on with a chunk behind what is left; False at the end of the file."""
        chunk = self._file.read(size)
        self.done += len(chunk)
        self.data = self.data[self.at:] + chunk
        self.at = 0
        return bool(chunk)

    def peek(self) -> int:
        """Go to the next byte that is no blank, and tell it; -1 at the end of the file."""
        while True:
            if self.at < len(self.data) and (byte := self.data[self.at]) > 0x20:
                return byte
            self.at = cast("re.Match[bytes]", _BLANK.match(self.data, self.at)).end()  # it matches nothing, too
            if self.at < len(self.data):
                return self.data[self.at]
            if not self._more():
                return -1

    def bare(self) -> bytes:
        """The bytes from here to the next one that ends a number or a word, and past them. Raises `TooLong` past them.
        """
        parts: list[bytes] = []
        size = 0
        while True:
            end = cast("re.Match[bytes]", _BARE.match(self.data, self.at)).end()
            part, self.at = self.data[self.at:end], end
            size += len(part)
            if size <= MAX_ELEMENT:
                parts.append(part)
            else:
                parts.clear()
            if end < len(self.data) or not self._more():
                break
        if size > MAX_ELEMENT:
            raise TooLong
        return b"".join(parts)

    def value(self) -> bytes:
        """The text, list or object that begins here, and past it. Raises `TooLong` past one, and `ValueError` at the
        end of the file.
        """
        if (flat := FLAT.match(self.data, self.at)) is not None and flat.start(1) == self.at:
            self.at = flat.end()
            return flat[1]
        parts: list[bytes] = []
        size, state = 0, _Inside()
        while True:
            end = state.end(self.data, self.at)
            part = self.data[self.at:] if end < 0 else self.data[self.at:end]
            size += len(part)
            if size <= MAX_ELEMENT:
                parts.append(part)
            else:
                parts.clear()
            if end >= 0:
                self.at = end
                break
            self.at = len(self.data)
            if not self._more():
                raise ValueError("it ends too early")
        if size > MAX_ELEMENT:
            raise TooLong
        return b"".join(parts)


class _Inside:
    """How a value goes on from chunk to chunk: how deep, in a text or not, behind a backslash or not."""

    __slots__ = ("_depth", "_escaped", "_text")

    def __init__(self) -> None:
        self._depth = 0
        self._text = self._escaped = False

    def end(self, chunk: bytes, at: int) -> int:
        """Where the value ends in a chunk, if it does; -1 if not."""
        while at < len(chunk):
            if self._text:
                rest = cast("re.Match[bytes]", REST.match(chunk, at + self._escaped))  # it matches nothing, too
                self._text = not rest[1]
                self._escaped = self._text and rest.end() < len(chunk)
                if self._text:
                    return -1
                at = rest.end()
            elif (found := OUTSIDE.search(chunk, at)) is None:
                return -1
            else:
                at = found.end()
                token = chunk[at - 1]
                if token == 0x22:
                    self._text = at - found.start() == 1
                else:
                    self._depth += 1 if token in b"{[" else -1
            if self._depth <= 0 and not self._text:
                return at
        return -1


def is_low(data: bytes, most: int) -> bool:
    """Whether in these bytes, which are JSON, no more than so many brackets are inside each other."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = data.translate(None, _INNER)
    # A text without brackets is two quotes now. If there are as many such pairs as texts, each text is one of them.
    marks = marks.replace(b'""', b"") if 2 * marks.count(b'""') == marks.count(b'"') else _TEXT.sub(b"", marks)
    # Most is far from deep: so is what is gone when this is done half as often as it may be.
    few = marks
    for _ in range(most // 2):
        if not few:
            return True
        few = few.replace(b"[]", b"").replace(b"{}", b"")
    for _ in range(most):
        if not marks:
            return True
        marks = _PAIR.sub(b"", marks)
    return not marks


def values_in(data: bytes) -> int:
    """How many values, keys and ends there are in a value that is JSON: what a parser tells one by one."""
    text = _WHOLE.sub(b"0", data)
    containers = text.count(b"{") + text.count(b"[")
    filled = containers - len(_EMPTY.findall(text))
    # Each comma is between two values, and each list that is not empty has one more; a list is told twice.
    return 1 + text.count(b",") + filled + containers + text.count(b":")

"""The messages of a mailbox or a file, a line at a time: headers, the beginning of the text, attachments in passing.

    From someone@example.org Thu Jan  1 00:00:00 2026      mbox (RFC 4155): a message begins, after a blank line
    Subject: ...                                           RFC 5322
    Content-Type: multipart/mixed; boundary="x"            RFC 2046
    --x                                                    a part begins, with headers of its own

The standard library's parser holds a message whole, thrice; here an attachment is decoded line by line into its size
and SHA-256, and of a text `MAX_TEXT` bytes are held. What follows is bounded: headers, parts, how deep they are.
"""

import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from typing import BinaryIO, Final

from chez.connectors.api import Progress
from chez.connectors.content_lines import decoded

__all__ = ("ANY_FROM_LINE", "MAX_TEXT", "Letter", "Part", "letters")

CHUNK: Final = 16 * 1024
MAX_HEADER: Final = 8 * 1024
"""Bytes of one header that are held."""
MAX_PARAMETERS: Final = 1024
"""Characters of a header with parameters: the standard library counts quotes again at each semicolon."""
MAX_HEADERS: Final = 200
MAX_TEXT: Final = 48 * 1024
"""Bytes of all texts of a message that are held, as they are in the file."""
MAX_PARTS: Final = 100
MAX_DEPTH: Final = 16
PROGRESS_LINES: Final = 512
FROM_LINE: Final = re.compile(rb"From (?=[^\n]{1,200}?\d\d:\d\d)(?=[^\n]{1,200}?\b\d{4}\b)[^\n]{1,200}?\b"
                              rb"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b")
"""With a month, a year and a time: not every writer marks the lines of a text that begin with the word."""
ANY_FROM_LINE: Final = re.compile(rb"From [^\n]{1,200}?\d\d:\d\d")
"""With a time: of a mailbox whose first line writes its months, or its years, in another way."""
QUOTED_FROM: Final = re.compile(rb">+From ")
HEADER: Final = re.compile(rb"([!-9;-~]{1,80})[ \t]*:")
NOT_BASE64: Final = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))


@dataclass(slots=True)
class Part:
    """One part that is no container: its content as far as it is held (texts), or its size and hash (attachments)."""

    kind: str
    charset: str
    encoding: str
    name: str = field(repr=False)
    attached: bool
    text: bytearray = field(default_factory=bytearray, repr=False)
    size: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256, repr=False)
    _rest: bytes = field(default=b"", repr=False)

    def take(self, data: bytes, room: int) -> None:
        """Go on with some bytes; `room` is how many may be held."""
        if not self.attached:
            self.text += data[:max(0, room)]
        elif self.encoding == "base64":
            packed = self._rest + data.translate(None, NOT_BASE64)
            whole = len(packed) // 4 * 4
            self._rest = packed[whole:]
            self._count(packed[:whole])
        else:
            self._count(binascii.a2b_qp(data) if self.encoding == "quoted-printable" else data)

    def _count(self, data: bytes) -> None:
        if self.encoding == "base64":
            try:
                data = binascii.a2b_base64(data)
            except binascii.Error:
                return  # padding in the middle: nobody can say what it was
        self.size += len(data)
        self.digest.update(data)

    def content(self) -> bytes:
        """What is held, decoded."""
        if self.encoding == "base64":
            packed = bytes(self.text).translate(None, NOT_BASE64)
            try:
                return binascii.a2b_base64(packed[: len(packed) // 4 * 4])
            except binascii.Error:
                return b""
        return binascii.a2b_qp(bytes(self.text)) if self.encoding == "quoted-printable" else bytes(self.text)


@dataclass(slots=True)
class Letter:
    """One message: where it begins (from 1), its headers by lower-case name, the first of each, and its parts."""

    line: int
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    parts: list[Part] = field(default_factory=list, repr=False)


def letters(file: BinaryIO) -> Iterator[Letter | Progress]:
    """The messages of a mailbox, or the one of a file that begins with no `From ` line."""
    reader: _Reader | None = None
    box, begins = False, FROM_LINE
    blank = True
    number = done = 0
    whole = True
    while raw := file.readline(CHUNK):
        done += len(raw)
        fresh, whole = whole, raw.endswith(b"\n")
        number += fresh
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
            box = raw.startswith(b"From ")
            begins = FROM_LINE if FROM_LINE.match(raw) else ANY_FROM_LINE
        if fresh and number % PROGRESS_LINES == 0:
            yield Progress(done)
        if fresh and blank and box and begins.match(raw):
            if reader is not None:
                yield reader.ended()
            reader = _Reader(number)
        else:
            reader = reader or _Reader(number)
            if fresh and box and QUOTED_FROM.match(raw):
                raw = raw[1:]
            reader.take(raw, fresh)
        blank = fresh and not raw.strip()
    if reader is not None:
        yield reader.ended()
    yield Progress(done)


class _Reader:
    """Where in a message the reader is: in headers or in content, of which part, inside which boundaries."""

    __slots__ = ("_boundaries", "_end", "_headers", "_last", "_part", "_parts", "_room", "_top", "letter")

    def __init__(self, line: int) -> None:
        self.letter = Letter(line)
        self._top = True
        self._headers: dict[str, bytes] | None = {}
        self._last = ""
        self._boundaries: list[bytes] = []
        self._part: Part | None = None
        self._parts = 0
        self._room = MAX_TEXT
        self._end = b""

    def take(self, raw: bytes, fresh: bool) -> None:
        """Go on with one line, or the rest of one that is not fresh."""
        if self._headers is not None:
            if not self._header(self._headers, raw, fresh):
                self._begin(self._headers)
            return
        if fresh and raw.startswith(b"--") and self._boundary(raw.rstrip()):
            return
        if self._part is None:
            return
        # The line end before a boundary is the boundary's; one after a soft break belongs to the break.
        body = raw.rstrip(b"\r\n")
        if body[-1:] == b"=" and self._part.encoding == "quoted-printable":
            body = raw
        data, self._end = self._end + body, raw[len(body):]
        self._part.take(data, self._room)
        if not self._part.attached:
            self._room -= len(data)

    def ended(self) -> Letter:
        """The message, whose file or turn is over."""
        if self._headers is not None:
            self._begin(self._headers)
        return self.letter

    def _header(self, headers: dict[str, bytes], raw: bytes, fresh: bool) -> bool:
        """Whether the line is a header's, or goes on with one."""
        if not fresh or (raw[:1] in (b" ", b"\t") and raw.strip()):
            if self._last and len(headers[self._last]) < MAX_HEADER:
                headers[self._last] += raw[:MAX_HEADER]
            return True
        found = HEADER.match(raw)
        if found is None:
            return bool(raw.strip()) and not headers
        name = found[1].decode("ascii").lower()
        self._last = "" if name in headers or len(headers) >= MAX_HEADERS else name
        if self._last:
            headers[name] = raw[found.end() : found.end() + MAX_HEADER]
        return True

    def _begin(self, written: dict[str, bytes]) -> None:
        """The headers of the message or a part are over."""
        headers = {name: " ".join(decoded(value[:MAX_HEADER]).split()) for name, value in written.items()}
        if self._top:
            self.letter.headers, self._top = headers, False
        self._headers, self._part, self._end = None, None, b""
        said = Message()
        for name in ("content-type", "content-disposition"):
            if name in headers:
                said[name] = headers[name][:MAX_PARAMETERS]
        kind = said.get_content_type()
        boundary = said.get_boundary("") if kind.startswith("multipart/") else ""
        if boundary and len(self._boundaries) < MAX_DEPTH:
            self._boundaries.append(b"--" + boundary.encode("utf-8", "replace"))
        elif self._parts < MAX_PARTS:
            self._parts += 1
            name = said.get_filename("") or ""
            attached = said.get_content_disposition() == "attachment" or bool(name) or kind not in (
                "text/plain", "text/html")
            self._part = Part(kind, said.get_content_charset("") or "",
                              headers.get("content-transfer-encoding", "").strip().lower(), name, attached)
            self.letter.parts.append(self._part)

    def _boundary(self, line: bytes) -> bool:
        """Whether a line ends a part, and what follows: another part, or what is around the container."""
        for at in range(len(self._boundaries) - 1, -1, -1):
            boundary = self._boundaries[at]
            if line == boundary or line == boundary + b"--":
                ends = line != boundary
                del self._boundaries[at + (not ends):]
                self._part = None
                self._headers, self._last = (None, "") if ends else ({}, "")
                return True
        return False

"""The lines of calendars and address books: `NAME;PARAMETER=value:value`, folded, however hostile.

iCalendar (RFC 5545, 3.1) and vCard (2.1; RFC 2426; RFC 6350, 3.3) have them in common. A line that begins with
a blank goes on with the one before, cut anywhere, inside a character as well; in vCard 2.1 so does the one after
a soft break of quoted-printable text. Blank lines are passed over, also between a line and what it goes on with,
as Mozilla's calendar once wrote them.

Of a line at most `MAX_LINE` bytes are held: a photograph is longer, and the rest of the file is not lost for it.
Text that is not UTF-8 is taken for Windows-1252.
"""

import re
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from chez.connectors.api import Progress

__all__ = ("MAX_LINE", "ContentLine", "content_lines", "decoded", "parts", "plain_text")

MAX_LINE: Final = 32 * 1024
"""Bytes of one unfolded line that are held."""
CHUNK: Final = 8 * 1024
PROGRESS_LINES: Final = 512
# Possessive throughout (*+, ++): nothing is tried twice, so that a match costs what it is long.
HEAD: Final = re.compile(r'\s*+(?:[\w-]++\.)?+([\w-]++)\s*+((?:;[^:;"]*+(?:"[^"]*+"[^:;"]*+)*+)*+):', re.ASCII)
PARAMETER: Final = re.compile(r';\s*+([^=;"]*+)(?:=((?:"[^"]*+"|[^;"])*+))?+')
VALUES: Final = re.compile(r'((?:"[^"]*+"|[^",])*+)(?:,|$)')
CARET: Final = re.compile(r"\^([n'^])")
ESCAPED: Final = re.compile(r"\\(.)", re.S)
SOFT: Final = re.compile(rb"[^:]{0,256}QUOTED-PRINTABLE", re.I)


class ContentLine(NamedTuple):
    """One unfolded line: where it begins (from 1), its name in upper case, its parameters as written, its value.

    `problem` says, for people, why it is not to be used; a line that is none has no name.
    """

    number: int
    name: str
    written: str
    value: str
    problem: str = ""

    def __repr__(self) -> str:
        return f"ContentLine(number={self.number}, name={self.name!r})"

    def parameters(self) -> dict[str, list[str]]:
        """Its parameters by name, in upper case; those without a name, as vCard 2.1 has them, are of `TYPE`."""
        found: dict[str, list[str]] = {}
        for one in PARAMETER.finditer(self.written):
            name, values = one[1].strip().upper(), one[2]
            if values is None:
                name, values = "TYPE", name
            if name and len(found) < 64:
                split = (value[1].strip().strip('"') for value in VALUES.finditer(values) if value[1])
                found.setdefault(name, []).extend(CARET.sub(_uncaret, value) for value in split)
        return found

    def parameter(self, name: str) -> str:
        """The first value of a parameter, empty when there is none."""
        return next(iter(self.parameters().get(name, ())), "") if self.written else ""


def content_lines(file: BinaryIO, *, soft: bool = False) -> Iterator[ContentLine | Progress]:
    """The unfolded lines of a file; `soft` says that quoted-printable text may go on after a break."""
    kept = bytearray()
    begun = number = done = 0
    whole, long = True, False
    while raw := file.readline(CHUNK):
        done += len(raw)
        goes_on, fresh = not whole, whole
        whole = raw.endswith(b"\n")
        text = raw.rstrip(b"\r\n")
        if fresh:
            number += 1
            if number == 1:
                text = text.removeprefix(b"\xef\xbb\xbf")
            if number % PROGRESS_LINES == 0:
                yield Progress(done)
            if soft and kept[-1:] == b"=" and SOFT.match(kept):
                del kept[-1:]
                goes_on = True
            elif not text.strip():
                continue
            elif kept and text[:1] in (b" ", b"\t"):
                text, goes_on = text[1:], True
        if not goes_on:
            if kept:
                yield _split(begun, kept, long)
            kept.clear()
            begun, long = number, False
        long = long or len(kept) + len(text) > MAX_LINE
        kept += text[: MAX_LINE - len(kept)]
    if kept:
        yield _split(begun, kept, long)
    yield Progress(done)


def decoded(raw: bytes | bytearray) -> str:
    """Text in UTF-8, else in Windows-1252; without the character that no store keeps."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    return text.replace("\0", "") if "\0" in text else text


def plain_text(value: str) -> str:
    r"""A value without its escapes: `\n`, `\,`, `\;`, `\:` and `\\`."""
    return ESCAPED.sub(_unescape, value).strip() if "\\" in value else value.strip()


def parts(value: str, sign: str) -> list[str]:
    """A value split at the signs that are not escaped, each part without its escapes."""
    if "\\" not in value:
        return [part.strip() for part in value.split(sign)]
    found, begun, at = [], 0, 0
    while at < len(value):
        if value[at] == sign:
            found.append(value[begun:at])
            begun = at + 1
        at += 2 if value[at] == "\\" else 1
    return [plain_text(part) for part in (*found, value[begun:])]


def _split(number: int, kept: bytearray, long: bool) -> ContentLine:
    text = decoded(kept)
    head = HEAD.match(text)
    if head is None:
        return ContentLine(number, "", "", text, "the line has no name and value parted by a colon")
    problem = f"the line is longer than {MAX_LINE} bytes" if long else ""
    return ContentLine(number, head[1].upper(), head[2], text[head.end():], problem)


def _unescape(found: re.Match[str]) -> str:
    return "\n" if found[1] in "nN" else found[1]


def _uncaret(found: re.Match[str]) -> str:
    return {"n": "\n", "'": '"', "^": "^"}[found[1]]

"""The tags of an OFX file, one at a time, whatever the rest of the file looks like.

OFX 1 is SGML whose leaf elements need no end tag, OFX 2 is XML, and real files mix the
two. This scanner splits a stream into `Tag`s and hands whole small aggregates ("blocks")
to whoever wants them; it never holds more than `MAX_BLOCK` characters, counts lines, and
expands nothing: document type declarations, the door of entity attacks, are refused.
"""

import codecs
import re
from collections.abc import Collection, Iterator
from typing import BinaryIO, Final
from xml.sax.saxutils import escape

import msgspec
from msgspec.structs import replace

from chez.errors import InvalidValue

__all__ = ("MAX_BLOCK", "MAX_TEXT", "Block", "Tag", "blocks", "tags")

CHUNK: Final = 64 * 1024
MAX_TEXT: Final = 4096
"""Characters of one field; OFX allows 255 for the longest, banks exceed it."""
MAX_BLOCK: Final = 64 * 1024
"""Characters of one transaction; honest ones have some hundred."""
NAME: Final = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9._]{0,63})\s{0,16}(/?)>")
DECLARATION: Final = re.compile(r"<!(?:DOCTYPE|ENTITY|ELEMENT|ATTLIST|\[(?!CDATA\[))", re.IGNORECASE)
CDATA: Final = "<![CDATA["
SECTIONS: Final = ((CDATA, "]]>"), ("<!--", "-->"))
"""What may contain `<` without beginning a tag, and how each ends."""


class Tag(msgspec.Struct, frozen=True):  # made for each field, like `Found`
    """One tag and the text after it (entities as written, CDATA as escaped text).

    `name` is upper case; `text` is stripped, and cut after `MAX_TEXT` characters, in
    which case `overlong` is set. `done` counts the bytes read from the file so far.
    """

    name: str
    end: bool
    text: str
    line: int
    done: int
    overlong: bool = False

    def __repr__(self) -> str:
        return f"Tag(name={self.name!r}, line={self.line})"


class Block(msgspec.Struct, frozen=True):
    """A whole aggregate from its start tag to its end tag, as its tags.

    `problem` says, for people, why it is not whole.
    """

    name: str
    line: int
    tags: tuple[Tag, ...]
    problem: str = ""

    def __repr__(self) -> str:
        return f"Block(name={self.name!r}, line={self.line})"


def _pieces(file: BinaryIO, codec: str) -> Iterator[tuple[str, int, int, bool]]:
    """(text from one `<` up to the next, line, bytes read, cut), undecodable bytes as surrogates."""
    decoder = codecs.getincrementaldecoder(codec)("surrogateescape")
    buffer, line, done, cut = "", 1, 0, False
    while True:
        chunk = file.read(CHUNK)
        done += len(chunk)
        buffer += decoder.decode(chunk, final=not chunk)
        at = 0
        while True:
            mark = ""
            if buffer.startswith("<!", at):
                mark = next((mark for begin, mark in SECTIONS if buffer.startswith(begin, at)), "")
            if mark:
                close = buffer.find(mark, at)
                stop = close + len(mark) if close >= 0 else -1
            else:
                stop = buffer.find("<", at + 1)
            if stop < 0:
                break
            yield buffer[at:min(stop, at + MAX_TEXT)], line, done, cut or stop - at > MAX_TEXT
            line += buffer.count("\n", at, stop)
            at, cut = stop, False
        buffer = buffer[at:]
        if not chunk:
            if buffer:
                yield buffer[:MAX_TEXT], line, done, cut or len(buffer) > MAX_TEXT
            return
        if len(buffer) > 2 * CHUNK:
            # No `<` (or no end of CDATA) for this long: keep a beginning, forget the rest
            # but its last two characters, which may begin the end.
            line += buffer.count("\n", MAX_TEXT, len(buffer) - 2)
            buffer, cut = buffer[:MAX_TEXT] + buffer[-2:], True


def tags(file: BinaryIO, codec: str) -> Iterator[Tag]:
    """The tags of a file. Raises `InvalidValue` when it declares a document type or entities."""
    pending: Tag | None = None
    for piece, line, done, cut in _pieces(file, codec):
        match = NAME.match(piece)
        if match:
            if pending:
                yield _stripped(pending)
            slash, name, empty = match.groups()
            text = piece[match.end():]
            if empty and not slash:
                yield Tag(name.upper(), False, "", line, done)
            pending = Tag(name.upper(), bool(slash or empty), text, line, done, cut)
        elif DECLARATION.match(piece):
            raise InvalidValue(f"the file declares a document type or entities on line {line}",
                               "No bank's export does; download it again from the bank itself.")
        elif pending and not piece.startswith(("<?", "<!--")):
            # CDATA, a `<` in a name that nobody escaped, or text after either.
            if pending.overlong:
                continue
            whole = pending.text + (escape(piece[len(CDATA):].removesuffix("]]>")) if piece.startswith(CDATA)
                                    else piece.replace("<", "&lt;"))
            pending = replace(pending, text=whole[:MAX_TEXT], overlong=cut or len(whole) > MAX_TEXT)
    if pending:
        yield _stripped(pending)


def _stripped(tag: Tag) -> Tag:
    text = tag.text.strip()
    return tag if text == tag.text else Tag(tag.name, tag.end, text, tag.line, tag.done, tag.overlong)


def blocks(stream: Iterator[Tag], names: Collection[str], parents: Collection[str]) -> Iterator[Tag | Block]:
    """Gather the aggregates called `names` into blocks; other tags pass.

    A block that is still open when another of its kind begins, or when one of its
    `parents` ends, or at the end of the file, is given with its problem.
    """
    inside: list[Tag] = []
    size = 0
    for tag in stream:
        if inside:
            first = inside[0]
            if tag.end and tag.name == first.name:
                problem = "" if size <= MAX_BLOCK else f"it is longer than {MAX_BLOCK} characters"
                yield Block(first.name, first.line, tuple(inside), problem)
                inside = []
                continue
            if not (tag.name in parents or (not tag.end and tag.name in names)):
                size += len(tag.text) + len(tag.name)
                if size <= MAX_BLOCK:
                    inside.append(tag)
                continue
            yield Block(first.name, first.line, tuple(inside), f"its end tag </{first.name}> is missing")
            inside = []
        if tag.name in names and not tag.end:
            inside, size = [tag], 0
        else:
            yield tag
    if inside:
        yield Block(inside[0].name, inside[0].line, tuple(inside), "the file ends inside it")

"""The small elements of a large XML file, one at a time, in bounded memory and linear time.

A connector names the elements that are records to it ("blocks"), and those around them that it
needs to hear of ("marks"). Of a block it gets the leaves, each with its path; names are without
their namespace, which differs from version to version of the formats.

The parser is the standard library's expat. What a hostile file could do with it, and what is
done against that (W3C XML 1.0; CWE-776, CWE-611):

- entities: a document type declaration, the only place where they are declared, is refused as it begins; for a
  format that has one, what is in it that could expand is refused, and an address outside;
- one endless tag, comment or attribute, which expat would gather whole: refused after `MAX_TOKEN` bytes;
- a block without end, an endless text: cut, and given with its problem;
- endless nesting: refused after `MAX_DEPTH`; endless new or long names, which expat remembers:
  after `MAX_NAMES` and `MAX_NAME`.

A file that is no longer well-formed somewhere gives what came before, and a reject that says where.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, NamedTuple
from xml.parsers import expat

from chez.connectors.api import Progress, Reject
from chez.errors import InvalidValue

__all__ = ("MAX_BLOCK", "MAX_DEPTH", "MAX_DOCTYPE", "MAX_NAMES", "MAX_TEXT", "MAX_TOKEN", "Block", "Leaf",
           "Mark", "blocks")

CHUNK: Final = 16 * 1024
MAX_TOKEN: Final = 1024 * 1024
"""Bytes of one tag or comment."""
MAX_TEXT: Final = 4096
"""Characters of one leaf's text."""
MAX_BLOCK: Final = 64 * 1024
"""Characters of a block: its texts, and its paths and attributes."""
MAX_DEPTH: Final = 64
"""Elements inside each other; the formats read here have a dozen."""
MAX_DOCTYPE: Final = 64 * 1024
"""Bytes of a document type where one is allowed: Apple's has twelve thousand."""
MAX_NAMES: Final = 4096
"""Different names of elements, attributes and prefixes in one file."""
MAX_NAME: Final = 512
"""Characters of a name, the address of its namespace included."""
MAX_PATHS: Final = 1024 * 1024
"""Characters of the paths that are remembered."""


Leaf = tuple[str, str, dict[str, str]]
"""An element without elements: its path below the block ("Dt/DtTm"), stripped text and attributes."""


@dataclass(slots=True)
class Block:
    """One element and the leaves in it, in order; `problem` says, for people, why it is not whole.

    `text` is its own, stripped, when there is no element in it; a long one is cut.
    """

    name: str
    line: int
    attributes: dict[str, str] = field(repr=False)
    leaves: list[Leaf] = field(repr=False)
    problem: str = ""
    text: str = field(default="", repr=False)
    _texts: dict[str, str] | None = field(default=None, repr=False, compare=False)

    @property
    def texts(self) -> dict[str, str]:
        """For each path the text of the first leaf that has one."""
        if self._texts is None:
            self._texts = {path: text for path, text, _ in reversed(self.leaves) if text}
        return self._texts

    def first(self, *paths: str) -> str:
        """The text of the first of these paths that has one; empty when none has."""
        for path in paths:
            if path in self.texts:
                return self.texts[path]
        return ""

    def all(self, paths: Collection[str]) -> list[str]:
        """The texts of all leaves with one of these paths, in order."""
        return [text for path, text, _ in self.leaves if text and path in paths]


class Mark(NamedTuple):
    """The beginning or the end of an element around blocks."""

    name: str
    end: bool
    line: int
    attributes: dict[str, str]


def blocks(file: BinaryIO, names: Collection[str],
           marks: Collection[str], *, doctype: bool = False) -> Iterator[Block | Mark | Reject | Progress]:
    """Read a file's elements called `names` and `marks`, where they are not inside a block.

    Raises `InvalidValue` when the file declares a document type, or goes beyond a bound of this module. With `doctype`
    it may declare one in itself, of at most `MAX_DOCTYPE` bytes, with neither entities nor values of attributes.
    """
    reader = _Reader(names, marks, doctype)
    done = 0
    while True:
        chunk = file.read(CHUNK)
        done += len(chunk)
        problem = reader.feed(chunk, done)
        yield from reader.taken()
        if problem:
            yield problem
            return
        yield Progress(done)
        if not chunk:
            return


class _Place:
    """Where in a block the reader is: the path, and for each name the place below."""

    __slots__ = ("below", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.below: dict[str, _Place] = {}


class _Reader:
    """What expat calls; it does so for each tag, hence the care for what a call costs."""

    __slots__ = ("_above", "_attributes", "_block", "_declaring", "_depth", "_dropped", "_interned", "_known", "_leaf",
                 "_marks", "_names", "_out", "_parser", "_passed", "_place", "_places", "_size", "_texts", "_top")

    def __init__(self, names: Collection[str], marks: Collection[str], doctype: bool) -> None:
        self._names, self._marks = frozenset(names), frozenset(marks)
        self._out: list[Block | Mark] = []
        self._interned: dict[str, Any] = {}
        self._known = 0
        self._passed: set[str] = set()
        self._depth = 0
        self._block: Block | None = None
        self._top = self._place = _Place("")
        self._places = 0
        self._above: list[_Place] = []
        self._attributes: dict[str, str] = {}
        self._leaf = False
        self._texts: list[str] = []
        self._dropped = self._size = 0
        parser = self._parser = expat.ParserCreate(None, "}", self._interned)
        parser.buffer_text = True
        parser.buffer_size = MAX_TEXT
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        self._declaring = -1
        if doctype:
            parser.StartDoctypeDeclHandler, parser.EndDoctypeDeclHandler = self._declares, self._declared
            parser.EntityDeclHandler, parser.AttlistDeclHandler = self._expands, self._attribute
        else:
            parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = lambda prefix, uri: None  # so that these are among the interned names

    def feed(self, chunk: bytes, done: int) -> Reject | None:
        """Go on; a reject when the file is not well-formed from here on."""
        parser = self._parser
        try:
            parser.Parse(chunk, not chunk)
        except expat.ExpatError as error:
            return Reject(max(1, error.lineno),
                          f"the file is not well-formed XML from here on: {expat.ErrorString(error.code)}", "")
        except (UnicodeDecodeError, LookupError, ValueError):
            return Reject(max(1, parser.CurrentLineNumber), "the file's encoding is not one that is read here", "")
        if self._declaring >= 0 and done - self._declaring > MAX_DOCTYPE:
            raise InvalidValue(f"the document type that the file declares is longer than {MAX_DOCTYPE} bytes")
        if done - parser.CurrentByteIndex > MAX_TOKEN:
            raise InvalidValue(f"a tag or comment on line {parser.CurrentLineNumber} is longer than {MAX_TOKEN} bytes")
        if len(self._interned) != self._known:
            self._known = len(self._interned)
            if self._known > MAX_NAMES or max(len(name or "") for name in self._interned) > MAX_NAME:
                raise InvalidValue(f"the file has more than {MAX_NAMES} names of elements and attributes, or longer "
                                   f"ones than {MAX_NAME} characters")
        self._cut()
        return None

    def taken(self) -> list[Block | Mark]:
        """What was found since the last time."""
        out, self._out = self._out, []
        return out

    def _cut(self) -> None:
        """Of a text that goes on from chunk to chunk keep the beginning and the length."""
        if len(self._texts) > 1:
            whole = "".join(self._texts)
            self._texts[:] = [whole[:MAX_TEXT]]
            self._dropped += len(whole) - len(self._texts[0])

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise InvalidValue(f"more than {MAX_DEPTH} elements are inside each other, "
                               f"on line {self._parser.CurrentLineNumber}")
        if self._block is not None:
            self._above.append(self._place)
            self._place = self._place.below.get(name) or self._below(name)
            self._attributes = attributes
            self._leaf = True
            self._dropped = 0
            self._texts.clear()
            return
        if name in self._passed:
            return
        local = name.rpartition("}")[2]
        if local in self._names:
            self._block = Block(local, self._parser.CurrentLineNumber, attributes, [])
            self._place = self._top
            self._size = 0
            # The list itself takes the texts: there are two for each tag, most of them blanks.
            self._parser.CharacterDataHandler = self._texts.append
        elif local in self._marks:
            self._out.append(Mark(local, False, self._parser.CurrentLineNumber, attributes))
        else:
            self._passed.add(name)

    def _below(self, name: str) -> _Place:
        """A place that was not seen yet; past a bound it is forgotten again, so that places can't fill memory."""
        local = name.rpartition("}")[2]
        place = _Place(f"{self._place.path}/{local}" if self._place.path else local)
        if self._places < MAX_PATHS:
            self._places += len(place.path)
            self._place.below[name] = place
        return place

    def _end(self, name: str) -> None:
        self._depth -= 1
        block = self._block
        if block is None:
            if name not in self._passed and (local := name.rpartition("}")[2]) in self._marks:
                self._out.append(Mark(local, True, self._parser.CurrentLineNumber, {}))
        elif self._above:
            if self._leaf:
                self._keep(block)
                self._leaf = False
            self._place = self._above.pop()
        else:
            if self._texts and not block.leaves:
                block.text = "".join(self._texts)[:MAX_TEXT].strip()
            self._out.append(block)
            self._block = None
            self._parser.CharacterDataHandler = None
            self._texts.clear()

    def _keep(self, block: Block) -> None:
        path, text = self._place.path, "".join(self._texts)
        length = len(text) + self._dropped
        self._size += length + len(path)
        if self._attributes:
            self._size += sum(len(name) + len(value) for name, value in self._attributes.items())
        if self._size > MAX_BLOCK:
            block.problem = f"it is longer than {MAX_BLOCK} characters"
            block.leaves.clear()
            return
        if length > MAX_TEXT:
            block.problem = block.problem or f"{path} is longer than {MAX_TEXT} characters"
            text = text[:MAX_TEXT]
        block.leaves.append((path, text.strip(), self._attributes))

    def _declares(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        if system is not None or public is not None:
            self._doctype()
        self._declaring = self._parser.CurrentByteIndex

    def _declared(self) -> None:
        self._declaring = -1

    def _attribute(self, element: str, name: str, kind: str, default: str | None, required: bool) -> None:
        if default is not None:  # a few bytes would be as many values as there are elements
            self._expands()

    def _expands(self, *_: object) -> None:
        raise InvalidValue(f"the file declares entities or values on line {self._parser.CurrentLineNumber}",
                           "No service's export does; download it again from the service itself.")

    def _doctype(self, *_: object) -> None:
        raise InvalidValue(f"the file declares a document type on line {self._parser.CurrentLineNumber}",
                           "No service's export does; download it again from the service itself.")

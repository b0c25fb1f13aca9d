"""What a page of HTML says outside of its tables, as rows: what repeats, what stands under headings, all other text.

A page does not say what its records are. What counts as one is settled here:

- an element that repeats is a row each time: `<li>`, `<article>`, `<dl>`, and any element with a class that has another
  of that class beside it, which is how services lay out messages, likes and visits. Of such inside each other the
  outermost is the row;
- text that is in no such element is a row for each heading: what stands under it, up to the next one.

A row's columns are the kinds of its text: of a `<dd>` what its `<dt>` says; else the class of the innermost element in
the row that has one, under a heading the element's own; else the element's name. Text of one kind is one value, line by
line. `under` are the headings above a row, `heading` its own, and `links` where it leads and which pictures it shows.
Headings without text are no rows; menus, scripts and fields to fill in are not read.

The page is read twice, by the standard library's parser: to see what repeats, then for the rows. Held are one row, the
elements that are open (`MAX_OPEN`; further in they count as text) and the classes that repeat (`MAX_KINDS`).
"""

from codecs import getincrementaldecoder
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import BinaryIO, Final, NamedTuple

from chez.connectors.api import Progress, Reject, excerpt
from chez.connectors.pages import CHUNK, MAX_TOKEN
from chez.connectors.tables import MAX_COLUMNS
from chez.errors import InvalidValue

__all__ = ("MAX_KINDS", "MAX_OPEN", "MAX_ROW", "BlockRow", "block_rows")

MAX_ROW: Final = 64 * 1024
"""Characters of one row."""
MAX_OPEN: Final = 256
"""Elements inside each other."""
MAX_KINDS: Final = 10_000
"""Classes of a page that are told apart."""
MAX_CLASS: Final = 120
"""Characters of a class, of a column's name, of a heading above."""

Kind = tuple[str, str]
"""An element's name and class."""

_VOID: Final = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
                          "track", "wbr"))
_INLINE: Final = frozenset(("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "em", "font", "i", "kbd", "mark",
                            "q", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "u", "var"))
_LEFT_OUT: Final = frozenset(("head", "script", "style", "template", "noscript", "nav", "select", "svg", "table",
                              "textarea", "button", "title"))
_CLOSES: Final = {"li": ("li",), "dt": ("dt", "dd"), "dd": ("dt", "dd")}
"""Which elements without an end tag one ends; a paragraph is ended by any but those within a line."""
_OWN: Final = ("under", "heading", "links")
_ROWS: Final = frozenset(("li", "article", "dl"))
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}


class BlockRow(NamedTuple):
    """A row: its line in the file, what kind of row it is, and its values by column."""

    line: int
    path: str
    values: dict[str, str]


def block_rows(file: BinaryIO, codec: str, size: int) -> Iterator[BlockRow | Reject | Progress]:
    """The rows of a page of so many bytes outside of its tables, which were read before.

    Raises `InvalidValue` for what goes beyond a bound of this module.
    """
    seen = _Repeats()
    for _ in _fed(file, codec, seen):
        yield Progress(size)
    parser = _Rows(seen.found)
    for _ in _fed(file, codec, parser):
        yield from parser.taken()
        yield Progress(size)
    parser.over()
    yield from parser.taken()


def _fed(file: BinaryIO, codec: str, parser: HTMLParser) -> Iterator[None]:
    """Feed the whole file, part by part."""
    file.seek(0)
    decode = getincrementaldecoder(codec)("replace").decode
    while chunk := file.read(CHUNK):
        parser.feed(decode(chunk))
        if len(parser.rawdata) > MAX_TOKEN:
            raise InvalidValue(f"a tag, comment or script of the page is longer than {MAX_TOKEN} characters")
        yield
    parser.feed(decode(b"", final=True))
    parser.close()
    yield


class _Open(HTMLParser):
    """Keeps the elements that are open, however badly a page is nested."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[Kind] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        last = self.stack[-1][0] if self.stack else ""
        if last in _CLOSES.get(tag, ()) or (last == "p" and tag not in _INLINE and tag not in _VOID):
            self.handle_endtag(last)
        if tag == "body":
            self.handle_endtag("head")
        if len(self.stack) >= MAX_OPEN and tag not in _VOID:
            return
        kind = (tag, " ".join((dict(attrs).get("class") or "").split())[:MAX_CLASS])
        if tag in _LEFT_OUT:
            self._skipped += 1
        if tag not in _VOID:
            self.stack.append(kind)
        if not self._skipped:
            self.began(kind, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        at = next((at for at in range(len(self.stack) - 1, -1, -1) if self.stack[at][0] == tag), -1)
        if at < 0:
            return
        while len(self.stack) > at:
            kind = self.stack.pop()
            if kind[0] in _LEFT_OUT:
                self._skipped -= 1
            elif not self._skipped:
                self.ended(kind)

    @property
    def skipping(self) -> bool:
        """Whether what is said now is not read."""
        return self._skipped > 0

    def began(self, kind: Kind, attrs: list[tuple[str, str | None]]) -> None:
        """An element that is read begins; it is on the stack, unless it is empty by nature."""

    def ended(self, kind: Kind) -> None:
        """One ends; it is off the stack."""


class _Repeats(_Open):
    """Which kinds of elements stand beside one of the same kind."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[Kind] = set()
        self._beside: list[set[Kind]] = [set()]
        self._known = 0

    def began(self, kind: Kind, attrs: list[tuple[str, str | None]]) -> None:
        if kind[0] in _VOID:
            return
        here = self._beside[-1]
        if kind[1] and kind[0] not in _INLINE and kind[0] not in _HEADINGS:
            if kind in here:
                if len(self.found) < MAX_KINDS:
                    self.found.add(kind)
            elif self._known < MAX_KINDS:
                here.add(kind)
                self._known += 1
        self._beside.append(set())

    def ended(self, kind: Kind) -> None:
        if len(self._beside) > 1:
            self._known -= len(self._beside.pop())


class _Rows(_Open):
    """The rows, by what repeats."""

    def __init__(self, repeats: set[Kind]) -> None:
        super().__init__()
        self._repeats = repeats
        self._out: list[BlockRow | Reject] = []
        self._headings: list[tuple[int, str]] = []
        self._depth = 0
        """How many elements were open as the row's began, itself included; 0 outside of such rows."""
        self._begin("")

    def taken(self) -> list[BlockRow | Reject]:
        """What was found since the last time."""
        out, self._out = self._out, []
        return out

    def over(self) -> None:
        """The page ends, whatever is open."""
        self._break()
        self._end()

    def handle_data(self, data: str) -> None:
        if self.skipping:
            return
        self._size += len(data)
        if self._size <= MAX_ROW:
            self._text.append(data)

    def began(self, kind: Kind, attrs: list[tuple[str, str | None]]) -> None:
        tag = kind[0]
        if tag == "br":
            self._text.append("\n")
        elif tag not in _INLINE and tag not in _VOID:
            self._break(outer=True)
        self._links(attrs)
        if tag in _VOID or self._depth:
            return
        if tag in _ROWS or kind in self._repeats:
            self._end()
            self._depth = len(self.stack)
            self._begin(f"<{tag} {kind[1]}>" if kind[1] else f"<{tag}>")
        elif tag in _HEADINGS:
            self._end()
            self._begin("")

    def ended(self, kind: Kind) -> None:
        if kind[0] not in _INLINE:
            self._break(kind)
        if self._depth and len(self.stack) < self._depth:
            self._end()
            self._depth = 0
            self._begin("")

    def _begin(self, path: str) -> None:
        self._path, self._line = path, self.getpos()[0]
        self._values: dict[str, list[str]] = {}
        self._text: list[str] = []
        self._found: list[str] = []
        self._size = 0
        self._term = self._heading = ""

    def _links(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and not value.startswith(("#", "data:", "javascript:")):
                self._size += len(value)
                if self._size <= MAX_ROW:
                    self._found.append(" ".join(value.split()))

    def _break(self, ended: Kind | None = None, *, outer: bool = False) -> None:
        """A block of text is over: it becomes a value of the row."""
        said = "\n".join(line for one in "".join(self._text).split("\n") if (line := " ".join(one.split())))
        self._text = []
        if not said:
            return
        stack = self.stack[:-1] if outer else [*self.stack, *([ended] if ended else [])]
        tag = stack[-1][0] if stack else ""
        if tag in _HEADINGS and not self._depth:
            level = _HEADINGS[tag]
            self._headings = [one for one in self._headings if one[0] < level]
            self._headings.append((level, " ".join(said.split())[:MAX_CLASS]))
            self._heading = said
        elif tag == "dt":
            self._term = " ".join(said.split())[:MAX_CLASS]
        else:
            self._values.setdefault(self._name(stack), []).append(said)
            if not self._depth and self._size > MAX_ROW // 2:
                self._go_on()

    def _go_on(self) -> None:
        """A long text goes on in another row, under the same heading."""
        heading = self._heading
        self._end()
        self._begin("")
        self._heading = heading

    def _name(self, stack: list[Kind]) -> str:
        inside = stack[self._depth:] if self._depth else stack[-1:]
        if self._term and any(tag == "dd" for tag, _ in inside):
            return self._term if self._term not in _OWN else f"{self._term} (text)"
        for tag, name in reversed(inside):
            if name:
                return name if name not in _OWN else f"{name} (text)"
            if tag in _HEADINGS:
                return "heading"
        return next((tag for tag, _ in reversed(stack[max(0, self._depth - 1):]) if tag not in _INLINE), "text")

    def _end(self) -> None:
        """The row is over, if it says anything."""
        if not self._values and not self._found:
            return
        if self._size > MAX_ROW:
            self._out.append(Reject(self._line, f"the block has more than {MAX_ROW} characters",
                                    excerpt(next(iter(self._values), ""))))
            return
        if len(self._values) > MAX_COLUMNS - 3:
            self._out.append(Reject(self._line, f"the block has more than {MAX_COLUMNS - 3} kinds of text", ""))
            return
        above = self._headings[:-1] if self._heading else self._headings
        values = {"under": " / ".join(text for _, text in above), "heading": self._heading}
        values |= {name: "\n".join(texts) for name, texts in self._values.items()}
        values["links"] = "\n".join(self._found)
        self._out.append(BlockRow(self._line, self._path or "<headings>",
                                  {name: text for name, text in values.items() if text}))

"""The blocks of an XML file: what they hold, and that no file makes their reader hold more."""

import io
import tracemalloc
from collections.abc import Iterator

import pytest

from chez.connectors.api import Progress, Reject
from chez.connectors.xml import MAX_BLOCK, MAX_DEPTH, MAX_NAMES, MAX_TEXT, MAX_TOKEN, Block, Mark, blocks
from chez.errors import InvalidValue


def read(data: bytes) -> list[Block | Mark | Reject]:
    """What there is in these bytes, with <b> as block and <m> as mark."""
    return [item for item in blocks(io.BytesIO(data), {"b"}, {"m"}) if not isinstance(item, Progress)]


def test_a_block_has_its_leaves_with_their_paths() -> None:
    """Leaves come in order with paths, attributes and stripped text; namespaces don't matter, marks stand around."""
    begin, block, end = read(b'<r xmlns:n="x">\n<m v="1"><n:b w="2"> x <c> one </c>\n<d><e f="g"/>'
                             b"<e>&lt;2&#233;</e></d><c>three</c></n:b></m></r>")
    assert begin == Mark("m", False, 2, {"v": "1"}) and end == Mark("m", True, 3, {})
    assert isinstance(block, Block)
    assert (block.name, block.line, block.attributes, block.problem) == ("b", 2, {"w": "2"}, "")
    assert block.leaves == [("c", "one", {}), ("d/e", "", {"f": "g"}), ("d/e", "<2é", {}), ("c", "three", {})]
    assert (block.first("x", "d/e", "c"), block.first("x"), block.all({"c"})) == ("<2é", "", ["one", "three"])


def test_a_file_that_ends_or_breaks_gives_what_came_before() -> None:
    """Half a file, and one that is no longer XML, keep their whole blocks and end in one reject with the line."""
    for tail in (b"\n<b><c>2</c>", b"\n<b><c>2</b>", b"\n<b>&nosuch;</b>", b"\n\xff\xfe", b"\n<b><c>\x00</c></b>"):
        *good, bad = read(b"<r>\n<b><c>1</c></b>" + tail)
        assert [block.first("c") for block in good if isinstance(block, Block)] == ["1"]
        assert isinstance(bad, Reject) and bad.line == 3 and "well-formed" in bad.reason


def test_encodings() -> None:
    """What the file declares is what it is read as: UTF-8, UTF-16, single bytes; another encoding is a reject."""
    text = "<r><b><c>Café</c></b></r>"
    for name, codec in (("utf-8", "utf-8"), ("iso-8859-1", "latin-1"), ("windows-1252", "cp1252"),
                        ("utf-16", "utf-16")):
        (block,) = read(f'<?xml version="1.0" encoding="{name}"?>{text}'.encode(codec))
        assert isinstance(block, Block) and block.first("c") == "Café"
    for name in ("utf-7", "nosuch", "idna", "hex"):
        (bad,) = read(f'<?xml version="1.0" encoding="{name}"?>{text}'.encode())
        assert isinstance(bad, Reject)


@pytest.mark.parametrize("doctype", [
    b'<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>', b'<!DOCTYPE r SYSTEM "file:///etc/passwd">',
    b'<!DOCTYPE r [<!ENTITY % p SYSTEM "http://127.0.0.1/x"> %p;]>', b"<!DOCTYPE r>"])
def test_a_document_type_is_refused(doctype: bytes) -> None:
    """A declaration, where entities would be, ends the reading before anything is expanded or fetched."""
    with pytest.raises(InvalidValue, match="document type on line 2"):
        read(b"<?xml version='1.0'?>\n" + doctype + b"<r><b><c>&b;</c></b></r>")


def test_a_block_beyond_its_bounds_is_one_problem() -> None:
    """A text or a block that is too long is told, at most a part of it kept, and the next block is whole."""
    long, many, good = read(b"<r><b><c>" + b"x" * (MAX_TEXT + 1) + b"</c></b><b>" + b"<c>123456789</c>" * MAX_BLOCK
                            + b"</b><b><c>1</c></b></r>")
    assert isinstance(long, Block) and isinstance(many, Block) and isinstance(good, Block)
    assert long.problem == f"c is longer than {MAX_TEXT} characters" and len(long.first("c")) == MAX_TEXT
    assert many.problem == f"it is longer than {MAX_BLOCK} characters" and len(many.leaves) < 2
    assert good.problem == "" and good.first("c") == "1"


ENDLESS: dict[str, tuple[bytes, bytes, str]] = {
    "a comment": (b"<r><!--", b"x" * 1000, "longer than"),
    "an attribute": (b"<r><b c='", b"x" * 1000, "longer than"),
    "attributes": (b"<r><b ", b"", "longer than"),
    "names": (b"<r>", b"", "names of elements"),
    "prefixes": (b"<r>", b"", "names of elements"),
    "long names": (b"<r>", b"", "names of elements"),
    "long prefixes": (b"<r>", b"", "names of elements"),
    "depth": (b"<r>", b"<a>" * 300, "inside each other"),
    "depth in a block": (b"<r><b>", b"<a>" * 300, "inside each other"),
}


class _Endless(io.RawIOBase):
    """A file without end, which counts what was asked of it."""

    def __init__(self, kind: str) -> None:
        self.kind, self.given, self.number = kind, 0, 0
        self._rest = ENDLESS[kind][0]

    def read(self, size: int = -1) -> bytes:
        while len(self._rest) < size:
            self._rest += self._more()
        chunk, self._rest = self._rest[:size], self._rest[size:]
        self.given += len(chunk)
        return chunk

    def _more(self) -> bytes:
        self.number += 1
        numbered = {"attributes": b"a%d='' ", "names": b"<a%d/>", "prefixes": b"<a xmlns:p%d='x'/>",
                    "long names": b"<b><" + b"x" * 600 + b"%d/></b>",
                    "long prefixes": b"<a xmlns:" + b"p" * 600 + b"%d='x'/>"}.get(self.kind)
        return numbered % self.number if numbered else ENDLESS[self.kind][1]


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_has_no_end_is_refused(kind: str) -> None:
    """Endless tags, comments, names and nesting are refused soon, whatever is still to come."""
    file = _Endless(kind)
    with pytest.raises(InvalidValue, match=ENDLESS[kind][2]):
        _drain(blocks(file, {"b"}, {"m"}))  # type: ignore[arg-type]
    assert file.given <= 3 * MAX_TOKEN


def test_long_files_are_held_in_part_only() -> None:
    """Megabytes of text, of blocks and of what is in no block pass, and their memory is that of some chunks."""
    line = b"<c>" + b"x" * 1000 + b"</c>"
    parts = {"text": b"<c>" + b"x" * (4 * MAX_TOKEN) + b"</c>", "blocks": (b"<b>" + line + b"</b>") * 4000,
             "in a block": b"<b>" + line * 4000 + b"</b>", "outside": line * 4000}
    for name, part in parts.items():
        data = io.BytesIO(b"<r>" + part + b"</r>")
        assert len(part) > 4_000_000
        tracemalloc.start()
        try:
            _drain(blocks(data, {"b"}, {"m"}))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < len(part) // 2, (name, peak)


def _drain(items: Iterator[object]) -> None:
    for _ in items:
        pass


def test_the_bounds_are_beyond_what_formats_have() -> None:
    """A file at the bounds is read: so deep, so many names, a comment just short of the longest."""
    depth = MAX_DEPTH - 2
    names = b"".join(b"<a%d/>" % n for n in range(MAX_NAMES - 90))
    (block,) = read(b"<r>" + names + b"<!--" + b"x" * (MAX_TOKEN - 200_000) + b"--><b>" + b"<c>" * depth + b"1"
                    + b"</c>" * depth + b"</b></r>")
    assert isinstance(block, Block) and block.first("/".join("c" * depth)) == "1"

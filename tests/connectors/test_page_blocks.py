"""What pages say outside of their tables, as rows; and what broken or hostile ones give."""

import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors import Found, Progress, Reject, kit, page_blocks
from chez.connectors.mapped import Mapped
from chez.connectors.mapping import mapping_text, read_mapping
from chez.connectors.page_blocks import MAX_ROW, BlockRow, block_rows
from chez.connectors.pages import MAX_TOKEN
from chez.errors import InvalidValue
from tests.connectors.test_mapped import looked, page, rows, zipped
from tests.tries import tries

MESSAGES = """<html><head><title>t</title><style>a {}</style><body class="b"><nav>menu</nav><h1>Chats</h1>
<div class="main"><div class="box pam"><h2 class="who">Ada</h2>
<div class="said"><div></div><div>hello &amp;<br>you</div></div><div class="when">2024-01-31</div></div>
<div class="box pam"><h2 class="who">Bob</h2><div class="said"><img src="p/1.jpg"></div>
<div class="when">2024-02-01</div></div></div></html>"""


def found(text: str) -> list[tuple[str, dict[str, str]]]:
    """The rows of a page."""
    return [(one.path, one.values) for one in block_rows(io.BytesIO(text.encode()), "utf-8", len(text))
            if isinstance(one, BlockRow)]


def test_what_repeats_is_rows() -> None:
    """Elements of one class beside each other are rows, their text by the class it stands in, however deep; a row that
    lacks a value has no other in its place."""
    assert found(MESSAGES) == [
        ("<div box pam>", {"under": "Chats", "who": "Ada", "said": "hello &\nyou", "when": "2024-01-31"}),
        ("<div box pam>", {"under": "Chats", "who": "Bob", "when": "2024-02-01", "links": "p/1.jpg"})]


def test_lists_definitions_and_headings() -> None:
    """Items of lists, definitions by their terms, and what stands under a heading, without any end tag."""
    assert found("<h1>Me</h1><dl><dt>Name<dd>Ada<dt>Born<dd><p>1990</dl><h2>About</h2><p>one<p>two <b>too</b>"
                 "<h2>Likes</h2><ul><li>tea<li><a href='x.html'>cake</a></ul>tail") == [
        ("<dl>", {"under": "Me", "Name": "Ada", "Born": "1990"}),
        ("<headings>", {"under": "Me", "heading": "About", "p": "one\ntwo too"}),
        ("<li>", {"under": "Me / Likes", "li": "tea"}),
        ("<li>", {"under": "Me / Likes", "li": "cake", "links": "x.html"}),
        ("<headings>", {"under": "Me / Likes", "text": "tail"})]


def test_text_of_no_structure_is_kept() -> None:
    """A page of nothing but text is rows of it, a long one several; a repeated block that is too long is a reject."""
    assert found("just words") == [("<headings>", {"text": "just words"})]
    words = "".join(f"<p>{n} {'x' * 1000}</p>" for n in range(100))
    long = found(f"<h1>Long</h1>{words}")
    assert len(long) > 1 and {one["heading"] for _, one in long} == {"Long"}
    assert "".join(one["p"] + "\n" for _, one in long).count("x" * 1000) == 100
    data = f"<div class=a>{'y' * (MAX_ROW + 1)}</div><div class=a>z</div>".encode()
    items = [one for one in block_rows(io.BytesIO(data), "utf-8", len(data)) if not isinstance(one, Progress)]
    assert isinstance(items[0], Reject) and "more than" in items[0].reason
    assert items[1:] == [BlockRow(1, "<div a>", {"div": "z"})]


def test_a_folder_of_pages_becomes_a_collection() -> None:
    """Pages with the same blocks are one table with a time; a mapping of the first form reads tables as before, and a
    page that has both gives both by the second."""
    files: dict[str, str | bytes] = {f"p{n}.html": MESSAGES.replace("hello", f"hello {n}") for n in range(3)}
    files["both.html"] = page(1) + "<ul><li>more"
    mapping, seen, rejects = looked(zipped(files))
    assert mapping.format == 2 and not rejects
    assert [(one.files, one.path, one.rows) for one in seen] == [
        ("p*.html", "<div box pam>", 6), ("both.html", "Date | From | Text", 1), ("both.html", "<li>", 1)]
    items = kit.items_of(Mapped(mapping), zipped(files), "export.zip")
    said = rows(items, "dating_p")
    assert len(said) == 6 and said[0]["at"].day == 31 and said[0]["said"] == "hello 0 &\nyou"
    assert not [one for one in items if isinstance(one, Reject)]
    older = read_mapping(re.sub("format = 2", "format = 1", mapping_text(mapping)).encode())
    items = kit.items_of(Mapped(older), zipped(files), "export.zip")
    assert len([one for one in items if isinstance(one, Found)]) == 1


TAGS = ("div", "div class=a", "div class=b", "p", "li", "ul", "dl", "dt", "dd", "span", "h2", "b", "section", "article")
TREE = st.recursive(st.from_regex(r"w[0-9]{1,4}", fullmatch=True), lambda inner: st.builds(
    lambda tag, parts: f"<{tag}>{' '.join(parts)}</{tag.split()[0]}>", st.sampled_from(TAGS),
    st.lists(inner, max_size=4)), max_leaves=20)


@given(st.lists(TREE, max_size=5))
@settings(max_examples=tries(80), deadline=None)
def test_no_word_is_lost(trees: list[str]) -> None:
    """Whatever is inside what, each word of the page is in a row, a column's name or a heading above one, unless it is
    of a heading or a term without anything."""
    text = "".join(trees) + "<p>end</p>"
    said = json.dumps(found(text))
    outside = re.sub(r"<(h2|dt)>.*?</\1>", " ", text) if "<dt>" in text or "<h2>" in text else text
    for word in re.findall(r"w[0-9]+", outside):
        assert word in said


@given(st.text(st.sampled_from("<>/=\"' !-&;abdilp\n"), max_size=200) | st.text(max_size=50))
@settings(max_examples=tries(80), deadline=None)
def test_any_text_ends(text: str) -> None:
    """Any characters end in rows, or in a typed refusal, twice the same."""
    try:
        assert found(text) == found(text)
    except InvalidValue:
        return


@pytest.mark.parametrize("unit", ["<div>", "<div class=a>", "<li>", "</div>", "<dt>x", "<b>", "<h1>x", "<a href=x>"])
def test_hostile_filling_is_bounded(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless nesting, siblings and ends hold no more than so many elements and classes."""
    held: list[int] = []
    real = page_blocks._Open.handle_starttag

    def start(self: page_blocks._Open, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        real(self, tag, attrs)
        held.append(len(self.stack))

    monkeypatch.setattr(page_blocks._Open, "handle_starttag", start)
    found(unit * 3000)
    assert max(held, default=0) <= page_blocks.MAX_OPEN


def test_too_many_classes_and_an_endless_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes beyond a bound are not told apart, and a tag without end is refused."""
    monkeypatch.setattr(page_blocks, "MAX_KINDS", 2)
    many = "".join(f"<div class=c{n}>x</div><div class=c{n}>y</div>" for n in range(5))
    assert {path for path, _ in found(many)} == {"<div c0>", "<div c1>", "<headings>"}
    with pytest.raises(InvalidValue, match="longer than"):
        found("<p x='" + "y" * (MAX_TOKEN + 100_000))

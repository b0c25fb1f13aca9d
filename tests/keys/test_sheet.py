"""The page to print: it says all that is needed, loads nothing, and warns."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez import qr
from chez.errors import InvalidValue
from chez.keys import new_words, recovery_sheet, split_words

WORDS = new_words(bytes(range(32)))
SHARE = split_words(WORDS, threshold=2, count=3)[1]


@pytest.mark.parametrize("html", [True, False])
@pytest.mark.parametrize("secret", [WORDS, SHARE])
def test_a_page_has_the_words_in_order_and_a_warning(secret: str, html: bool) -> None:
    """All words are on it in their order, with the date, and that it is not encrypted."""
    page = recovery_sheet(secret, made="2026-11-25", person="abc def", html=html)
    if html:
        assert re.findall("<li>(.*?)</li>", page) == secret.split()
    else:
        numbered = dict(re.findall(r"(\d+)\. ([a-z]+)", page))
        assert [numbered[str(n)] for n in range(1, len(numbered) + 1)] == secret.split()
    assert "NOT encrypted" in page and "2026-11-25" in page and "abc def" in page
    assert ("share 2" in page) == (secret is SHARE)


def test_a_page_loads_nothing() -> None:
    """No address, script or style from elsewhere is in it: it prints without a network."""
    page = recovery_sheet(SHARE, made="2026-11-25")
    assert "<svg" in page and not re.search(r"https?:|src=|href=|url\(|<script|@import", page)


def test_a_page_shows_what_it_is_given_as_text() -> None:
    """A name with markup in it is text on the page."""
    page = recovery_sheet(WORDS, made="<b>now</b>", person="<script>alert(1)</script>")
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>" not in page


@pytest.mark.parametrize("secret", ["", "tea", WORDS + " tea", WORDS.replace(WORDS.split()[3], "tea")])
def test_what_is_no_secret_gets_no_page(secret: str) -> None:
    """A page with a wrong word would be worse than none."""
    with pytest.raises(InvalidValue):
        recovery_sheet(secret, made="2026-11-25")


@given(st.text(min_size=1, max_size=100))
def test_a_code_is_the_same_on_paper_and_at_a_terminal(text: str) -> None:
    """The blocks are the modules of the code, two rows in a line, with a light border."""
    import segno

    rows = [list(row) for row in segno.make(text, error="m", micro=False).matrix_iter(border=4)]
    found: list[list[int]] = []
    for line in qr.blocks(text):
        found += [[int(char in "▀█") for char in line], [int(char in "▄█") for char in line]]
    assert found[: len(rows)] == rows and not any(map(any, found[len(rows) :]))
    assert "<svg" in qr.svg(text) and "<path" in qr.svg(text)

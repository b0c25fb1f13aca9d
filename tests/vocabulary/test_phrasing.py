"""Sentences with numbers: one of a thing, or several, in both languages."""

import pytest

from chez.phrasing import filled, how_many


@pytest.mark.parametrize(("number", "said"), [(0, "0 entries"), (1, "1 entry"), (2000, "2,000 entries")])
def test_one_or_several(number: int, said: str) -> None:
    """One is one; none and many are several."""
    assert how_many(number, "entry", "entries") == said
    assert how_many(number, "row") == said.replace("entries", "rows").replace("entry", "row")


@pytest.mark.parametrize(("language", "number", "said"), [
    ("en", 0, "0 rows of 2.50"), ("en", 1, "1 row of 2.50"), ("en", "1,000", "1,000 rows of 2.50"),
    ("fr", 0, "0 row of 2.50"), ("fr", 1, "1 row of 2.50"), ("fr", 2, "2 rows of 2.50"), ("fr", 11, "11 rows of 2.50")])
def test_a_sentence_counts_in_its_language(language: str, number: int | str, said: str) -> None:
    """French has none in the singular; what is no count is formatted as ever."""
    assert filled(language, "{rows:row|rows} of {price:.2f}", {"rows": number, "price": 2.5}) == said

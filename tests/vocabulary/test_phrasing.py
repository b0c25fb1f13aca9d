"""Sentences with numbers: one of a thing, or several, in both languages."""

import pytest

from chez.phrasing import Figure, filled, how_many


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


def test_a_number_is_written_as_its_language_does() -> None:
    """In French a comma begins the fraction, and a blank at which no line breaks parts thousands; a name stays."""
    values = {"bits": Figure("1,234.5"), "runs": Figure("1,000"), "name": "1,000.5"}
    sentence = "{name}: {bits} bits, {runs:run|runs}"
    assert filled("en", sentence, values) == "1,000.5: 1,234.5 bits, 1,000 runs"
    assert filled("fr", sentence, values) == "1,000.5: 1\N{NO-BREAK SPACE}234,5 bits, 1\N{NO-BREAK SPACE}000 runs"
    assert filled("fr", "{runs:run|runs}", {"runs": Figure("1")}) == "1 run"

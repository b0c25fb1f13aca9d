"""A provider's values among our words: none can be taken for another, for several, or for words of ours."""

import re
from collections.abc import Iterable
from typing import Any, Final

__all__ = ("value_words", "values_words")

_WORD: Final = re.compile(r"(?!(?:True|False)\Z)[^\W\d][\w.+/-]*")
"""A text that is read as that one text also without quotes: no number, no list, no condition."""


def value_words(value: Any) -> str:
    """One value; a text that is no plain word stands in quotes, and what a screen does not show of it is escaped."""
    if not isinstance(value, str):
        return str(value)
    return value if _WORD.fullmatch(value) else f'"{"".join(map(_shown, value))}"'


def values_words(values: Iterable[Any]) -> str:
    """Several values."""
    return ", ".join(map(value_words, values))


def _shown(char: str) -> str:
    # A line break would begin a line of its own on a screen.
    if char in '\\"':
        return f"\\{char}"
    return char if char.isprintable() else char.encode("unicode_escape").decode()

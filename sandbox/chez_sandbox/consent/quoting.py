"""A provider's values among our words: none can be taken for another, for several, or for words of ours."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ("CUT", "parameter_words", "value_words", "values_words")

LONGEST: Final = 160
"""Characters of one parameter: two lines of a screen."""

CUT: Final = " …"
"""What a parameter ends with that is longer. JSON does not end so."""

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


def parameter_words(parameters: Mapping[str, Any]) -> list[str]:
    """Each parameter as its name and JSON, of a long one the beginning; what a screen does not show is escaped."""
    texts = [f"{value_words(name)} = {_escaped(json.dumps(parameters[name], ensure_ascii=False, sort_keys=True))}"
             for name in sorted(parameters)]
    return [text if len(text) <= LONGEST else text[:LONGEST - len(CUT)] + CUT for text in texts]


def _escaped(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _shown(char: str) -> str:
    # A line break would begin a line of its own on a screen.
    if char in '\\"':
        return f"\\{char}"
    return _escaped(char)

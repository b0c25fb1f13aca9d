"""Sentences with numbers in them, of one thing or of several, and with what somebody else wrote."""

from collections.abc import Mapping
from string import Formatter
from typing import Any, Final

__all__ = ("Figure", "filled", "how_many", "in_one_line")


class Figure(str):
    """A number written out as in English, "1,000.5", which `filled` writes as the language of the sentence does.

    In French the one character parts thousands and the other is the sign of a fraction: unchanged it is another number.
    """

    __slots__ = ()


def how_many(number: int, single: str, several: str | None = None) -> str:
    """A number and what there are so many of, in English: "1 entry", "2,000 entries"; `several` is else `single`s."""
    return f"{number:,} {single if number == 1 else several or single + 's'}"


def in_one_line(text: str) -> str:
    """What somebody else wrote, for a sentence of ours: without the line breaks behind which it might pass for one."""
    return " ".join(text.split())


def filled(language: str, sentence: str, values: Mapping[str, Any]) -> str:
    """A sentence in "en" or "fr" with its values, as by `str.format`; `{rows:row|rows}` is "1 row" or "2 rows".

    A number may be written out already (`Figure`). In French none is one of a kind: "0 ligne".
    """
    return _FORMATTERS[language == "fr"].vformat(sentence, (), values)


class _Counting(Formatter):
    def __init__(self, written: dict[int, str], *single: str) -> None:
        self._written = written
        self._single = single

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, Figure):
            value = value.translate(self._written)
        single, counts, several = format_spec.partition("|")
        if not counts:
            return str(super().format_field(value, format_spec))
        return f"{value} {single if str(value) in self._single else several}"


_IN_FRENCH: Final = str.maketrans({",": "\N{NO-BREAK SPACE}", ".": ","})
_FORMATTERS: Final = (_Counting({}, "1"), _Counting(_IN_FRENCH, "0", "1"))

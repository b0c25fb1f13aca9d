"""From words on the command line, and JSON in files, to values."""

import re
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from chez.errors import InvalidValue, NotFound
from chez.shown import NO_FILE, UNREADABLE

__all__ = ("condition", "documents", "duration", "is_data", "json_object", "pairs", "word_value")

_PAIR: Final = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_CONDITION: Final = re.compile(r"([^=!<>]+?)\s*(==|!=|<=|>=|=|<|>)\s*(.*)", re.DOTALL)


RECORD: Final = 'a record looks like {"title": "Tea"}'

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST: Final = 366 * 86_400

MAX_FILE: Final = 256 << 20
"""Bytes of a file of records: it is held as a whole, with its records. A device may never end."""


def duration(word: str) -> float:
    """The seconds that a word like `90s`, `15m`, `8h` or `2d` says. Raises `InvalidValue`."""
    found = _DURATION.fullmatch(word.strip().lower())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not 0 < seconds <= LONGEST:
        raise InvalidValue(f"{word!r} is no time span", "use a number and s, m, h or d: 90s, 15m, 8h, at most 366d")
    return seconds


def word_value(word: str) -> Any:
    """The JSON value a word spells (3, true, null, [1,2], "3"); else the word as text."""
    try:
        return msgspec.json.decode(word)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return word


def is_data(word: str) -> bool:
    """Whether a word is a record or a part of one, rather than an id."""
    return word.lstrip().startswith("{") or "=" in word


def pairs(words: tuple[str, ...]) -> dict[str, Any]:
    """The fields in words like `title=Tea` or `cups=2`. Raises UsageError."""
    fields: dict[str, Any] = {}
    for word in words:
        found = _PAIR.fullmatch(word)
        if found is None:
            raise click.UsageError(f"{word!r} is no field=value", click.get_current_context())
        if found[1] in fields:
            raise click.UsageError(f"the field {found[1]!r} is given twice", click.get_current_context())
        fields[found[1]] = word_value(found[2])
    return fields


def condition(word: str) -> tuple[str, str, Any]:
    """A comparison like `cups>=2` as (field, sign, value). Raises UsageError."""
    found = _CONDITION.fullmatch(word)
    if found is None:
        raise click.UsageError(f"{word!r} is no comparison such as title=Tea or cups>=2",
                               click.get_current_context())
    return found[1].strip(), "==" if found[2] == "=" else found[2], word_value(found[3])


def json_object(text: str | bytes, source: str) -> dict[str, Any]:
    """The one record in a JSON text. Raises `InvalidValue`."""
    value = _decode(text, source)
    if not isinstance(value, dict):
        raise InvalidValue(f"{source} is no JSON object", RECORD)
    return value


def documents(path: Path) -> list[dict[str, Any]]:
    """The records of a file ("-": standard input): one object, an array of them, or JSON Lines.

    Raises `NotFound`, and `InvalidValue` for what is none, can't be read, or has more than `MAX_FILE` bytes.
    """
    source = "standard input" if str(path) == "-" else str(path)
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", NO_FILE) from None
    except OSError as error:
        raise InvalidValue(f"{path} can't be read: {error.strerror}", UNREADABLE) from None
    if len(data) > MAX_FILE:
        raise InvalidValue(f"{source} has more than {MAX_FILE >> 20} MiB", "put it in parts")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        whole = msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
        if len(lines) < 2:
            raise InvalidValue(f"{source} is no JSON: {error}", RECORD) from None
        return [json_object(line, f"line {number} of {source}") for number, line in lines]
    records = whole if isinstance(whole, list) else [whole]
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise InvalidValue(f"record {number} of {source} is no JSON object", RECORD)
    return records


def _decode(text: str | bytes, source: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"{source} is no JSON: {error}", RECORD) from None

"""Places in a text that stay where they are while others type: a caret, the ends of a selection.

A cursor is the identity of the character behind a place, written as text, so that it can
be kept or sent to another device: `number@actor`, or `end`. Where that character was
deleted, the place is behind the nearest character before it that was there when it was
typed and still is.

The binding has no cursors of its own; it tells of each character which operation put it
in (docs/decisions/0002).
"""

from collections.abc import Sequence
from typing import Final

from chez.errors import InvalidValue, NotFound
from chez.records import automerge
from chez.records.automerge import Document
from chez.records.reserved import operation

__all__ = ("FieldPath", "cursor_at", "position_of")

FieldPath = str | Sequence[str | int]
"""A field, or the way to it through maps (by key) and lists (by index)."""

_END: Final = "end"
_DIGITS: Final = 20


def cursor_at(document: Document, path: FieldPath, position: int) -> str:
    """A cursor for the place before a character of a text, or for its end.

    Raises `NotFound` if there is no text, `InvalidValue` for a position outside it.
    """
    text = _text(document, path)
    size = automerge.length(document, text)
    if not 0 <= position <= size:
        raise InvalidValue(f"{position} is not within the text of {size} characters")
    if position == size:
        return _END
    actor, number = operation(automerge.character(document, text, position))
    return f"{number}@{actor.hex()}"


def position_of(document: Document, path: FieldPath, cursor: str) -> int:
    """Where a cursor is now.

    Raises `NotFound` if there is no text, or its character has not arrived here yet, and
    `InvalidValue` for what is no cursor.
    """
    text = _text(document, path)
    if cursor == _END:
        return automerge.length(document, text)
    actor, number = _read(cursor)
    places = _places(automerge.characters(document, text))
    if (actor, number) in places:
        return places[actor, number]
    made = [past.hash for past in automerge.history(document)
            if past.actor == actor and past.first <= number <= past.last]
    before = list(_places(automerge.characters(document, text, made))) if made else []
    if (actor, number) not in before:
        raise NotFound("this place in the text is not known here", "It may come with the next sync.")
    for one in reversed(before[:before.index((actor, number))]):
        if one in places:
            return places[one] + 1
    return 0


def _places(characters: Sequence[tuple[str, bytes]]) -> dict[tuple[bytes, int], int]:
    out = {}
    at = 0
    for content, id in characters:
        out[operation(id)] = at
        at += len(content)
    return out


def _read(cursor: str) -> tuple[bytes, int]:
    number, sign, actor = cursor.partition("@") if isinstance(cursor, str) else ("", "", "")
    try:
        if sign and number.isascii() and number.isdecimal() and len(number) <= _DIGITS:
            return bytes.fromhex(actor), int(number)
    except ValueError:
        pass
    raise InvalidValue("this is no cursor of a text", "Use what `cursor` returned.")


def _text(document: Document, path: FieldPath) -> bytes:
    text = automerge.text_at(document, (path,) if isinstance(path, str) else path)
    if text is None:
        raise NotFound(f"there is no text at {path!r}")
    return text

"""What a record may hold, checked; and its projection to JSON.

A value is a JSON-like tree: maps with text keys, lists, text, whole numbers of 64 bits,
finite floats, booleans, null, bytes, points in time (aware datetimes, kept to the
millisecond in UTC, which is what Automerge stores), collaborative texts (`Text`), and in
maps counters (`Counter`).

The projection is JSON for SQL to read: times as RFC 3339 text of fixed width, bytes as
hexadecimal text, so that the order of the texts is theirs; a `Text` as text, a `Counter`
as a number. `kinds` remembers which places these were, so that reading a record back
restores them.
"""

import math
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from chez.errors import InvalidValue
from chez.records.counter import Counter
from chez.records.reference import Blob, field_of
from chez.records.reserved import COUNTER
from chez.records.text import Mark, Pen, Text, check_mark

__all__ = ("MAX_DEPTH", "MAX_ID", "OWN", "Value", "check_collection", "check_id", "check_value", "from_json",
           "is_plain", "is_settled", "moment", "opened", "shows", "time_text", "to_json", "without_kinds")

Value = Any
"""dict[str, Value] | list[Value] | str | int | float | bool | None | bytes | datetime | Blob | Text | Counter."""

MAX_DEPTH: Final = 32
"""Maps and lists inside each other: a bound on recursion everywhere values are walked."""

MAX_ID: Final = 128
"""Characters of a record id or a collection name."""

OWN: Final = ("chez-", "chez.")
"""How the names of Chez's own collections begin, in small letters or capitals."""

EARLIEST: Final = datetime(1, 1, 2, tzinfo=UTC)
"""The first time that can be stored: the document library reads none before it."""

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_RARE: Final = frozenset(("", "_"))
"""How keys begin that are looked at."""
_encoder = msgspec.json.Encoder()
_sorting = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


def _printable(text: str) -> bool:
    return text.isprintable() and "\x7f" not in text


def check_id(text: object) -> str:
    """A record id: 1 to 128 printable characters. Raises `InvalidValue`."""
    if not isinstance(text, str) or not 1 <= len(text) <= MAX_ID or not _printable(text):
        raise InvalidValue(f"{text!r} can't be a record id", f"Use 1 to {MAX_ID} printable characters.")
    return text


def check_collection(text: object) -> str:
    """A collection's name: letters, digits, `_`, `.` and `-`, beginning with a letter."""
    ok = isinstance(text, str) and 1 <= len(text) <= MAX_ID and text[0].isalpha()
    reserved = str(text).lower().startswith("sqlite_")  # SQLite keeps these names for itself
    if not ok or reserved or not str(text).replace("_", "").replace(".", "").replace("-", "").isalnum():
        raise InvalidValue(f"{text!r} can't be a collection's name",
                           "Use letters, digits, '_', '.' and '-', beginning with a letter.")
    return str(text)


def check_value(value: object) -> dict[str, Value]:
    """Check a record's value and return it in stored form. Raises `InvalidValue` naming the field."""
    if not isinstance(value, dict):
        raise InvalidValue(f"a record is a map of fields, not {type(value).__name__}")
    return _map(value, "", 0)


def _map(value: dict[Any, Any], path: str, depth: int) -> dict[str, Value]:
    if depth >= MAX_DEPTH:
        raise InvalidValue(f"field {path!r} is nested more than {MAX_DEPTH} levels deep")
    out = {}
    for key, item in value.items():
        if type(key) is not str or key[:1] in _RARE or not key.isascii():
            _check_key(key, path, depth)
        kind = type(item)
        # What most fields hold is seen here: a call for each would take most of the time of a large value.
        if (kind is int and _INT_MIN <= item <= _INT_MAX) or (kind is str and item.isascii()):
            out[key] = item
        else:
            out[key] = _check(item, f"{path}.{key}" if path else key, depth + 1)
    return out


def _check_key(key: object, path: str, depth: int) -> None:
    if not isinstance(key, str) or not key:
        raise InvalidValue(f"field {path or '(top)'!r}: a key must be a non-empty text, not {key!r}")
    if not _storable(key):
        raise InvalidValue(f"field {path or '(top)'!r}: the key {key!r} holds half a surrogate pair")
    if key[0] == "_" and not depth:
        raise InvalidValue(f"field {key!r}: names that begin with '_' are kept for Chez",
                           "Choose a name that begins with a letter.")
    if key.startswith(COUNTER):
        raise InvalidValue(f"field {path!r}: keys that begin with {COUNTER!r} are kept for counters",
                           "Put a `chez.Counter` under a name of your own.")


def _check(value: Any, path: str, depth: int) -> Value:
    kind = type(value)
    if kind is str:
        if not value.isascii():
            _check_text(value, path)
        return value
    if kind is bool or value is None or kind is bytes:
        return value
    if kind is int:
        if not _INT_MIN <= value <= _INT_MAX:
            raise InvalidValue(f"field {path!r}: {value} does not fit 64 bits", "Store it as text.")
        return value
    if kind is float:
        if not math.isfinite(value):
            raise InvalidValue(f"field {path!r}: {value} is not a finite number", "Store None instead.")
        return value
    if kind is datetime:
        if value.tzinfo is None:
            raise InvalidValue(f"field {path!r}: a time without a time zone names no instant",
                               "Add a tzinfo, for instance datetime.UTC.")
        try:
            utc = value.astimezone(UTC)
        except OverflowError:
            utc = datetime.min.replace(tzinfo=UTC)
        if utc < EARLIEST:
            raise InvalidValue(f"field {path!r}: in UTC, {value} is not within {EARLIEST.date()} and 9999-12-31",
                               "Store it as text.")
        return utc.replace(microsecond=utc.microsecond // 1000 * 1000)
    if kind is Blob:
        return field_of(value)
    if kind is Text:
        _check_text(str(value), path)
        for one in value.marks:
            check_mark(one, len(value.base))
        return value
    if kind is Counter:
        return value
    if isinstance(value, dict):
        return _map(value, path, depth)
    if isinstance(value, list | tuple):
        if depth >= MAX_DEPTH:
            raise InvalidValue(f"field {path!r} is nested more than {MAX_DEPTH} levels deep")
        if any(type(item) is Counter for item in value):
            raise InvalidValue(f"field {path!r}: a counter has a name in a map, it can't be an item of a list",
                               "Put it into a map in the list: [{\"count\": chez.Counter()}].")
        return [_check(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    raise InvalidValue(f"field {path!r}: {kind.__name__} can't be stored",
                       "Use text, numbers, booleans, None, bytes, aware datetimes, attachments, lists and maps.")


def _check_text(value: str, path: str) -> None:
    if not _storable(value):
        raise InvalidValue(f"field {path!r}: the text holds half a surrogate pair")


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def moment(milliseconds: int) -> datetime | None:
    """The time that so many Unix milliseconds are, in UTC; None beyond all calendars."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def time_text(value: datetime) -> str:
    """A time as the projection writes it: RFC 3339, UTC, milliseconds, always 24 characters."""
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[:23] + "Z"


_PLAIN: Final = frozenset((str, int, float, bool, type(None)))


def is_plain(value: Value) -> bool:
    """Whether no text and no counter is in it, at any depth."""
    kind = type(value)
    if kind is dict:
        return all(map(is_plain, value.values()))
    if kind is list:
        return all(map(is_plain, value))
    return kind is not Text and kind is not Counter


def is_settled(value: Value) -> bool:
    """Whether a value that is written anew shows as it is: no text in it has marks or steps of a draft."""
    kind = type(value)
    if kind is dict:
        return all(map(is_settled, value.values()))
    if kind is list:
        return all(map(is_settled, value))
    return kind is not Text or not (value.marks or value.steps)


def opened(value: Value, pen: Pen) -> Value:
    """A copy for a draft: maps and lists anew, texts and counters open to edits."""
    kind = type(value)
    if kind is dict:
        return {key: opened(item, pen) for key, item in value.items()}
    if kind is list:
        return [opened(item, pen) for item in value]
    return value.opened(pen) if kind is Text or kind is Counter else value


def without_kinds(value: Value) -> Value:
    """A copy with texts as str and counters as int."""
    kind = type(value)
    if kind is dict:
        return {key: without_kinds(item) for key, item in value.items()}
    if kind is list:
        return [without_kinds(item) for item in value]
    return str(value) if kind is Text else int(value) if kind is Counter else value


_Kinds = list[tuple[Any, ...]]


def to_json(value: dict[str, Value]) -> tuple[str, str | None]:
    """The JSON of a value, its keys in order as a document has them; and the JSON list of `[path, kind]` that restores
    it, None if not needed.
    """
    odd = [key for key, item in value.items() if type(item) not in _PLAIN]
    if not odd:
        return _sorting.encode(value).decode(), None
    kinds: _Kinds = []
    plain = dict(value)
    for key in odd:
        plain[key] = _plain(value[key], [key], kinds)
    return _sorting.encode(plain).decode(), _encoder.encode(kinds).decode() if kinds else None


def _plain(value: Value, path: list[str | int], kinds: _Kinds) -> Value:
    kind = type(value)
    if kind is dict:
        return {key: _plain(item, [*path, key], kinds) for key, item in value.items()}
    if kind is list:
        return [_plain(item, [*path, i], kinds) for i, item in enumerate(value)]
    if kind is datetime:
        kinds.append((path, "t"))
        return time_text(value)
    if kind is bytes:
        kinds.append((path, "b"))
        return value.hex()
    if kind is Text:
        marks = [(one.start, one.end, one.name, one.value) for one in value.marks]
        kinds.append((path, "x", marks) if marks else (path, "x"))
        return str(value)
    if kind is Counter:
        kinds.append((path, "c"))
        return int(value)
    return value


def from_json(text: str, kinds: str | None) -> dict[str, Value]:
    """The value a projection was made from."""
    value: dict[str, Value] = _decoder.decode(text)
    if kinds:
        for path, kind, *more in _decoder.decode(kinds):
            parent: Any = value
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = _restored(parent[path[-1]], kind, more)
    return value


def shows(text: str, kinds: str | None, value: dict[str, Value]) -> bool:
    """Whether a projection is that of a value, to the kind of each number: 1, 1.0 and true are three.

    Keys may come in any order. What is no projection is none of anything.
    """
    try:
        return _in_order(text, kinds) == _in_order(*to_json(value))
    except (ValueError, TypeError, LookupError):
        return False


def _in_order(text: str, kinds: str | None) -> tuple[bytes, list[bytes]]:
    places = _decoder.decode(kinds) if kinds else []
    return _sorting.encode(_decoder.decode(text)), sorted(map(_sorting.encode, places))


def _restored(item: Any, kind: str, more: list[Any]) -> Value:
    if kind == "t":
        return datetime.fromisoformat(item)
    if kind == "b":
        return bytes.fromhex(item)
    if kind == "c":
        return Counter(item)
    return Text(item, tuple([Mark(*one) for one in more[0]]) if more else ())

"""Forms that a document keeps in keys of their own, one writer or one value each.

Where two devices would write one key at once, one of them would lose. So

- a counter `name` is the whole number at `name`, if there is one, plus its parts: one
  key `_counter:<device id in hex>:<name>` beside it for each device that added, with
  what that device added in all. Only the device itself writes its part: one that
  another wrote is not counted. What is made anew of unsent work (records/derived.py) has
  a part too, under the hash of a change of that work in the place of a device's id.
- the version of a record's form is the highest of the keys `_version:<n>` that are
  true, so that of two devices that migrate to different versions the newer one counts.

Nobody else can make such keys through the SDK. A member may write anything by hand:
what is no such form shows as nothing, and is left alone.
"""

from collections.abc import Iterable
from typing import Any, Final

from automerge.core import ScalarType

from chez.errors import InvalidValue
from chez.records.columns import BadColumns, read_uleb
from chez.records.counter import Counter, bounded

__all__ = ("COUNTER", "MAX_VERSION", "REMADE", "VERSION", "Raw", "check_reserved", "fold", "is_part_of", "is_reserved",
           "operation", "part_key", "part_name", "parts_by_name", "version_key")

COUNTER: Final = "_counter:"
VERSION: Final = "_version:"
_HEX: Final = 64
_NAME: Final = len(COUNTER) + _HEX + 1
REMADE: Final = 28
"""Bytes of the actor of a change by which unsent work is made anew."""
_FIELDS: Final = frozenset(("_deleted", "_source", "_version"))
MAX_VERSION: Final = 999_999_999

Raw = tuple[str, Any, bytes]
"""A key, what the binding says its value is, and the id of the operation that set it."""


def is_reserved(key: str, root: bool) -> bool:
    """Whether a key of a map in a document is part of one of these forms."""
    return key.startswith(COUNTER) or (root and (key.startswith(VERSION) or key == VERSION[:-1]))


def check_reserved(value: dict[str, Any]) -> None:
    """Raise `InvalidValue` unless the reserved fields of a value to be put are those of a record."""
    for key, item in value.items():
        if key[:1] == "_" and (key not in _FIELDS or (key == "_version" and not _is_version(item))):
            raise InvalidValue(f"field {key!r}: names that begin with '_' are kept for Chez",
                               "Choose a name that begins with a letter.")


def _is_version(item: object) -> bool:
    return type(item) is int and 1 <= item <= MAX_VERSION


def part_key(device: bytes, name: str) -> str:
    """The key of a device's part of a counter."""
    return f"{COUNTER}{device.hex()}:{name}"


def version_key(version: int) -> str:
    """The key that says a record has the form of a version."""
    return f"{VERSION}{version}"


def part_name(key: str) -> str | None:
    """The counter that a key is a part of, None when it is no part."""
    if not key.startswith(COUNTER) or key[_NAME - 1 : _NAME] != ":" or not key[_NAME:]:
        return None
    return None if set(key[len(COUNTER) : _NAME - 1]) - set("0123456789abcdef") else key[_NAME:]


def is_part_of(key: str, actor: bytes) -> bool:
    """Whether a part of a counter counts where this actor wrote it."""
    return actor.hex() == key[len(COUNTER) : _NAME - 1] or len(actor) == REMADE


def parts_by_name(keys: Iterable[str]) -> dict[str, list[str]]:
    """Of the keys of a map, those that are parts of each counter."""
    found: dict[str, list[str]] = {}
    for key in keys:
        if key.startswith(COUNTER) and (name := part_name(key)) is not None:
            found.setdefault(name, []).append(key)
    return found


def operation(id: bytes) -> tuple[bytes, int]:
    """The actor and the number in the binding's id of an operation: tag, actor, that one's index, number."""
    try:
        size, at = read_uleb(id, 1)
        _, after = read_uleb(id, at + size)
        return id[at : at + size], read_uleb(id, after)[0]
    except (IndexError, BadColumns):
        return b"", 0


def fold(shown: dict[str, Any], raw: Iterable[Raw], root: bool, stand_in: bytes | None = None) -> dict[str, Any]:
    """A map's value with its counters and its version in it, keys in order.

    `raw` are its reserved keys. `stand_in` is an actor whose parts count as their device's own.
    """
    sums: dict[str, int] = {}
    version = 0
    for key, value, id in raw:
        if type(value) is not tuple:
            continue
        if root and key.startswith(VERSION):
            version = max(version, _version(key, value))
        elif value[0] == ScalarType.Int and (name := part_name(key)) is not None:
            by = operation(id)[0]
            if (is_part_of(key, by) or by == stand_in) and not (root and name[0] == "_"):
                sums[name] = sums.get(name, 0) + value[1]
    for name, total in sums.items():
        base = shown.get(name, 0)
        if type(base) is int:  # anything else was put in the counter's place
            shown[name] = Counter(bounded(base + total))
    if version:
        shown["_version"] = version
    return dict(sorted(shown.items()))


def _version(key: str, value: tuple[Any, Any]) -> int:
    digits = key[len(VERSION) :]
    # isdecimal alone takes digits of every script.
    if value != (ScalarType.Boolean, True) or not (digits.isascii() and digits.isdecimal()) or len(digits) > 9:
        return 0
    return int(digits)

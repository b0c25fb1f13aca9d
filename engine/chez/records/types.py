"""What a type of record says of itself: where its records live, and what each one is about.

The types that jobs, apps and connectors have in common are in `chez.vocabulary`; an app declares
its own in the same way, as a msgspec Struct with `__collection__` and, to be imported, `__identity__`.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import msgspec

from chez.errors import InvalidValue

__all__ = ("OPEN", "collection_of", "identity_of")

OPEN: Final = "open_"
"""How the collections of open data begin, whose rows their publishers sign (`chez.opendata`)."""


def collection_of(kind: type[msgspec.Struct]) -> str:
    """The collection a type's records live in. Raises `InvalidValue` for a type that names none."""
    name = getattr(kind, "__collection__", None)
    if not isinstance(name, str):
        raise InvalidValue(f"{kind.__name__} does not say in which collection its records live",
                           "Give the Struct a class attribute `__collection__`.")
    return name


def identity_of(record: msgspec.Struct) -> tuple[str, ...]:
    """What says which thing a record is about, each field as the text a store keeps.

    Raises `InvalidValue` when the type declares no identity.
    """
    fields = getattr(type(record), "__identity__", None)
    if not isinstance(fields, tuple) or not fields:
        raise InvalidValue(f"{type(record).__name__} does not say what identifies a record",
                           "Give the Struct a class attribute `__identity__`.")
    return tuple(_text(getattr(record, field)) for field in fields)


def _text(value: object) -> str:
    if type(value) is datetime and value.tzinfo is not None:
        with suppress(OverflowError):  # such a time no store keeps
            value = value.astimezone(UTC)
        return value.isoformat(timespec="milliseconds")[:23] + "Z"
    return str(msgspec.to_builtins(value))

"""What records an address takes: fields with kinds, told so that an organisation needs nothing else to get them right.

    kind        in JSON                                   kept as
    text        a string                                  itself
    integer     a whole number of 64 bits                 itself
    number      a finite number                           a float
    decimal     a string, or a whole number               the exact number as text
    boolean     true or false                             itself
    date        "2026-11-26"                              itself (ISO 8601)
    time        "2026-11-26T18:00:00Z", with its offset   a point in time (RFC 3339)
    data        anything                                  itself

A kind with a `?` behind it may be left out, or be null. The fields of `identity` say which thing in the world a record
is about; they are never left out, nor empty but where the vocabulary says so. A type that the vocabulary knows
(`chez.vocabulary`) is checked by that as well, so that a deposited record is the one that a connector makes of the same
thing.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import cache, partial
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from chez.errors import ChezError, InvalidValue, NotFound
from chez.records.reference import is_reference
from chez.records.types import OPEN, collection_of
from chez.records.values import Value, check_collection, check_value
from chez.vocabulary import VOCABULARY

__all__ = ("KINDS", "Checked", "RecordType", "check_types", "described", "known_type", "read_type",
           "type_named")

KINDS: Final = ("boolean", "data", "date", "decimal", "integer", "number", "text", "time")

MAX_TYPES: Final = 16
"""Types of one address: what a person can look over before saying yes."""

MAX_FIELDS: Final = 64
"""Fields of one type."""

_MAY_BE_EMPTY: Final = frozenset({
    ("accounts", "institution"), ("consumptions", "provider"), ("days", "area"), ("events", "recurrence")})
"""Identity that the vocabulary may have empty: an IBAN, say, tells its bank by itself."""

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,64}(\.\d{1,64})?\Z", re.ASCII)
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1

Name = Annotated[str, Meta(min_length=1, max_length=128)]
"""A collection's or a field's."""

Kind = Literal[
    "boolean", "data", "date", "decimal", "integer", "number", "text", "time",
    "boolean?", "data?", "date?", "decimal?", "integer?", "number?", "text?", "time?",
]
"""What a field holds; with `?` it may be left out."""


class Checked(msgspec.Struct, frozen=True):
    """A record that passed: what identifies it, and all else."""

    identity: dict[str, Value]
    values: dict[str, Value]

    def __repr__(self) -> str:
        return f"<a record of {len(self.identity) + len(self.values)} fields>"


class RecordType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One type of record that an address takes."""

    collection: Name
    identity: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=8)]
    fields: Annotated[dict[Name, Kind], Meta(min_length=1, max_length=MAX_FIELDS)]

    @property
    def decimals(self) -> frozenset[str]:
        """Its fields that are exact numbers."""
        return frozenset(name for name, kind in self.fields.items() if kind.rstrip("?") == "decimal")

    def check(self, line: bytes) -> Checked:
        """One record, as a JSON object. Raises `InvalidValue` saying what is wrong with it."""
        return self.checker()(line)

    def checker(self) -> Callable[[bytes], Checked]:
        """What `check` does, made ready for many records."""
        known = known_type(self.collection)
        plain = self._plain if known is None else partial(self._as_known, known, _decoder(known), self._exact())
        identity = tuple(sorted(self.identity))

        def check(line: bytes) -> Checked:
            whole = check_value(plain(line, _object(line)))
            if any(type(item) in (dict, list) and _refers(item) for item in whole.values()):
                raise InvalidValue("it refers to an attachment, and no deposit brings one")
            about = {name: whole.pop(name, None) for name in identity}
            for name, item in about.items():
                if item is None or (item == "" and (self.collection, name) not in _MAY_BE_EMPTY):
                    raise InvalidValue(f"its field {name!r} is empty, which says what it is about")
            return Checked(about, whole)

        return check

    def _plain(self, line: bytes, given: Mapping[str, Any]) -> dict[str, Value]:
        """A record's fields as they are kept, without what is left out."""
        for name in given:
            if name not in self.fields:
                raise InvalidValue(f"it has a field {name[:64]!r}, which this type has not")
        return {name: item for name, kind in self.fields.items() if (item := _field(name, kind, given)) is not None}

    def _exact(self) -> tuple[tuple[str, Callable[[Any], Value]], ...]:
        """The fields of which a Struct takes more than an address does."""
        return tuple((name, _READ[kind.rstrip("?")]) for name, kind in self.fields.items()
                     if kind.rstrip("?") in ("decimal", "time"))

    def _as_known(self, known: type[msgspec.Struct], decoder: "msgspec.json.Decoder[msgspec.Struct]",
                  exact: tuple[tuple[str, Callable[[Any], Value]], ...], line: bytes,
                  given: Mapping[str, Any]) -> dict[str, Value]:
        """A record of the vocabulary's type, with every field."""
        try:
            record = decoder.decode(line)
            for name, read in exact:
                if (item := given.get(name)) is not None:
                    read(item)
        except (ValueError, OverflowError, InvalidOperation, ChezError) as error:
            self._plain(line, given)  # says which field it is, in the address's own terms
            raise InvalidValue(f"it is none of the vocabulary: {error}") from None
        if not given.keys() <= self.fields.keys():
            self._plain(line, given)
        plain: dict[str, Value] = msgspec.to_builtins(record, builtin_types=(bytes, datetime))
        return plain


def known_type(collection: str) -> type[msgspec.Struct] | None:
    """The vocabulary's type of a collection, None for one that it does not know."""
    return _vocabulary().get(collection)


@cache
def _decoder(kind: type[msgspec.Struct]) -> "msgspec.json.Decoder[msgspec.Struct]":
    return msgspec.json.Decoder(kind)


@cache
def _vocabulary() -> dict[str, type[msgspec.Struct]]:
    return {collection_of(kind): kind for kind in VOCABULARY}


@cache
def described(kind: type[msgspec.Struct]) -> RecordType:
    """A Struct of the vocabulary as an address tells it."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    fields = {one.encode_name: _kind_of(one.type) + ("" if one.required and not _nullable(one.type) else "?")
              for one in info.fields}
    identity = tuple(kind.__identity__)  # type: ignore[attr-defined]
    # An identity that has a default (a flow that is consumption unless said) is said all the same.
    fields |= {name: fields[name].rstrip("?") for name in identity}
    return msgspec.convert({"collection": collection_of(kind), "identity": identity, "fields": fields}, RecordType)


def type_named(collection: str) -> RecordType:
    """The vocabulary's type of a collection. Raises `NotFound`."""
    known = known_type(collection)
    if known is None:
        raise NotFound(f"the vocabulary has no collection {collection!r}",
                       f"It has {', '.join(sorted(_vocabulary()))}; describe other types in a file "
                       "(docs/deposits.md).")
    return described(known)


def read_type(text: bytes) -> RecordType:
    """A type of one's own from its JSON form. Raises `InvalidValue`."""
    try:
        found = msgspec.json.decode(text, type=RecordType)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidValue(f"this describes no type of record: {error}",
                           'It looks like {"collection": "contracts", "identity": ["number"], '
                           '"fields": {"number": "text", "until": "date?"}}.') from None
    check_types([found])
    if known_type(found.collection) is not None:
        raise InvalidValue(f"{found.collection!r} is a collection of the vocabulary, with fields of its own",
                           "Name the collection alone, or choose another name.")
    return found


def check_types(types: Iterable[RecordType]) -> tuple[RecordType, ...]:
    """The types of one address. Raises `InvalidValue` for what none may have."""
    found = tuple(types)
    if not 1 <= len(found) <= MAX_TYPES:
        raise InvalidValue(f"an address takes 1 to {MAX_TYPES} types of records, not {len(found)}")
    if len({one.collection for one in found}) != len(found):
        raise InvalidValue("an address names each collection once")
    for one in found:
        _check_type(one)
    return found


def _check_type(one: RecordType) -> None:
    try:
        msgspec.convert(msgspec.structs.asdict(one), RecordType)  # made in a program, it holds whatever was given
    except msgspec.ValidationError as error:
        raise InvalidValue(f"this describes no type of record: {error}") from None
    check_collection(one.collection)
    if one.collection.casefold().startswith("chez"):
        # Contacts, relays, grants and addresses are kept there: nobody else may ever write them.
        raise InvalidValue(f"{one.collection!r} is Chez's own collection, in which nobody may leave anything")
    if one.collection.casefold().startswith(OPEN):
        raise InvalidValue(f"{one.collection!r} is called as a table of open data, whose rows its publisher signs",
                           "Choose another name.")
    for name in one.fields:
        if name.startswith("_"):
            raise InvalidValue(f"field {name!r}: names that begin with '_' are kept for Chez")
        if not name.isprintable():  # they are listed where somebody says yes
            raise InvalidValue(f"field {name!r}: a name is made of printable characters")
    for name in one.identity:
        kind = one.fields.get(name)
        if kind is None or kind.endswith("?") or kind == "data":
            raise InvalidValue(f"{name!r} is to identify a record, so it has to be a plain field that is always there")


def _refers(item: Value) -> bool:
    """Whether a value holds what stands for an attachment: devices would look for it, of whatever size it says."""
    if isinstance(item, dict):
        return is_reference(item) or any(map(_refers, item.values()))
    return isinstance(item, list) and any(map(_refers, item))


def _object(line: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise InvalidValue("it is no JSON object") from None


def _field(name: str, kind: str, given: Mapping[str, Any]) -> Value:
    """The value of one field in the form that is kept, None where it is left out."""
    item = given.get(name)
    if item is None:
        if kind.endswith("?"):
            return None
        raise InvalidValue(f"its field {name!r} is missing")
    try:
        return _READ[kind.rstrip("?")](item)
    except (ValueError, OverflowError, InvalidOperation, ChezError):
        raise InvalidValue(f"its field {name!r} is no {kind.rstrip('?')}") from None


def _text(item: Any) -> str:
    if not isinstance(item, str):
        raise ValueError
    return item


def _integer(item: Any) -> int:
    if type(item) is not int or not _INT_MIN <= item <= _INT_MAX:
        raise ValueError
    return item


def _number(item: Any) -> float:
    if type(item) not in (int, float):
        raise ValueError
    return float(item)


def _decimal(item: Any) -> str:
    # A JSON number with a fraction was a binary float somewhere: cents are not to depend on that.
    if type(item) is int:
        item = str(item)
    if not isinstance(item, str) or not _NUMBER.match(item):
        raise ValueError
    return str(Decimal(item))


def _boolean(item: Any) -> bool:
    if not isinstance(item, bool):
        raise ValueError
    return item


def _date(item: Any) -> str:
    if not isinstance(item, str) or not _DATE.match(item):
        raise ValueError
    date.fromisoformat(item)
    return item


def _time(item: Any) -> datetime:
    if not isinstance(item, str):
        raise ValueError
    found = msgspec.convert(item, datetime)
    if found.tzinfo is None:
        raise ValueError
    return found


_READ: Final[Mapping[str, Callable[[Any], Value]]] = {
    "boolean": _boolean, "data": lambda item: item, "date": _date, "decimal": _decimal, "integer": _integer,
    "number": _number, "text": _text, "time": _time,
}


def _nullable(info: msgspec.inspect.Type) -> bool:
    return isinstance(info, msgspec.inspect.UnionType) and info.includes_none


def _kind_of(info: msgspec.inspect.Type) -> str:
    if isinstance(info, msgspec.inspect.UnionType):
        others = [one for one in info.types if not isinstance(one, msgspec.inspect.NoneType)]
        return _kind_of(others[0]) if len(others) == 1 else "data"
    if isinstance(info, msgspec.inspect.LiteralType) and all(isinstance(value, str) for value in info.values):
        return "text"
    return {
        msgspec.inspect.StrType: "text", msgspec.inspect.IntType: "integer", msgspec.inspect.FloatType: "number",
        msgspec.inspect.DecimalType: "decimal", msgspec.inspect.BoolType: "boolean", msgspec.inspect.DateType: "date",
        msgspec.inspect.DateTimeType: "time",
    }.get(type(info), "data")

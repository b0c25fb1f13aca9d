"""Between an app's values and what records hold: types, unknown fields, versions.

A collection of a msgspec Struct converts and checks; a plain one takes dicts as they
are. What the app's type does not know was written by a newer app: it stays in the
record, also inside nested Structs. A record of an older version is migrated by pure
functions whenever it is read, and what they make of it is written together with the next
edit only (records/derived.py). Likewise a list, map or text that a field gets where nothing
stood begins the same on every device, so that what two of them put into it at once merges.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec

from chez.errors import InvalidValue, MigrationFailed
from chez.records.counter import Counter
from chez.records.diff import same
from chez.records.lately import Checked, Lately
from chez.records.reference import revived
from chez.records.reserved import MAX_VERSION
from chez.records.shapes import Origins, Shape, beginnings, carry, shape_of, trace
from chez.records.text import Pen, Text
from chez.records.values import Value, check_value, is_plain, opened, without_kinds

__all__ = ("Form", "Migrated", "Migration", "Opened", "Wanted")

T = TypeVar("T")
_KEPT: Final = (bytes, datetime)  # kinds that records store as they are
_NESTED: Final = frozenset((dict, list))

Migration = Callable[[dict[str, Value]], dict[str, Value]]
"""From a record's value in one version to its value in the next: pure, so alike on every device."""


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """What a record is to hold.

    `migrated` is what its stored value is in a newer version, if the app has one, and with
    the lists, maps and texts that this edit begins. `unlike` are the fields of `after` that the stored value,
    which has none that `after` lacks, may have otherwise; None where it is not known which these are.
    """

    after: dict[str, Value]
    migrated: dict[str, Value] | None = None
    unlike: dict[str, Value] | None = None


class Migrated(msgspec.Struct, frozen=True):
    """What `Collection.migrate` did: how many records it wrote, and why others stay as they are."""

    written: int
    failed: tuple[MigrationFailed, ...] = ()


@dataclass(slots=True)
class Opened(Generic[T]):
    """A record open for an edit: the value that is worked on, and what it was made from."""

    id: str
    value: T
    stored: dict[str, Value]
    migrated: dict[str, Value]
    pen: Pen
    origins: Origins = field(default_factory=dict)


class Form(Generic[T]):
    """How the records of one collection look to an app: their type and version.

    `migrations` are functions by the version they start from; a version without one
    added fields with defaults only. `lately` has what was put last by whichever form of the space. Raises
    `InvalidValue` for anything else.
    """

    def __init__(self, collection: str, type: type[T] | None, version: int,
                 migrations: Mapping[int, Migration] | None, lately: Lately | None = None) -> None:
        self._collection = collection
        self._lately = Lately() if lately is None else lately
        self._type = type
        self.version = version
        self._migrations = dict(migrations or {})
        if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= MAX_VERSION:
            raise InvalidValue(f"a collection's version is a number from 1, not {version!r}")
        if type is not None:
            _check_type(type)
        for start, function in self._migrations.items():
            if isinstance(start, bool) or start not in range(1, version) or not callable(function):
                raise InvalidValue(f"a migration is a function that starts from a version below {version}, "
                                   f"not from {start!r}", "migrations={1: from_1_to_2, 2: from_2_to_3}, version=3")

    # --- reading ------------------------------------------------------------------------

    def decode(self, id: str, stored: dict[str, Value]) -> T:
        """A record's value for the app. Raises `InvalidValue`, `MigrationFailed`, both naming the record."""
        value = _public(self._migrated(id, stored))
        return value if self._type is None else self._convert(value, id, None)  # type: ignore[return-value]

    def open(self, id: str, stored: dict[str, Value]) -> Opened[T]:
        """A record's value for the app to work on. Raises as `decode` does."""
        migrated = self._migrated(id, stored)
        pen = Pen()
        # A copy: what is edited inside must not change what it is compared with.
        value = opened(_public(migrated), pen)
        if self._type is None:
            return Opened(id, value, stored, migrated, pen)
        out = Opened(id, self._convert(value, id, pen), stored, migrated, pen)
        trace(out.value, migrated, out.origins, pen)
        return out

    # --- writing ------------------------------------------------------------------------

    def put(self, id: str, value: T) -> tuple[dict[str, Value], Callable[[dict[str, Value]], Wanted]]:
        """What a new record is to hold, and what one that exists already is. Raises `InvalidValue`."""
        if self._type is None and self.version == 1:
            found = self._lately.check(self._collection, id, value)
            return found.plain, _Over(self, id, found.plain, None, found)
        plain, shape = self._encode(value, {})
        return (plain if self.version == 1 else plain | {"_version": self.version}), _Over(self, id, plain, shape)

    def close(self, draft: Opened[T]) -> Wanted:
        """What a record is to hold after an edit. Raises `InvalidValue`."""
        plain, shape = self._encode(draft.value, draft.origins)
        return self._wanted(draft.stored, draft.migrated, plain, shape)

    def renew(self, id: str, stored: dict[str, Value]) -> Wanted:
        """What a record is to hold to have the present version, and nothing else new. Raises `MigrationFailed`."""
        migrated = self._migrated(id, stored)
        return Wanted(migrated | {"_version": self.version}, migrated)

    def over(self, id: str, stored: dict[str, Value], plain: dict[str, Value], shape: Shape | None) -> Wanted:
        """What a record is to hold that holds `stored`, and in which an encoded value was put."""
        return self._wanted(stored, self._migrated(id, stored), plain, shape)

    def _wanted(self, stored: dict[str, Value], migrated: dict[str, Value], plain: dict[str, Value],
                shape: Shape | None) -> Wanted:
        """Lay an encoded value over what a record holds; without an edit nothing is migrated."""
        if shape is not None:
            carry(shape, plain, migrated)
        reserved = {key: item for key, item in migrated.items() if key[:1] == "_"}
        after = reserved | plain if reserved else plain
        if shape is None and _version(stored) >= self.version:
            return Wanted(after)  # who writes it finds what differs, if anything does
        if same(migrated, after):
            return Wanted(stored)
        begun = beginnings(shape, migrated, after) if shape is not None else {}
        if _version(stored) >= self.version:
            return Wanted(after, stored | begun if begun else None)
        return Wanted(after | {"_version": self.version}, migrated | begun)

    # --- versions -----------------------------------------------------------------------

    def _migrated(self, id: str, stored: dict[str, Value]) -> dict[str, Value]:
        begin = _version(stored)
        if begin >= self.version:
            return stored
        value = deepcopy(_public(stored))
        for version in range(begin, self.version):
            function = self._migrations.get(version)
            try:
                # What a migration returns is held to the same rules as what an app puts.
                value = value if function is None else check_value(function(value))
            except Exception as error:
                raise MigrationFailed(
                    f"record {id!r} in {self._collection!r} can't be migrated from version {version} to {version + 1}: "
                    f"{error.message if isinstance(error, InvalidValue) else type(error).__name__}",
                    "The other records are not affected. It stays as it is, and home.collection(name) shows it.",
                ) from error
        return {key: item for key, item in stored.items() if key.startswith("_")} | value

    # --- types --------------------------------------------------------------------------

    def _encode(self, value: T, origins: Origins) -> tuple[dict[str, Value], Shape | None]:
        if self._type is None:
            return check_value(value), None
        if not isinstance(value, self._type):
            raise InvalidValue(f"{self._collection!r} holds {self._type.__name__}, not {type(value).__name__}",
                               f"Make one: {self._type.__name__}(...); or ask for the collection by its name.")
        held: dict[int, tuple[bytes, Text | Counter]] = {}

        def hook(item: Any) -> bytes:
            # Bytes pass through as they are, so that this very object marks the place.
            if type(item) is not Text and type(item) is not Counter:
                raise NotImplementedError(type(item).__name__)
            mark = bytes(bytearray(8))
            held[id(mark)] = mark, item
            return mark

        try:
            encoded = msgspec.to_builtins(value, builtin_types=_KEPT, str_keys=True, enc_hook=hook)
        except (TypeError, NotImplementedError) as error:
            raise InvalidValue(f"a {self._type.__name__} holds what can't be stored: {error}",
                               "Use the types that msgspec encodes, chez.Text and chez.Counter.") from None
        plain = check_value(_restored(encoded, held) if held else encoded)
        self._convert(plain, None, None)
        return plain, shape_of(value, plain, origins)

    def _convert(self, value: dict[str, Value], id: str | None, pen: Pen | None) -> T:
        assert self._type is not None

        def hook(kind: type, item: Any) -> Any:
            if isinstance(item, kind):
                return item
            if kind is Text and type(item) is str:
                return Text(item, pen=pen)
            if kind is Counter and type(item) is int:
                return Counter(item, pen=pen)
            raise TypeError(f"Expected `{kind.__name__}`, got `{type(item).__name__}`")

        try:
            return self._converted(value, hook)
        except msgspec.ValidationError as error:
            what = f"record {id!r} in {self._collection!r}" if id is not None else "this value"
            hint = "Read it as a plain dict to see it: home.collection(name)." if id is not None else ""
            raise InvalidValue(f"{what} is no {self._type.__name__}: {_named(str(error))}", hint) from None

    def _converted(self, value: dict[str, Value], hook: Callable[[type, Any], Any]) -> T:
        assert self._type is not None
        try:
            return msgspec.convert(value, self._type, builtin_types=_KEPT, str_keys=True, dec_hook=hook)
        except msgspec.ValidationError:
            if is_plain(value):
                raise
        # A text where the type says str, a counter where it says int: another app declares them.
        return msgspec.convert(without_kinds(value), self._type, builtin_types=_KEPT, str_keys=True, dec_hook=hook)


class _Over(msgspec.Struct, frozen=True, gc=False):
    """A value that is put, laid over what its record holds. Ten thousand may wait: one object, none to be searched."""

    form: Form[Any]
    id: str
    plain: dict[str, Value]
    shape: Shape | None
    checked: Checked | None = None
    """Of a form without type and versions."""

    def __repr__(self) -> str:
        return f"<_Over of {self.id!r}>"

    def __call__(self, stored: dict[str, Value]) -> Wanted:
        if self.checked is not None and stored is self.checked.base:  # what was put before, so nothing is reserved
            return Wanted(self.plain, unlike=self.checked.unlike)
        return self.form.over(self.id, stored, self.plain, self.shape)


def _check_type(kind: type[Any]) -> None:
    try:
        msgspec.convert(None, kind)
    except msgspec.ValidationError:  # None is no such Struct; but the type is one that can be converted to
        pass
    except (TypeError, NameError) as error:
        raise InvalidValue(f"{kind.__name__} can't be the type of a collection: {error}") from None


def _public(value: dict[str, Value]) -> dict[str, Value]:
    return {key: revived(item) if type(item) in _NESTED else item
            for key, item in value.items() if not key.startswith("_")}


def _version(stored: dict[str, Value]) -> int:
    found = stored.get("_version", 1)
    return found if type(found) is int else 1


def _restored(encoded: Any, held: dict[int, tuple[bytes, Text | Counter]]) -> Any:
    """An encoded tree with its texts and counters back in their places."""
    if type(encoded) is dict:
        return {key: _restored(item, held) for key, item in encoded.items()}
    if type(encoded) is list:
        return [_restored(item, held) for item in encoded]
    return held[id(encoded)][1] if id(encoded) in held else encoded


def _named(message: str) -> str:
    """msgspec's reason with the field first, and without what a field holds."""
    reason, _, path = message.rpartition(" - at `")
    if not reason:
        return message
    if reason.startswith("Invalid enum value"):
        reason = "Invalid enum value"
    return f"field {path.removesuffix('`').removeprefix('$').removeprefix('.')!r}: {reason}"

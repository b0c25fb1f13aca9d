"""From the JSON form of a result schema to its types; everything uncountable is refused."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from chez_sandbox.form.shape import nearest
from chez_sandbox.job_errors import SchemaInvalid
from chez_sandbox.release.types import (
    MAX_EXPONENT,
    ArrayType,
    BooleanType,
    EnumType,
    NullableType,
    NullType,
    NumberType,
    ObjectType,
    Type,
)

__all__ = ("MAX_DEPTH", "MAX_RESULT", "parse_schema")

MAX_RESULT: Final = 32 * 1024
"""Bytes of the longest result a schema may allow: it must fit an inbox item, padded and
sealed (chez_wire.limits.MAX_INBOX_ITEM), with room to spare."""

MAX_DEPTH: Final = 8
"""Nesting of a schema: deep enough for any table, shallow enough for every reader."""

MAX_STEPS: Final = 2**64
"""Grid points of one number: more is a float in disguise."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ANNOTATIONS: Final = frozenset({"description", "title"})


def parse_schema(schema: object, path: str, depth: int = 0) -> Type:
    """The type a schema describes; raises `SchemaInvalid` naming the place below `path`."""
    if not isinstance(schema, Mapping):
        raise SchemaInvalid(path, "must be a table", 'such as { type = "boolean" }')
    if depth > MAX_DEPTH:
        raise SchemaInvalid(path, f"is nested deeper than {MAX_DEPTH} levels")
    kind, nullable = _kind(schema, path)
    if kind not in _PARSERS:
        allowed = ", ".join(sorted(_PARSERS))
        hint = f"{nearest(kind, _PARSERS)}allowed: {allowed}"
        raise SchemaInvalid(f"{path}.type", f"{kind!r} is not a result type", hint)
    parse, keys = _PARSERS[kind]
    unknown = sorted(str(key) for key in schema.keys() - keys - _ANNOTATIONS - {"type"})
    if unknown:
        raise SchemaInvalid(
            f"{path}.{unknown[0]}",
            f"is not allowed for type {kind!r}",
            f"{nearest(unknown[0], keys)}allowed: {', '.join(sorted(keys)) or 'nothing'}",
        )
    parsed = parse(schema, path, depth)
    if parsed.max_bytes > MAX_RESULT:
        raise SchemaInvalid(
            path, f"allows results of {parsed.max_bytes} bytes", f"at most {MAX_RESULT} may leave"
        )
    return NullableType(parsed) if nullable else parsed


def _kind(schema: Mapping[str, object], path: str) -> tuple[str, bool]:
    kind = schema.get("type", "string" if "enum" in schema else None)
    if isinstance(kind, str):
        return kind, False
    if (
        isinstance(kind, list)
        and len(kind) == 2
        and kind[1] == "null"
        and isinstance(kind[0], str)
        and kind[0] != "null"
    ):
        return kind[0], True
    raise SchemaInvalid(
        f"{path}.type", 'must be one type, or [type, "null"]', f"allowed: {', '.join(sorted(_PARSERS))}"
    )


def _object(schema: Mapping[str, object], path: str, depth: int) -> Type:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        raise SchemaInvalid(f"{path}.properties", "must name at least one key")
    for name in properties:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise SchemaInvalid(
                f"{path}.properties",
                f"{name!r} is no key",
                "lower-case letters, digits and _, a letter first, at most 64",
            )
    if schema.get("additionalProperties", False) is not False:
        raise SchemaInvalid(f"{path}.additionalProperties", "must be false, or absent: a result is closed")
    required = schema.get("required", list(properties))
    if not isinstance(required, list) or set(map(str, required)) != set(properties):
        raise SchemaInvalid(
            f"{path}.required",
            "must name every key, or be absent",
            'a key that may be missing is { type = [T, "null"] }',
        )
    parsed: list[tuple[str, Type]] = []
    wrong: list[SchemaInvalid] = []
    for name in sorted(properties):
        try:
            parsed.append((name, parse_schema(properties[name], f"{path}.{name}", depth + 1)))
        except SchemaInvalid as error:
            wrong += [error, *error.others]
    if wrong:
        # Told all at once: whoever writes a schema mends more than one line at a time.
        first, *others = wrong
        raise SchemaInvalid(first.path, first.problem, first.hint, tuple(others))
    return ObjectType(tuple(parsed))


def _array(schema: Mapping[str, object], path: str, depth: int) -> Type:
    most = _length(schema.get("maxItems"), f"{path}.maxItems")
    least = _length(schema.get("minItems", 0), f"{path}.minItems")
    if least > most:
        raise SchemaInvalid(f"{path}.minItems", "is above maxItems")
    return ArrayType(parse_schema(schema.get("items"), f"{path}.items", depth + 1), least, most)


def _length(value: object, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RESULT:
        raise SchemaInvalid(path, f"must be a whole number from 0 to {MAX_RESULT}")
    return value


def _number(schema: Mapping[str, object], path: str, depth: int) -> Type:
    low, high = (_bound(schema.get(key), f"{path}.{key}") for key in ("minimum", "maximum"))
    whole = schema.get("type") in ("integer", ["integer", "null"])
    step = _bound(schema.get("multipleOf", 1 if whole else None), f"{path}.multipleOf")
    if step <= 0 or (whole and step != step.to_integral_value()):
        raise SchemaInvalid(
            f"{path}.multipleOf",
            f"must be a {'whole ' if whole else ''}number above 0",
            "the step to which the host rounds",
        )
    steps = [Fraction(bound) / Fraction(step) for bound in (low, high)]
    for key, ratio in zip(("minimum", "maximum"), steps, strict=True):
        if ratio.denominator != 1:
            raise SchemaInvalid(f"{path}.{key}", f"must be a multiple of the step {step}")
    first, last = (int(ratio) for ratio in steps)
    if first > last:
        raise SchemaInvalid(f"{path}.minimum", "is above the maximum")
    if last - first >= MAX_STEPS:
        raise SchemaInvalid(f"{path}.multipleOf", "is too fine: the number would have more than 2^64 values")
    return NumberType(step, first, last)


def _bound(value: object, path: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise SchemaInvalid(
            path, "must be a number", "every number has a minimum, a maximum and a step (multipleOf)"
        )
    exact = Decimal(value)
    if (
        not exact.is_finite()
        or abs(exact.adjusted()) > MAX_EXPONENT // 20
        or len(exact.as_tuple().digits) > 24
    ):
        raise SchemaInvalid(path, "must be a finite number of reasonable length")
    return exact


def _string(schema: Mapping[str, object], path: str, depth: int) -> Type:
    values = schema.get("enum")
    if not isinstance(values, list) or not values:
        raise SchemaInvalid(
            f"{path}.enum", "must list the texts that may leave", "there is no free text in a result"
        )
    for value in values:
        if not isinstance(value, str) or len(value) > 64 or not value.isprintable():
            raise SchemaInvalid(f"{path}.enum", "must hold printable texts of at most 64 characters")
    if len(set(values)) != len(values):
        raise SchemaInvalid(f"{path}.enum", "names a text twice")
    return EnumType(tuple(values))


def _boolean(schema: Mapping[str, object], path: str, depth: int) -> Type:
    return BooleanType()


def _null(schema: Mapping[str, object], path: str, depth: int) -> Type:
    return NullType()


_NUMERIC: Final = frozenset({"minimum", "maximum", "multipleOf"})
_PARSERS: Final[Mapping[str, tuple[Callable[[Mapping[str, object], str, int], Type], frozenset[str]]]] = {
    "object": (_object, frozenset({"properties", "required", "additionalProperties"})),
    "array": (_array, frozenset({"items", "minItems", "maxItems"})),
    "number": (_number, _NUMERIC),
    "integer": (_number, _NUMERIC),
    "string": (_string, frozenset({"enum"})),
    "boolean": (_boolean, frozenset()),
    "null": (_null, frozenset()),
}

"""What a value has that its JSON Schema does not allow: all of it, in words a person can use.

A validator for exactly the keywords that msgspec writes for the manifest's Structs
(`KEYWORDS`), over values as tomllib gives them: a whole number is no number with a
fraction and the other way round, and true is neither. tests/jobs/test_published.py holds
it against another validator.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from chez_sandbox.form.places import Path
from chez_sandbox.job_errors import Problem

__all__ = ("KEYWORDS", "nearest", "path_text", "shape_problems")

KEYWORDS: Final = frozenset({
    "$ref", "anyOf", "enum", "type", "properties", "required", "additionalProperties", "items", "minItems",
    "maxItems", "minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "default",
    "title", "description",
})  # fmt: skip
"""All that a schema may consist of; the last three say nothing of a value."""

_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "object": ((dict,), "a table"),
    "array": ((list,), "a list"),
    "string": ((str,), "a text"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "null": ((type(None),), "nothing"),
}


def shape_problems(value: object, schema: Mapping[str, Any], parts: Mapping[str, Any]) -> list[Problem]:
    """Every place where `value` is not what `schema` allows; `parts` has what "$ref" names by its last word."""
    return list(_Check(parts).problems(value, schema, ()))


def path_text(path: Path) -> str:
    """A path as people write it: `reads[0].window.field`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def nearest(word: object, known: Iterable[str]) -> str:
    """`did you mean "until"? `, or nothing when no known word is near."""
    near = difflib.get_close_matches(str(word).lower(), list(known), 1, 0.6)
    return f'did you mean "{near[0]}"? ' if near else ""


class _Check:
    def __init__(self, parts: Mapping[str, Any]) -> None:
        self._parts = parts

    def problems(self, value: object, schema: Mapping[str, Any], path: Path) -> Iterator[Problem]:
        """The problems of one value."""
        schema = self._meant(schema)
        if "anyOf" in schema:
            yield from self._any(value, schema["anyOf"], path)
        elif "enum" in schema:
            if not any(value == one and type(value) is type(one) for one in schema["enum"]):
                allowed = ", ".join(map(str, schema["enum"]))
                near = nearest(value, [one for one in schema["enum"] if isinstance(one, str)])
                yield _problem(path, f"{_shown(value)} is not possible here", f"{near}allowed: {allowed}")
        elif not _is(value, schema["type"]):
            expected = _TYPES[schema["type"]][1]
            yield _problem(path, f"must be {expected}, and is {_kind(value)}", _allowed(schema))
        elif isinstance(value, dict):
            yield from self._table(value, schema, path)
        elif isinstance(value, list):
            yield from self._list(value, schema, path)
        elif isinstance(value, str):
            yield from _text(value, schema, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _number(value, schema, path)

    def _meant(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        while "$ref" in schema:
            schema = self._parts[schema["$ref"].rpartition("/")[2]]
        return schema

    def _any(self, value: object, choices: list[Mapping[str, Any]], path: Path) -> Iterator[Problem]:
        """One choice must fit; the choice of the value's own kind tells what is wrong with it."""
        alike = []
        for choice in map(self._meant, choices):
            found = list(self.problems(value, choice, path))
            if not found:
                return
            if "type" in choice and _is(value, choice["type"]):
                alike.append(found)
        if alike:
            yield from alike[0]
        else:
            kinds = [_TYPES[choice["type"]][1] for choice in map(self._meant, choices) if choice["type"] != "null"]
            yield _problem(path, f"must be {' or '.join(dict.fromkeys(kinds))}, and is {_kind(value)}", "")

    def _table(self, value: dict[str, Any], schema: Mapping[str, Any], path: Path) -> Iterator[Problem]:
        known = schema.get("properties")
        if known is None:
            return  # open: what is in it is looked at elsewhere
        allowed = f"fields here: {', '.join(known)}"
        missing = [name for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            if name in known:
                yield from self.problems(item, known[name], (*path, name))
            else:
                near = nearest(name, missing) or nearest(name, [one for one in known if one not in value])
                yield _problem((*path, name), "is not a field of a manifest", f"{near}{allowed}")
        for name in missing:
            yield _problem((*path, name), "is missing", _allowed(self._meant(known[name])) or allowed)

    def _list(self, value: list[Any], schema: Mapping[str, Any], path: Path) -> Iterator[Problem]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
        if not least <= len(value) <= most:
            yield _problem(path, f"has {len(value)} entries", f"from {least} to {most} are possible")
        for number, item in enumerate(value[:most]):
            yield from self.problems(item, schema.get("items", {"type": "string"}), (*path, number))


def _text(value: str, schema: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    pattern = schema.get("pattern")
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(value))
    if not least <= len(value) <= most:
        yield _problem(path, f"has {len(value)} characters", _allowed(schema) or f"from {least} to {most} are possible")
    elif pattern is not None and not re.search(pattern, value):
        yield _problem(path, "is another text than is possible here", _allowed(schema))


_BOUNDS: Final[tuple[tuple[str, str, Callable[[float, float], bool]], ...]] = (
    ("minimum", "at least", lambda value, bound: value >= bound),
    ("exclusiveMinimum", "above", lambda value, bound: value > bound),
    ("maximum", "at most", lambda value, bound: value <= bound),
)


def _number(value: float, schema: Mapping[str, Any], path: Path) -> Iterator[Problem]:
    for keyword, words, holds in _BOUNDS:
        if keyword in schema and not holds(value, schema[keyword]):
            yield _problem(path, f"must be {words} {schema[keyword]}, and is {value}", "")


def _is(value: object, kind: str) -> bool:
    types = _TYPES[kind][0]
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def _kind(value: object) -> str:
    for kind in ("boolean", "integer", "number", "string", "array", "object", "null"):
        if _is(value, kind):
            return _TYPES[kind][1]
    return f"a {type(value).__name__}"


def _shown(value: object) -> str:
    return repr(value) if type(value) in (str, int, float) and len(repr(value)) <= 42 else _kind(value)


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return f"allowed: {', '.join(map(str, schema['enum']))}"
    text = "" if schema.get("type") in ("object", "array") else schema.get("description", "")
    return f"allowed: {text}" if text else ""


def _problem(path: Path, problem: str, hint: str) -> Problem:
    return Problem(path_text(path), problem, hint, where=path)

"""The JSON Schema (2020-12) of manifest.toml, for editors and for other tools.

It is made from the Structs that manifests are read into, with their docstrings as
descriptions, and kept as `manifest.schema.json` beside this module:

    python -m tools.manifest_schema > sandbox/chez_sandbox/form/manifest.schema.json

Whatever it refuses is refused by `parse_manifest`, too, which refuses more (`rules`): that
a result can be counted, and that a budget suffices, is no matter of shape.
"""

import ast
import inspect
import json
import sys
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import msgspec

from chez_sandbox.release.parse import MAX_RESULT

__all__ = ("SCHEMA_FILE", "msgspec_schema", "published_schema", "render", "schema_text")

SCHEMA_FILE: Final = "manifest.schema.json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def msgspec_schema(kind: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What msgspec says of a Struct, and of the Structs in it by their names."""
    _, parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    return parts[kind.__name__], parts


def published_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The document that is published for the Struct of a whole manifest."""
    whole, parts = msgspec_schema(kind)
    words = _docstrings(kind)
    for name, part in parts.items():
        if "description" in part:
            part["description"] = inspect.cleandoc(part["description"])
        for field, schema in part.get("properties", {}).items():
            if text := words.get((name, field)):
                schema["description"] = text
    whole["properties"]["result"] = {"$ref": "#/$defs/Result"}
    definitions = {name: part for name, part in parts.items() if part is not whole} | _RESULT
    document = {"$schema": DIALECT, **whole, "title": "manifest.toml of a job for Chez", "$defs": definitions}
    plain: dict[str, Any] = _ecma(document)
    return plain


def schema_text() -> str:
    """The published file, as it is packaged."""
    return (files("chez_sandbox.form") / SCHEMA_FILE).read_text(encoding="utf-8")


def _ecma(value: Any) -> Any:
    """JSON Schema's regular expressions are ECMAScript's, where only `$` is the end."""
    if isinstance(value, dict):
        return {key: item.replace("\\Z", "$") if key == "pattern" else _ecma(item) for key, item in value.items()}
    return [_ecma(item) for item in value] if isinstance(value, list) else value


def _docstrings(kind: type[msgspec.Struct]) -> Mapping[tuple[str, str], str]:
    """(Struct, field) -> the docstring under the field, of all Structs of the module."""
    found = {}
    for node in ast.parse(inspect.getsource(sys.modules[kind.__module__])).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, text in zip(node.body, node.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[node.name, ast.unparse(field.target)] = inspect.cleandoc(str(text.value.value))
    return found


def _of(kind: str, needed: tuple[str, ...], /, **properties: object) -> dict[str, Any]:
    """One kind of result: `type` may be a pair with "null", and two annotations are free everywhere."""
    either = {"enum": [kind, [kind, "null"]]} if kind != "null" else {"const": kind}
    return {
        "properties": {"type": either, "title": {}, "description": {}, **properties},
        "required": ["type", *needed],
        "additionalProperties": False,
    }


_NUMBERS: Final[dict[str, Any]] = {
    "minimum": {"type": "number", "description": "a multiple of the step"},
    "maximum": {"type": "number", "description": "a multiple of the step"},
    "multipleOf": {"type": "number", "description": "the step to which the person's device rounds"},
}
_LENGTH: Final[dict[str, Any]] = {"type": "integer", "minimum": 0, "maximum": MAX_RESULT}
_TEXTS: Final[dict[str, Any]] = {
    "type": "array", "items": {"type": "string", "maxLength": 64}, "minItems": 1,
    "description": "the texts that may leave: there is no free text",
}  # fmt: skip
_RESULT: Final[dict[str, Any]] = {
    "Result": {
        "description": "What can leave: a closed schema, so that the number of possible results is known.",
        "type": "object",
        "anyOf": [
            _of("object", ("properties",),
                properties={"type": "object", "additionalProperties": {"$ref": "#/$defs/Result"}, "minProperties": 1,
                            "propertyNames": {"pattern": "^[a-z][a-z0-9_]{0,63}$"}},
                required={"type": "array"}, additionalProperties={"const": False}),
            _of("array", ("items", "maxItems"), items={"$ref": "#/$defs/Result"}, minItems=_LENGTH, maxItems=_LENGTH),
            _of("number", ("minimum", "maximum", "multipleOf"), **_NUMBERS),
            _of("integer", ("minimum", "maximum"), **_NUMBERS),
            {**_of("string", ("enum",), enum=_TEXTS), "required": ["enum"]},
            _of("boolean", ()),
            _of("null", ()),
        ],
    }
}  # fmt: skip


def render(kind: type[msgspec.Struct]) -> str:
    """The file's text."""
    return json.dumps(published_schema(kind), indent=1, ensure_ascii=False) + "\n"

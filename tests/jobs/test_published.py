"""The published JSON Schema of manifest.toml, against another validator and against the parser."""

import copy
import json
import tomllib
from collections.abc import Callable
from typing import Any

import fastjsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez_sandbox.form.published import msgspec_schema, render, schema_text
from chez_sandbox.form.shape import KEYWORDS, shape_problems
from chez_sandbox.job_errors import ManifestInvalid
from chez_sandbox.manifest import Manifest, parse_manifest
from tests.jobs.samples import manifest_text
from tests.tries import tries

DOCUMENT = json.loads(schema_text())
WHOLE = """
[[reads]]
collection = "readings"
fields = ["local", "_space"]
where = [{ field = "flow", value = ["a", "b"], op = "in" }, { field = "watts", op = ">", value = 1.5 }]
window = { field = "local", last = 2, grid = "month", until = "latest", zone = "Europe/Paris" }
min_rows = 3
spaces = "all"
"""
VALID = tomllib.loads(manifest_text(reads=WHOLE).decode())


@pytest.fixture(scope="module")
def valid() -> Callable[[object], bool]:
    """The document as fastjsonschema understands it.

    That validator knows draft 7; what is used of 2020-12 means the same there (`test_only_plain_keywords`).
    """
    check = fastjsonschema.compile({**DOCUMENT, "$schema": "http://json-schema.org/draft-07/schema#"})

    def fits(value: object) -> bool:
        try:
            check(value)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return fits


def test_the_file_is_what_the_structs_say() -> None:
    """The packaged schema is made of the present Structs."""
    remedy = "run: python -m tools.manifest_schema > sandbox/chez_sandbox/form/manifest.schema.json"
    assert schema_text() == render(Manifest), remedy


def keywords(schema: Any) -> set[str]:
    """The keywords of a schema, without the names of properties."""
    if isinstance(schema, list):
        return set().union(*map(keywords, schema)) if schema else set()
    if not isinstance(schema, dict):
        return set()
    found = set(schema)
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            found |= set().union(*map(keywords, value.values()))
        elif key not in ("default", "enum"):
            found |= keywords(value)
    return found


def test_only_plain_keywords() -> None:
    """The parser's own validator knows every keyword of the Structs, and no draft reads the document in another way."""
    whole, parts = msgspec_schema(Manifest)
    assert keywords(whole) | keywords(list(parts.values())) <= KEYWORDS
    plain = KEYWORDS | {"$schema", "$defs", "const", "minProperties", "propertyNames"}
    assert keywords(DOCUMENT) <= plain
    assert "\\Z" not in schema_text() and DOCUMENT["$schema"].endswith("2020-12/schema")


def test_editors_are_told_what_a_field_means() -> None:
    """Each field that has a docstring has it as its description in the published file."""
    window = DOCUMENT["$defs"]["Window"]["properties"]
    assert "How many days" in window["last"]["description"] and "midnights" in window["zone"]["description"]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5000), st.sampled_from([1.5, -0.5, 1e13]),
    st.sampled_from(["", "a", "latest", "day", "_id", "watts", "Europe/Paris", "=", "in", "daily", "dpv:Consent",
                     "A b", "x" * 130, "wss://example.org", "a\n"]),
    st.text(max_size=3),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value in a nest of tables and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in places(item, (*path, key)))]


@st.composite
def manifests(draw: st.DrawFn) -> dict[str, Any]:
    """A valid manifest with up to three changes: a value replaced, a key left out, a key added."""
    made = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(0, 3))):
        *around, last = draw(st.sampled_from(places(made)[1:]))
        table = made
        for key in around:
            table = table[key]
        change = draw(st.sampled_from(["replace", "leave out", "add"]))
        if change == "replace":
            table[last] = draw(VALUES)
        elif change == "leave out":
            del table[last]
        elif isinstance(table, dict):
            table[draw(st.sampled_from(["min_rows", "where", "review", "schedule", "extra", "zone"]))] = draw(VALUES)
    return made


@settings(max_examples=tries(400), deadline=None)
@given(made=manifests())
def test_the_schema_and_the_parser_agree(valid: Callable[[object], bool], made: dict[str, Any]) -> None:
    """Of any manifest the published schema and the parser's look at shapes say the same, the result's schema aside."""
    whole, parts = msgspec_schema(Manifest)
    shape = not shape_problems(made, whole, parts)
    if isinstance(made.get("result"), dict):
        # How far a result's schema is closed is the parser's to say (test_schema.py), and below.
        made["result"] = VALID["result"]
    assert valid(made) is shape


def toml(value: Any) -> str:
    """A value as TOML text, tables inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def without_null(value: Any) -> Any:
    """TOML has no null."""
    if isinstance(value, dict):
        return {key: without_null(item) for key, item in value.items() if item is not None}
    return [without_null(item) for item in value if item is not None] if isinstance(value, list) else value


@settings(max_examples=tries(200), deadline=None)
@given(made=manifests())
def test_what_the_schema_refuses_is_refused(valid: Callable[[object], bool], made: dict[str, Any]) -> None:
    """As TOML, whatever the parser takes the published schema allows: an editor never marks what is right."""
    made = without_null(made)
    text = "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in made.items())
    try:
        parse_manifest(text.encode())
    except ManifestInvalid as error:
        assert error.problems
        return
    assert valid(made)

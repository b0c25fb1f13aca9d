"""What leaves is counted: nothing rides on a result but its value."""

import itertools
import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez_sandbox.job_errors import ResultRefused, SchemaInvalid
from chez_sandbox.release.schema import Schema
from tests.tries import tries


def leaf_schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Small schemas of one value."""
    numbers = st.builds(
        lambda kind, step, low, count: {
            "type": kind,
            "multipleOf": step if kind == "number" else max(1, int(step)),
            "minimum": low * (step if kind == "number" else max(1, int(step))),
            "maximum": (low + count) * (step if kind == "number" else max(1, int(step))),
        },
        st.sampled_from(["integer", "number"]),
        st.sampled_from([Decimal("0.1"), Decimal("0.25"), Decimal(5), Decimal("1E+1"), Decimal("0.003")]),
        st.integers(-3, 3),
        st.integers(0, 4),
    )
    enums = st.lists(st.sampled_from(["a", "b", "null", "é", 'q"']), min_size=1, max_size=4, unique=True)
    plain = st.one_of(numbers, enums.map(lambda e: {"type": "string", "enum": e}), st.just({"type": "boolean"}))
    nullable = plain.map(lambda schema: {**schema, "type": [schema["type"], "null"]})
    return st.one_of(plain, nullable, st.just({"type": "null"}))


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    """Small schemas: values, arrays of up to two, objects of up to three keys."""
    return st.recursive(
        leaf_schemas(),
        lambda inner: st.one_of(
            st.builds(
                lambda items, least, more: {
                    "type": "array",
                    "items": items,
                    "minItems": least,
                    "maxItems": least + more,
                },
                inner,
                st.integers(0, 1),
                st.integers(0, 1),
            ),
            st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2).map(
                lambda fields: {"type": "object", "properties": fields}
            ),
        ),
        max_leaves=3,
    )


def values(schema: dict[str, Any]) -> list[str]:
    """Every JSON text the schema's words allow, worked out without the module under test."""
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        return [*values({**schema, "type": kind[0]}), "null"]
    if kind == "null":
        return ["null"]
    if kind == "boolean":
        return ["true", "false"]
    if kind == "string":
        return [json.dumps(text) for text in schema["enum"]]
    if kind in ("integer", "number"):
        found, value = [], Decimal(schema["minimum"])
        while value <= schema["maximum"]:
            found.append(format(value, "f"))
            value += Decimal(schema["multipleOf"])
        return found
    if kind == "array":
        each = values(schema["items"])
        return [
            "[" + ",".join(choice) + "]"
            for length in range(schema["minItems"], schema["maxItems"] + 1)
            for choice in itertools.product(each, repeat=length)
        ]
    fields = schema["properties"]
    return [
        "{" + ",".join(f'"{name}": {text}' for name, text in zip(fields, choice, strict=True)) + "}"
        for choice in itertools.product(*(values(fields[name]) for name in fields))
    ]


@given(schemas())
@settings(max_examples=tries(300), deadline=None)
def test_the_bound_is_the_number_of_outputs(schema: dict[str, Any]) -> None:
    """The count equals the number of distinct canonical outputs, and none is longer than promised."""
    parsed = Schema.parse(schema)
    if parsed.count > 20_000:
        return
    outputs = {parsed.admit(text.encode()).encoded for text in values(schema)}
    assert len(outputs) == parsed.count
    assert max(map(len, outputs)) <= parsed.max_bytes
    assert parsed.bits == math.log2(parsed.count + 1)
    for output in outputs:
        assert parsed.admit(output).encoded == output


@given(schemas(), st.data())
@settings(max_examples=tries(300), deadline=None)
def test_no_text_of_a_job_leaves_by_itself(schema: dict[str, Any], data: st.DataObject) -> None:
    """Whatever JSON a job hands out, what is admitted is one of the counted outputs."""
    parsed = Schema.parse(schema)
    if parsed.count > 2_000:
        return
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
        max_leaves=5,
    )
    try:
        admitted = parsed.admit(json.dumps(data.draw(json_values)).encode())
    except ResultRefused:
        return
    assert admitted.encoded in {parsed.admit(text.encode()).encoded for text in values(schema)}


SCHEMA = Schema.parse(
    {
        "type": "object",
        "properties": {
            "cheapest": {"enum": ["base", "tempo"]},
            "euros": {"type": "integer", "minimum": 0, "maximum": 100, "multipleOf": 5},
            "share": {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": Decimal("0.01")},
        },
    }
)
GOOD = '{"cheapest":"base","euros":10,"share":0.25}'


def test_key_order_whitespace_and_low_bits_vanish() -> None:
    """Texts that differ in order, space, notation or low bits of floats leave as the same bytes."""
    carriers = (
        GOOD,
        '{"share":0.25,"euros":10,"cheapest":"base"}',
        '\n{ "cheapest" : "base",\t"euros":10.0, "share":2.5e-1 } ',
        '{"cheapest":"base","euros":10.000000000000002,"share":0.25000000000000006}',
        '{"cheapest":"\\u0062ase","euros":1e1,"share":0.2549}',
        '{"cheapest":"base","euros":12.4999999999999999999999999999,"share":0.250}',
    )
    assert {SCHEMA.admit(text.encode()).encoded for text in carriers} == {GOOD.encode()}


HOSTILE = {
    "free text": '{"cheapest":"Alice lives here","euros":10,"share":0.25}',
    "extra field": '{"cheapest":"base","euros":10,"share":0.25,"name":"Alice"}',
    "missing field": '{"cheapest":"base","euros":10}',
    "repeated key": '{"cheapest":"base","euros":5,"euros":10,"share":0.25}',
    "nan": '{"cheapest":"base","euros":NaN,"share":0.25}',
    "infinity": '{"cheapest":"base","euros":10,"share":-Infinity}',
    "huge exponent": '{"cheapest":"base","euros":1e99999999999999999999,"share":0.25}',
    "tiny exponent": '{"cheapest":"base","euros":10,"share":1e-99999999}',
    "huge integer": '{"cheapest":"base","euros":' + "9" * 5000 + ',"share":0.25}',
    "out of range": '{"cheapest":"base","euros":101,"share":0.25}',
    "just below": '{"cheapest":"base","euros":-0.0001,"share":0.25}',
    "boolean as number": '{"cheapest":"base","euros":true,"share":0.25}',
    "number as text": '{"cheapest":"base","euros":"10","share":0.25}',
    "list": '["base",10,0.25]',
    "two values": GOOD + GOOD,
    "deep nesting": "[" * 100_000,
    "oversize": " " * 2_000_000 + GOOD,
    "not UTF-8": "\udcff",
    "empty": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_result_is_refused(name: str) -> None:
    """Each way to carry more than the schema names is refused, without repeating the text."""
    with pytest.raises(ResultRefused) as caught:
        SCHEMA.admit(HOSTILE[name].encode(errors="surrogateescape"))
    assert "Alice" not in str(caught.value) and '"name"' not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "[true,true,true]", "true", "{}"])
def test_a_list_has_as_many_values_as_the_schema_allows(text: str) -> None:
    """A longer one would tell more than is counted."""
    items = {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}
    with pytest.raises(ResultRefused):
        Schema.parse(items).admit(text.encode())


def test_minus_zero_is_zero() -> None:
    """Negative zero carries no bit."""
    schema = Schema.parse({"type": "number", "minimum": -1, "maximum": 1, "multipleOf": Decimal("0.5")})
    assert {schema.admit(t).encoded for t in (b"-0.0", b"0", b"-0.1", b"0.25", b"-0")} == {b"0.0"}


OPEN: dict[str, dict[str, object]] = {
    "free text": {"type": "string"},
    "unbounded": {"type": "integer", "minimum": 0},
    "no step": {"type": "number", "minimum": 0, "maximum": 1},
    "off the grid": {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": Decimal("0.3")},
    "fraction as integer": {"type": "integer", "minimum": 0, "maximum": 1, "multipleOf": Decimal("0.5")},
    "float in disguise": {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": Decimal("1e-20")},
    "open object": {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": True},
    "optional key": {"type": "object", "properties": {"a": {"type": "null"}}, "required": []},
    "no keys": {"type": "object"},
    "a list of keys": {"type": "object", "properties": ["a"]},
    "endless array": {"type": "array", "items": {"type": "boolean"}},
    "large array": {"type": "array", "items": {"type": "boolean"}, "maxItems": 20_000},
    "pattern": {"type": "string", "pattern": "a*"},
    "anyOf": {"anyOf": [{"type": "null"}]},
    "reference": {"$ref": "#"},
    "mixed enum": {"enum": ["a", 1]},
    "repeated enum": {"enum": ["a", "a"]},
    "no type": {},
    "bounds the wrong way round": {"type": "integer", "minimum": 2, "maximum": 1},
    "lengths the wrong way round": {"type": "array", "items": {"type": "null"}, "minItems": 2, "maxItems": 1},
    "a key that is none": {"type": "object", "properties": {"A": {"type": "null"}}},
    "boolean bound": {"type": "integer", "minimum": False, "maximum": True},
}


@pytest.mark.parametrize("name", OPEN)
def test_a_schema_that_can_not_be_counted_is_refused(name: str) -> None:
    """Open schemas are errors that name the place."""
    with pytest.raises(SchemaInvalid) as caught:
        Schema.parse(OPEN[name])
    assert caught.value.path.startswith("result")


def test_nesting_is_bounded() -> None:
    """A schema nested without end is refused, not recursed into."""
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(500):
        schema = {"type": "array", "items": schema, "maxItems": 1}
    with pytest.raises(SchemaInvalid):
        Schema.parse(schema)

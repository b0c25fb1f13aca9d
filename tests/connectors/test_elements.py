"""The elements of a JSON file: what a parser says of the whole of it, in bounded memory, whatever the bytes."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors.api import Progress, Reject
from chez.connectors.elements import MAX_VALUES, Element, Named, elements
from chez.connectors.json_bytes import MAX_ELEMENT, is_low, values_in
from chez.errors import InvalidValue
from tests.tries import tries

ARRAYS = ((), ("rows",), ("data", "rows"))

TEXTS = st.text(st.sampled_from('a"\\{}[],:\n é\u2028\U0001f600'), max_size=6)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2**70, 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8)
ROWS = st.lists(st.fixed_dictionaries({"a": st.integers(0, 99)}, optional={"b": VALUES, "c": st.just({"a": [{}]})})
                | VALUES, max_size=12)
DOCUMENTS = ROWS | st.dictionaries(st.sampled_from(["x", "rows", "name"]), VALUES | ROWS, max_size=3).flatmap(
    lambda inner: st.sampled_from([inner, {"name": "é", "data": inner, "rows": [1, {"a": 2}, {"a": 3}], "z": inner}]))

PARTS = st.lists(st.sampled_from(
    ['{"a": 1}', '{"a": "}{"}', ',{"a": 2}', ',{"a": 3}', "{", "}", "[", "]", '"', "\\", ",", "\n", " ", "a", ":", "1",
     "-", "true", "NaN", '"rows":', '{"rows": [', '{"data": {"rows": [', "\0", '"\\ud83d"', "1e999", '"\\x"']),
    max_size=24)


class _Row(msgspec.Struct):
    a: int


class _Dripping(io.BytesIO):
    """A file that gives few bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read(self, size: int | None = -1) -> bytes:
        """At most so many bytes, whatever is asked for."""
        return super().read(self.most if size is None or size < 0 else min(size, self.most))


def read(data: bytes, most: int = 1 << 20) -> list[Any]:
    """What is told of these bytes: ("element", number, value), (path, value), ("reject", line, reason)."""
    told: list[Any] = []
    try:
        for one in elements(_Dripping(data, most), ARRAYS):
            if isinstance(one, Element):
                told.append(("element", one.number, repr(one.value)))
            elif isinstance(one, Named):
                told.append((one.path, repr(one.value)))
            elif isinstance(one, Reject):
                told.append(("reject", one.line, one.reason))
    except InvalidValue as error:
        told.append(str(error))
    return told


def walked(data: bytes) -> list[Any]:
    """The same by a parser that reads the file whole."""
    number = 0

    def inside(value: Any, path: tuple[str, ...], key: str | None) -> Iterator[Any]:
        nonlocal number
        if isinstance(value, list) and path in ARRAYS:
            for one in value:
                number += 1
                yield "element", number, repr(one)
        elif isinstance(value, list):
            for one in value:
                yield from inside(one, path, None)
        elif isinstance(value, dict):
            for name, one in value.items():
                yield from inside(one, (*path, name) if isinstance(one, list | dict) else path, name)
        elif key is not None:
            yield (*path, key), repr(value)

    return list(inside(json.loads(data), (), None))


@given(DOCUMENTS, st.sampled_from([None, 1, "\t"]), st.booleans(), st.booleans(), st.integers(1, 60))
@settings(max_examples=tries(200), deadline=None)
def test_a_file_is_told_as_a_parser_tells_it(document: Any, indent: Any, ascii: bool, mark: bool, most: int) -> None:
    """However a document is laid out and wherever it is parted for reading: its elements with their numbers, and what
    stands beside them, in the order of the file."""
    data = json.dumps(document, indent=indent, ensure_ascii=ascii).encode()
    file = b"\xef\xbb\xbf" * mark + data
    assert walked(data) == read(file) == read(file, most)


@given(PARTS, st.booleans(), st.integers(1, 9))
@settings(max_examples=tries(200), deadline=None)
def test_any_bytes_are_told_the_same_in_drops(parts: list[str], listed: bool, most: int) -> None:
    """Whatever the bytes are, a file that is read whole is told as one that comes in drops; and what is JSON, as a
    parser tells it."""
    data = (('[{"a": 0}' if listed else "") + "".join(parts)).encode()
    told = read(data)
    assert told == read(data, most)
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        pass
    else:
        assert told == walked(data)


@given(st.lists(st.sampled_from(['{"a": 1}', '{"a": 2, "b": [[7]]}', '{"a": "x"}', "7", '{"a": 1e999}', '["a"]',
                                 '{"a": ' + "[" * 30 + "]" * 30 + "}", '{"a": tru}', '{"a": 3, "b": "]}"}',
                                 '{"a": 3, "b": "\\\\"}', '{"a": 3, "b": "\\"[\\n"}']), min_size=1, max_size=12),
       st.sampled_from([",", ",\n", ", "]), st.integers(20, 200))
@settings(max_examples=tries(100), deadline=None)
def test_a_bad_element_costs_itself(parts: list[str], between: str, most: int) -> None:
    """An element that is no JSON, too deep, or of another type than most is told by its number; those around it come,
    whether they are told apart together or one by one."""
    data = ("[" + between.join(parts) + "]").encode()
    told = read(data)
    assert told == read(data, most) and [one[1] for one in told] == list(range(1, len(parts) + 1))
    assert [one[0] == "reject" for one in told] == ["tru" in one or "[[[" in one or "999" in one for one in parts]
    either = zip(*([one for one in elements(io.BytesIO(data), ARRAYS, kind) if isinstance(one, Element | Reject)]
                   for kind in (Any, _Row)), strict=True)
    for plain, typed in either:
        if isinstance(typed, Element) and isinstance(typed.value, _Row):
            assert isinstance(plain, Element) and (plain.number, plain.value["a"]) == (typed.number, typed.value.a)
        else:
            assert plain == typed


@pytest.mark.parametrize(("data", "why"), [
    (b"", "ends too early"), (b"nonsense", "can't stand"), (b"\xff", "can't stand"), (b"{1: 2}", "can't stand"),
    (b'{"a" 1}', "can't stand"), (b'{"a": 1,}', "can't stand"), (b"[1, 2", "breaks here: it ends"),
    (b"[1,]", "breaks here"), (b"[1] 2", "breaks here"), (b'[1, {"a": "x', "breaks here"), (b"[NaN]", "can't stand"),
    (b'{"a": "\\x"}', "not JSON"), (b'{"a": [' + b"[" * 100_000, "nested"), (b"[" * 100_000, "ends too early"),
    (b"\0", "can't stand")])
def test_what_is_no_json_ends_the_file(data: bytes, why: str) -> None:
    """Around the elements a mistake is told as such: before any element came the file is refused."""
    told = read(data)
    last = told[-1]
    assert why in (last if isinstance(last, str) else last[2])


def test_what_is_too_large_is_passed_over() -> None:
    """A text, a number or an element that is longer than one may be, or has too many values, costs itself, wherever it
    stands."""
    long = b'"' + b"x\\\"" * MAX_ELEMENT + b'"'
    many = b"[" + b"[]," * MAX_VALUES + b"1]"
    data = b'{"name": %b, "rows": [{"a": %b}, %b, %b, {"a": 4}], "last": 1}' % (long, long, many, long)
    told = read(data)
    assert [one[:2] for one in told] == [("reject", 1), ("reject", 1), ("reject", 2), ("reject", 3), ("element", 4),
                                         (("last",), "1")]
    assert ["longer" in one[2] for one in told[:4]] == [True, True, False, True]
    for digits in (300_000, MAX_ELEMENT + 1):
        told = read(b'{"rows": [%b, {"a": 2}], "last": 1}' % (b"1" * digits))
        assert [one[:2] for one in told] == [("reject", 1), ("element", 2), (("last",), "1")]
        assert ("longer" in told[0][2]) == (digits > MAX_ELEMENT)


@pytest.mark.slow
def test_memory_is_that_of_some_elements() -> None:
    """Many elements, a text without end, brackets without end, and a number without end are held in part only."""
    one = b'{"a": "' + b"x" * 1000 + b'", "b": [1, [2]]}'
    for data in (b"[" + b",".join([one] * 5000) + b"]", b'[{"a": "' + b"x" * 5_000_000, b'["' + b"\\" * 5_000_000,
                 b"[" + b"[" * 200_000, b"[" + b"1" * 5_000_000, b" " * 5_000_000, b'{"a": "' + b"x" * 5_000_000):
        file = io.BytesIO(data)
        tracemalloc.start()
        try:
            for item in elements(file, ARRAYS):
                assert not isinstance(item, Progress) or item.done <= len(data)
        except InvalidValue:
            pass
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 4 * MAX_ELEMENT, (data[:20], peak)


@given(VALUES, st.sampled_from([None, 1]), st.integers(0, 6))
@settings(max_examples=tries(100), deadline=None)
def test_depth_and_values_are_counted_in_the_bytes(value: Any, indent: Any, most: int) -> None:
    """How deep a value is and how much it holds is told without parsing it, exactly."""
    def deep(one: Any) -> int:
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(deep, inner), default=0)

    def many(one: Any) -> int:
        inner = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else None
        return 1 if inner is None else 2 + len(inner) * isinstance(one, dict) + sum(map(many, inner))

    data = json.dumps(value, indent=indent).encode()
    assert is_low(data, most) == (deep(value) <= most) and values_in(data) == many(value)

"""The objects of a JSON file: cut where they are, whatever is in them, and never held beyond their bounds."""

import io
import json
import tracemalloc
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors.api import Progress, Reject
from chez.connectors.objects import MAX_DEPTH, MAX_OBJECT, Object, objects, records, typed_records
from tests.tries import tries

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a"\\{}[],:\n é\u2028'), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"\\{', max_size=3), inner, max_size=3),
    max_leaves=8)
DOCUMENTS = st.lists(st.dictionaries(st.text("ab", max_size=2), VALUES, max_size=3), max_size=5)

PARTS = st.lists(st.sampled_from(
    ['{"a": 1}', '{"": "}"}', '{"\\\\": "\\""}', "{", "}", "[", "]", '"', "\\", ",", "\n", " ", "a"]), max_size=24)


class _Dripping(io.BytesIO):
    """A file that gives few bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self.most = most

    def read(self, size: int | None = -1) -> bytes:
        """At most so many bytes, whatever is asked for."""
        return super().read(self.most)


def read(data: bytes, depth: int = 1, most: int = 1 << 20) -> list[Object | Reject]:
    """The objects in these bytes."""
    return [item for item in objects(_Dripping(data, most), depth) if not isinstance(item, Progress)]


@given(DOCUMENTS, st.sampled_from([None, 1, "\t"]), st.booleans(), st.integers(1, 60))
@settings(max_examples=tries(100), deadline=None)
def test_each_object_is_cut_out_whole(documents: list[Any], indent: Any, ascii: bool, most: int) -> None:
    """However a list is laid out and wherever it is parted for reading, its objects and their lines come back."""
    text = json.dumps(documents, indent=indent, ensure_ascii=ascii)
    found = read(text.encode(), most=most)
    assert all(isinstance(item, Object) for item in found)
    cut = [item for item in found if isinstance(item, Object)]
    assert [json.loads(item.bytes) for item in cut] == documents
    rest, line = text, 1
    for item in cut:
        before, rest = rest.split(item.bytes.decode(), 1)
        line += before.count("\n")
        assert item.line == line
        line += item.bytes.count(b"\n")


@given(PARTS, st.integers(1, 9), st.integers(0, 2))
@settings(max_examples=tries(100), deadline=None)
def test_what_is_cut_at_once_is_what_is_cut_in_pieces(parts: list[str], most: int, depth: int) -> None:
    """Whatever the bytes are, JSON or not, a file that is read whole has the items of one that comes in drops."""
    data = "".join(parts).encode()
    assert read(data, depth) == read(data, depth, most)


LISTS = st.lists(st.sampled_from(
    ['{"k": 1}', '{"k": {"k": [2, {"k": 3}]}}', '{ "k": "},{"}', '{"j": 1}', '{"k": "\\ud83d"}', '{"k": tru}', "7",
     '"}"', '["k"]', '{"k": ' + "[" * 60 + "]" * 60 + "}", '{"k": [' + "[]," * 70 + "[]]}"]), max_size=12)


@given(LISTS, st.sampled_from([",", ",\n", ", ", "\n,\n", "\n"]), st.integers(40, 400))
@settings(max_examples=tries(100), deadline=None)
def test_a_run_is_cut_as_its_objects_are(parts: list[str], between: str, most: int) -> None:
    """Objects that are told apart together are those that are told apart one by one, whatever stands among them."""
    data = f"[{between.join(parts)}]".encode()
    assert read(data) == read(data, most=most) == read(data, most=7)


class _Row(msgspec.Struct):
    k: Any


def _positive(row: _Row) -> _Row:
    if row.k == 1:
        raise ValueError("it is one")
    return row


@given(LISTS, st.sampled_from([",", ",\n", ", ", "\n,\n"]), st.integers(40, 400))
@settings(max_examples=tries(100), deadline=None)
def test_records_that_are_read_together_are_those_read_one_by_one(parts: list[str], between: str, most: int) -> None:
    """What is made of a run in one call has the lines, the values and the rejects of what is made object by object."""
    data = f"[{between.join(parts)}]".encode()
    decode = msgspec.json.Decoder(_Row).decode
    alone = _told(records(_Dripping(data, 7), lambda one: _positive(decode(one))))
    for size in (1 << 20, most):
        together = typed_records(_Dripping(data, size), _Row, _positive)
        assert _told(together) == alone


def _told(items: Any) -> list[Any]:
    return [item for item in items if not isinstance(item, Progress)]


def test_a_deep_object_in_a_run_is_a_reject() -> None:
    """The parser that takes a run has another bound than we have: ours holds."""
    deep = b'{"k": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
    items = read(b"[" + b",".join([b'{"k": 1}', deep] * 50) + b"]")
    assert [isinstance(item, Object) for item in items] == [True, False] * 50


def test_objects_at_another_depth() -> None:
    """Records that a format keeps deeper are cut there, past a BOM and whatever stands around."""
    data = b'\xef\xbb\xbf{"a": "}{", "rows": [{"x": 1}, 7, {"y": {"z": 2}}], "b": {"c": 3}}'
    assert [item.bytes for item in read(data, depth=2) if isinstance(item, Object)] == [b'{"x": 1}', b'{"y": {"z": 2}}']
    assert read(b"") == read(b"[]") == read(b"[1, 2]") == []


def test_what_is_closed_and_opened_nowhere_is_told() -> None:
    """A brace that is missing puts all that follows at another depth, where it is not read: nothing is lost unsaid."""
    first, bracket = read(b'[{"a": 1},\n"b": 2},\n{"c": 3}\n]\n]')
    assert isinstance(first, Object) and isinstance(bracket, Reject)
    assert (bracket.line, "opened nowhere" in bracket.reason) == (4, True)
    assert [type(item) for item in read(b"]]}}")] == [Reject]


def test_a_bad_object_costs_itself() -> None:
    """One that is too long or too deep is a reject with its line; one that is no JSON is left to its parser."""
    long = b'{"a": "' + b"x" * MAX_OBJECT + b'"}'
    deep = b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"
    items = read(b"[\n{1},\n" + long + b",\n" + deep + b",\n{2}\n]")
    assert [(type(item).__name__, item.line) for item in items] == [
        ("Object", 2), ("Reject", 3), ("Reject", 4), ("Object", 5)]
    assert "longer than" in str(items[1].reason) and "deeper than" in str(items[2].reason)  # type: ignore[union-attr]


def test_the_end_inside_an_object_is_told() -> None:
    """Half a file gives its whole objects, and one reject with the line on which the broken one began."""
    for tail in (b'{"b": 1', b'{"b": "1}]', b'{"b": "\\'):
        whole, broken = read(b'[{"a": 1},\n' + tail)
        assert isinstance(whole, Object) and isinstance(broken, Reject) and broken.line == 2
    assert [type(item) for item in read(b'[{"a": 1},\n')] == [Object, Reject]


def test_memory_is_that_of_one_object() -> None:
    """A string without end, brackets without end and many objects are held in part only."""
    many = b'{"a": "' + b"x" * 1000 + b'"},'
    for data in (b'[{"a": "' + b"x" * 2_000_000, b'[{"a": [' + b'"x",' * 50_000, b"[" + many * 2_000,
                 b'[{"a":"' + b"\\" * 2_000_000):
        file = io.BytesIO(data)
        tracemalloc.start()
        try:
            for _ in objects(file):
                pass
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 1_000_000, (data[:20], peak)

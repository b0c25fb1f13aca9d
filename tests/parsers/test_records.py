"""Changes of records: whatever a member writes by hand ends in a value or in `BadChange`."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.automerge import BadChange, read_change
from chez.records.columns import read_uleb
from chez.records.counter import Counter
from chez.records.diff import write_difference
from chez.records.encode import _MAGIC, encode_fields, uleb
from chez.records.text import Mark, Text
from chez.records.values import from_json, to_json
from tests.parsers.mutations import attempt, bytes_like
from tests.tries import tries

ACTOR, OTHER = b"a" * 32, b"b" * 32
RICH: dict[str, Any] = {"t": "é" * 3, "n": -5, "f": 1.5, "b": True, "z": None, "y": b"\0\1", "l": [1, 2, {"a": [b"x"]}],
                        "when": datetime(2020, 1, 1, tzinfo=UTC), "m": {"k": {"v": 1}}, "c": Counter(3),
                        "x": Text("marked", (Mark(0, 4, "bold", True), Mark(2, 6, "link", "a")))}
LEB = (b"\0", b"\x7f", b"\x80\1", b"\xff\xff\x03", b"\xff" * 9 + b"\1", b"\xff" * 12, b"\x40", b"\x80\x80\x40")
"""Numbers at the edges of their encodings."""

GIVES_UP = bytes.fromhex(
    "856f4a83f0a9466201c601002041414141414141414141414141414141414141414141414141414141414141410101000000"
    "0a0108020c1106130c15223405420c5614571b70020008050000010200000803087e0b0c00017e0e0f00090200000500087d"
    "00090100017f760003780174016e01660162017a0179047768656e016c00037f016100017d016d016b017601010307017f02"
    "02017d00020102007f0178661485010600276900021402007f1702007f14c3a9c3a9c3a97b000000000000f83f000180d09b"
    "f3f52d010278011000"
)
"""A change found by mutation: keys of a map where a list is, actions that are none."""


def _chunk(body: bytes) -> bytes:
    """A change with this body, its length and checksum right."""
    tail = b"\1" + uleb(len(body)) + body
    return _MAGIC + hashlib.sha256(tail).digest()[:4] + tail


def _body(change: bytes) -> bytes:
    return change[read_uleb(change, 9)[1] :]


def _changes() -> list[bytes]:
    document = automerge.new(ACTOR)
    first = write_difference(document, {}, RICH)
    second = write_difference(document, RICH, RICH | {"n": 7, "l": [1, {"a": []}], "t": None, "c": 5, "x": "markers"})
    flat = encode_fields(ACTOR, 1, 1, (), {"a": 1, "b": "x", "c": RICH["when"], "d": 1.5, "e": b"bytes"})
    assert first is not None and second is not None
    return [first, second, flat.bytes]


CHANGES = _changes()
BODIES = [_body(change) for change in CHANGES]


def _use(data: bytes) -> None:
    """All that is done with a record: read it, show it, keep it, edit it."""
    document = automerge.load(data, OTHER)
    value = automerge.extract(document)
    assert from_json(*to_json(value)).keys() == value.keys()
    automerge.changes_of(document)
    after = value | {"new": 1, "x": "edited", "c": Counter(9)}
    change = write_difference(document, value, after)
    assert change is not None and automerge.extract(document)["new"] == 1


@given(bytes_like(CHANGES, LEB))
@settings(max_examples=tries(200), deadline=None)
def test_any_bytes_are_a_change_or_refused(data: bytes) -> None:
    """The reader of changes raises `BadChange` alone; what it takes it gives back whole."""
    if attempt(read_change, data, BadChange):
        assert read_change(data).bytes == data


@given(bytes_like(BODIES, LEB))
@settings(max_examples=tries(300), deadline=None)
def test_a_change_with_any_content_is_a_value_or_refused(body: bytes) -> None:
    """A change whose checksum is right and whose content is anything never gets past `BadChange`."""
    data = _chunk(body)
    if attempt(read_change, data, BadChange):
        attempt(_use, data, BadChange)


@given(st.data())
@settings(max_examples=tries(100), deadline=None)
def test_a_change_upon_another_is_a_value_or_refused(data: st.DataObject) -> None:
    """The same for a second change of a good record, loaded with it or applied to it."""
    second = _chunk(data.draw(bytes_like([BODIES[1]], LEB)))
    if not attempt(read_change, second, BadChange):
        return
    attempt(_use, CHANGES[0] + second, BadChange)
    document = automerge.load(CHANGES[0], OTHER)
    attempt(lambda raw: automerge.extract(automerge.applied(document, [read_change(raw)])), second, BadChange)
    assert automerge.extract(document) == RICH


def test_the_unharmed_changes_are_used() -> None:
    """What is mutated above is good as it stands."""
    for data in (CHANGES[0], CHANGES[0] + CHANGES[1], CHANGES[2]):
        _use(data)


def test_a_document_that_gives_up_on_an_edit_is_a_typed_error() -> None:
    """A document that loads and reads, and makes the library panic when it is edited, is a `BadChange`."""
    document = automerge.load(GIVES_UP, OTHER)
    value = automerge.extract(document)
    with pytest.raises(BadChange, match="gave up"):
        write_difference(document, value, value | {"t": 1})

"""What a record shows that was born by one change is told by its bytes as its document tells it, or not at all."""

import hashlib
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import BadEntry
from chez.records import automerge
from chez.records.automerge import BadChange, RawChange
from chez.records.derived import DEVICE_ID
from chez.records.encode import _MAGIC, encode_fields, sleb, uleb
from chez.records.fields import born
from chez.records.values import Value, to_json
from tests.records.test_encode import flat
from tests.security.chains import Node, World
from tests.tries import tries

ACTOR = b"A" * DEVICE_ID


def shown(change: RawChange) -> dict[str, Any]:
    """What the document library shows of a change alone."""
    return automerge.extract(automerge.load(change.bytes, ACTOR))


@given(flat)
def test_a_first_change_tells_what_the_document_shows(value: dict[str, Any]) -> None:
    """Every value that `put` writes at once is told, with the same types and in the same order of fields."""
    change = encode_fields(ACTOR, 1, 1, (), value)
    told = born(change)
    assert told is not None
    assert list(told) == list(shown(change)) and to_json(told) == to_json(shown(change))
    assert {key: type(item) for key, item in told.items()} == {key: type(item) for key, item in value.items()}


@given(flat, st.integers(0, 2**32))
@settings(max_examples=tries(300), deadline=None)
def test_altered_bytes_are_told_as_the_document_shows_them_or_not(value: dict[str, Any], seed: int) -> None:
    """Whatever byte of a change is another one: what is told loads, and is what the document shows."""
    random = Random(seed)
    data = bytearray(encode_fields(ACTOR, 1, 1, (), value).bytes[8:])
    for _ in range(random.randint(1, 2)):
        data[random.randrange(len(data))] = random.choice((0, 1, 0x7F, 0x80, random.randrange(256)))
    try:
        change = automerge.read_change(_MAGIC + hashlib.sha256(data).digest()[:4] + data)
    except BadEntry:
        return
    if (told := born(change)) is not None:
        assert to_json(told) == to_json(shown(change))


@pytest.mark.parametrize(("field", "item"), [("_deleted", True), ("_counter:x", 1), ("_version:2", True)])
def test_fields_of_another_meaning_are_not_told(field: str, item: Any) -> None:
    """What is reserved is for the document to be asked."""
    assert born(encode_fields(ACTOR, 1, 1, (), {field: item, "a": 1})) is None


def test_what_is_no_first_change_is_not_told() -> None:
    """Nor is what builds on another, is of no device, or comes later."""
    assert born(encode_fields(ACTOR, 1, 1, (bytes(32),), {"a": 1})) is None
    assert born(encode_fields(ACTOR, 2, 1, (), {"a": 1})) is None
    assert born(encode_fields(ACTOR, 1, 2, (), {"a": 1})) is None
    assert born(encode_fields(b"short", 1, 1, (), {"a": 1})) is None


def huge(number: bytes) -> RawChange:
    """A change that sets a field to a whole number of any bytes."""
    columns = [(0x15, sleb(-1) + uleb(1) + b"a"), (0x34, uleb(1)), (0x42, sleb(-1) + uleb(1)),
               (0x56, sleb(-1) + uleb(len(number) << 4 | 4)), (0x57, number), (0x70, sleb(-1) + uleb(0))]
    body = b"".join((uleb(0), uleb(32), ACTOR, uleb(1), uleb(1), b"\0\0\0", uleb(len(columns)),
                     *[uleb(id) + uleb(len(data)) for id, data in columns], *[data for _, data in columns]))
    tail = b"\1" + uleb(len(body)) + body
    return automerge.read_change(_MAGIC + hashlib.sha256(tail).digest()[:4] + tail)


def test_a_number_that_the_document_refuses_is_not_told() -> None:
    """64 bits are told, one more is not, for no document takes it."""
    assert born(huge(sleb(2**63 - 1))) == {"a": 2**63 - 1}
    assert born(huge(sleb(2**63))) is None
    with pytest.raises(BadChange):
        shown(huge(sleb(2**63)))


def test_a_record_that_arrives_is_as_its_document_and_takes_what_follows() -> None:
    """Whether a record was shown by its first change alone or with the next makes no difference to what is kept."""
    value: dict[str, Value] = {"title": "Tea", "at": datetime(2026, 3, 1, tzinfo=UTC), "n": 3}
    kept = []
    for together in (True, False):
        world = World(3)
        device, node = world.reads(), Node(world.owner)
        entries = [world.put(node, "tea", value), world.put(node, "tea", {"n": 4, "more": 1.5})]
        assert born(node.view.records["tea"][0]) is not None
        for page in [entries] if together else [entries[:1], entries[1:]]:
            device.receive(*page)
        kept.append(device.db.execute("SELECT json, kinds, deleted, tail FROM record").fetchall()
                    + device.db.execute("SELECT hash, bytes, sequence, last, weight, state FROM change").fetchall())
    assert kept[0] == kept[1] and len(kept[0]) == 3

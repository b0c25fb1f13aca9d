"""Changes unpacked into operations, and written from them."""

from typing import Any

import pytest
from automerge.core import ROOT, ObjType, ScalarType
from hypothesis import example, given
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.columns import BadColumns
from chez.records.encode import UINT, uleb
from chez.records.operations import check_value, decode, encode

KEYS = ("a", "b", "cé")
steps = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(KEYS), st.integers(-10**9, 10**9)), min_size=1,
                 max_size=8)


def _edit(document: Any, plan: list[tuple[int, str, int]]) -> None:
    with document.transaction() as tx:
        for what, key, number in plan:
            held = tx.get(ROOT, "l"), tx.get(ROOT, "t")
            if what == 0:
                tx.put(ROOT, key, ScalarType.Uint if number > 10**8 else ScalarType.Int, number)
            elif what == 1:
                tx.put(ROOT, key, ScalarType.Str, "é" * (number % 5))
            elif what == 2 and tx.get(ROOT, key):
                tx.delete(ROOT, key)
            elif what == 3:
                tx.put_object(ROOT, "l", ObjType.List)
            elif what == 4:
                tx.splice_text(tx.put_object(ROOT, "t", ObjType.Text), 0, 0, "hello")
            elif what == 5 and held[1]:
                at = number % (tx.length(held[1][1]) + 1)
                tx.splice_text(held[1][1], at, (tx.length(held[1][1]) - at) // 2, key)
            elif what > 5 and held[0]:
                _edit_list(tx, held[0][1], what, number)


def _edit_list(tx: Any, items: bytes, what: int, number: int) -> None:
    size = tx.length(items)
    if what == 6 and size:
        tx.delete(items, number % size)
    elif what == 7 and size:
        tx.put(items, number % size, ScalarType.F64, number / 7)
    elif what == 8:
        tx.put(tx.insert_object(items, number % (size + 1), ObjType.Map), "q", ScalarType.Null, None)
    else:
        tx.insert(items, number % (size + 1), ScalarType.Bytes, b"x" * (number % 3))


@given(st.lists(st.tuples(st.integers(0, 2), steps, st.booleans()), min_size=1, max_size=12))
def test_a_change_is_written_again_byte_for_byte(plan: list[tuple[int, list[tuple[int, str, int]], bool]]) -> None:
    """Any change of any of three devices that edit and meet is the same bytes after decode and encode."""
    documents = [automerge.new(bytes((65 + n,)) * 32) for n in range(3)]
    for who, edits, meets in plan:
        _edit(documents[who], edits)
        if meets:
            documents[who].merge(documents[who - 1])
    for other in documents[1:]:
        documents[0].merge(other)
    for raw in automerge.changes_of(documents[0]):
        change = automerge.read_change(raw)
        operations = decode(change)
        assert [one.id[0] for one in operations] == list(range(change.first, change.last + 1))
        assert encode(change.actor, change.sequence, change.first, change.dependencies, operations) == change


@given(st.integers(0, 2**64 - 1))
@example(2**63 - 1)
@example(2**63)
def test_a_whole_number_has_one_form_and_can_be_written_back(number: int) -> None:
    """Up to 63 bits, in as few bytes as it takes: others could not be written as they were."""
    raw = uleb(number)
    if number < 2**63:
        assert check_value(UINT, raw, len(raw)) == raw
    longer = raw[:-1] + bytes((raw[-1] | 0x80, 0))
    for wrong in (longer, *([raw] if number >= 2**63 else [])):
        with pytest.raises(BadColumns):
            check_value(UINT, wrong, len(wrong))


@pytest.mark.parametrize(("kind", "good", "wrong"), [
    (0, b"", b"\0"), (1, b"", b"\0"), (2, b"", b"\1"), (4, b"\x7f", b"\xff\x7f"), (5, bytes(8), bytes(4)),
    (9, b"\0", b"\x80\0")])
def test_a_value_has_the_bytes_of_its_kind(kind: int, good: bytes, wrong: bytes) -> None:
    """Nothing beside null, true and false, eight of a float, and of a number or a time as few as it takes."""
    assert check_value(kind, good, len(good)) == good
    for raw, size in ((wrong, len(wrong)), (good, len(good) + 1)):  # or fewer than the change says
        with pytest.raises(BadColumns):
            check_value(kind, raw, size)

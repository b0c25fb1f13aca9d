"""Changes that only set fields are told by their bytes: what is told is what they do, whoever wrote them."""

import tracemalloc
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.automerge import BadChange, RawChange
from chez.records.encode import encode_again, encode_fields, sleb, uleb
from chez.records.fields import only_sets, sets_again
from chez.records.operations import BEFORE, KEY, META, SET, decode, header
from tests.security.test_poison import sealed
from tests.security.test_runs import by_runs, told
from tests.tries import tries

ACTOR = b"a" * 32
_scalars = st.one_of(st.integers(-300, 300), st.sampled_from(("", "tea", "b" * 70, b"x", 1.5, True, False, None)))
_fields = st.dictionaries(st.sampled_from(("n", "m", "title", "ø")), _scalars, min_size=1)


def _made(fields: dict[str, Any], again: dict[str, Any]) -> list[RawChange]:
    """A record's first change, and one that sets some of its fields again."""
    first = encode_fields(ACTOR, 1, 1, (), fields)
    stands = dict(zip(fields, range(1, len(fields) + 1), strict=True))
    chosen = {key: again[key] for key in again if key in fields}
    more = [encode_again(ACTOR, 2, first.last + 1, first.hash, chosen, [stands[key] for key in chosen])]
    return [first, *(more if chosen else [])]


def _damaged(change: RawChange, random: Random) -> RawChange | None:
    """One like it that somebody altered and sealed again; None for what is no change any more."""
    tail = bytearray(change.bytes[8:])
    for _ in range(random.randint(1, 3)):
        tail[random.randrange(40, len(tail))] = random.choice((0, 1, 2, 0x7E, 0x7F, random.randrange(256)))
    try:
        return automerge.read_change(sealed(bytes(tail)))
    except BadChange:
        return None


@settings(max_examples=tries(300), deadline=None)
@given(_fields, _fields, st.integers(0, 2**32))
def test_what_a_change_sets_is_what_its_operations_say(
        fields: dict[str, Any], again: dict[str, Any], seed: int) -> None:
    """Damaged or not: the same operations as one by one, and what sets only fields does nothing else."""
    random = Random(seed)
    for whole in _made(fields, again):
        for change in (whole, *(one for _ in range(8) if (one := _damaged(whole, random)) is not None)):
            operations = told(change)
            assert by_runs(change) == operations
            for replaces, found in ((False, only_sets(change)), (True, sets_again(change) is not None)):
                if found:
                    assert operations and all(
                        one.obj is None and isinstance(one.key, str) and one.key and not one.insert
                        and one.action == SET and len(one.before) == replaces for one in operations)
    assert only_sets(_made(fields, again)[0]) and sets_again(_made(fields, again)[0]) is None


@given(_fields, _fields)
def test_what_is_set_again_is_told_by_its_bytes(fields: dict[str, Any], again: dict[str, Any]) -> None:
    """The changes that the encoder makes, which are the library's, take the short way."""
    for change in _made(fields, again)[1:]:
        found = sets_again(change)
        assert found is not None and not only_sets(change)
        assert [(name, before) for name, _, _, _, before in found] == [
            (one.key, one.before[0][0]) for one in decode(change)]


@pytest.mark.parametrize("column", [KEY, META, BEFORE])
def test_a_column_that_claims_much_fills_no_memory(column: int) -> None:
    """A run of a hundred thousand in a few bytes is refused at the count, not unpacked and remembered."""
    change = encode_again(ACTOR, 2, 2, bytes(32), {"n": 1}, [1])
    assert sets_again(change) == [("n", 4, 1, b"\x01", 1)]
    actors, columns = header(change.bytes)
    columns[column] = sleb(100_000) + columns[column][1:]
    head = change.bytes[8 : change.bytes.index(ACTOR) + 32]
    tail = b"".join((head, b"\2\2\0\0", uleb(len(actors)), uleb(len(columns)),
                     *[uleb(kind) + uleb(len(data)) for kind, data in columns.items()], *columns.values()))
    claimed = msgspec.structs.replace(change, bytes=sealed(tail))
    assert header(claimed.bytes) == (actors, columns)
    tracemalloc.start()
    try:
        assert sets_again(claimed) is None and not only_sets(claimed)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()

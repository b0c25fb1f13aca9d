"""What sets fields is read in one go, and judged by the numbers it names: as it is operation by operation."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import columns, fields, ground
from chez.records.automerge import BadChange, RawChange, read_change
from chez.records.encode import encode_again, encode_fields, uleb
from chez.records.ground import Ground
from chez.records.operations import decode
from tests.records.pair import pair
from tests.security.test_poison import sealed
from tests.tries import tries

ACTOR, OTHER = b"a" * 32, b"b" * 32
_scalars = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-70, 70), st.floats(allow_nan=False),
                     st.sampled_from(("", "tea", "ø" * 80, b"x", True, False, None)))
_values = st.dictionaries(st.sampled_from(("n", "m", "title", "ø", "x" * 130)), _scalars, min_size=1)
_steps = st.lists(st.tuples(_values, st.integers(0, 3)), min_size=1, max_size=6)


def _made(steps: list[tuple[dict[str, Any], int]], random: Random) -> list[RawChange]:
    """What a device sets, one change after the other; sometimes what it replaces is not what stands there."""
    out: list[RawChange] = []
    stands: dict[str, int] = {}
    for value, crooked in steps:
        last = out[-1] if out else None
        numbers = [stands.get(key) for key in value]
        if not crooked and last is not None:
            numbers = [random.randint(1, last.last + 1) if random.random() < 0.5 else number for number in numbers]
        out.append(encode_fields(ACTOR, 1, 1, (), value) if last is None
                   else encode_again(ACTOR, last.sequence + 1, last.last + 1, last.hash, value, numbers))
        stands |= dict(zip(value, range(out[-1].first, out[-1].last + 1), strict=True))
    return out


@contextmanager
def _slowly() -> Iterator[None]:
    """Nothing is read in one go."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (columns, fields):
            patch.setattr(module, "read_settings", lambda data, at: None)
        patch.setattr(ground, "settings", lambda change: None)
        yield


@settings(max_examples=tries(200), deadline=None)
@given(_steps, st.integers(0, 2**32))
def test_what_is_read_in_one_go_is_what_the_operations_say(steps: list[tuple[dict[str, Any], int]], seed: int) -> None:
    """Damaged or not: the same first and last operation and weight, the same names, values and numbers."""
    random = Random(seed)
    for whole in _made(steps, random):
        tail = bytearray(whole.bytes[8:])
        for _ in range(random.randint(0, 3)):
            tail[random.randrange(40, len(tail))] = random.choice((0, 1, 2, 0x7E, 0x7F, random.randrange(256)))
        data = sealed(bytes(tail))
        with _slowly():
            slow = _read(data)
        assert _read(data) == slow
        if slow is None or (found := fields.settings(slow)) is None:
            continue
        told = decode(slow)
        assert list(found[0]) == [one.key for one in told] and found[2] == [one.raw for one in told]
        assert [kind for _, kind in found[1]] == [one.kind for one in told]
        assert [(number, slow.actor) if number else None for number in found[3]] == [
            one.before[0] if one.before else None for one in told]
        assert all(one.obj is None and not one.insert and one.action == 1 and len(one.before) < 2 for one in told)


def _read(data: bytes) -> RawChange | None:
    try:
        return read_change(data)
    except BadChange:
        return None


@settings(max_examples=tries(100), deadline=None)
@given(_steps, st.integers(0, 2**32))
def test_what_fits_by_its_numbers_fits(steps: list[tuple[dict[str, Any], int]], seed: int) -> None:
    """What a device sets again is taken in or refused as it is where each operation is looked for."""
    made = _made(steps, Random(seed))

    def judged() -> list[bool]:
        held, out = Ground(), []
        for change in made:
            try:
                held.take(change)
            except BadChange:
                out.append(False)
            else:
                out.append(True)
        return out

    with _slowly():
        slow = judged()
    assert judged() == slow


def test_another_devices_number_does_not_stand_for_ones_own() -> None:
    """What another device set last is replaced by naming that device: by the number alone nothing fits."""
    first = encode_fields(ACTOR, 1, 1, (), {"n": 1})
    theirs = encode_again(OTHER, 1, 2, first.hash, {"n": 2}, [1])
    held = Ground()
    held.take(first)
    with pytest.raises(BadChange):
        held.take(theirs)


def test_many_changes_of_a_field_show_without_the_document_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a device sets over and over shows at another as it is, unless a counter may begin there."""
    a, b = pair()
    a.put({"n": 0, "t": "x"})
    a.give(b)
    for number in range(1, 20):
        a.put({"n": number, "t": "x", **({"new": 1.5} if number > 9 else {})})
    with monkeypatch.context() as patch:
        patch.setattr("chez.records.merge.automerge.extract", lambda *_: pytest.fail("the document was read"))
        a.give(b)
    assert b.stored() == a.stored() == {"n": 19, "new": 1.5, "t": "x"}


def test_numbers_of_more_bytes_than_need_be_are_read_by_the_long_way() -> None:
    """Such a change is none of these; it is read, or refused, as it always was."""
    first = encode_fields(ACTOR, 1, 1, (), {"n": 1})
    again = encode_again(ACTOR, 2, 2, first.hash, {"n": 5}, [1])
    at = again.bytes.rindex(b"\x7f\x01")  # the number that is replaced, which ends the change
    tail = again.bytes[8:at] + b"\x7f\x81\x00"
    width = again.bytes[8:].index(bytes((0x73, 2)))
    tail = tail[: width + 1] + b"\x03" + tail[width + 2 :]
    long = read_change(sealed(tail[:1] + uleb(tail[1] + 1) + tail[2:]))
    assert fields.settings(long) is None and [one.before for one in decode(long)] == [((1, ACTOR),)]
    assert msgspec.structs.replace(long, hash=b"", bytes=b"") == msgspec.structs.replace(again, hash=b"", bytes=b"")

"""Counters: what several devices add at once is summed, and nothing else counts."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue, Misuse
from chez.records import automerge
from chez.records.counter import Counter
from chez.records.encode import encode_fields
from chez.records.reserved import part_key
from tests.records.pair import NAMES, meet, pair
from tests.tries import tries

BIG = 2**63 - 1
amounts = st.lists(st.integers(-(10**6), 10**6), max_size=5)


def _adding(amount: int, nested: bool) -> Callable[[Any], None]:
    return lambda draft: (draft["m"] if nested else draft)["n"].add(amount)


@settings(max_examples=tries(25), deadline=None)
@given(st.integers(-9, 9), st.booleans(), st.lists(st.tuples(amounts, amounts), max_size=3))
def test_what_two_devices_add_at_once_is_summed(start: int, nested: bool, rounds: list[tuple[Any, Any]]) -> None:
    """After each meeting both show the start and everything either added."""
    a, b = pair()
    a.put({"m": {"n": Counter(start)}, "n": Counter(start)})
    meet(a, b)
    total = start
    for mine, theirs in rounds:
        for device, added in ((a, mine), (b, theirs)):
            for amount in added:
                device.edit(_adding(amount, nested))()
                total += amount
        meet(a, b)
        value = a.stored()
        assert (value["m"] if nested else value)["n"] == total
    assert type(a.stored()["n"]) is Counter and type(b.stored()["m"]["n"]) is Counter


def test_two_devices_that_make_a_counter_at_once_have_one() -> None:
    """A counter added to a record on both devices at once is one counter with both sums."""
    a, b = pair()
    a.put({"title": "x", "base": 5})
    meet(a, b)
    a.edit(lambda draft: draft.update(n=Counter(2), base=Counter(6)))()
    b.edit(lambda draft: draft.update(n=Counter(3), base=Counter(8)))()
    meet(a, b)
    assert a.stored() == {"base": 9, "n": 5, "title": "x"}  # 5, and 1, and 3


def test_a_whole_number_in_a_counters_place_adds_the_difference() -> None:
    """Putting and assigning a number keep the counter, and what the other device adds meanwhile."""
    a, b = pair()
    a.put({"n": Counter(10)})
    meet(a, b)
    a.put({"n": 12})
    b.edit(lambda draft: draft["n"].add(5))()
    b.edit(lambda draft: draft.update(n=draft["n"] + 1))()
    b.edit(lambda draft: draft.update(n=Counter(17)))()
    meet(a, b)
    assert a.stored() == {"n": 19} and type(a.stored()["n"]) is Counter


def test_counters_that_change_places_take_their_numbers_along() -> None:
    """In a draft, a counter put in another's place, or into a new field, is that number there."""
    a, b = pair()
    a.put({"x": Counter(1), "y": Counter(10)})
    meet(a, b)

    def act(draft: Any) -> None:
        draft["x"].add(1)
        draft["x"], draft["y"], draft["z"] = draft["y"], draft["x"], draft["x"]

    a.edit(act)()
    b.edit(lambda draft: draft["x"].add(100))()
    meet(a, b)
    assert a.stored() == {"x": 110, "y": 2, "z": 2}


@pytest.mark.parametrize("other", ["text", 1.5, True, None, [1], {"x": 1}, chez.Text("t")])
def test_anything_else_in_a_counters_place_ends_it(other: Any) -> None:
    """What was added is gone for good, also when a number or a counter comes back."""
    a, b = pair()
    a.put({"n": Counter(4)})
    meet(a, b)
    b.edit(lambda draft: draft["n"].add(3))()
    meet(a, b)
    a.put({"n": other})
    meet(a, b)
    assert b.stored() == {"n": other}
    b.put({"n": 6})
    meet(a, b)
    assert a.stored() == {"n": 6} and type(a.stored()["n"]) is int
    a.put({"n": other})
    a.put({"n": Counter(2)})
    meet(a, b)
    assert b.stored() == {"n": 2}
    b.put({})
    meet(a, b)
    assert a.stored() == {}


def test_an_addition_that_meets_another_kind_of_value_waits_unseen() -> None:
    """A text put while another device added shows as the text; a number put then is that number."""
    a, b = pair()
    a.put({"n": Counter(4)})
    meet(a, b)
    a.put({"n": "text"})
    b.edit(lambda draft: draft["n"].add(3))()
    meet(a, b)
    assert a.stored() == {"n": "text"}
    a.put({"n": 5})
    meet(a, b)
    assert b.stored() == {"n": 5}


steps = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["text", "number", "counter", "add", "meet"])),
                 max_size=12)


@settings(max_examples=tries(60), deadline=None)
@given(steps)
def test_what_a_device_remembers_of_a_map_without_counters_is_true(taken: list[tuple[str, str]]) -> None:
    """A field is put over and over, as number, text or counter, on both devices: who put last sees what it put."""
    devices = dict(zip("ab", pair(), strict=True))
    devices["a"].put({"n": 0, "m": {"n": 0}})
    meet(*devices.values())
    for number, (name, what) in enumerate(taken):
        device = devices[name]
        if what == "meet":
            meet(*devices.values())
            continue
        before = device.stored()["n"]
        if what == "add":
            if type(before) is Counter:
                device.edit(_adding(number, False))()
                assert device.stored()["n"] == int(before) + number
            continue
        value = {"text": f"text {number}", "number": number, "counter": Counter(number)}[what]
        device.put({"n": value, "m": {"n": value}})
        stored = device.stored()
        assert stored["n"] == value and stored["m"]["n"] == value
    meet(*devices.values())
    assert devices["a"].stored() == devices["b"].stored()


def _hostile(fields: dict[str, Any], actor: bytes = NAMES[0]) -> dict[str, Any]:
    document = automerge.load(encode_fields(actor, 1, 1, (), fields).bytes, NAMES[1])
    return automerge.extract(document)


@pytest.mark.parametrize("fields", [
    {part_key(NAMES[1], "n"): 5}, {part_key(NAMES[0], "n"): 1.5}, {part_key(NAMES[0], "n"): True},
    {part_key(NAMES[0], ""): 5}, {"_counter:": 5}, {"_counter:zz:n": 5}, {part_key(NAMES[0], "n").upper(): 5},
    {part_key(NAMES[0], "_deleted"): 1}, {part_key(NAMES[0], "_version"): 7}, {"_version": 9}, {"_version:0": True},
    {"_version:9": 1}, {"_version:" + "9" * 20: True}, {"_version:²": True}, {"_version:-1": True},
])
def test_what_is_no_counter_and_no_version_shows_as_nothing(fields: dict[str, Any]) -> None:
    """Parts in another device's name, of another kind, malformed or of a reserved field are not counted."""
    shown = {key: item for key, item in _hostile(fields | {"k": 1}).items() if not key.startswith("_COUNTER")}
    assert shown == {"k": 1}


@pytest.mark.parametrize(("fields", "shown"), [
    ({part_key(NAMES[0], "n"): BIG, "n": BIG}, {"n": BIG}), ({part_key(NAMES[0], "n"): -3, "n": "x"}, {"n": "x"}),
    ({part_key(NAMES[0], "n"): -3, "n": True}, {"n": True}), ({part_key(NAMES[0], "n"): 4, "n": 3}, {"n": 7}),
])
def test_odd_counters_are_numbers_of_64_bits(fields: dict[str, Any], shown: dict[str, Any]) -> None:
    """Sums stop at the edge of what a number can be; other kinds of value stand."""
    assert _hostile(fields) == shown


def test_what_does_not_fit_is_refused_before_it_is_written() -> None:
    """Neither a counter nor a device's part of one leaves 64 bits."""
    a, b = pair()
    a.put({"n": Counter(BIG)})
    meet(a, b)
    with pytest.raises(InvalidValue, match="64 bits"):
        a.edit(lambda draft: draft["n"].add(1))
    for far in (-BIG, Counter(-2)):
        with pytest.raises(InvalidValue, match="64 bits"):
            b.put({"n": far})
    assert b.stored() == {"n": BIG}
    for wrong in (True, 1.5, "1"):
        with pytest.raises(InvalidValue):
            Counter(wrong)  # type: ignore[arg-type]


def test_a_counter_that_a_number_is_too_far_from_is_put_after_the_number_was_taken_away() -> None:
    """The lowest number, of whomever, remains a counter's base and so refuses one; nothing is written; the way that the
    refusal names leads to it."""
    a, b = pair()
    a.put({"n": -BIG - 1, "k": 1})
    meet(a, b)
    with pytest.raises(InvalidValue, match="64 bits") as refused:
        b.put({"n": Counter(3), "k": 2})
    assert "without the field" in refused.value.hint and b.stored() == {"n": -BIG - 1, "k": 1}
    b.put({"k": 2})
    b.put({"n": Counter(3), "k": 2})
    meet(a, b)
    assert a.stored() == b.stored() == {"n": 3, "k": 2}


async def test_a_counter_through_the_sdk(home: chez.Home) -> None:
    """A counter is a number to SQL and comes back as a counter; it is added to in drafts only."""
    rooms = home.collection("rooms")
    await rooms.put_many([{"visits": chez.Counter(2)}, {"visits": chez.Counter(3), "in": {"n": chez.Counter()}}],
                         ids=["x", "y"])
    async with rooms.edit("y") as draft:
        draft["visits"] += 4
        draft["in"]["n"].add()
        stale = draft["visits"]
    assert (await home.sql("SELECT sum(visits) FROM rooms")).rows == [(9,)]
    value = (await rooms.get("y")).value
    assert value == {"visits": 7, "in": {"n": 1}} and type(value["visits"]) is chez.Counter
    for counter in (stale, value["visits"]):
        with pytest.raises(Misuse, match="inside a draft"):
            counter.add(1)
    assert [record.id async for record in rooms.where(chez.field("visits") > 3)] == ["y"]
    for wrong in ({"l": [chez.Counter()]}, {"m": {"_counter:x": 1}}, {"_version": 1}):
        with pytest.raises(InvalidValue):
            await rooms.put(wrong)

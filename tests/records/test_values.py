"""Every kind of value comes back as what it was, after puts and edits, here and on another device."""

from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue, NotFound
from chez.records.counter import Counter
from chez.records.text import Mark, Text
from chez.records.values import check_value, from_json, to_json
from tests.records.pair import meet, pair, typed
from tests.tries import tries

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
times = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 30),
                     timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
scalars = (st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3) | text
           | st.floats(allow_nan=False, allow_infinity=False) | st.binary(max_size=9) | times)
names = text.filter(lambda name: name != "" and name[0] != "_")


@st.composite
def texts(draw: st.DrawFn) -> Text:
    """A text with marks, or without."""
    content = draw(text)
    ends = draw(st.lists(st.tuples(st.integers(0, len(content)), st.integers(0, len(content))), max_size=2))
    marks = [Mark(start, end, f"m{number}", number) for number, (start, end) in enumerate(ends) if start < end]
    return Text(content, tuple(sorted(marks, key=lambda one: (one.start, one.end))))


items = st.recursive(scalars | texts(), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    names, inner | st.builds(Counter, st.integers(-9, 9)), max_size=4), max_leaves=8)
values = st.dictionaries(names, items | st.builds(Counter, st.integers(-9, 9)), max_size=5)


def _plain(value: Any) -> Any:
    """Without marks, whose order within one place is the library's."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return Text(str(value)) if isinstance(value, Text) else value


def _as_told(value: Any) -> Any:
    """With each map as its items in their order."""
    if isinstance(value, dict):
        return [(key, _as_told(item)) for key, item in value.items()]
    return [_as_told(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=tries(20), deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_every_device_tells_fields_in_one_order(value: dict[str, Any], random: Random) -> None:
    """However the app that put them had them, so that what two devices list can be compared as it is."""
    mixed = list(value.items())
    random.shuffle(mixed)
    a, b = pair()
    a.put(dict(mixed))
    meet(a, b)
    assert _as_told(a.stored()) == _as_told(b.stored()) and list(a.stored()) == sorted(value)


@settings(max_examples=tries(35), deadline=None)
@given(values, values)
def test_values_come_back_as_they_were_put(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Put, and put again over what was there: equal with the types told apart, on both devices."""
    a, b = pair()
    a.put(first)
    meet(a, b)
    assert typed(_plain(b.stored())) == typed(_plain(check_value(first)))
    b.put(second)
    meet(a, b)
    for key, item in check_value(second).items():
        if _settles(first.get(key), item):
            assert typed(_plain(a.stored()[key])) == typed(_plain(item))
    assert a.stored().keys() == second.keys()


def _settles(old: Any, new: Any) -> bool:
    """Whether nothing in a value stands where a text or a counter was: there a str or a number is an edit."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(_settles(old.get(key), item) for key, item in new.items())
    if isinstance(old, list) and isinstance(new, list):
        return not any(isinstance(item, Text | dict | list) for item in old)
    return not (isinstance(old, Text | Counter) and isinstance(new, str | int))


@settings(max_examples=tries(35), deadline=None)
@given(values, values)
def test_drafts_become_what_was_made_of_them(first: dict[str, Any], second: dict[str, Any]) -> None:
    """A draft whose fields are replaced one by one, deleted and added ends as it was left."""
    a, b = pair()
    a.put(first)
    meet(a, b)

    def act(draft: dict[str, Any]) -> None:
        for key in list(draft):
            if key not in second:
                del draft[key]
        draft.update(second)

    b.edit(act)()
    meet(a, b)
    assert a.stored().keys() == second.keys()
    assert all(a.stored()[key] == _plain(check_value({key: item}))[key] for key, item in second.items()
               if not isinstance(first.get(key), dict | list | Text) and not isinstance(item, Text | dict | list))


@given(values)
def test_the_projection_restores_every_kind(value: dict[str, Any]) -> None:
    """A value, written as JSON and kinds, is read back equal, with the types told apart."""
    stored = check_value(value)
    assert typed(from_json(*to_json(stored))) == typed(stored)


def test_lists_are_edited_with_pythons_own_words() -> None:
    """Inserting, moving, removing, sorting at different places of a list on two devices keeps both's work."""
    a, b = pair()
    a.put({"l": ["a", "b", "c", "d", "e"], "m": {"deep": [{"n": [1, 2]}]}})
    meet(a, b)

    def here(draft: Any) -> None:
        draft["l"].insert(0, "first")
        draft["l"].remove("b")
        draft["m"]["deep"][0]["n"].append(3)

    def there(draft: Any) -> None:
        draft["l"].append(draft["l"].pop(3))  # d behind e
        draft["m"]["deep"][0]["new"] = {"x": None}
        draft["m"]["deep"].insert(0, "before")

    ends = [a.edit(here), b.edit(there)]
    for end in ends:
        end()
    meet(a, b)
    assert a.stored() == {"l": ["first", "a", "c", "e", "d"],
                          "m": {"deep": ["before", {"n": [1, 2, 3], "new": {"x": None}}]}}


@pytest.mark.parametrize(("wrong", "named"), [
    ({"a": [{"b": float("nan")}]}, r"a\[0\]\.b"), ({"a": {"b": 2**63}}, r"a\.b"), ({"a": {"b": object()}}, r"a\.b"),
    ({"a": {"": 1}}, "'a'"), ({"t": Text("x", (Mark(0, 2, "b", 1),))}, "mark"), ({"d": datetime(2020, 1, 1)}, "'d'"),
    ({"t": Text("x", (Mark(0, 1, "b", b"x"),))}, "mark"),  # type: ignore[arg-type]
    ({"\ud800": 1}, "surrogate"), ({"a": {"b\udfff": 1}}, "'a'.*surrogate"),
])
async def test_what_can_not_be_stored_is_named(home: chez.Home, wrong: Any, named: str) -> None:
    """The error says which field, however deep, and nothing is written."""
    notes = home.collection("notes")
    with pytest.raises(InvalidValue, match=named):
        await notes.put(wrong)
    assert await notes.count() == 0


async def test_no_record_has_an_id_that_is_no_text(home: chez.Home) -> None:
    """Half a surrogate pair, as a command line makes of bytes that are no UTF-8, is an id that is not there."""
    notes = home.collection("notes")
    for act in (notes.get, notes.delete, notes.history, notes.undo, notes.restore, notes.purge, notes.conflicts):
        with pytest.raises(NotFound):
            await act("\udcff")
    with pytest.raises(NotFound):
        async with notes.edit("\udcff"):
            pass


async def test_an_edit_that_fails_leaves_the_record(home: chez.Home) -> None:
    """A draft that can't be stored, or whose block raises, changes nothing; the record can be edited on."""
    notes = home.collection("notes")
    await notes.put({"n": chez.Counter(1), "t": chez.Text("a"), "x": [1]}, id="n")
    for wrong in ({"x": {1: 2}}, {"x": float("inf")}, {"x": [chez.Counter()]}):
        with pytest.raises(InvalidValue):
            async with notes.edit("n") as draft:
                draft["n"].add(1)
                draft["t"].append("b")
                draft.update(wrong)
    with pytest.raises(ZeroDivisionError):
        async with notes.edit("n") as draft:
            draft["t"].append(str(1 / 0))
    assert (await notes.get("n")).value == {"n": 1, "t": "a", "x": [1]}
    async with notes.edit("n") as draft:
        draft["n"].add(1)
        draft["t"].append("b")
    assert (await notes.get("n")).value == {"n": 2, "t": "ab", "x": [1]}

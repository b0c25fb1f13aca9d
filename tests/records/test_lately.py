"""A wide value that is put again is checked as if it had never been seen, and what differs is told truly."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue
from chez.records import values
from chez.records.lately import Lately
from chez.records.text import Pen
from chez.records.values import check_value
from tests.records.pair import typed

WIDE = {f"f{n}": n * 1000 for n in range(40)}

_items = st.one_of(
    st.integers(-2, 2), st.sampled_from((
        "", "a", "ä", "\ud800", b"", b"x", 0.0, -0.0, 1.0, float("nan"), True, None, 2**63, [1], {"a": 1}, {"": 1}, {1},
        datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 1, 2, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 5, 1, 0, 0, 0, 7, tzinfo=UTC), datetime(2026, 5, 1), chez.Text("te"), chez.Counter(2))))
_fields = st.dictionaries(st.sampled_from(("f0", "f1", "f39", "n", "m")), _items, max_size=3)
_steps = st.lists(st.tuples(st.sampled_from("rs"), _fields, st.sampled_from(
    ("", "", "", "afresh", "turned", "without", "_no", "few"))), min_size=1, max_size=12)


def _next(last: dict[Any, Any], fields: dict[str, Any], how: str) -> dict[Any, Any]:
    value = last | fields
    if how == "afresh":  # equal, of other objects
        value = {key: json.loads(json.dumps(item)) if type(item) is int else item for key, item in value.items()}
    elif how == "turned":
        value = dict(reversed(value.items()))
    elif how == "without":
        del value["f1"]
    elif how == "_no":
        value["_no"] = 1
    return fields if how == "few" else value


@given(_steps)
def test_what_was_seen_is_checked_as_what_was_not(steps: list[tuple[str, dict[str, Any], str]]) -> None:
    """Value and order, or the error, are those of `check_value`; `base` and `unlike` together are the value."""
    lately, last = Lately(), {"r": dict(WIDE), "s": dict(WIDE)}
    for id, fields, how in steps:
        value = _next(last[id], fields, how)
        try:
            wanted = check_value(value)
        except InvalidValue as error:
            with pytest.raises(InvalidValue) as raised:
                lately.check("notes", id, value)
            assert str(raised.value) == str(error)
            continue
        found = lately.check("notes", id, value)
        assert list(typed(found.plain).items()) == list(typed(wanted).items())
        if found.base is not None and found.unlike is not None:
            assert list(typed(found.base | found.unlike).items()) == list(typed(wanted).items())
            assert found.unlike.keys() <= wanted.keys()
        last[id] = value if "f1" in value and len(value) >= len(WIDE) else last[id]
        value["f2"] = [8]  # what the app does with its own afterwards is no matter
        assert typed(found.plain.get("f2")) == typed(wanted.get("f2"))
        value["f2"] = WIDE["f2"]


def test_what_did_not_change_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a value put again with two fields changed and one more, three are checked; of an equal one, none."""
    lately, looked = Lately(), []
    check = values.check_value
    monkeypatch.setattr("chez.records.lately.check_value", lambda value: looked.append(len(value)) or check(value))
    lately.check("notes", "r", WIDE)
    found = lately.check("notes", "r", WIDE | {"f3": 1, "f7": 2, "more": 3})
    assert found.unlike == {"f3": 1, "f7": 2, "more": 3} and looked == [40, 3]
    again = lately.check("notes", "r", json.loads(json.dumps(found.plain)))
    assert again.plain is found.plain and again.unlike == {} and looked == [40, 3]


def test_few_values_are_remembered() -> None:
    """However many records are put: the last ones."""
    lately = Lately()
    for n in range(1000):
        lately.check("notes", str(n), dict(WIDE))
    assert [n for n in range(1000) if lately.check("notes", str(n), dict(WIDE)).base] == []
    assert lately.check("notes", "999", dict(WIDE)).base is not None


@pytest.mark.parametrize(("a", "b"), [
    (0.0, -0.0), (1, True), (1, 1.0), ("", b""), (b"x", "x"),
    (datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 1, 2, tzinfo=timezone(timedelta(hours=2))))])
def test_what_is_equal_is_not_always_alike(a: object, b: object) -> None:
    """One that Python holds for equal to what was there before is told, and kept as it is."""
    lately = Lately()
    lately.check("notes", "r", WIDE | {"n": a})
    assert repr(lately.check("notes", "r", WIDE | {"n": b}).plain) == repr(check_value(WIDE | {"n": b}))


def test_a_text_that_was_edited_is_checked_again() -> None:
    """It is the very same object, and another value."""
    lately, text = Lately(), chez.Text("te").opened(Pen())
    lately.check("notes", "r", WIDE | {"t": text})
    text.append("\ud800")
    with pytest.raises(InvalidValue, match="surrogate"):
        lately.check("notes", "r", WIDE | {"t": text})

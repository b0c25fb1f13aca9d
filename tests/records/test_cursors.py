"""Cursors: places in a text that stay where they are while others type."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue, NotFound
from chez.records.text import Text
from tests.records.pair import Device, meet, pair
from tests.tries import tries


def _cursor(device: Device, position: int, path: Any = "body") -> str:
    return device.store.cursor(device.db, 1, "notes", "r", path, position)


def _position(device: Device, cursor: str, path: Any = "body") -> int:
    return device.store.position(device.db, 1, "notes", "r", path, cursor)


@settings(max_examples=tries(40), deadline=None)
@given(st.lists(st.sampled_from("abcdef🙂é"), unique=True, max_size=8).map("".join), st.data(),
       st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2), st.text("xyz", max_size=3)), max_size=5))
def test_a_cursor_stays_with_its_character(start: str, data: st.DataObject, steps: list[Any]) -> None:
    """Whatever the other device types, a cursor is before the very character it was made for, or where that was."""
    a, b = pair()
    a.put({"body": Text(start)})
    if start:
        a.edit(lambda draft: draft["body"].mark(0, 1, "bold"))()
    meet(a, b)
    at = data.draw(st.integers(0, len(start)))
    cursor = _cursor(a, at)

    def act(draft: Any) -> None:
        for share, delete, insert in steps:
            place = int(share * len(draft["body"]))
            draft["body"].splice(place, min(delete, len(draft["body"]) - place), insert)

    b.edit(act)()
    meet(a, b)
    text = str(a.stored()["body"])
    if at == len(start):
        expected = len(text)
    elif start[at] in text:
        expected = text.index(start[at])
    else:  # behind what stood before it and is left
        expected = max([text.index(one) + 1 for one in start[:at] if one in text], default=0)
    assert _position(a, cursor) == _position(b, cursor) == expected


def test_a_cursor_whose_character_was_deleted_is_where_it_was() -> None:
    """Behind the nearest character before it that is still there."""
    a, b = pair()
    a.put({"body": Text("one two three"), "parts": [{"t": Text("xyz")}]})
    meet(a, b)
    middle, end, inside = _cursor(a, 5), _cursor(a, 13), _cursor(a, 1, ("parts", 0, "t"))
    b.edit(lambda draft: (draft["body"].delete(3, 4), draft["body"].insert(0, ">> "), draft["body"].append("!"),
                          draft["parts"][0]["t"].insert(0, "w")))()
    meet(a, b)
    assert str(a.stored()["body"]) == ">> one three!"
    assert (_position(a, middle), _position(a, end), _position(a, inside, ("parts", 0, "t"))) == (6, 13, 2)
    b.edit(lambda draft: draft["body"].assign(""))()
    assert (_position(b, middle), _position(b, end)) == (0, 0)


async def test_what_is_no_place_is_refused(home: chez.Home) -> None:
    """Positions outside, cursors that are none or not from here, and what is no text."""
    notes = home.collection("notes")
    await notes.put({"body": chez.Text("abc"), "plain": "abc", "l": [1]}, id="n")
    cursor = await notes.cursor("n", "body", 1)
    assert await notes.position("n", "body", cursor) == 1
    for position in (-1, 4):
        with pytest.raises(InvalidValue):
            await notes.cursor("n", "body", position)
    for wrong in ("", "1@", "@00", "x@00", "1@zz", "٣@00", "9" * 30 + "@00", "end ", 5):
        with pytest.raises((InvalidValue, NotFound)):
            await notes.position("n", "body", wrong)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="not known here"):
        await notes.position("n", "body", "1@" + "00" * 32)
    for path in ("plain", "nothing", ("l", 0), ("l", "x"), (), ("body", 0), ("l", 9), ("l", -1), ("l", 2**70)):
        with pytest.raises(NotFound):
            await notes.cursor("n", path, 0)
    with pytest.raises(NotFound):
        await notes.cursor("gone", "body", 0)

"""Collaborative texts: edited at once on two devices, kept character by character."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue, Misuse
from chez.records.text import COMPARED, Mark, Pen, Text, splices
from tests.records.pair import meet, pair
from tests.tries import tries

words = st.text(st.sampled_from("abc \nxyzé🙂"), max_size=30)


def _type(data: st.DataObject, letters: str) -> Any:
    """Some edits of a text, whose insertions are of some letters only."""
    steps = data.draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.text(letters, max_size=6)), max_size=6))

    def act(draft: Any) -> None:
        for share, delete, insert in steps:
            text = draft["body"]
            at = int(share * len(text))
            text.splice(at, min(delete, len(text) - at), insert)

    return act


@settings(max_examples=tries(40), deadline=None)
@given(words, st.data())
def test_two_devices_that_type_at_once_keep_what_both_typed(start: str, data: st.DataObject) -> None:
    """Each device's insertions survive the other's, in order; both show the same text."""
    a, b = pair()
    a.put({"body": Text(start)})
    meet(a, b)
    ends = [device.edit(_type(data, letters)) for device, letters in ((a, "123"), (b, "789"))]
    for end in ends:
        end()
    alone = [re.sub("[^123]", "", str(a.stored()["body"])), re.sub("[^789]", "", str(b.stored()["body"]))]
    meet(a, b)
    together = str(a.stored()["body"])
    assert [re.sub("[^123]", "", together), re.sub("[^789]", "", together)] == alone


@settings(deadline=None)
@given(words, words)
def test_splices_make_one_text_into_the_other(old: str, new: str) -> None:
    """Applied in order, they give the new text and touch no common beginning or end."""
    text = Text(old, pen=Pen())
    text.assign(new)
    assert str(text) == new and len(text) == len(new)
    assert sum(one.delete for one in splices(old, new)) <= len(old)


def test_a_long_text_is_compared_by_lines() -> None:
    """Where comparing characters would take long, lines that are alike stay as they are."""
    lines = [f"line {number}\n" for number in range(400)]
    new = ["first\n", *lines[:200], "middle\n", *lines[200:], "last\n"]
    found = splices("x" + "".join(lines) + "y", "".join(new))
    assert sum(one.delete for one in found) < 30 and len("".join(lines)) ** 2 > COMPARED
    assert len(splices("a\n" * 2000, "b\n" * 2000)) == 1


def test_a_str_in_the_place_of_a_text_is_the_smallest_edit() -> None:
    """Assigning and putting a str leave the text a text, and merge with what is typed elsewhere."""
    a, b = pair()
    a.put({"body": Text("The quick fox"), "plain": "x"})
    meet(a, b)
    a.put({"body": "The quick brown fox", "plain": "y"})
    b.edit(lambda draft: draft.update(body="The quick fox jumps"))()
    meet(a, b)
    assert str(a.stored()["body"]) == "The quick brown fox jumps"
    assert type(a.stored()["body"]) is Text and type(a.stored()["plain"]) is str


def test_marks_move_with_the_text_and_grow_as_they_are_told() -> None:
    """A mark covers what is typed at the edges it expands over, on whichever device, and can be taken away."""
    a, b = pair()
    a.put({"body": Text("Hello world")})
    a.edit(lambda draft: draft["body"].mark(0, 5, "bold"))()
    a.edit(lambda draft: draft["body"].mark(6, 11, "link", "there", expand="none"))()
    meet(a, b)
    b.edit(lambda draft: (draft["body"].insert(5, "!"), draft["body"].append("?")))()
    meet(a, b)
    assert a.stored()["body"].marks == (Mark(0, 6, "bold", True), Mark(7, 12, "link", "there"))
    a.edit(lambda draft: draft["body"].unmark(0, 12, "bold"))()
    meet(a, b)
    assert b.stored()["body"].marks == (Mark(7, 12, "link", "there"),)
    a.put({"body": b.stored()["body"]}, id="copy")
    assert a.stored("copy")["body"] == b.stored()["body"]


def test_texts_in_lists_and_maps_are_edited_in_place() -> None:
    """Wherever a text stands, edits of it merge; a text put beside it is a text of its own."""
    a, b = pair()
    a.put({"parts": [{"t": Text("one")}, Text("two")]})
    meet(a, b)
    a.edit(lambda draft: (draft["parts"][0]["t"].append("!"), draft["parts"].append(Text("three"))))()
    b.edit(lambda draft: (draft["parts"][0]["t"].insert(0, "?"), draft["parts"][1].assign("2two")))()
    meet(a, b)
    assert a.stored()["parts"] == [{"t": "?one!"}, "2two", "three"]
    a.edit(lambda draft: draft.update(copy=draft["parts"][1], parts=None))()
    assert a.stored() == {"copy": "2two", "parts": None} and type(a.stored()["copy"]) is Text


@pytest.mark.parametrize("act", [
    lambda text: text.splice(-1), lambda text: text.splice(2, 9), lambda text: text.insert(99, "x"),
    lambda text: text.delete(0, -1), lambda text: text.insert(0, 5), lambda text: text.mark(2, 2, "bold"),
    lambda text: text.mark(0, 2, ""), lambda text: text.mark(0, 2, "bold", b"x"), lambda text: text.unmark(1, 1, "b"),
    lambda text: text.mark(0, 1, "bold", expand="up"),
])
def test_an_edit_outside_the_text_changes_nothing(act: Any) -> None:
    """A wrong position or value is a typed error, and the text as it was."""
    text = Text("abc", pen=Pen())
    with pytest.raises(InvalidValue):
        act(text)
    assert str(text) == "abc" and text.steps == []


async def test_a_text_through_the_sdk(home: chez.Home) -> None:
    """A text comes back as a text, is text in SQL, and can be edited in a draft only."""
    notes = home.collection("notes")
    await notes.put({"title": "plain", "body": chez.Text("Hello"), "other": ""}, id="n")
    async with notes.edit("n") as draft:
        draft["body"].append(" world")
        kept = draft["body"]
    body = (await notes.get("n")).value["body"]
    assert body == "Hello world" and type(body) is chez.Text and "world" in body and body[:5] == "Hello"
    for stale in (kept, body):
        with pytest.raises(Misuse, match="inside a draft"):
            stale.append("!")
    assert (await home.sql("SELECT body, title FROM notes WHERE body LIKE '%world'")).rows == [("Hello world", "plain")]
    assert "Hello" not in repr(body) and "Hello" not in repr(await notes.get("n"))
    with pytest.raises(InvalidValue, match="surrogate"):
        await notes.put({"body": chez.Text("\ud800")})

"""Lists, maps and texts that two devices begin at once, in fields that a type declares."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.records.past import open_past
from chez.records.typed import Form
from tests.records.pair import meet, pair
from tests.tries import tries


class Place(msgspec.Struct):
    """A Struct inside, which is nothing without its city."""

    city: str


class Cat(msgspec.Struct, tag=True):
    """One of several kinds."""

    lives: int = 9


class Dog(msgspec.Struct, tag=True):
    """Another."""

    tricks: list[str] = msgspec.field(default_factory=list)


class Note(msgspec.Struct):
    """A type whose containers came later than its records."""

    title: str = ""
    tags: list[str] = []
    kept: list[str] = msgspec.field(default_factory=lambda: ["new"])
    parts: dict[str, int] = {}
    body: chez.Text = msgspec.field(default_factory=chez.Text)
    place: Place | None = None
    pet: Cat | Dog | None = None
    file: chez.Blob | None = None


FORM: Form[Any] = Form("notes", Note, 1, None)
OLD = {"title": "Tea"}
FIRST, SECOND = (chez.Blob(id=letter * 64, size=1) for letter in "ab")


def _act(steps: list[tuple[str, int]], who: str, draft: Note) -> None:
    for what, number in steps:
        name = f"{who}{number}"
        match what:
            case "tag":
                draft.tags.insert(0, name)
            case "kept":
                draft.kept.append(name)
            case "part":
                draft.parts[name] = number
            case "body":
                draft.body.append(f"{name} ")
            case _:
                draft.title = name


STEPS = st.lists(st.tuples(st.sampled_from(("tag", "kept", "part", "body", "title")), st.integers(1, 99)),
                 max_size=5, unique_by=lambda step: step[1])


@settings(deadline=None, max_examples=tries(80))
@given(STEPS, STEPS, st.booleans())
def test_what_both_begin_is_all_there(mine: Any, theirs: Any, whole: bool) -> None:
    """By edit or by put of the whole value, where nothing stood: items, keys and words of both, each once."""
    a, b = pair()
    a.put(OLD)
    meet(a, b)
    for device, steps, who in ((a, mine, "a"), (b, theirs, "b")):
        if whole and device is b:
            value = device.read(form=FORM)
            words = [f"{who}{number} " for what, number in steps if what == "body"]
            _act([step for step in steps if step[0] != "body"], who, value)
            value.body = chez.Text("".join(words))
            device.put(value, form=FORM)
        else:
            device.edit(lambda draft, steps=steps, who=who: _act(steps, who, draft), form=FORM)()
    meet(a, b)
    found = b.read(form=FORM)
    names = {what: [f"{who}{number}" for steps, who in ((mine, "a"), (theirs, "b")) for one, number in steps
                    if one == what] for what in ("tag", "kept", "part", "body")}
    assert sorted(found.tags) == sorted(names["tag"])
    assert sorted(found.kept) == sorted(["new", *names["kept"]])
    assert sorted(found.parts) == sorted(names["part"])
    assert sorted(str(found.body).split()) == sorted(names["body"])
    told = [open_past(device.db, 1, "notes", "r", device.actor).changes for device in (a, b)]
    assert [one.hash for one in told[0]] == [one.hash for one in told[1]] and told[0][0].actor == a.actor
    seen: set[bytes] = set()
    for change in told[0]:
        assert seen.issuperset(change.dependencies)
        seen.add(change.hash)


def test_what_is_one_value_is_taken_whole() -> None:
    """Structs and attachments where the type has none to begin with: of two set at once one, and no mixture."""
    a, b = pair()
    a.put(OLD)
    meet(a, b)
    a.edit(lambda draft: (setattr(draft, "pet", Cat()), setattr(draft, "file", FIRST),
                           setattr(draft, "place", Place("Uji"))), form=FORM)()
    b.edit(lambda draft: (setattr(draft, "pet", Dog(["sit"])), setattr(draft, "file", SECOND),
                           setattr(draft, "place", Place("Kyoto"))), form=FORM)()
    meet(a, b)
    found = a.read(form=FORM)
    assert found.pet in (Cat(), Dog(["sit"])) and found.file in (FIRST, SECOND)
    assert found.place in (Place("Uji"), Place("Kyoto"))
    assert a.stored()["pet"] in ({"type": "Cat", "lives": 9}, {"type": "Dog", "tricks": ["sit"]})


def test_the_field_of_a_plain_record_is_one_of_two() -> None:
    """Without a type nobody knows what a list is for: one of two new ones shows, the same on both devices."""
    a, b = pair()
    a.put(OLD)
    meet(a, b)
    a.edit(lambda draft: draft.update(tags=["a"]))()
    b.edit(lambda draft: draft.update(tags=["b"]))()
    meet(a, b)
    assert a.stored()["tags"] in (["a"], ["b"])


@pytest.mark.parametrize("again", [False, True])
def test_a_field_that_was_removed_begins_again(again: bool) -> None:
    """Begun, removed and begun anew, by one device or two: what is put in last is there, and devices agree."""
    a, b = pair()
    a.put(OLD)
    a.edit(lambda draft: draft.tags.append("one"), form=FORM)()
    meet(a, b)
    a.edit(lambda draft: draft.pop("tags"))()
    if again:
        meet(a, b)
    a.edit(lambda draft: draft.tags.append("two"), form=FORM)()
    meet(a, b)
    assert a.read(form=FORM).tags == ["two"]
    b.edit(lambda draft: draft.tags.append("three"), form=FORM)()
    meet(a, b)
    assert a.read(form=FORM).tags == ["two", "three"]


def test_an_edit_that_begins_nothing_is_one_change() -> None:
    """Records that have their containers are edited as ever: one change, of this device."""
    a, _ = pair()
    a.put(Note("Tea", tags=["x"]), form=FORM)
    a.edit(lambda draft: draft.tags.append("y"), form=FORM)()
    a.edit(lambda draft: setattr(draft, "title", "Cocoa"), form=FORM)()
    assert a.db.execute("SELECT count(*), min(length(bytes)) > 0 FROM change WHERE sequence > 0").fetchone() == (3, 1)
    assert a.db.execute("SELECT count(*) FROM change").fetchone() == (3,)


async def test_history_and_undo_of_what_began(home: chez.Home) -> None:
    """Beginning a list is told as an edit; to undo the edit takes out what it put in, and redo brings that back."""
    await home.collection("notes").put({"title": "Tea", "a": 1, "b": 2, "c": 3}, id="tea")
    notes = home.collection(Note, name="notes")
    async with notes.edit("tea") as draft:
        draft.tags.append("hot")
    async with notes.edit("tea") as draft:
        draft.place, draft.parts = Place("Uji"), {"pot": 1}
    told = [(change.kind, change.fields) for change in await notes.history("tea")]
    assert told == [("edited", ("parts.pot", "place", "place.city")), ("edited", ("parts",)),
                    ("edited", ("tags",)), ("edited", ("tags",)), ("created", ("title", "a", "b", "c"))]
    assert set((await notes.undo("tea")).fields) == {"parts.pot", "place"}
    assert (await notes.get("tea")).value == Note("Tea", tags=["hot"])
    assert (await notes.undo("tea")).fields == ("tags",)
    assert (await notes.get("tea")).value.tags == []
    await notes.redo("tea")
    assert (await notes.get("tea")).value == Note("Tea", tags=["hot"])

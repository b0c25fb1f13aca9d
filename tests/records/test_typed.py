"""Typed collections: what the type says, and what a newer app wrote that it does not know."""

import enum
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue
from chez.records.typed import Form
from tests.records.pair import meet, pair
from tests.tries import tries


class Colour(enum.Enum):
    """Of a pot."""

    RED = "red"
    BLUE = "blue"


class Place(msgspec.Struct):
    """Where something stands."""

    room: str
    shelf: int = 0


class Pot(msgspec.Struct, kw_only=True):
    """A teapot."""

    __collection__ = "pots"

    name: str
    colour: Colour = Colour.RED
    price: Decimal | None = None
    bought: date | None = None
    seen: datetime | None = None
    raw: bytes = b""
    litres: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    place: Place = msgspec.field(default_factory=lambda: Place("kitchen"))
    others: list[Place] = []
    by_name: dict[str, Place] = {}
    by_number: dict[int, str] = {}
    notes: chez.Text = msgspec.field(default_factory=chez.Text, name="free-text")
    poured: chez.Counter = msgspec.field(default_factory=chez.Counter)


POT = Pot(name="Brown Betty", colour=Colour.BLUE, price=Decimal("12.50"), bought=date(2020, 2, 29),
          seen=datetime(2024, 1, 1, 12, tzinfo=UTC), raw=b"\0\1", litres=1.5, others=[Place("attic", 2)],
          by_name={"old": Place("shop")}, by_number={7: "seven"}, notes=chez.Text("chipped"), poured=chez.Counter(3))


async def test_a_struct_comes_back_as_it_was_put(home: chez.Home) -> None:
    """Defaults, optional and nested fields, dates, decimals, enums, bytes, times, texts and counters."""
    pots = home.collection(Pot)
    await pots.put(POT, id="full")
    await pots.put(Pot(name="Bare"), id="bare")
    assert (await pots.get("full")).value == POT
    assert (await pots.get("bare")).value == Pot(name="Bare")
    async with pots.edit("full") as pot:
        pot.notes.append(", but loved")
        pot.poured.add(2)
        pot.place.shelf = 4
        pot.others[0].room = "cellar"
        pot.price = Decimal("13.00")
    value = (await pots.get("full")).value
    assert (value.notes, value.poured, value.place) == ("chipped, but loved", 5, Place("kitchen", 4))
    assert (value.others, value.price) == ([Place("cellar", 2)], Decimal("13.00"))
    found = await home.sql("SELECT name, \"free-text\", poured FROM pots WHERE poured > 4")
    assert found.rows == [("Brown Betty", "chipped, but loved", 5)]


@pytest.mark.parametrize(("change", "field"), [
    ({"name": 5}, "name"), ({"litres": -1.0}, "litres"), ({"place": Place(7)}, r"place\.room"),  # type: ignore[arg-type]
    ({"others": [Place("a"), Place("b", "c")]}, r"others\[1\]\.shelf"),  # type: ignore[arg-type]
    ({"colour": "green"}, "colour"), ({"raw": float("inf")}, "raw"), ({"poured": 1.5}, "poured"),
    ({"notes": b"x"}, "free-text"), ({"name": "\ud800"}, "name"), ({"by_name": {"x": 1}}, "by_name"),
])
async def test_a_value_of_the_wrong_type_is_named_when_it_is_put(home: chez.Home, change: Any, field: str) -> None:
    """Nothing is stored that could not be read back; the error says which field."""
    pots = home.collection(Pot)
    with pytest.raises(InvalidValue, match=f"field '?{field}"):
        await pots.put(msgspec.structs.replace(POT, **change))
    with pytest.raises(InvalidValue, match="holds Pot, not dict"):
        await pots.put({"name": "x"})
    with pytest.raises(InvalidValue, match="can't be stored"):
        await pots.put(msgspec.structs.replace(POT, name=object()))
    assert await pots.count() == 0


async def test_a_record_that_does_not_fit_costs_itself_alone(home: chez.Home) -> None:
    """Among others it is there without a value; asked for it says why, without what it holds."""
    plain = home.collection("pots")
    await plain.put_many([{"name": "a"}, {"name": ["secret"]}, {"name": "c", "colour": "secret"}, {"name": "d"}],
                         ids=["a", "b", "c", "d"])
    pots = home.collection(Pot)
    records = await pots.where().all()
    assert [record.id for record in records if record.error is None] == ["a", "d"]
    with pytest.raises(InvalidValue, match="record 'b' in 'pots' is no Pot: field 'name'") as caught:
        _ = records[1].value
    assert "secret" not in str(caught.value) and "secret" not in str(records[2].error)
    with pytest.raises(InvalidValue, match="field 'colour'"):
        await pots.get("c")
    with pytest.raises(InvalidValue):
        async with pots.edit("c"):
            raise AssertionError
    await pots.put(Pot(name="c"), id="c")
    assert (await pots.get("c")).value.name == "c"


class NewPlace(msgspec.Struct):
    """A place as a newer app knows it."""

    room: str
    shelf: int = 0
    light: str = ""


class NewPot(msgspec.Struct):
    """A pot as a newer app knows it."""

    name: str
    place: NewPlace
    others: list[NewPlace]
    by_name: dict[str, NewPlace]
    lid: bool = True


OLD, NEW = Form("notes", Pot, 1, None), Form("notes", NewPot, 1, None)
rooms = st.sampled_from(["attic", "cellar", "hall", "porch"])


@settings(max_examples=tries(30), deadline=None)
@given(st.lists(rooms, min_size=1, max_size=5, unique=True), st.data())
def test_what_a_newer_app_wrote_survives_an_older_ones_edit(there: list[str], data: st.DataObject) -> None:
    """Unknown fields stay with their Struct: at the top, nested, in maps, in lists through moves and removals."""
    a, b = pair()
    a.put(NewPot("x", NewPlace("kitchen", 1, "dim"), [NewPlace(room, 1, f"light of {room}") for room in there],
                 {"k": NewPlace("shop", 2, "neon")}, False), form=NEW)
    meet(a, b)
    order = data.draw(st.permutations(there))
    kept = order[:data.draw(st.integers(0, len(order)))]

    def act(pot: Pot) -> None:
        by_room = {place.room: place for place in pot.others}
        pot.others = [by_room[room] for room in kept]
        for place in pot.others:
            place.shelf += 5
        pot.others.insert(0, Place("new"))
        pot.name, pot.place.room = "y", "garden"

    b.edit(act, form=OLD)()
    meet(a, b)
    seen = a.read(form=NEW)
    assert (seen.name, seen.lid, seen.place) == ("y", False, NewPlace("garden", 1, "dim"))
    assert seen.by_name == {"k": NewPlace("shop", 2, "neon")}
    assert seen.others == [NewPlace("new"), *[NewPlace(room, 6, f"light of {room}") for room in kept]]


@settings(max_examples=tries(20), deadline=None)
@given(st.lists(rooms, min_size=1, max_size=4, unique=True), st.integers(0, 3))
def test_a_put_keeps_what_its_type_does_not_know(there: list[str], gone: int) -> None:
    """A value made anew and put over a record keeps the unknown fields of the Structs in the same places."""
    a, _ = pair()
    a.put(NewPot("x", NewPlace("kitchen", 1, "dim"), [NewPlace(room, 1, room) for room in there], {}, False), form=NEW)
    left = [room for index, room in enumerate(there) if index != gone]
    a.put(Pot(name="x", place=Place("cellar"), others=[Place(room, 1) for room in left]), form=OLD)
    seen = a.read(form=NEW)
    assert (seen.lid, seen.place) == (False, NewPlace("cellar", 0, "dim"))
    assert seen.others == [NewPlace(room, 1, room) for room in left]


class Cat(msgspec.Struct, tag="cat"):
    """One kind of pet."""

    name: str


class Dog(msgspec.Struct, tag="dog"):
    """Another."""

    name: str


class Owner(msgspec.Struct):
    """Of a pet."""

    pet: Cat | Dog


def test_another_kind_of_struct_takes_over_nothing() -> None:
    """What is unknown stays with a Struct of the same tag, and goes with one of another."""
    a, _ = pair()
    a.put({"pet": {"type": "cat", "name": "Tom", "lives": 9}})
    form = Form("notes", Owner, 1, None)
    a.edit(lambda owner: setattr(owner.pet, "name", "Tim"), form=form)()
    assert a.stored() == {"pet": {"type": "cat", "name": "Tim", "lives": 9}}
    a.edit(lambda owner: setattr(owner, "pet", Dog("Rex")), form=form)()
    assert a.stored() == {"pet": {"type": "dog", "name": "Rex"}}


class Plain(msgspec.Struct):
    """A record whose text is a str to this app, and its counter an int."""

    body: str
    n: int


class Rich(msgspec.Struct):
    """The same record to an app that edits together."""

    body: chez.Text
    n: chez.Counter = msgspec.field(default_factory=chez.Counter)


def test_apps_may_differ_about_what_is_a_text() -> None:
    """An app that says str reads and edits a text of another; one that says Text makes one with its first edit."""
    plain, rich = Form("notes", Plain, 1, None), Form("notes", Rich, 1, None)
    a, b = pair()
    a.put(Rich(chez.Text("one two"), chez.Counter(1)), form=rich)
    meet(a, b)
    a.edit(lambda value: (value.body.append("!"), value.n.add(4)), form=rich)()

    def act(value: Plain) -> None:
        value.body, value.n = "zero " + value.body, 3

    b.edit(act, form=plain)()
    meet(a, b)
    assert b.read(form=plain) == Plain("zero one two!", 7)
    a.put({"body": "str", "n": 1}, id="s")
    a.edit(lambda value: value.n.add(1), "s", form=rich)()
    assert type(a.stored("s")["body"]) is str
    a.edit(lambda value: value.body.append("!"), "s", form=rich)()
    assert type(a.stored("s")["body"]) is chez.Text and a.read("s", form=rich) == Rich(chez.Text("str!"),
                                                                                       chez.Counter(2))
    a.put({"body": "b"}, id="t")
    a.edit(lambda value: setattr(value, "body", "c"), "t", form=rich)()
    assert a.stored("t").keys() == {"body"}  # a default that nobody touched is not written
    a.edit(lambda value: value.n.add(), "t", form=rich)()
    assert a.read("t", form=rich).n == 1


async def test_a_type_that_can_not_be_converted_to_is_refused_when_it_is_declared(home: chez.Home) -> None:
    """What msgspec does not support is an error where the collection is declared, not at its first record."""
    class Odd(msgspec.Struct):
        either: chez.Text | str

    with pytest.raises(InvalidValue, match="Odd can't be the type of a collection"):
        home.collection(Odd, name="odd")


def test_a_str_for_a_declared_text_begins_one() -> None:
    """A plain str or int in a field that is declared a text or a counter is made one when it is put."""
    a, _ = pair()
    a.put(Rich("abc", 2), form=Form("notes", Rich, 1, None))  # type: ignore[arg-type]
    assert (type(a.stored()["body"]), type(a.stored()["n"])) == (chez.Text, chez.Counter)

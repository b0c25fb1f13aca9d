"""What an app gives the SDK that is of another type: refused by the argument's name, before anything is done."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

import chez
from chez.checked import checked
from chez.errors import InvalidValue, NotFound

WRONG: list[Callable[[chez.Home, chez.Collection[Any]], Any]] = [
    lambda home, notes: notes.get({}), lambda home, notes: notes.delete(["tea"]), lambda home, notes: notes.undo(5),
    lambda home, notes: notes.edit(None), lambda home, notes: notes.live({}), lambda home, notes: notes.at("tea", None),
    lambda home, notes: notes.cursor("tea", "body", "0"), lambda home, notes: notes.history("tea", limit="x"),
    lambda home, notes: notes.trash("x"), lambda home, notes: notes.put_many(None),
    lambda home, notes: notes.where().min(None), lambda home, notes: notes.where().group_by([]),
    lambda home, notes: home.space(5), lambda home, notes: home.sql(None), lambda home, notes: home.join(b"x"),
    lambda home, notes: home.sync(timeout="x"), lambda home, notes: home.transaction(None),
    lambda home, notes: home.export(5), lambda home, notes: home.backup("a\0b"),
    lambda home, notes: home.import_file("x" * 300), lambda home, notes: home.space().ephemeral(room="x"),
    lambda home, notes: home.contacts.find(None), lambda home, notes: home.blobs.add(5),
    lambda home, notes: home.change_passphrase(None, "x"), lambda home, notes: chez.create("x", passphrase=b"x"),
    lambda home, notes: notes.where().group_by("n").aggregate("x", n=chez.count()),
    lambda home, notes: chez.open(5), lambda home, notes: chez.wipe(None),
    lambda home, notes: home.import_file("x", connector=5), lambda home, notes: home.import_again("0", connector=5),
]


@pytest.mark.parametrize("number", range(len(WRONG)))
async def test_an_argument_of_another_type_is_refused_by_its_name(number: int, home: chez.Home) -> None:
    """Not by whatever meets it first inside."""
    with pytest.raises(InvalidValue, match=r" is | become a type") as caught:
        made = WRONG[number](home, home.collection("notes"))
        if inspect.isawaitable(made):
            await made
    assert any(word in caught.value.hint for word in ("chez.", "path", "class"))
    assert not Path("x").exists()


async def test_what_is_refused_is_not_shown() -> None:
    """It may be a passphrase."""
    with pytest.raises(InvalidValue) as caught:
        await chez.change_passphrase("x", "old", b"four quiet otters")  # type: ignore[arg-type]
    assert "otters" not in str(caught.value)
    assert caught.value.message == "new is a text, not of the type bytes"


async def test_nan_is_no_number_of_anything(home: chez.Home) -> None:
    """It is of the type, and compares with nothing: a time-out of it would never end, or at once."""
    with pytest.raises(InvalidValue, match="timeout is no number: it is NaN"):
        await home.sync(timeout=float("nan"))


def test_what_types_allow_passes() -> None:
    """A whole number for a number, None where it may be, any iterable for a sequence; and the function stays itself."""

    @checked
    def act(seconds: float, name: str | None = None, *more: int, fields: "list[str] | None" = None) -> tuple[Any, ...]:
        """Says what it got."""
        return seconds, name, more

    assert act(1) == (1, None, ())
    assert act(1.5, "a", 1, 2) == (1.5, "a", (1, 2))
    assert (act.__name__, act.__doc__) == ("act", "Says what it got.")
    with pytest.raises(InvalidValue, match="more is a whole number"):
        act(1, "a", 1, "2")  # type: ignore[arg-type]


class Tea(msgspec.Struct):
    """A type of record."""

    __collection__: ClassVar[str] = "teas"
    name: str


async def test_an_app_is_told_by_its_own_means_what_to_do(home: chez.Home) -> None:
    """A map for a typed collection, a sync without a relay: what to call is named, beside the command."""
    with pytest.raises(InvalidValue, match="holds Tea, not dict") as typed:
        await home.collection(Tea).put({"name": "Assam"})  # type: ignore[arg-type]
    assert "Tea(...)" in typed.value.hint
    with pytest.raises(NotFound) as relay:
        await home.sync()
    assert "home.set_relay(url)" in relay.value.hint and "chez relay URL" in relay.value.hint

"""Versions: read anew, written with the next edit only, and never in each other's way."""

from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue, MigrationFailed
from chez.records.typed import Form
from tests.records.pair import Device, meet, pair
from tests.tries import tries


def _split(value: dict[str, Any]) -> dict[str, Any]:
    """1 to 2: a name becomes two, tags a list, and there are things to work on together."""
    first, _, last = value.pop("name").partition(" ")
    return value | {"first": first, "last": last, "tags": [tag for tag in value.pop("tags", "").split(",") if tag],
                    "body": chez.Text(value.get("body", "")), "n": chez.Counter(value.get("n", 0)),
                    "address": {"city": value.pop("city", ""), "lines": []}}


def _nest(value: dict[str, Any]) -> dict[str, Any]:
    """2 to 3: the parts of the name in one map."""
    return value | {"name": {"first": value.pop("first"), "last": value.pop("last")}}


STEPS = {1: _split, 2: _nest}
TWO: Form[Any] = Form("notes", None, 2, {1: _split})
THREE: Form[Any] = Form("notes", None, 3, STEPS)
OLD = {"name": "Ada Byron", "tags": "x,y", "city": "London", "body": "Dear", "n": 4, "note": ""}


def test_a_record_is_migrated_when_read_and_written_with_the_next_edit() -> None:
    """Reading and an edit that changes nothing write nothing; an edit writes the new form and its version."""
    a, b = pair()
    a.put(OLD)
    assert a.read(form=THREE)["name"] == {"first": "Ada", "last": "Byron"}
    a.edit(lambda draft: draft.update(note=""), form=THREE)()
    a.put(a.read(form=THREE), form=THREE)
    assert a.stored() == OLD
    a.edit(lambda draft: draft.update(note="hi"), form=THREE)()
    meet(a, b)
    assert b.stored() == {"_version": 3, "name": {"first": "Ada", "last": "Byron"}, "tags": ["x", "y"], "note": "hi",
                          "address": {"city": "London", "lines": []}, "body": "Dear", "n": 4}
    assert type(b.stored()["body"]) is chez.Text and type(b.stored()["n"]) is chez.Counter


@st.composite
def edits(draw: st.DrawFn) -> list[Any]:
    """What one device does in one edit; lists and the text get letters of its own."""
    return draw(st.lists(st.tuples(st.sampled_from(["tag", "line", "body", "add", "city", "note", "last", "first"]),
                                   st.integers(1, 9)), min_size=1, max_size=5))


def _act(steps: list[Any], who: str, draft: dict[str, Any]) -> None:
    for what, number in steps:
        match what:
            case "tag":
                draft["tags"].insert(min(number, len(draft["tags"])), f"{who}{number}")
            case "line":
                draft["address"]["lines"].append(f"{who}{number}")
            case "body":
                draft["body"].append(f"{who}{number}")
            case "add":
                draft["n"].add(number)
            case "city":
                draft["address"]["city"] = f"{who}{number}"
            case "note":
                draft["note"] = f"{who}{number}"
            case _:
                draft["name"][what] = f"{who}{number}"


def _expect(value: dict[str, Any], mine: list[Any], theirs: list[Any]) -> None:
    """Both's work is in a value, and nothing else was lost."""
    for steps, who in ((mine, "a"), (theirs, "b")):
        for what, number in steps:
            if what in ("tag", "line", "body"):
                inside = {"tag": value["tags"], "line": value["address"]["lines"], "body": str(value["body"])}[what]
                assert f"{who}{number}" in inside
    assert value["n"] == 4 + sum(number for what, number in [*mine, *theirs] if what == "add")
    assert [tag for tag in value["tags"] if tag in ("x", "y")] == ["x", "y"]
    fields = {"city": (value["address"]["city"], "London"), "note": (value["note"], ""),
              "first": (value["name"]["first"], "Ada"), "last": (value["name"]["last"], "Byron")}
    for field, (now, before) in fields.items():
        last = [[f"{who}{number}" for what, number in steps if what == field][-1:]
                for steps, who in ((mine, "a"), (theirs, "b"))]
        assert now in ([*last[0], *last[1]] or [before])


@settings(max_examples=tries(40), deadline=None)
@given(edits(), edits(), st.integers(0, 5))
def test_two_devices_that_migrate_at_once_keep_what_both_did(mine: list[Any], theirs: list[Any], ahead: int) -> None:
    """One record, migrated on two devices with an edit each: every edit is there, once, and the version."""
    a, b = pair()
    a.put(OLD)
    for number in range(ahead):  # a longer history wins nothing
        a.put(OLD | {"note": str(number)})
    a.put(OLD)
    meet(a, b)
    ends = [device.edit(partial(_act, steps, who), form=THREE)
            for device, steps, who in ((a, mine, "a"), (b, theirs, "b"))]
    for end in ends:
        end()
    meet(a, b)
    value = a.read(form=THREE)
    assert a.stored()["_version"] == 3
    _expect(value, mine, theirs)


@settings(max_examples=tries(25), deadline=None)
@given(edits(), edits(), st.sampled_from(["note", "city", "n"]))
def test_an_edit_in_the_old_form_meets_a_migration(mine: list[Any], theirs: list[Any], before: str) -> None:
    """Where one device edited the old form first, both still agree, and other fields keep both's edits."""
    a, b = pair()
    a.put(OLD)
    meet(a, b)
    a.put(OLD | {before: 7 if before == "n" else "changed"})
    for device, steps, who in ((a, mine, "a"), (b, theirs, "b")):
        device.edit(partial(_act, steps, who), form=THREE)()
    meet(a, b)
    value = a.read(form=THREE)
    assert value.keys() == {"name", "tags", "note", "address", "body", "n"}
    for steps, who in ((mine, "a"), (theirs, "b")):
        for what, number in steps:
            if what in ("tag", "body"):
                assert f"{who}{number}" in (value["tags"] if what == "tag" else str(value["body"]))


def test_devices_that_migrate_to_different_versions_agree() -> None:
    """The higher version counts, whichever device wrote it."""
    for first, second in ((TWO, THREE), (THREE, TWO)):
        a, b = pair()
        a.put(OLD)
        meet(a, b)
        a.edit(lambda draft: draft["tags"].append("a"), form=first)()
        b.edit(lambda draft: draft["tags"].append("b"), form=second)()
        meet(a, b)
        assert a.stored()["_version"] == 3 and {"a", "b", "x", "y"} == set(a.read(form=THREE)["tags"])
        assert a.read(form=THREE)["name"] == {"first": "Ada", "last": "Byron"}


def test_an_edit_begun_before_the_other_devices_migration_arrives() -> None:
    """A draft open while a migration (the same one) comes in, and while an import takes its number, ends well."""
    a, b = pair()
    a.put(OLD)
    meet(a, b)
    end = b.edit(lambda draft: draft["tags"].append("b"), form=THREE)
    a.edit(lambda draft: draft["tags"].append("a"), form=THREE)()
    a.give(b)
    b.store.put_imported(b.db, 1, "notes", "r", {"id": 1}, {"imported": True}, "file", "run")
    end()
    meet(a, b)
    value = a.read(form=THREE)
    assert {"a", "b"} < set(value["tags"]) and value["imported"] is True
    assert value["name"] == {"first": "Ada", "last": "Byron"}


def test_an_older_app_reads_and_edits_what_a_newer_one_wrote() -> None:
    """As far as it fits; it lowers no version and keeps what it does not know."""
    class Two(msgspec.Struct):
        tags: list[str]
        note: str = ""

    a, b = pair()
    a.put(a_new := THREE.decode("r", OLD), form=THREE)
    meet(a, b)
    old = Form("notes", Two, 2, {1: _split})
    assert b.read(form=old) == Two(["x", "y"])
    b.edit(lambda value: value.tags.append("z"), form=old)()
    b.put(Two(["z"], "n"), form=old)
    meet(a, b)
    assert a.stored() == a_new | {"_version": 3, "tags": ["z"], "note": "n"}


def _bad(value: dict[str, Any]) -> Any:
    if value["name"] == "raises secret":
        return value["nothing"]
    return {"n": float("nan")} if value["name"] == "nan" else None if value["name"] == "none" else value


async def test_a_migration_that_fails_costs_that_record_alone(home: chez.Home) -> None:
    """Its error names record and version, not content; the others are read; writing over it says the same."""
    notes = home.collection("notes")
    await notes.put_many([{"name": name} for name in ("raises secret", "nan", "none", "fine")], ids=list("abcd"))
    newer = home.collection("notes", version=2, migrations={1: _bad})
    records = [record async for record in newer]
    assert [record.error is None for record in records] == [False, False, False, True]
    for record in records[:3]:
        with pytest.raises(MigrationFailed, match=f"'{record.id}' in 'notes' can't be migrated from version 1 to 2"):
            _ = record.value
        assert "secret" not in str(record.error)
        for write in (newer.put({"name": "x"}, id=record.id), newer.get(record.id)):
            with pytest.raises(MigrationFailed):
                await write
    async with newer.edit("d") as draft:
        draft["more"] = 1
    assert (await home.sql("SELECT name, _version FROM notes WHERE more")).rows == [("fine", 2)]
    assert (await notes.get("a")).value == {"name": "raises secret"}


async def test_a_collection_is_brought_up_to_date_on_demand(home: chez.Home) -> None:
    """Every older record gets the version, in pages; those that fail are told and stay; again, nothing is left."""
    notes = home.collection("notes")
    names = [f"n{number}" for number in range(230)]
    await notes.put_many([{"name": name} for name in [*names, "nan"]], ids=[*names, "bad"])
    await notes.delete("n7")
    newer = home.collection("notes", version=2, migrations={1: lambda value: _bad(value) | {"more": [1]}})
    async with newer.edit("n3") as draft:  # open while the migration takes its number
        draft["more"].append(2)
        done = await newer.migrate()
    assert (done.written, len(done.failed)) == (229, 1) and "'bad'" in str(done.failed[0])
    assert (await home.sql("SELECT count(*) FROM notes WHERE _version = 2")).rows == [(229,)]
    assert (await newer.get("n3")).value == {"name": "n3", "more": [1, 2]}
    again = await newer.migrate()
    assert (again.written, len(again.failed)) == (0, 1)


@pytest.mark.parametrize("wrong", [
    {"version": 0}, {"version": True}, {"version": 2, "migrations": {2: _nest}}, {"migrations": {1: _split}},
    {"version": 2, "migrations": {1: "x"}}, {"version": 10**9},
])
async def test_versions_are_checked_when_they_are_declared(home: chez.Home, wrong: Any) -> None:
    """A version is a number from 1, a migration a function from a version below it."""
    with pytest.raises(InvalidValue, match="version"):
        home.collection("notes", **wrong)


def test_new_records_have_the_version_and_a_change_of_its_own_is_not_made_twice() -> None:
    """A record of the present version is not migrated; a device makes a migration's changes once."""
    a, b = pair()
    a.put({"tags": [], "note": ""}, form=THREE)
    meet(a, b)
    assert b.stored() == {"_version": 3, "note": "", "tags": []} and b.read(form=THREE) == {"tags": [], "note": ""}
    a.put(OLD, id="o")
    meet(a, b)
    for device in (a, b):
        device.edit(lambda draft: draft.update(note="same"), "o", form=THREE)()
    count = _count(a, "o")
    meet(a, b)
    assert _count(a, "o") == count + 1  # only the other device's edit is new: what it migrated is the same


def _count(device: Device, id: str) -> int:
    found: int = device.db.execute("SELECT count(*) FROM change JOIN record ON record.n = record WHERE id = ?",
                                   (id,)).fetchone()[0]
    return found

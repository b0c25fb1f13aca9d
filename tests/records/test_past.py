"""The past of a record and its conflicts, on two devices."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import InvalidValue, NotFound
from chez.records import automerge
from chez.records.conflicts import Conflict, conflicts_of
from chez.records.past import Past, differences, open_past
from chez.records.text import Text
from tests.records.pair import NAMES, Device, meet, pair, typed
from tests.tries import tries

A, B = NAMES


def past(device: Device) -> Past:
    """The record's past as a device knows it."""
    return open_past(device.db, 1, "notes", "r", device.actor)


def names(device: bytes) -> str | None:
    """What the devices are called."""
    return {A: "a", B: "b"}.get(device)


def change(device: Device, act: Any) -> None:
    """One edit, made whole."""
    device.edit(act)()


def fields_of(device: Device) -> list[tuple[str, str | None, tuple[str, ...]]]:
    """Kind, author and fields of each change, the oldest first."""
    return [(one.kind, one.device_name, one.fields) for one in reversed(past(device).page(names, 99, None))]


def test_a_sitting_is_one_line_to_people() -> None:
    """Grouped, edits of one device in the same fields are one as long as it does not pause; paging loses none."""
    a, b = pair()
    clock = [1_000_000]
    a.store._rows.now = lambda: clock[0]
    a.put({"n": 0, "text": Text("")})
    for n in range(1, 8):
        clock[0] += 1_000_000 if n == 5 else 60_000
        change(a, lambda draft: draft["text"].append("x"))
    change(a, lambda draft: draft.update(n=1))
    meet(a, b)
    change(b, lambda draft: draft.update(n=2))
    meet(a, b)
    each = past(a).page(names, 99, None)
    grouped = past(a).page(names, 99, None, grouped=True)
    assert [(one.kind, one.device_name, one.fields, one.count) for one in grouped] == [
        ("edited", "b", ("n",), 1), ("edited", "a", ("n",), 1), ("edited", "a", ("text",), 3),
        ("edited", "a", ("text",), 4), ("created", "a", ("n", "text"), 1)]
    at = 0
    for one in grouped:
        newest, oldest = each[at], each[at + one.count - 1]
        assert (one.hash, one.time, one.oldest, one.since) == (
            newest.hash, newest.time, oldest.hash, oldest.time)
        at += one.count
    pages, before = [], None
    while page := past(a).page(names, 2, before, grouped=True):
        pages += page
        before = page[-1].oldest
    assert pages == grouped


def test_places_that_do_not_show_have_a_name_too() -> None:
    """A change inside of a map that lost to another one, or is deleted by now, is called as it was."""
    a, b = pair()
    a.put({"n": 0})
    meet(a, b)
    for device, value in ((a, 1), (b, 2)):
        change(device, lambda draft: draft.update(box={"in": {"n": 0}}))
        change(device, lambda draft, value=value: draft["box"]["in"].update(n=value))
    meet(a, b)
    change(a, lambda draft: draft.pop("box"))
    meet(a, b)
    for device in (a, b):
        assert [one.fields for one in past(device).page(names, 99, None)].count(("box.in.n",)) == 2


def test_a_grouped_page_is_of_a_bounded_number_of_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sitting that is longer goes on in the next page."""
    monkeypatch.setattr("chez.records.past.LOOKED_AT", 3)
    a, _ = pair()
    a.store._rows.now = lambda: 1_000_000
    a.put({"text": Text("")})
    for _ in range(4):
        change(a, lambda draft: draft["text"].append("x"))
    (first,) = past(a).page(names, 99, None, grouped=True)
    rest = past(a).page(names, 99, first.oldest, grouped=True)
    assert (first.count, [one.count for one in rest]) == (3, [1, 1])


def test_each_change_tells_who_touched_which_fields() -> None:
    """Fields inside maps are named with dots, lists and texts as one, and both devices tell the same."""
    a, b = pair()
    a.put({"title": "Tea", "map": {"x.y": {"z": 1}}, "list": [{"n": 1}], "text": Text("abc")})
    meet(a, b)
    change(b, lambda draft: draft["map"]["x.y"].update(z=2))
    change(b, lambda draft: draft["list"][0].update(n=2))
    meet(a, b)
    change(a, lambda draft: draft["text"].append("d"))
    meet(a, b)
    a.store.delete(a.db, 1, "notes", "r")
    meet(a, b)
    b.put({"title": "again"})
    meet(a, b)
    expected = [
        ("created", "a", ("title", "map", "map.x\\.y", "map.x\\.y.z", "list", "text")),
        ("edited", "b", ("map.x\\.y.z",)), ("edited", "b", ("list",)), ("edited", "a", ("text",)), ("deleted", "a", ()),
        ("restored", "b", ("list", "map", "text", "title")),
    ]
    assert fields_of(a) == expected
    assert fields_of(b) == expected


def test_pages_go_back_from_the_newest() -> None:
    """Pages follow each other without a gap, and a change is named by the beginning of its hash."""
    a, _ = pair()
    a.put({"n": 0})
    for n in range(1, 12):
        change(a, lambda draft, n=n: draft.update(n=n))
    found = past(a)
    whole = found.page(names, 99, None)
    pages, before = [], None
    while page := found.page(names, 5, before):
        pages += page
        before = page[-1].hash[:20]
    assert pages == whole and len(whole) == 12
    assert [found.value(one.hash)["n"] for one in whole] == list(range(11, -1, -1))
    with pytest.raises(InvalidValue):
        found.find("12")
    with pytest.raises(InvalidValue):
        found.find("not a hash")
    with pytest.raises(NotFound):
        found.find("0" * 64)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.integers(0, 9), st.booleans()), max_size=12))
@settings(max_examples=tries(40), deadline=None)
def test_both_devices_tell_one_history(plan: list[tuple[bool, str, int, bool]]) -> None:
    """Once they met: the same changes in the same order, each after what it builds on, and the same value at each."""
    a, b = pair()
    a.put({"a": 0})
    meet(a, b)
    for own, key, number, meets in plan:
        change(a if own else b, lambda draft, key=key, number=number: draft.update({key: number}))
        if meets:
            meet(a, b)
    meet(a, b)
    there, here = past(a), past(b)
    assert there.page(names, 99, None) == here.page(names, 99, None)
    order = [one.hash for one in there.changes]
    for one in there.changes:
        assert all(order.index(hash) < order.index(one.hash) for hash in one.dependencies)
        assert there.value(one.hash.hex()) == here.value(one.hash.hex())
    heads = [bytes(head) for head in there.document.get_heads()]
    if len(heads) == 1:
        assert there.value(heads[0].hex()) == automerge.extract(there.document)


def test_what_differs_is_told_field_by_field() -> None:
    """Fields that were added, removed, changed, inside maps too; kinds of numbers are told apart."""
    before = {"a": 1, "m": {"x": 1, "y": {"z": 1}}, "gone": None, "_deleted": True}
    after = {"a": 1.0, "m": {"x": 2, "y": {"z": 1}, "new": []}, "_source": "x"}
    found = [(one.field, one.kind, one.before, one.after) for one in differences(before, after)]
    assert found == [("a", "changed", 1, 1.0), ("gone", "removed", None, None), ("m.new", "added", None, []),
                     ("m.x", "changed", 1, 2)]


def conflicts(device: Device) -> list[Conflict]:
    """The conflicts a device sees."""
    return conflicts_of(past(device), names)


def test_every_version_of_a_conflict_is_there() -> None:
    """Fields set at once, inside maps and items of lists too: all values with their authors, alike on both devices."""
    a, b = pair()
    a.put({"title": "", "map": {"k": 0}, "list": [{"n": 0}, 5], "same": 0, "apart": 0})
    meet(a, b)
    for device, mark in ((a, "of a"), (b, "of b")):
        def act(draft: dict[str, Any], mark: str = mark) -> None:
            draft.update(title=mark, same=1)
            draft["map"]["k"] = mark
            draft["list"][0]["n"] = {"deep": mark}
            draft["list"][1] = mark
            draft["only " + mark] = 1

        change(device, act)
    assert conflicts(a) == []
    meet(a, b)
    found = conflicts(a)
    assert found == conflicts(b)
    assert [one.field for one in found] == ["list[0].n", "list[1]", "map.k", "title"]
    shown = a.read()
    for one in found:
        assert {version.device_name for version in one.versions} == {"a", "b"}
        assert [version.shows for version in one.versions] == [True, False]
        for version in one.versions:
            mark = version.value["deep"] if isinstance(version.value, dict) else version.value
            assert mark == f"of {version.device_name}"
    assert found[3].versions[0].value == shown["title"]


def test_what_is_chosen_goes_on_merging() -> None:
    """A conflict is settled for one version, the one that shows or not, and edits inside it from elsewhere arrive."""
    for wanted in ("a", "b"):
        a, b = pair()
        a.put({"list": [0]})
        meet(a, b)
        change(a, lambda draft: draft["list"].__setitem__(0, {"of": "a"}))
        change(b, lambda draft: draft["list"].__setitem__(0, {"of": "b"}))
        meet(a, b)
        (conflict,) = conflicts(a)
        choice = next(version.choice for version in conflict.versions if version.device_name == wanted)
        shows = a.read()["list"][0]["of"]
        change(b, lambda draft: draft["list"][0].update(more=1))
        a.store.resolve(a.db, 1, "notes", "r", conflict.field, choice)
        assert a.read()["list"][0]["of"] == wanted
        meet(a, b)
        assert conflicts(a) == conflicts(b) == []
        assert typed(a.read()) == typed(b.read())
        assert a.read()["list"][0] == {"of": wanted} | ({"more": 1} if shows == wanted else {})
        with pytest.raises(NotFound):
            a.store.resolve(a.db, 1, "notes", "r", conflict.field, choice)

"""Undo and redo: one's own changes go back and forth, and nobody else's work is touched."""

import sys
from contextlib import suppress
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import Misuse, NotAllowed, NotFound
from chez.records import rows
from chez.records.conflicts import conflicts_of
from chez.records.counter import Counter
from chez.records.past import open_past
from chez.records.reversals import Reversal
from chez.records.store import RecordStore
from chez.records.text import Text
from tests.records.pair import Device, meet, pair, typed
from tests.tries import tries


def undo(device: Device, *, redo: bool = False) -> Reversal:
    """Undo or redo on a device."""
    return device.store.undo(device.db, 1, "notes", "r", redo=redo)


def change(device: Device, act: Any) -> None:
    """One edit, made whole."""
    device.edit(act)()


def deleted(device: Device) -> bool:
    """Whether the record is deleted."""
    return bool(device.db.execute("SELECT deleted FROM record").fetchone() == (1,))


def _play(value: dict[str, Any], random: Random) -> None:
    """Something random is done to a draft."""
    for _ in range(random.randint(1, 3)):
        match random.randrange(9):
            case 0 | 1:
                value[random.choice("ab")] = random.choice([random.randint(0, 3), "x", None, b"y", 2.5, 0.0, -0.0])
            case 2:
                value.pop(random.choice(sorted(value)), None) if value else None
            case 3:
                value["list"] = [random.randint(0, 3) for _ in range(random.randint(0, 4))]
            case 4:
                value["map"] = {"deep": {"k": random.randint(0, 3)}, "t": Text("some text")}
            case 5 if isinstance(value.get("list"), list):
                _list(value["list"], random)
            case 6 if isinstance(value.get("map"), dict):
                value["map"].setdefault("deep", {})[random.choice("kl")] = random.randint(4, 9)
            case 7 if isinstance(value.get("map"), dict) and isinstance(value["map"].get("t"), Text):
                text = value["map"]["t"]
                at = random.randint(0, len(text))
                with suppress(Misuse):  # made in this very draft
                    text.splice(at, random.randint(0, len(text) - at), random.choice(["", "é", "abc"]))
            case _:
                into = random.choice([one for one in (value, value.get("map")) if isinstance(one, dict)])
                with suppress(Misuse):
                    into.setdefault("n", Counter()).add(random.randint(1, 5))


def _list(items: list[Any], random: Random) -> None:
    at = random.randint(0, len(items))
    if items and random.random() < 0.6:
        at = min(at, len(items) - 1)
        if random.random() < 0.5:
            del items[at]
        else:
            items[at] = random.choice([random.randint(10, 19), {"in": 1}, [7, 8]])
    else:
        items.insert(at, random.choice([random.randint(20, 29), {"in": 2}]))


@given(st.integers(0, 2**32))
@settings(max_examples=tries(35), deadline=None)
def test_back_through_every_state_and_forth_again(seed: int) -> None:
    """Undo shows each earlier value, in whatever depth the edits were, and redo each later one; restarts in between."""
    random = Random(seed)
    device = pair()[0]
    device.put({"a": 1, "list": [1, 2, 3]})
    states = [typed(device.read())]
    for _ in range(random.randint(1, 8)):
        before = device.db.execute("SELECT count(*) FROM change").fetchone()
        change(device, lambda value: _play(value, random))
        if device.db.execute("SELECT count(*) FROM change").fetchone() != before:
            states.append(typed(device.read()))
    at = len(states) - 1
    for _ in range(3 * len(states)):
        redo = at < len(states) - 1 and (at == 0 or random.random() < 0.4)
        if at == 0 and not redo:
            break
        undo(device, redo=redo)
        at += 1 if redo else -1
        assert typed(device.read()) == states[at]
        if random.random() < 0.3:
            device.store = RecordStore(device.actor)
    for _ in range(at):
        undo(device)
    assert not deleted(device)
    undo(device)
    assert deleted(device)  # the change that made it
    with pytest.raises(NotFound):
        undo(device)
    undo(device, redo=True)
    assert not deleted(device) and typed(device.read()) == states[0]


edits = st.lists(st.tuples(st.booleans(), st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1),
                           st.booleans()), max_size=8)


@pytest.mark.slow
@given(edits, st.integers(1, 4))
@settings(max_examples=tries(100), deadline=None)
def test_a_field_that_somebody_else_set_is_left(plan: list[tuple[bool, dict[str, int], bool]], times: int) -> None:
    """Of each change undone: a field of it goes back unless the other device wrote it since or at the same time."""
    a, b = pair()
    a.put(dict.fromkeys("abcd", 0))
    meet(a, b)
    history: list[tuple[bool, dict[str, int], dict[str, int], int]] = []  # own, set, before, met
    met = 0
    for own, fields, meets in plan:
        device = a if own else b
        before = device.read()
        set_ = {key: value for key, value in fields.items() if before[key] != value}
        change(device, lambda draft, fields=fields: draft.update(fields))
        if set_:
            history.append((own, set_, before, met))
        if meets:
            meet(a, b)
            met += 1
    meet(a, b)
    shown = a.read()
    own_changes = [n for n, (own, *_) in enumerate(history) if own]
    expected = dict(shown)
    for n in reversed(own_changes[-times:]):
        told = undo(a)
        _, set_, before, when = history[n]
        now = a.read()
        for key in "abcd":
            theirs = [other for m, (mine, other, _, then) in enumerate(history) if not mine and key in other
                      and (then >= when or m > n)]
            if key not in set_:
                assert now[key] == expected[key]
            elif not theirs:
                assert now[key] == before[key]
            else:
                assert now[key] in {expected[key], *(other[key] for other in theirs)}
        expected = now
        assert set(told.left) <= set(set_)
    meet(a, b)
    assert typed(a.read()) == typed(b.read())


@given(st.integers(0, 2**32))
@settings(max_examples=tries(35), deadline=None)
def test_what_another_device_wrote_inside_stays(seed: int) -> None:
    """One device types and inserts, another too; when the first undoes all it did, the other's part is all there."""
    random = Random(seed)
    a, b = pair()
    b.put({"text": Text("The base."), "list": ["x", "y"], "map": {"k": 0}})
    meet(a, b)
    marks = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    own = 0
    theirs: list[str] = []
    for _ in range(random.randint(2, 12)):
        device, mark = random.choice([(a, "-"), (b, next(marks))])

        def act(value: Any, mark: str = mark) -> None:
            if random.random() < 0.5:
                value["text"].insert(random.randint(0, len(value["text"])), mark)
            else:
                value["list"].insert(random.randint(0, len(value["list"])), mark)

        change(device, act)
        if device is a:
            own += 1
        else:
            theirs.append(mark)
        if random.random() < 0.4:
            meet(a, b)
    meet(a, b)
    before = deepcopy(a.read())
    for _ in range(own):
        assert undo(a).left == ()
    meet(a, b)
    after = b.read()
    assert str(after["text"]) == str(before["text"]).replace("-", "")
    assert after["list"] == [item for item in before["list"] if item != "-"]
    for _ in range(own):
        undo(a, redo=True)
    meet(a, b)
    again = b.read()
    assert sorted(str(again["text"])) == sorted(str(before["text"])) and sorted(again["list"]) == sorted(before["list"])


def test_of_two_values_set_at_once_only_the_own_one_goes() -> None:
    """After an undo the other device's value shows, whichever showed before, and what is edited inside it goes on."""
    for first in (0, 1):
        a, b = pair()
        a.put({"title": "old"})
        meet(a, b)
        mine, theirs = (a, b) if first == 0 else (b, a)
        change(mine, lambda draft: draft.update(title="mine"))
        change(theirs, lambda draft: draft.update(title={"theirs": [1]}))
        meet(a, b)
        change(theirs, lambda draft: draft.update(other=1))
        told = undo(mine)
        assert told.fields == ("title",) and told.left == ()
        meet(a, b)
        assert mine.read() == {"title": {"theirs": [1]}, "other": 1}
        change(theirs, lambda draft: draft["title"]["theirs"].append(2))
        meet(a, b)
        assert mine.read()["title"] == {"theirs": [1, 2]}


def test_a_conflict_that_was_settled_shows_as_before() -> None:
    """Undoing a resolve shows what showed before it, in fields and in items of lists, for either choice."""
    for number in (0, 1):
        for key in ("title", "list[0]"):
            a, b = pair()
            a.put({"title": "old", "list": ["old", "last"]})
            meet(a, b)
            for device, mark in ((a, "of a"), (b, "of b")):
                change(device, lambda draft, mark=mark: draft.update(title=mark, list=[mark, "last"]))
            meet(a, b)
            before = a.read()
            found = {one.field: one for one in conflicts_of(open_past(a.db, 1, "notes", "r", a.actor), lambda _: None)}
            a.store.resolve(a.db, 1, "notes", "r", key, found[key].versions[number].choice)
            settled = a.read()
            assert (settled == before) == (number == 0)
            undo(a)
            assert a.read() == before
            undo(a, redo=True)
            meet(a, b)
            assert a.read() == b.read() == settled


def test_a_zero_goes_back_to_the_sign_that_it_had() -> None:
    """In a field, a map and a list, whose elements stay as many when two devices turn one at once."""
    def zeros(value: float) -> dict[str, Any]:
        return {"x": value, "map": {"y": value}, "list": [value]}

    a, b = pair()
    a.put(zeros(0.0))
    meet(a, b)
    a.put(zeros(-0.0))
    assert undo(a).left == () and typed(a.read()) == typed(zeros(0.0))
    assert undo(a, redo=True).left == () and typed(a.read()) == typed(zeros(-0.0))
    b.put(zeros(-0.0))
    meet(a, b)
    assert typed(a.read()) == typed(b.read()) == typed(zeros(-0.0))


def test_redo_does_not_hide_what_showed() -> None:
    """Of two values set at once the other device's shows: undo and redo of the own one leave it so."""
    a, b = pair()
    a.put({"title": "old"})
    meet(a, b)
    change(a, lambda draft: draft.update(title="mine"))
    change(b, lambda draft: draft.update(title="theirs"))
    meet(a, b)
    hidden = a if a.read()["title"] == "theirs" else b
    shown = a.read()
    undo(hidden)
    assert hidden.read() == shown
    undo(hidden, redo=True)
    meet(a, b)
    assert a.read() == b.read() == shown


@pytest.mark.parametrize("put", [lambda draft, n: draft.update(n=n), lambda draft, n: draft["list"].__setitem__(0, n)])
def test_redo_writes_over_a_conflict_again(put: Any) -> None:
    """Both values come back by the undo, and go by the redo for what was written over them."""
    a, b = pair()
    a.put({"n": 0, "list": [0]})
    meet(a, b)
    change(a, lambda draft: put(draft, 1))
    change(b, lambda draft: put(draft, 2))
    meet(a, b)
    shown = a.stored()
    change(a, lambda draft: put(draft, 3))
    after = a.stored()
    for _ in range(2):
        undo(a)
        meet(a, b)
        assert a.stored() == shown
        undo(a, redo=True)
        meet(a, b)
        assert a.stored() == after


@pytest.mark.parametrize("act", [lambda draft: draft.pop("n"), lambda draft: draft.update(n="text")])
@pytest.mark.parametrize("own", [0, 4])
@pytest.mark.parametrize("base", [0, 1])
def test_a_counter_that_comes_back_has_what_others_added(act: Any, own: int, base: int) -> None:
    """Deleted or written over, and undone: all of it is there, it is a counter, and both go on counting at once."""
    a, b = pair()
    a.put({"n": base} if base else {"x": 1})
    if own:
        change(a, lambda draft: draft.update(n=Counter(base + own)))
    meet(a, b)
    change(b, lambda draft: draft.update(n=Counter(base + own + 10)))
    meet(a, b)
    for _ in range(2):
        change(a, act)
        meet(a, b)
        undo(a)
        meet(a, b)
        assert typed(a.stored()["n"]) == ("Counter", base + own + 10)
    change(a, lambda draft: draft["n"].add(1))
    change(b, lambda draft: draft["n"].add(2))
    meet(a, b)
    assert typed(a.stored()["n"]) == ("Counter", base + own + 13)
    undo(a)
    undo(b)
    meet(a, b)
    assert typed(a.stored()["n"]) == ("Counter", base + own + 10)


def test_what_others_add_to_a_counter_that_is_deleted_meanwhile_counts_once() -> None:
    """Its part came through the deletion with all that it had: the undo brings back the rest."""
    a, b = pair()
    a.put({"n": Counter(4)})
    meet(a, b)
    change(b, lambda draft: draft["n"].add(10))
    meet(a, b)
    change(a, lambda draft: draft.pop("n"))
    change(b, lambda draft: draft["n"].add(1))
    meet(a, b)
    undo(a)
    meet(a, b)
    assert typed(a.stored()) == {"n": ("Counter", 15)}


def test_counters_inside_of_what_comes_back_go_on_counting() -> None:
    """They are counters still, in a map and in a list's item, and what this device had added can be undone after it."""
    a, b = pair()
    a.put({"x": 1})
    change(a, lambda draft: draft.update(map={"n": Counter(4)}, list=[{"n": Counter(4)}]))
    meet(a, b)
    for device, amount in ((b, 10), (a, 100)):
        change(device, lambda draft, by=amount: (draft["map"]["n"].add(by), draft["list"][0]["n"].add(by)))
        meet(a, b)
    change(a, lambda draft: (draft.pop("map"), draft["list"].pop()))
    undo(a)
    meet(a, b)
    for device, amount in ((b, 1), (a, 2)):
        change(device, lambda draft, by=amount: (draft["map"]["n"].add(by), draft["list"][0]["n"].add(by)))
    meet(a, b)
    assert [typed(one["n"]) for one in (a.stored()["map"], *a.stored()["list"])] == [("Counter", 117)] * 2
    undo(a)
    undo(a)
    meet(a, b)
    assert [typed(one["n"]) for one in (a.stored()["map"], *a.stored()["list"])] == [("Counter", 15)] * 2


def test_counters_that_come_back_cost_the_same_each() -> None:
    """Of twice as many, with twice as much that others wrote meanwhile, it takes about twice the calls."""
    def calls(count: int) -> int:
        a, b = pair()
        a.put({"x": 1})
        meet(a, b)
        change(b, lambda draft: draft.update({f"n{at}": Counter(1) for at in range(count)}))
        meet(a, b)
        change(a, lambda draft: [draft.pop(f"n{at}") for at in range(count)])
        change(b, lambda draft: draft.update({f"other {at}": at for at in range(count)}))
        meet(a, b)
        made = 0

        def counted(frame: object, event: str, what: object) -> None:
            nonlocal made
            made += event == "call"

        before = sys.getprofile()
        sys.setprofile(counted)
        try:
            undo(a)
        finally:
            sys.setprofile(before)
        return made

    calls(50)  # what is imported or built once is not counted
    first, second = calls(50), calls(100)
    assert second < 2.5 * first


def test_a_map_that_others_wrote_in_stays() -> None:
    """What was made, and is lived in by now, is left and reported; so is a record that others have written in."""
    a, b = pair()
    a.put({"title": "t"})
    change(a, lambda draft: draft.update(box={"mine": 1}))
    meet(a, b)
    change(b, lambda draft: draft["box"].update(theirs=2))
    meet(a, b)
    assert undo(a).left == ("box",)
    assert a.read() == {"title": "t", "box": {"mine": 1, "theirs": 2}}
    with pytest.raises(NotAllowed):
        undo(a)
    with pytest.raises(NotFound):
        undo(b, redo=True)


def test_a_new_change_takes_the_place_of_what_was_undone() -> None:
    """Redo is there until this device changes the record again; the other device's changes do not take it away."""
    a, b = pair()
    a.put({"n": 0})
    for n in (1, 2):
        change(a, lambda draft, n=n: draft.update(n=n))
    meet(a, b)
    undo(a)
    change(b, lambda draft: draft.update(other=1))
    meet(a, b)
    undo(a, redo=True)
    assert a.read() == {"n": 2, "other": 1}
    undo(a)
    change(a, lambda draft: draft.update(m=1))
    with pytest.raises(NotFound):
        undo(a, redo=True)
    undo(a)
    undo(a)
    assert a.read() == {"n": 0, "other": 1}


def test_undo_reaches_behind_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes whose bytes were given to a snapshot are undone as well."""
    monkeypatch.setattr(rows, "SNAPSHOT_AFTER", 20)
    a, _ = pair()
    a.put({"n": 0})
    for n in range(1, 60):
        if n == 30:
            a.db.execute("UPDATE change SET state = 0, entry = 1")
        change(a, lambda draft, n=n: draft.update(n=n))
    assert a.db.execute("SELECT count(*) FROM change WHERE bytes IS NULL").fetchone() > (20,)
    for n in range(58, -1, -1):
        undo(a)
        assert a.read() == {"n": n}

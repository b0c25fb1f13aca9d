"""Unsent work made anew: alike on every device that makes it, whatever it is."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge
from chez.records.anew import remake
from chez.records.automerge import BadChange
from chez.records.counter import Counter
from chez.records.derived import check_derived, made_anew, named
from chez.records.encode import encode_fields
from chez.records.reserved import REMADE, part_key
from chez.records.rows import Rows
from chez.records.store import Incoming, RecordStore
from chez.records.text import Text
from chez.store.database import Connection
from chez.store.file import connect
from tests.records.pair import NAMES, Device, pair, typed
from tests.tries import tries

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.binary(max_size=2)
    | st.text(max_size=4).map(Text) | st.integers(-9, 9).map(Counter),
    lambda inner: st.lists(inner.filter(lambda one: type(one) is not Counter), max_size=3)
    | st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6)
RECORDS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)
ORIGINS = st.sampled_from((None, None, "bank"))


def copied(db: Connection) -> Connection:
    """Another store with the same content."""
    copy = connect(":memory:", bytes(32))
    db.backup(copy)
    return copy


def remade(db: Connection, actor: bytes, sent: int) -> tuple[list[tuple[bytes, bytes]], Any]:
    """A copy of a store in which another device made anew all but the first changes: what it would send, the value."""
    copy = copied(db)
    changes = copy.execute("SELECT hash, origin FROM change ORDER BY n").fetchall()
    copy.executemany("UPDATE change SET state = 0, entry = 1 WHERE hash = ?", [(one,) for one, _ in changes[:sent]])
    remake(Rows(actor), copy, 1, dict(changes[sent:]), keep=True)
    out = copy.execute("SELECT hash, bytes FROM change WHERE state = 1 ORDER BY n").fetchall()
    (value,) = [row.value for row in [Rows(actor).find(copy, 1, "notes", "r")] if row is not None]
    return out, value


@settings(deadline=None, max_examples=tries(60))
@given(st.lists(st.tuples(RECORDS, ORIGINS), min_size=1, max_size=4), st.integers(0, 3))
def test_devices_make_the_same_changes(values: list[tuple[dict[str, Any], str | None]], sent: int) -> None:
    """Whatever was written and however much of it was sent: two devices make the very same bytes, of the same value."""
    device = Device(b"a" * 32)
    for value, origin in values:
        device.put(value)
        device.db.execute("UPDATE change SET origin = ? WHERE n = (SELECT max(n) FROM change)", (origin,))
    before = device.store._rows.find(device.db, 1, "notes", "r")
    assert before is not None
    (one, first), (two, second) = (remade(device.db, actor * 32, sent) for actor in (b"x", b"\1"))
    assert one == two
    assert typed(first) == typed(second) == typed(before.value)
    for hash, data in one:
        change = automerge.read_change(data)
        check_derived(change)
        assert change.hash == hash and len(change.actor) == REMADE


def test_a_change_in_a_remade_name_that_is_not_its_own_is_refused() -> None:
    """Content, number and length are bound by the name; neither of the two kinds of names stands for the other."""
    good = made_anew(automerge.new(bytes(32)), {"a": 1}, b"w" * 32)
    assert good is not None
    check_derived(good)
    other = made_anew(automerge.new(bytes(32)), {"a": 2}, b"w" * 32)
    assert other is not None and other.actor != good.actor
    for forged in (encode_fields(good.actor, 1, 1, (), {"a": 2}), encode_fields(good.actor, 2, 1, (), {"a": 1}),
                   encode_fields(bytes(REMADE), 1, 1, (), {"a": 1}), encode_fields(good.actor[:24], 1, 1, (), {"a": 1}),
                   encode_fields(good.actor + b"four", 1, 1, (), {"a": 1})):
        with pytest.raises(BadChange):
            check_derived(forged)


def test_parts_of_counters_under_a_remade_name_are_counted_alike() -> None:
    """Also one that a member makes up over a device's own part: all show the same, and go on adding."""
    a, b = pair()
    a.put({"n": Counter(1)})
    a.give(b)
    for forged in ({part_key(b"w" * 32, "n"): 40}, {part_key(a.actor, "n"): 7}):
        base = encode_fields(bytes(REMADE), 1, 1, (), forged)
        change = named(base.bytes, REMADE)
        check_derived(change)
        for device in (a, b):
            assert device.store.merge(device.db, 1, [Incoming("notes", "r", change, 2)]) == []
    assert a.stored() == b.stored()

    def more(draft: Any) -> None:
        draft["n"] += 2

    shown = int(a.stored()["n"])
    a.edit(more)()
    a.give(b)
    assert int(a.stored()["n"]) == int(b.stored()["n"]) != shown


# --- what arrived of it all the same -----------------------------------------------------

FORMER, OTHER, TWIN = 1, 2, 3
"""The entries that changes come in, which say whose they are."""


def written(device: Device, *acts: Any) -> list[bytes]:
    """The changes that a device makes by these edits."""
    before = {hash for (hash,) in device.db.execute("SELECT hash FROM change")}
    for act in acts:
        device.edit(act)()
    return [data for hash, data in device.db.execute("SELECT hash, bytes FROM change ORDER BY n") if hash not in before]


def added(item: str) -> Any:
    """An edit that adds an item to a list."""
    return lambda draft: draft["list"].append(item)


def waiting(device: Device) -> list[bytes]:
    """What a device has to say."""
    return [data for (data,) in device.db.execute("SELECT bytes FROM change WHERE state = 1 ORDER BY n")]


def take(device: Device, *entries: tuple[int, list[bytes]]) -> None:
    """A page of entries comes in."""
    assert device.store.merge(device.db, 1, [Incoming("notes", "r", automerge.read_change(data), entry)
                                             for entry, changes in entries for data in changes]) == []
    device.store.settle(device.db, 1)


def renewed(former: Device, actor: bytes) -> Device:
    """The device that a home became which was restored: what waited is made anew."""
    device = Device(actor)
    device.db = copied(former.db)
    unsent = former.db.execute("SELECT hash, origin FROM change WHERE state = 1").fetchall()
    remake(Rows(actor), device.db, 1, dict(unsent), keep=True)
    device.store = RecordStore(actor)
    return device


def before() -> tuple[Device, Device]:
    """A device that has sent a record with a list, and another one that has it."""
    former, other = Device(NAMES[0]), Device(NAMES[1])
    for device in (former, other):
        device.db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
                          "VALUES (?, 1, ?, 1, x'00', 0, x'00')", (TWIN, b"t" * 32))
    former.put({"list": ["a"]})
    former.give(other)
    former.db.execute("UPDATE change SET state = 0, entry = ?", (FORMER,))
    return former, other


def test_what_came_to_nothing_comes_to_nothing_when_a_part_of_it_had_arrived() -> None:
    """An item that was added, and taken out again before the backup: only that it was added had arrived."""
    former, other = before()
    first, _ = written(former, added("b"), lambda draft: draft["list"].remove("b"))
    again = renewed(former, b"x" * 32)
    for device in (again, other):
        take(device, (FORMER, [first]))
    take(other, (TWIN, waiting(again)))
    assert other.stored() == again.stored() == {"list": ["a"]}


def test_what_arrives_after_another_ones_edit_that_was_edited_on_is_there_once() -> None:
    """The home is used while it reads what there is: what it edits builds on what came in before its former work did.
    """
    former, other = before()
    arrives = written(former, added("b"))
    again = renewed(former, b"x" * 32)
    take(again, (OTHER, written(other, added("o"))))
    again.edit(added("c"))()
    wanted = again.stored()
    for device in (again, other):
        take(device, (FORMER, arrives))
    take(other, (TWIN, waiting(again)))
    assert other.stored() == again.stored()
    assert sorted(again.stored()["list"]) == sorted(wanted["list"]) == ["a", "b", "c", "o"]


def test_what_a_twin_made_anew_is_not_made_twice() -> None:
    """Of a backup that was restored twice: what the other one made of the work comes in with what had arrived of it."""
    former, other = before()
    first, second = written(former, added("b"), added("c"))
    twin, again = renewed(former, b"x" * 32), renewed(former, b"y" * 32)
    take(twin, (FORMER, [first]))
    made = waiting(twin)
    for device in (again, other):
        take(device, (FORMER, [first]), (TWIN, made))
    assert waiting(again) == []
    again.edit(added("d"))()
    for device in (again, other):
        take(device, (FORMER, [second]))
    take(other, (TWIN, waiting(again)))
    assert other.stored() == again.stored()
    assert {"a", "b", "c", "d"} == {*again.stored()["list"]}


def test_what_a_restored_home_wrote_before_its_own_backup_is_there_once() -> None:
    """It met no relay in between, and goes on beside the home that its backup became: what both say is one."""
    former, other = before()
    first = written(former, added("b"))
    middle = renewed(former, b"x" * 32)
    written(middle, added("c"))
    last = renewed(middle, b"y" * 32)
    last.edit(added("d"))()
    said = waiting(middle)
    for device in (last, other):
        take(device, (TWIN, said))
    for device in (last, other):
        take(device, (FORMER, first))
    take(other, (OTHER, waiting(last)))
    assert other.stored() == last.stored()
    assert sorted(last.stored()["list"]) == ["a", "b", "c", "d"]

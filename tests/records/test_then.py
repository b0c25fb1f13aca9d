"""What records were at an earlier state of a store, asked by SQL: as they were shown then."""

from collections.abc import Sequence
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from chez.query.sql import AsOf, run_sql
from chez.records import rows
from chez.records.counter import Counter
from chez.records.feed import cursor_now, state_of
from tests.records.pair import Device, meet, pair
from tests.tries import tries

QUERY = "SELECT _id, _space, n, text, count, times FROM notes ORDER BY _id"
IDS = st.sampled_from("rst")
STEPS = st.one_of(
    st.tuples(st.just("put"), IDS, st.integers(0, 3)),
    st.tuples(st.just("edit"), IDS, st.integers(0, 3)),
    st.tuples(st.just("delete"), IDS, st.none()),
    st.tuples(st.just("restore"), IDS, st.none()),
    st.tuples(st.just("meet"), st.none(), st.none()),
)


def asked(device: Device, cursor: str | None = None) -> list[tuple[Any, ...]]:
    """The records as a query shows them, now or at a cursor."""
    as_of = None if cursor is None else AsOf(state_of(cursor, device.actor), device.actor)
    return run_sql(device.db, QUERY, (), 100, as_of, private=1).rows


def step(device: Device, kind: str, id: str, value: int) -> None:
    """One thing that a person does with a record, where it can be done."""
    found = device.store._rows.find(device.db, 1, "notes", id)
    here = found is not None and found.state == rows.HERE
    match kind:
        case "put":
            device.put({"n": value, "text": f"x{value}", "count": Counter(0), "times": [value]}, id)
        case "edit" if here:
            device.edit(lambda draft: (draft.update(n=value), draft["times"].append(value), draft["count"].add(1)),
                        id)()
        case "delete" if here:
            device.store.delete(device.db, 1, "notes", id)
        case "restore" if found is not None and found.state == rows.DELETED:
            device.store.restore(device.db, 1, "notes", id)


@settings(max_examples=tries(25), deadline=None)
@given(st.lists(st.tuples(st.booleans(), STEPS), max_size=14))
def test_each_state_is_shown_again(steps: Sequence[tuple[bool, tuple[str, Any, Any]]]) -> None:
    """Whatever two devices do and hand over, each asked at the cursor of an earlier state shows what it showed then,
    and now what it shows now; also where documents were saved and their changes freed meanwhile."""
    devices = pair()
    devices[0].put({"n": 0, "text": "", "count": Counter(0), "times": []}, "r")
    meet(*devices)
    kept = []
    with mock.patch.object(rows, "SNAPSHOT_AFTER", 3):
        for second, (kind, id, value) in steps:
            kept += [(one, cursor_now(one.db, one.actor), asked(one)) for one in devices]
            if kind == "meet":
                meet(*devices)
            else:
                step(devices[second], kind, id, value)
    for device, cursor, shown in kept:
        now = asked(device)
        assert asked(device, cursor) == shown
        assert asked(device, cursor_now(device.db, device.actor)) == asked(device) == now


def test_what_was_purged_is_known_no_more() -> None:
    """A record that was purged since is missing at every earlier state, and all others are there."""
    device, _ = pair()
    for id in "rst":
        device.put({"n": 1, "text": "", "count": Counter(0), "times": []}, id)
    before = cursor_now(device.db, device.actor)
    device.store.purge(device.db, 1, "notes", "s")
    step(device, "edit", "t", 2)
    assert [row[:3] for row in asked(device, before)] == [("r", "private", 1), ("t", "private", 1)]

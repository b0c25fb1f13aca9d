"""Whose a field of an imported record is, beside the rule as a table of fields."""

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records.imported import told_again
from chez.records.values import Value
from tests.records.pair import Device, meet, pair
from tests.tries import tries

FIELDS = ("a", "b", "c")
values = st.sampled_from([0, 1, "x", [0], [0, 1], {"in": 0}, {"in": 1, "out": 2}])


@dataclass
class Field:
    """What is there, what an import last made of it, and whether a person touched it since; None for nothing."""

    now: Value = None
    said: Value = None
    by_hand: bool = False


def test_who_typed_much_in_a_record_keeps_it_and_the_rest_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a history that is too long to be read, what an import wrote follows the file; what may be a person's stays."""
    monkeypatch.setattr("chez.records.by_hand._SHORT", 5)
    device, _ = pair()
    imported(device, {"a": 0, "b": 0})
    for n in range(5):
        device.put({"key": 7, "a": 0, "b": 0, "note": "x" * n})
    assert imported(device, {"a": 1, "b": [0]}) == "updated"
    device.put({"key": 7, "a": 1, "b": [0, 1], "note": "xxxx"})
    assert imported(device, {"a": 2, "b": [2], "c": 2}) == "updated"
    assert {name: device.stored()[name] for name in FIELDS} == {"a": 2, "b": [0, 1], "c": 2}


def test_what_a_person_changed_beside_an_import_elsewhere_stays_when_the_devices_met() -> None:
    """A label that shows and an item that was merged, however much that import wrote; no next one takes them."""
    here, there = pair()
    imported(here, {"a": "june", "b": [0], "c": 0})
    here.give(there)
    imported(here, {"a": "july", "b": [0, *range(9)], "c": 1})
    for note in "xy":
        there.put({"key": 7, "a": "june", "b": [0], "c": 0, "note": note})
    there.put({"key": 7, "a": "mine", "b": [0, "mine"], "c": 0, "note": "y"})
    meet(here, there)
    met = here.stored()
    assert met["a"] == "mine" and met["c"] == 1 and "mine" in met["b"]
    for device in here, there:
        assert imported(device, {"a": "july", "b": [0, *range(9)], "c": 1}) == "edited"
        assert imported(device, {"a": "august", "b": [], "c": 2}) == "updated"
        assert [device.stored()[name] for name in FIELDS] == ["mine", met["b"], 2]


def imported(device: Device, said: dict[str, Value], *, overwrite: bool = False) -> str:
    """Import a file of one record."""
    return device.store.put_imported(device.db, 1, "notes", "r", {"key": 7}, said, "lines/1 0123456789abcdef 1", "run",
                                     members={}, overwrite=overwrite)


steps = st.lists(st.tuples(st.sampled_from(["import", "overwrite", "edit"]), st.booleans(),
                           st.dictionaries(st.sampled_from(FIELDS), st.none() | values)), max_size=8)


@given(steps)
@settings(max_examples=tries(100))
def test_a_field_is_whose_the_rule_says(played: list[tuple[str, bool, dict[str, Any]]]) -> None:
    """Two devices that meet after each step import, overwrite, edit, take out: what shows is what the table says."""
    fields = {name: Field() for name in FIELDS}
    devices = pair()
    imported(devices[0], {})
    devices[0].give(devices[1])
    for what, which, change in played:
        device = devices[which]
        if what != "edit":
            overwrite = what == "overwrite"
            said = {name: value for name, value in change.items() if value is not None}
            before = {name: one.now for name, one in fields.items()}
            for name, value in said.items():
                one = fields[name]
                if one.now != value and (overwrite or not one.by_hand or one.now == one.said):
                    fields[name] = Field(value, value)
            writes = before != {name: one.now for name, one in fields.items()}
            differs = any(before[name] != value for name, value in said.items())
            outcome = "updated" if writes else "edited" if differs else "unchanged"
            assert imported(device, said, overwrite=overwrite) == outcome
        else:
            for name, value in change.items():
                if fields[name].now != value:
                    fields[name] = Field(value, fields[name].said, by_hand=True)
            device.put({"key": 7, **{name: one.now for name, one in fields.items() if one.now is not None}})
        devices[which].give(devices[not which])
        for each in devices:
            assert {name: value for name, value in each.stored().items() if name in FIELDS} == {
                name: one.now for name, one in fields.items() if one.now is not None}


@pytest.mark.parametrize("row", ["1", "10", "0"])
def test_a_source_told_again_is_another_of_the_same_row(row: str) -> None:
    """Its row is the same number, and the second time it is the first one again."""
    source = f"lines/1 0123456789abcdef member.csv:{row}"
    again = told_again(source)
    assert again != source and int(again.rpartition(":")[2]) == int(row) and told_again(again) == source

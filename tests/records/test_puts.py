"""Puts that share a transaction come to what they come to one by one."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue
from chez.records import automerge, documents, puts, rows
from chez.records.automerge import BadChange
from chez.records.puts import Put
from chez.records.typed import Form
from tests.records.pair import NAMES, Device, meet

_scalars = st.one_of(st.integers(-3, 3), st.sampled_from(("", "a", "b" * 70, b"", b"x", 1.5, 1.0, True, None,
                                                          datetime(2026, 5, 1, tzinfo=UTC))))
_values = st.one_of(few := st.dictionaries(st.sampled_from(("n", "m", "k")), _scalars, max_size=3), few.map(
    lambda value: {f"f{n}": n for n in range(40)} | value))  # of a wide one, what was checked before is known
_odd = st.fixed_dictionaries({"n": st.one_of(
    st.lists(st.integers(0, 2), max_size=2), st.just({"a": 1}), st.sampled_from((chez.Text("te"), chez.Counter(2))))})
_steps = st.lists(st.tuples(st.sampled_from("rs"), st.one_of(_values, _values, _values, _odd)), min_size=1, max_size=14)
_rounds = st.lists(st.tuples(st.lists(_values, min_size=1, max_size=5), st.sampled_from(
    ("", "edit", "list", "delete", "theirs", "forget"))), min_size=2, max_size=6)
_LOG = "SELECT hash, bytes, sequence, last, weight, state, origin, batch, time FROM change WHERE record = ? ORDER BY n"


def _all_of(device: Device) -> dict[str, Any]:
    """Of each record what shows, how long its tail is, and its log, byte for byte."""
    return {id: (json, kinds, deleted, tail, device.db.execute(_LOG, (n,)).fetchall())
            for n, id, json, kinds, deleted, tail in device.db.execute(
                "SELECT n, id, json, kinds, deleted, tail FROM record")}


def _puts(steps: list[tuple[str, Any]], form: "Form[Any]") -> list[Put]:
    return [Put(1, "notes", id, *form.put(id, value)) for id, value in steps]


def _met(device: Device, before: list[tuple[str, Any]], form: "Form[Any]") -> None:
    """A device whose records another one has written to at the same time."""
    other = Device(NAMES[1])
    for at, store in enumerate((device, other)):
        for id, value in before[at::2]:
            store.put(value, id, form)
    other.give(device)


@given(_steps, _steps, st.lists(st.integers(1, 6), max_size=4), st.sampled_from((1, 2)), st.booleans())
def test_puts_together_are_the_changes_that_they_are_alone(
        before: list[tuple[str, Any]], steps: list[tuple[str, Any]], sizes: list[int], version: int, cold: bool
) -> None:
    """However they are grouped, the log is the same byte for byte, and so is what shows; also upon conflicts."""
    alone, together = Device(NAMES[0]), Device(NAMES[0])
    old, form = Form("notes", None, 1, None), Form("notes", None, version, {1: dict} if version > 1 else None)
    for device in (alone, together):
        _met(device, before, old)
        if cold:
            device.store.forget()
    for id, value in steps:
        alone.put(value, id, form)
    left = _puts(steps, form)
    for size in [*sizes, len(left)]:
        together.store.put_all(together.db, left[:size])
        left = left[size:]
    assert _all_of(together) == _all_of(alone)
    for id in {id for id, _ in steps}:
        together.stored(id)  # what shows is what the document says
        document, other = (one.store.rows.load(one.db, one.db.execute(
            "SELECT n FROM record WHERE id = ?", (id,)).fetchone()[0]) for one in (together, alone))
        assert document.get_heads() == other.get_heads() and document.save() == other.save()
        together.edit(lambda draft: draft.update({"more": 1}), id)()
        alone.edit(lambda draft: draft.update({"more": 1}), id)()
    assert _all_of(together) == _all_of(alone)


@given(_rounds, st.sampled_from((1, 3, 2048)))
def test_what_stands_is_known_in_the_next_transaction_unless_somebody_else_wrote(
        rounds: list[tuple[list[dict[str, Any]], str]], far: int) -> None:
    """Whatever is written in between, here or elsewhere, puts together make the very changes that they make alone,
    however far the document may be behind."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(documents, "_FAR", far)
        _rounds_are_alike(rounds)


def _rounds_are_alike(rounds: list[tuple[list[dict[str, Any]], str]]) -> None:
    alone, together = Device(NAMES[0]), Device(NAMES[0])
    pairs = (alone, Device(NAMES[1])), (together, Device(NAMES[1]))
    form = Form("notes", None, 1, None)
    for values, then in rounds:
        for value in values:
            alone.put(value, "r", form)
        together.store.put_all(together.db, _puts([("r", value) for value in values], form))
        for device, other in pairs:
            if then in ("edit", "list"):
                device.edit(lambda draft, then=then: draft.update({"n": [1] if then == "list" else 7}))()
            elif then == "delete":
                device.store.delete(device.db, 1, "notes", "r")
            elif then == "theirs":
                other.put({"n": 9, "k": 9}, "r", form)  # upon what it had before: a conflict
                meet(device, other)
            elif then == "forget":
                device.store.forget()
        assert _all_of(together) == _all_of(alone)


def test_fields_set_in_turn_are_asked_of_the_library_once_a_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    """New fields, and those that a transaction before set, are written as those that this one set."""
    device, asked = Device(NAMES[0]), []
    write = puts.encode_again
    monkeypatch.setattr(puts, "encode_again", lambda *given: asked.append(given) or write(*given))
    value: dict[str, Any] = {"n": 0}
    device.put(value)
    for first in range(1, 200, 50):
        values = [value := value | {"n": n, f"k{n % 70}": n} for n in range(first, first + 50)]
        device.store.put_all(device.db, _puts([("r", value) for value in values], Form("notes", None, 1, None)))
    assert len(asked) == 4 * 49 and device.stored() == value


def test_many_puts_of_one_record_are_hardly_asked_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred puts in one transaction one is made by the library, and one projection is written after it."""
    device, asked = Device(NAMES[0]), []
    device.put({"n": -1})
    write, project = puts.encode_again, type(device.store.rows).project
    monkeypatch.setattr(puts, "encode_again", lambda *given: asked.append("written") or write(*given))
    monkeypatch.setattr(type(device.store.rows), "project", lambda *given: asked.append("shown") or project(*given))
    device.store.put_all(device.db, _puts([("r", {"n": n}) for n in range(100)], Form("notes", None, 1, None)))
    assert asked == ["shown", *["written"] * 99, "shown"]
    assert device.stored() == {"n": 99}


def test_the_document_of_what_is_put_again_and_again_waits_for_many_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions go by before it takes them in, all at once; of two records in turn, one at each."""
    device, form, sizes = Device(NAMES[0]), Form("notes", None, 1, None), list[int]()
    take = automerge.applied
    monkeypatch.setattr(automerge, "applied", lambda to, new: sizes.append(len(new)) or take(to, new))
    monkeypatch.setattr(rows, "SNAPSHOT_AFTER", 10_000)
    monkeypatch.setattr(documents, "_FAR", 100)
    for id in "rs":
        device.put({"n": -1, "k": 0}, id)
    for first in range(0, 160, 20):
        device.store.put_all(device.db, _puts([("r", {"n": n, "k": n}) for n in range(first, first + 20)], form))
    assert len(sizes) == 1 and 100 <= sizes[0] < 120
    device.store.put_all(device.db, _puts([("s", {"n": n, "k": n}) for n in range(5)], form))
    assert len(sizes) == 2 and 20 < sizes[1] < 60
    assert device.stored("r") == {"n": 159, "k": 159} and device.stored("s") == {"n": 4, "k": 4}


def test_a_history_of_puts_is_snapped_and_loads_again() -> None:
    """Snapshots are taken of what was written by hand as of what was not; every change stays one of its own."""
    device, form = Device(NAMES[0]), Form("notes", None, 1, None)
    for first in range(0, 1500, 250):
        device.store.put_all(device.db, _puts([("r", {"n": n}) for n in range(first, first + 250)], form))
        device.db.execute("UPDATE change SET state = 0, entry = 1")
    device.store.forget()
    document = device.store.rows.load(device.db, 1)
    assert automerge.extract(document) == {"n": 1499} and len(automerge.changes_of(document)) == 1500
    assert device.db.execute("SELECT count(*) FROM snapshot").fetchone() == (1,)


def test_in_the_midst_of_a_row_of_puts_no_snapshot_is_taken() -> None:
    """It would be out of date with the next commit; once there are four times as many, or it is quiet, there is one."""
    device, form = Device(NAMES[0]), Form("notes", None, 1, None)

    def held() -> int:
        (found,) = device.db.execute("SELECT coalesce(max(changes), 0) FROM snapshot").fetchone()
        return int(found)

    def put(first: int, count: int) -> int:
        device.store.put_all(device.db, _puts([("r", {"n": n}) for n in range(first, first + count)], form))
        return held()

    assert [put(first, 300) for first in range(0, 1500, 300)] == [0, 0, 0, 1200, 1200]
    assert [put(first, 300) for first in range(1500, 2100, 300)] == [1200, 1200]
    assert (put(2100, 1), put(2101, 1)) == (1200, 2102)
    device.store.forget()
    assert automerge.extract(device.store.rows.load(device.db, 1)) == {"n": 2101}


async def test_a_put_that_fails_takes_no_other_with_it(home: chez.Home) -> None:
    """Of puts of one record that wait together each is kept or refused by itself, and those kept are durable."""
    notes = home.collection("notes")
    await notes.put({"n": 0, "body": ""}, id="r")
    answers = await asyncio.gather(*(notes.put({"n": n, "body": "x" * (900_000 if n == 5 else 1)}, id="r")
                                     for n in range(1, 10)), return_exceptions=True)
    assert [n for n, answer in enumerate(answers, 1) if isinstance(answer, InvalidValue)] == [5]
    assert (await notes.get("r")).value == {"n": 9, "body": "x"}
    assert len(await notes.history("r")) == 9
    assert [change.device_name for change in await notes.history("r", limit=1)]


async def test_what_the_document_refuses_is_left_to_the_library(
        home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should changes written by hand not fit, nothing is lost: they are undone, and each put is made again alone."""
    notes = home.collection("notes")
    await notes.put({"n": 0}, id="r")
    refused = []

    def refuses(*_: Any) -> Any:
        refused.append(1)
        raise BadChange("no")

    monkeypatch.setattr(automerge, "applied", refuses)
    monkeypatch.setattr(documents, "_FAR", 10)
    await asyncio.gather(*(notes.put({"n": n}, id="r") for n in range(1, 20)))
    assert refused and (await notes.get("r")).value == {"n": 19}
    assert len(await notes.history("r")) == 20


async def test_a_put_waits_for_an_open_edit_and_no_put_for_another(home: chez.Home) -> None:
    """What is put while a record is edited comes after the edit; puts of one record share a commit."""
    notes = home.collection("notes")
    await notes.put({"n": 0}, id="r")
    async with notes.edit("r") as draft:
        later = [asyncio.create_task(notes.put({"n": n}, id="r")) for n in (2, 3)]
        await asyncio.sleep(0)
        draft["n"] = 1
    await asyncio.gather(*later)
    assert [change.time is not None for change in await notes.history("r")] == [True] * 4
    assert [(await notes.at("r", change.hash))["n"] for change in await notes.history("r")] == [3, 2, 1, 0]
    commits = []
    committed = home._database.after_commit
    home._database.after_commit = lambda: (commits.append(1), committed() if committed else None)[0]
    await asyncio.gather(*(notes.put({"n": n}, id="r") for n in range(10, 110)))
    assert len(commits) == 1

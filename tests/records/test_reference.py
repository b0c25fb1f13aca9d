"""References to attachments: kept whole in any value, counted with the projection, read from anything."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import InvalidValue
from chez.records import automerge
from chez.records.automerge import read_change
from chez.records.diff import write_difference
from chez.records.reference import Blob, field_of, revived
from chez.records.store import RecordStore
from chez.store.database import Connection
from tests.store.blank import blank
from tests.tries import tries

IDS = [f"{n:064x}" for n in range(4)]
BLOBS = st.builds(Blob, id=st.sampled_from(IDS), size=st.integers(0, 2**45), name=st.sampled_from(["", "a.png", "é"]),
                  media_type=st.sampled_from(["application/octet-stream", "image/png", "image/svg+xml"]))
VALUES = st.recursive(
    st.one_of(BLOBS, st.integers(-9, 9), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3),
                            st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)),
    max_leaves=8)
RECORDS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=3)


def ids(value: Any) -> set[str]:
    """The attachments in a value."""
    if isinstance(value, Blob):
        return {value.id}
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return {id for item in inside for id in ids(item)}


async def held(home: chez.Home) -> set[tuple[str, str]]:
    """What the store counts: (record, attachment)."""
    return set(await home._database.read(lambda db: db.execute(
        "SELECT record.id, blob FROM blob_reference JOIN record ON n = record").fetchall()))


async def test_a_reference_is_a_value_of_a_record(home: chez.Home) -> None:
    """Put, edited, nested, in a typed collection: a Blob comes back as it was, and counts while it is held."""
    class Page(msgspec.Struct):
        photo: Blob | None
        more: list[Blob] = []

    one, two = Blob(id=IDS[1], size=3, media_type="image/png", name="x.png"), Blob(id=IDS[2], size=0)
    notes, pages = home.collection("notes"), home.collection(Page, name="notes")
    await notes.put({"photo": one, "deep": [{"more": two}], "n": 1}, id="a")
    assert (await notes.get("a")).value == {"photo": one, "deep": [{"more": two}], "n": 1}
    assert await held(home) == {("a", one.id), ("a", two.id)}
    async with notes.edit("a") as draft:
        assert draft["photo"] == one
        draft["photo"], draft["more"] = two, [one, one]
    assert (await pages.get("a")).value == Page(two, [one, one])
    await pages.put(Page(one), id="b")
    assert (await notes.get("b")).value == {"photo": one, "more": []}
    assert await held(home) == {("a", one.id), ("a", two.id), ("b", one.id)}
    async with notes.edit("a") as draft:
        draft.clear()
    await notes.delete("b")  # it may come back: it still counts
    assert await held(home) == {("b", one.id)}
    rows = await home.sql("SELECT json_extract(photo, '$.size') FROM notes WHERE _id = 'a'")
    assert rows.rows == [(None,)]


def _store() -> tuple[Connection, RecordStore]:
    db = blank()
    db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
    return db, RecordStore(b"a" * 32)


@given(st.lists(st.tuples(st.sampled_from("xy"), st.one_of(RECORDS, st.just("delete"), st.just("undo"))), max_size=8))
@settings(deadline=None, max_examples=tries(60))
def test_what_is_counted_is_what_the_projection_shows(steps: list[tuple[str, Any]]) -> None:
    """After any puts, deletions and undone work, the count is what the records' last values hold."""
    from chez.records.values import check_value

    db, store = _store()
    expected: dict[str, set[str]] = {}
    for id, step in steps:
        db.execute("BEGIN")
        if isinstance(step, dict):
            store.put(db, 1, "notes", id, check_value(step))
            expected[id] = ids(step)
        elif step == "delete":
            db.execute("DELETE FROM change WHERE record IN (SELECT n FROM record WHERE id = ?)", (id,))
            db.execute("DELETE FROM record WHERE id = ?", (id,))
            store.forget()
            expected.pop(id, None)
        else:
            store.put(db, 1, "notes", id, check_value({"a": Blob(id=IDS[3], size=1)}))
            db.execute("ROLLBACK")
            store.forget()
            db.execute("BEGIN")
        db.execute("COMMIT")
        found = db.execute("SELECT record.id, blob FROM blob_reference LEFT JOIN record ON n = record").fetchall()
        assert set(found) == {(id, blob) for id, blobs in expected.items() for blob in blobs}
    db.close()


@given(BLOBS, BLOBS, BLOBS, st.booleans())
@settings(deadline=None)
def test_of_two_that_are_set_at_once_one_wins_whole(before: Blob, one: Blob, two: Blob, nested: bool) -> None:
    """Two devices replace an attachment at once: both show the same one of the two, never a mixture."""
    def at(blob: Blob) -> dict[str, Any]:
        return {"a": [field_of(blob)]} if nested else {"a": field_of(blob)}

    base = write_difference(automerge.new(b"0" * 32), {}, at(before))
    assert base is not None
    changes = [write_difference(automerge.load(base, actor * 32), at(before), at(blob))
               for actor, blob in ((b"1", one), (b"2", two))]
    made = [read_change(change) for change in changes if change is not None]
    results = []
    for order in (made, made[::-1]):
        document = automerge.load(base, b"3" * 32)
        if order:
            document = automerge.applied(document, order)
        results.append(revived(automerge.extract(document)))
    shown = results[0]["a"][0] if nested else results[0]["a"]
    assert results[0] == results[1] and shown in (one, two, before)
    assert shown in (one, two) or before in (one, two)


@given(st.dictionaries(st.sampled_from(["_blob", "size", "type", "name", "x"]),
                       st.one_of(st.text(max_size=70), st.integers(), st.none(), st.booleans(), st.lists(st.none()))))
def test_what_a_member_writes_by_hand_is_a_reference_or_a_plain_map(value: dict[str, Any]) -> None:
    """Any map is read, as an attachment that fits the form or as itself."""
    found = revived({"a": value})["a"]
    assert found == value or (isinstance(found, Blob) and found.size >= 0 and len(found.id) == 64)


@pytest.mark.parametrize("wrong", [
    {"_blob": "0" * 63 + "\n"}, {"_blob": "F" * 64}, {"size": -1}, {"size": True}, {"size": 2**60}, {"type": "png"},
    {"type": "image/PNG"}, {"name": "../x"}, {"name": "a\\b"}, {"name": ".."}, {"name": "a\nb"}, {"name": "x" * 256},
    {"name": "\u202egpj.exe"},
])
def test_a_form_that_does_not_fit_is_no_attachment(wrong: dict[str, Any]) -> None:
    """Each wrong part alone: the map is shown as it is, and no such Blob can be made."""
    good = {"_blob": IDS[1], "size": 3, "type": "image/png", "name": "x.png"}
    assert isinstance(revived(good), Blob)
    assert revived(good | wrong) == good | wrong
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | wrong, Blob)


async def test_a_plain_map_with_the_key_stays_editable(home: chez.Home) -> None:
    """A record with a broken reference reads, edits and counts like any other; nothing hides in it."""
    notes = home.collection("notes")
    await notes.put({"a": {"_blob": "broken"}, "b": {"_blob": 7}}, id="x")
    async with notes.edit("x") as draft:
        draft["c"] = 1
    assert (await notes.get("x")).value == {"a": {"_blob": "broken"}, "b": {"_blob": 7}, "c": 1}
    assert await held(home) == set()
    with pytest.raises(InvalidValue):
        await notes.put({"_blob": IDS[1]})


def test_the_repr_of_a_reference_holds_no_name() -> None:
    """What is logged of an attachment is its id, type and size."""
    shown = repr(Blob(id=IDS[1], size=3, name="MARKER.png"))
    assert "MARKER" not in shown and "3 bytes" in shown


def test_references_survive_json() -> None:
    """The JSON that tools show is what can be put again."""
    blob = Blob(id=IDS[1], size=3, media_type="image/png", name="x.png")
    assert revived(json.loads(json.dumps({"a": field_of(blob)}))) == {"a": blob}

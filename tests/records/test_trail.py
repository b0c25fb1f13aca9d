"""Changes that are told without a document: as the document would tell them, byte for byte, and refused as it would."""

from collections.abc import Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records import automerge, rows
from chez.records.encode import encode_again, encode_fields
from chez.records.reserved import part_key
from chez.records.store import Incoming
from tests.records.pair import NAMES, Device, meet, pair, typed
from tests.tries import tries

_scalars = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from(
    ("", "tea", "thé", b"x", 1.5, True, None, datetime(2026, 5, 1, tzinfo=UTC))))
_edits = st.dictionaries(st.sampled_from("abc"), _scalars, min_size=1, max_size=2)
_steps = st.lists(st.one_of(
    st.tuples(st.just("edit"), _edits), st.tuples(st.just("edit"), _edits), st.tuples(st.just("put"), _edits),
    st.tuples(st.just("answer"), _edits), st.tuples(st.sampled_from(("give", "give", "delete", "forget", "lost")),
                                                    st.none())), max_size=16)
BORN = {"a": 0, "b": "", "c": None}


@contextmanager
def no_trails(wanted: bool) -> Any:
    """Everything goes through the document, if that is wanted."""
    with pytest.MonkeyPatch.context() as patch:
        if wanted:
            patch.setattr(rows.Rows, "trail", lambda self, n: None)
        yield


def play(steps: Sequence[tuple[str, Any]]) -> list[Any]:
    """Two devices of which one mostly writes; what each has logged, and shows, after each step."""
    a, b = pair()
    a.put(BORN)
    meet(a, b)
    seen: list[Any] = []
    for act, what in steps:
        if act in ("edit", "answer"):
            writer = a if act == "edit" else b
            writer.edit(lambda draft, what=what: draft.update(what))()
        elif act == "put":
            a.put(BORN | what)
        elif act == "give":
            a.give(b)
            b.give(a)
        elif act == "delete":
            a.store.delete(a.db, 1, "notes", "r")
            a.put(BORN)
        elif act == "forget":
            a.store.forget()
            b.store.forget()
        else:  # as when a commit fails
            a.db.execute("SAVEPOINT work")
            a.edit(lambda draft: draft.update(a="lost"))()
            a.db.execute("ROLLBACK TO work")
            a.db.execute("RELEASE work")
            a.store.forget()
        seen.append([(typed(device.stored()), device.db.execute("SELECT hash, last, weight FROM change ORDER BY n")
                      .fetchall()) for device in (a, b)])
    meet(a, b)
    return seen


@given(_steps)
@settings(deadline=None, max_examples=tries(30))
def test_what_is_told_without_a_document_is_what_it_would_tell(steps: list[tuple[str, Any]]) -> None:
    """The same changes, to the byte, and the same values, whoever writes in between and whatever is forgotten."""
    with no_trails(True):
        wanted = play(steps)
    assert play(steps) == wanted


def test_a_live_field_asks_the_document_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 edits of a field neither side's document hears one by one, and both have them all when it is asked."""
    a, b = pair()
    a.put(BORN)
    meet(a, b)
    asked = []
    monkeypatch.setattr(automerge, "applied", lambda document, changes, real=automerge.applied: (
        asked.append(len(changes)), real(document, changes))[1])
    for number in range(200):
        a.edit(lambda draft, number=number: draft.update(a=number))()
        a.give(b)
    assert len(asked) < 20 and b.stored() == BORN | {"a": 199}
    b.edit(lambda draft: draft.update(b="mine"))()
    meet(a, b)
    assert a.stored() == BORN | {"a": 199, "b": "mine"}


def _followed() -> tuple[Device, Device, Any]:
    """Two devices, and the trail of the first one at the second."""
    a, b = pair()
    a.put(BORN)
    meet(a, b)
    for number in range(4):
        a.edit(lambda draft, number=number: draft.update(a=number))()
        a.give(b)
    trail = b.store.rows.trail(1)
    assert trail is not None and trail.actor == NAMES[0]
    return a, b, trail


_forged = st.tuples(st.sampled_from((0, 0, 0, -1, 1)), st.sampled_from((0, 0, 0, -2, 1)),
                    st.sampled_from((False, False, True)), st.sampled_from(("a", "a", "b", "_x", "n")),
                    st.sampled_from((0, 0, 0, 1, 2, 5, 9)), _scalars)


@given(st.lists(_forged, min_size=1, max_size=3))
@settings(deadline=None, max_examples=tries(40))
def test_what_an_author_makes_up_is_refused_as_the_document_has_it(forged: list[Any]) -> None:
    """Wrong numbers, other histories, places that it did not write to: decided as without trails, all the same."""
    outcomes: list[Any] = []
    for without in (True, False):
        _, b, trail = _followed()
        found: list[Any] = []
        last = trail
        with no_trails(without):
            for off, start, elsewhere, field, replaced, value in forged:
                change = encode_again(NAMES[0], last.sequence + 1 + off, last.last + 1 + start,
                                      bytes(32) if elsewhere else last.hash, {field: value},
                                      [replaced or last.stands.get(field, 1)])
                refused = b.store.merge(b.db, 1, [Incoming("notes", "r", change, 1, None, 0)])
                found.append(([one.reason for one in refused] if isinstance(refused, list) else refused,
                              b.db.execute("SELECT hash, state FROM change ORDER BY n").fetchall(),
                              b.db.execute("SELECT json, deleted FROM record").fetchall()))
                if (change.hash, 0) in found[-1][1]:
                    last = last.after(change, {field: value})
        outcomes.append(found)
        b.stored()
    assert outcomes[0] == outcomes[1]


def test_what_an_author_makes_up_of_counters_shows_as_its_document_has_it() -> None:
    """A number that is put where parts of a counter are, which only who writes by hand can do, counts them at once."""
    _, b = pair()
    parts = {part_key(NAMES[0], name): 3 for name in "nx"}
    last = encode_fields(NAMES[0], 1, 1, (), {"n": 5, "x": "tea", **parts})
    stands = {"n": 1, "x": 2}
    b.store.merge(b.db, 1, [Incoming("notes", "r", last, 1, None, 0)])
    for field, value in (("x", "hot"), ("n", 7), ("n", 8), ("x", 9), ("n", "none"), ("n", 1), ("x", 2)):
        change = encode_again(NAMES[0], last.sequence + 1, last.last + 1, last.hash, {field: value}, [stands[field]])
        assert b.store.merge(b.db, 1, [Incoming("notes", "r", change, 1, None, 0)]) == []
        last, stands[field] = change, change.last
        b.stored()


def test_a_repeat_of_what_was_followed_changes_nothing() -> None:
    """The same change in another entry is known, though the document has not taken it in."""
    a, b, _ = _followed()
    a.edit(lambda draft: draft.update(a=77))()
    a.give(b)
    (data,) = b.db.execute("SELECT bytes FROM change ORDER BY n DESC LIMIT 1").fetchone()
    before = b.db.execute("SELECT count(*) FROM change").fetchone()
    assert not b.store.merge(b.db, 1, [Incoming("notes", "r", automerge.read_change(data), 2)])
    assert b.db.execute("SELECT count(*) FROM change").fetchone() == before
    assert b.stored() == BORN | {"a": 77}


def test_a_document_that_does_not_take_what_was_told_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing raises where the changes that wait for it are many: the log has them."""
    a, b, _ = _followed()

    def refuses(*_: object) -> None:
        raise automerge.BadChange("no")

    for number in range(100):
        a.edit(lambda draft, number=number: draft.update(a=number))()
        with monkeypatch.context() as patch:
            patch.setattr(automerge, "applied", refuses)
            a.give(b)
        if not b.store.rows.is_warm(1):
            break
    assert not b.store.rows.is_warm(1) and b.stored() == BORN | {"a": number}
    a.edit(lambda draft: draft.update(a=-1))()
    a.give(b)
    assert b.stored() == BORN | {"a": -1}

"""Typing sessions over two devices, drafts and merges, against a plain model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from automerge import core
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import InvalidValue, NotFound
from chez.records import automerge
from chez.records.sheet import BATCH, LARGEST, PAUSE, UNDOABLE, Sheet
from chez.records.store import Incoming
from chez.records.text import Text
from tests.records.pair import NAMES, Device, meet, pair
from tests.tries import tries


@dataclass
class Session:
    """A sheet on a device; what it shows is held to a plain str."""

    device: Device
    now: int = 0
    shown: str = ""
    sheet: Sheet = field(init=False)

    def __post_init__(self) -> None:
        known = self.device.store.begin_typing(self.device.db, 1, "notes", "r", ("body",))
        self.sheet = Sheet(known, lambda: self.now)
        self.shown = known.content

    def type(self, at: int, delete: int, insert: str) -> None:
        """Splice."""
        self.sheet.splice(at, delete, insert)
        self.shown = self.shown[:at] + insert + self.shown[at + delete :]
        assert str(self.sheet) == self.shown

    def follow(self, steps: "tuple[object, ...]") -> None:
        """Do what an app does with what it is told: it must show what the sheet shows."""
        for one in steps:
            self.shown = self.shown[: one.at] + one.insert + self.shown[one.at + one.delete :]  # type: ignore[attr-defined]
        assert str(self.sheet) == self.shown

    def visit(self) -> bool:
        """Write what was typed."""
        known, strokes = self.sheet.batch()
        return self.sheet.written(self.device.store.take_down(self.device.db, 1, "notes", "r", ("body",), known,
                                                              strokes))

    def settle(self) -> None:
        """Write and show everything."""
        self.visit()
        self.follow(self.sheet.take())
        assert self.sheet.pending == 0
        assert self.shown == str(self.device.stored()["body"])


def _start(text: str = "") -> tuple[Device, Device]:
    a, b = pair()
    a.put({"body": Text(text), "n": 0})
    meet(a, b)
    return a, b


class _Play:
    """Two devices, on each a session and now and then a draft, that type characters of which there is one each."""

    def __init__(self) -> None:
        self.devices = _start()
        self.sessions = [Session(device) for device in self.devices]
        self.drafts: list[Callable[[], None] | None] = [None, None]
        self.next = 0x4E00
        self.there: set[str] = set()
        self.orders: set[tuple[str, str]] = set()

    def letters(self, count: int) -> str:
        made = "".join(chr(self.next + n) for n in range(count))
        self.next += count
        self.there.update(made)
        return made

    def saw(self, text: str) -> None:
        """An order that somebody saw is the order for ever."""
        self.orders.update(pairwise(text))

    def act(self, who: int, kind: str, share: float, delete: int, count: int) -> None:
        session, draft = self.sessions[who], self.drafts[who]
        if kind == "type":
            at = int(share * len(session.shown))
            gone = session.shown[at : at + delete]
            self.there -= set(gone)
            session.type(at, len(gone), self.letters(count))
            self.saw(session.shown)
        elif kind == "visit":
            session.visit()
        elif kind == "fail":
            session.sheet.batch()
            session.sheet.failed()
        elif kind == "take":
            session.follow(session.sheet.take())
            self.saw(session.shown)
        elif kind == "draft" and draft is None:
            self.drafts[who] = self.devices[who].edit(lambda value: self._draft(value["body"], share, delete, count))
        elif kind == "end" and draft is not None:
            draft()
            self.drafts[who] = None
        elif kind == "put":
            self.devices[who].put(self.devices[who].stored() | {"n": self.next})
        elif kind == "meet":
            self.devices[who].give(self.devices[1 - who])

    def _draft(self, text: Text, share: float, delete: int, count: int) -> None:
        at = int(share * len(text))
        gone = text[at : at + delete]
        self.there -= set(gone)
        text.splice(at, len(gone), self.letters(count))
        self.saw(str(text))


_acts = st.lists(st.tuples(
    st.integers(0, 1),
    st.sampled_from(("type", "type", "type", "visit", "fail", "take", "draft", "end", "put", "meet", "meet")),
    st.floats(0, 1), st.integers(0, 3), st.integers(0, 3)), max_size=30)


@settings(max_examples=tries(60), deadline=None)
@given(_acts)
def test_sessions_drafts_and_merges_end_in_one_text_of_all_that_was_typed(acts: list[tuple[int, str, float, int, int]]
                                                                          ) -> None:
    """Every character typed and not deleted is there once, in every order that anybody saw, on both devices."""
    play = _Play()
    for who, kind, share, delete, count in acts:
        play.act(who, kind, share, delete, count)
    for who in (0, 1):
        play.act(who, "end", 0, 0, 0)
        play.sessions[who].visit()
    meet(*play.devices)
    for session in play.sessions:
        session.settle()
    text = play.sessions[0].shown
    assert text == play.sessions[1].shown
    assert sorted(text) == sorted(play.there)
    places = {letter: at for at, letter in enumerate(text)}
    assert all(places[a] < places[b] for a, b in play.orders if a in places and b in places)


@settings(max_examples=tries(30), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(("type", "undo", "redo", "other")), st.floats(0, 1), st.integers(0, 2),
                          st.sampled_from(("", "x", "yz"))), max_size=25))
def test_undo_takes_back_what_was_typed_here_and_nothing_else(acts: list[tuple[str, float, int, str]]) -> None:
    """With all undone, what is left is the text as it began and what the other device typed."""
    a, b = _start("begin")
    session, other = Session(a), Session(b)
    for kind, share, delete, insert in acts:
        session.now += PAUSE // 3
        if kind == "type":
            at = int(share * len(session.shown))
            session.type(at, len(session.shown[at : at + delete]), insert)
        elif kind == "other":
            other.type(int(share * len(other.shown)), 0, "1")
            other.visit()
            b.give(a)
            session.visit()
            session.follow(session.sheet.take())
        else:
            session.follow(session.sheet.undo() if kind == "undo" else session.sheet.redo())
    while steps := session.sheet.undo():
        session.follow(steps)
    session.visit()
    meet(a, b)
    other.settle()
    session.settle()
    assert session.shown.replace("1", "") == "begin"
    assert session.shown.count("1") == sum(kind == "other" for kind, *_ in acts)


def test_what_is_typed_on_without_a_pause_is_one_undo() -> None:
    """Letters in a row are undone together, backspaces among them; a pause, or another place, begins anew."""
    a, _ = _start()
    session = Session(a)
    for at, letter in enumerate("helo"):
        session.type(at, 0, letter)
    session.type(3, 1, "")
    session.type(3, 0, "lo")
    session.now += PAUSE + 1
    session.type(5, 0, "!")
    session.type(0, 0, ">")
    seen = []
    while steps := session.sheet.undo():
        session.follow(steps)
        seen.append(session.shown)
    assert seen == ["hello!", "hello", ""]
    while steps := session.sheet.redo():
        session.follow(steps)
    assert session.shown == ">hello!"
    session.follow(session.sheet.undo())
    session.type(0, 0, "-")
    assert session.sheet.redo() == ()


def test_undo_has_an_end() -> None:
    """Steps beyond the bound are forgotten, the oldest first."""
    a, _ = _start()
    session = Session(a)
    for _ in range(UNDOABLE + 5):
        session.now += PAUSE + 1
        session.type(0, 0, "x")
    while steps := session.sheet.undo():
        session.follow(steps)
    assert session.shown == "xxxxx"


def test_a_very_long_stroke_is_several_changes() -> None:
    """What no change may hold is cut; it is all there, and gone again."""
    a, _ = _start()
    session = Session(a)
    session.type(0, 0, "é" * (2 * LARGEST + 1))
    assert session.sheet.pending == 3
    session.settle()
    session.type(0, LARGEST + 1, "z")
    assert session.sheet.pending == 3
    session.settle()


def test_each_stroke_is_a_change_with_its_time_and_on_the_one_before() -> None:
    """A change for each call, by this device, of the time it was typed, depending on the one before; few or many."""
    for count in (3, 200):
        a, _ = _start()
        session = Session(a, now=1_000)
        for n in range(count):
            session.now += 7
            session.type(n, 0, "x")
        session.settle()
        past = a.db.execute(
            "SELECT time, sequence, last FROM change WHERE time > 0 ORDER BY n").fetchall()
        assert [time for time, _, _ in past] == [1_000 + 7 * n for n in range(1, count + 1)]
        assert [sequence for _, sequence, _ in past] == list(range(2, count + 2))


def test_bad_input_changes_nothing() -> None:
    """A place outside the text, a number or a text that is none: `InvalidValue`, and the sheet as before."""
    a, _ = _start("abc")
    session = Session(a)
    for at, delete, insert in ((4, 0, "x"), (-1, 0, "x"), (0, 4, ""), (2, -1, ""), (True, 0, "x"), (0.0, 0, "x"),
                               (0, 0, b"x"), (0, 0, "\ud83d"), (0, 0, None)):
        with pytest.raises(InvalidValue):
            session.sheet.splice(at, delete, insert)  # type: ignore[arg-type]
    session.sheet.splice(1, 0, "")
    assert (str(session.sheet), session.sheet.pending, session.sheet.undo()) == ("abc", 0, ())


def test_a_text_that_was_removed_takes_in_nothing_and_loses_nothing() -> None:
    """While its record is deleted, or once the text is another, a visit raises `NotFound`; what was typed stays."""
    a, _ = _start("abc")
    session = Session(a)
    session.type(3, 0, "d")
    a.store.delete(a.db, 1, "notes", "r")
    with pytest.raises(NotFound):
        session.visit()
    session.sheet.failed()
    a.store.restore(a.db, 1, "notes", "r")
    session.settle()
    assert session.shown == "abcd"
    session.type(4, 0, "e")
    a.put({"n": 1})
    a.put({"n": 1, "body": Text("new")})
    with pytest.raises(NotFound, match="removed"):
        session.visit()
    session.sheet.failed()
    assert (str(session.sheet), session.sheet.pending) == ("abcde", 1)


def test_others_equal_letters_do_not_draw_a_stroke_to_the_wrong_place() -> None:
    """What was typed in a paragraph stays in it when another device puts the same paragraph before it."""
    a, b = _start("same\n")
    session, other = Session(a), Session(b)
    session.type(4, 0, "!")
    other.type(0, 0, "same\n")
    other.visit()
    b.give(a)
    session.settle()
    assert session.shown == "same\nsame!\n"


def test_marks_go_with_the_text_that_is_typed_in() -> None:
    """Typing in a text with marks keeps them, in place, also by many strokes at once."""
    for count in (1, 200):
        a, b = _start("plain bold plain")
        a.edit(lambda draft: draft["body"].mark(6, 10, "bold"))()
        session = Session(a)
        for _ in range(count):
            session.type(8, 0, "x")
        session.settle()
        meet(a, b)
        (mark,) = b.stored()["body"].marks
        assert (mark.start, mark.end, mark.name) == (6, 10 + count, "bold")


def test_a_visit_takes_a_bounded_number_of_strokes_along() -> None:
    """What is typed faster than it is written goes in batches, in order."""
    a, _ = _start()
    session = Session(a)
    for n in range(BATCH + 10):
        session.type(n, 0, "x" if n < BATCH else "y")
    session.visit()
    assert session.sheet.pending == 10
    assert str(a.stored()["body"]) == "x" * BATCH
    session.settle()


def _crafted(a: Device, b: Device, act: Callable[[Any, bytes], None]) -> None:
    """A change of the second device in the text's document, as no edit of Chez makes it; both have it."""
    (n,) = b.db.execute("SELECT n FROM record").fetchone()
    document = automerge.load(b.store._rows.base(b.db, n), b.actor)
    text = automerge.text_at(document, ("body",))
    assert text is not None
    with automerge.transaction(document) as tx:
        act(tx, text)
    change = automerge.read_change(automerge.last_change(document))
    for device in (a, b):
        assert device.store.merge(device.db, 1, [Incoming("notes", "r", change, 1 + NAMES.index(b.actor))]) == []


@pytest.mark.parametrize("first", (0, 200))
@pytest.mark.parametrize("act", (
    lambda tx, text: tx.put(text, 2, core.ScalarType.Str, "Z"),
    lambda tx, text: tx.insert(text, 2, core.ScalarType.Str, "wide"),
    lambda tx, text: tx.insert(text, 2, core.ScalarType.Int, 7),
    lambda tx, text: tx.insert_object(text, 2, core.ObjType.Map),
    lambda tx, text: tx.mark(text, 1, 4, "bold", core.ScalarType.Boolean, True, core.ExpandMark.Both),
), ids=("a value over a character", "a wide character", "a number", "a map", "a mark"))
def test_what_others_craft_into_a_text_spoils_no_stroke(act: Callable[[Any, bytes], None], first: int) -> None:
    """However many are typed beside it at once, the other devices take them in."""
    a, b = _start("abcdef")
    session = Session(a)
    for n in range(first):  # by now it is known that the text is plain
        session.type(n, 0, "-")
    session.settle()
    meet(a, b)
    _crafted(a, b, act)
    session.visit()
    session.follow(session.sheet.take())
    for at in range(len(session.shown), -1, -1):
        session.type(at, 0, "x")
    for n in range(200):
        session.type(n, 0, "y")
    for _ in range(8):
        session.type(len(session.shown) - 2, 1, "")
    session.settle()
    meet(a, b)  # nothing is refused


@pytest.mark.slow
def test_a_large_paste_is_undone_in_changes_that_others_take_in() -> None:
    """What was put in by several changes is taken back by several, each of a bounded size."""
    a, b = _start("abc")
    session = Session(a)
    session.type(1, 0, "x" * (5 * LARGEST))
    session.settle()
    while steps := session.sheet.undo():
        assert sum(one.delete for one in steps) <= LARGEST
        session.follow(steps)
    assert session.shown == "abc"
    session.settle()
    meet(a, b)

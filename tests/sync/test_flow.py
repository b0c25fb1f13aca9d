"""What is under way between a device and a relay: every entry once and in order, and never much more than may be."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.sync.flow import LEAST_WINDOW, WINDOW, Credit, Window
from chez.sync.sealed import Sealed
from chez_wire.envelope import Header
from chez_wire.limits import DEFAULT_CREDIT
from tests.tries import tries

ROOMY = 11
"""Entries from this number on may give room."""

SAID = (5, 6)
"""These have what is said of the space."""


def sealed(number: int, size: int = 1000) -> Sealed:
    """An entry with an envelope of so many bytes."""
    return Sealed(number, number, number.to_bytes(32, "big"), bytes(size), number in SAID, number >= ROOMY)


class Model:
    """What a window is, said plainly: the numbers of entries, in lists."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes, self.window, self.ref = sizes, Window(), 0
        self.waiting: list[int] = []
        self.held: list[int] = []
        self.unsaid: list[int] = []
        self.said_last = False
        self.under_way: dict[int, int] = {}

    @property
    def bytes(self) -> int:
        """Of what is under way."""
        return sum(self.sizes[one] for one in self.under_way.values())

    def add(self, numbers: list[int]) -> None:
        """Given to both; what is held back is not given again before it is forgotten."""
        numbers = [one for one in numbers if one not in self.held + self.unsaid]
        self.window.add([sealed(one, self.sizes[one]) for one in numbers])
        self.waiting += [one for one in dict.fromkeys(numbers)
                         if one not in self.waiting and one not in self.under_way.values()]

    def send(self, share: int) -> None:
        """All that may be."""
        bound = max(LEAST_WINDOW, WINDOW // share)
        while self.waiting and self.bytes < bound:
            one = self.waiting.pop(0)
            if self.held and one < ROOMY and one not in SAID:
                self.held.append(one)
                continue
            self._sends(one, self.window.next(share))
        assert self.window.next(share) is None

    def answer(self, ref: int, *, full: bool) -> None:
        """One of those under way is taken, or there is no room for it; or nothing was sent with that."""
        if self.under_way and ref < 15:
            ref = sorted(self.under_way)[ref % len(self.under_way)]
        entry, one = self.window.answered(ref), self.under_way.pop(ref, None)
        assert (None if entry is None else entry.entry) == one
        self.held = [held for held in self.held if held != one]
        self.unsaid = [held for held in self.unsaid if held != one]
        if entry is not None and one is not None and full:
            self.window.hold(entry)
            (self.unsaid if one in SAID else self.held).append(one)

    def retry(self) -> None:
        """The first of the chain that is held back, if nothing is under way; it is held back until it is answered."""
        if (self.held or self.unsaid) and not self.under_way:
            self.said_last = not self.held or (bool(self.unsaid) and not self.said_last)
            self._sends(min(self.unsaid if self.said_last else self.held), self.window.retry())
        else:
            assert self.window.retry() is None

    def release(self) -> None:
        """There is room; without anything held back the order stays as it is."""
        if self.held:
            free = [one for one in self.held if one not in self.under_way.values()]
            self.waiting, self.held = sorted(self.waiting + free), []
        self.window.release()

    def release_said(self) -> None:
        """There is room for what is said."""
        if self.unsaid:
            free = [one for one in self.unsaid if one not in self.under_way.values()]
            self.waiting, self.unsaid = sorted(self.waiting + free), []
        self.window.release(said=True)

    def forget(self) -> None:
        """It is begun anew."""
        self.window.forget()
        self.waiting, self.held, self.unsaid = [], [], []

    def _sends(self, one: int, entry: Sealed | None) -> None:
        assert entry is not None and entry.entry == one
        self.window.sent(self.ref, entry)
        self.under_way[self.ref] = one
        self.ref += 1


STEPS = st.lists(st.one_of(
    st.tuples(st.just("add"), st.lists(st.integers(0, 14), min_size=1, max_size=6)),
    st.tuples(st.just("send"), st.sampled_from([1, 8, 99])), st.tuples(st.just("answer"), st.integers(0, 15)),
    st.tuples(st.just("refuse"), st.integers(0, 15)), st.tuples(
        st.sampled_from(["retry", "release", "release_said", "forget"]), st.none())), max_size=40)
SIZES = st.sampled_from([0, 1, 1000, LEAST_WINDOW // 2, LEAST_WINDOW, 2 * LEAST_WINDOW])


@settings(max_examples=tries(300))
@given(STEPS, st.lists(SIZES, min_size=15, max_size=15))
def test_each_entry_is_under_way_once_and_in_order(steps: list[tuple[str, Any]], sizes: list[int]) -> None:
    """Whatever is given twice, refused and sent again: the window is kept to, but for one entry; what is held back lets
    pass what may give room, or is said of the space, and nothing else; that keeps nothing back."""
    model = Model(sizes)
    model.add([4, 2, 13, 7])
    model.send(1)
    for step, what in steps:
        if step in ("answer", "refuse"):
            model.answer(what, full=step == "refuse")
        elif what is None:
            getattr(model, step)()
        else:
            getattr(model, step)(what)
        window = model.window
        assert len(window) == len(model.waiting) + len({*model.under_way.values(), *model.held, *model.unsaid})
        assert window.mute == bool(model.unsaid) and window.full == bool(model.held or model.unsaid)
        assert window.moves == bool(model.waiting or model.under_way)


def test_what_is_sealed_under_an_epoch_is_seen_wherever_it_is() -> None:
    """While it waits and while it is under way, and no longer."""
    epoch, other = b"e" * 32, b"o" * 32
    entry = Sealed(1, 1, b"id", Header(b"h" * 32, epoch, bytes(32), bytes(24)).encode() + bytes(16), control=False)
    window = Window()
    window.add([entry])
    for answered in (False, True):
        assert window.sealed_under(epoch) and not window.sealed_under(other)
        if not answered:
            window.sent(7, window.next(1) or entry)
    window.answered(7)
    assert not window.sealed_under(epoch) and len(window) == 0


@given(st.integers(1, 5000), st.lists(st.integers(0, DEFAULT_CREDIT), max_size=30))
def test_credit_comes_back_whole_and_in_large_pieces(share: int, sizes: list[int]) -> None:
    """What is not given back is less than half of it, so the relay never stops for that."""
    credit, back = Credit.shared(share), 0
    assert LEAST_WINDOW <= credit.size <= max(LEAST_WINDOW, DEFAULT_CREDIT // share)
    for count in range(len(sizes)):
        piece = credit.taken(sizes[count])
        assert piece == 0 or piece >= credit.size // 2
        back += piece
        assert 0 <= sum(sizes[:count + 1]) - back < credit.size // 2


@pytest.mark.parametrize(("share", "bound"), [(1, WINDOW), (8, WINDOW // 8), (1000, LEAST_WINDOW)])
def test_spaces_share_the_window(share: int, bound: int) -> None:
    """So many entries of a kilobyte are under way at once, as far as the bound goes; for each that is answered, one."""
    window = Window()
    window.add([sealed(number, 1024) for number in range(WINDOW // 1024 + 1)])
    count = 0
    while (entry := window.next(share)) is not None:
        window.sent(count, entry)
        count += 1
    assert count == bound // 1024
    assert window.answered(0) is not None
    window.sent(count, window.next(share) or pytest.fail("there is room for one"))
    assert window.next(share) is None

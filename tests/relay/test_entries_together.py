"""Entries that come together are stored as if they had come one by one, whatever is among them."""

import gc
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez_relay import storage as s
from chez_relay.storage import space_rows
from chez_relay.storage.batches import TOGETHER, together
from chez_relay.storage.entry_hashes import WAITING
from chez_relay.storage.migrations import steps
from chez_relay.storage.tables import Tables
from chez_wire.envelope import GENESIS_HEAD, entry_id
from tests.relay.storing import Clock
from tests.relay.support import Space

SPACES = tuple(Space(f"space {number}") for number in range(3))
NOWHERE = Space("nowhere")
QUOTAS = s.Quotas(space_bytes=9000, control_bytes=2500)


def append(space: Space, number: int, size: int, control: bool, other: bool) -> s.AddEntry:
    """An entry for a space; `other`: under a credential that is not the space's."""
    envelope = space.envelope(number, size)
    keys = NOWHERE.keys if other else space.keys
    return s.AddEntry(space.handle, entry_id(envelope), envelope, control, keys.control if control else keys.append)


def appends() -> st.SearchStrategy[list[s.AddEntry]]:
    """Groups in which some entries repeat, exceed a quota, or are for no space or under no credential of it."""
    def plain(numbers: int) -> st.SearchStrategy[s.AddEntry]:
        return st.builds(append, st.sampled_from(SPACES), st.integers(0, numbers), st.just(170), st.just(False),
                         st.just(False))

    odd = st.builds(append, st.sampled_from((*SPACES, NOWHERE)), st.integers(0, 20), st.sampled_from((170, 3000)),
                    st.booleans(), st.booleans())
    return st.one_of(st.lists(plain(2**40), min_size=8, max_size=90), st.lists(plain(50), min_size=8, max_size=40),
                     st.lists(plain(50) | odd, max_size=40))


def everything(tables: Tables) -> list[s.Result]:
    """All that a store would hand out."""
    return tables.perform([s.Lookup(tuple(space.handle for space in SPACES)),
                           *(s.ReadPage(space.handle, 0, 1_000_000, space.keys.read) for space in SPACES)])


def opened(db: sqlite3.Connection, waiting: int = WAITING) -> Tables:
    """A store with the three spaces, which remembers none of them yet."""
    for step in steps():
        db.executescript(step)
    Tables(db, QUOTAS, Clock()).perform([s.AddSpace(space.handle, space.keys) for space in SPACES])
    return Tables(db, QUOTAS, Clock(), waiting=waiting)


@given(st.lists(appends(), min_size=1, max_size=3), st.sampled_from((1, 2, 1000)), st.sampled_from((0, 5, WAITING)))
def test_a_group_is_as_its_entries_one_by_one(groups: list[list[s.AddEntry]], remembered: int, waiting: int) -> None:
    """Answers, offsets, heads, quotas and what is read are the same, however few spaces and hashes are remembered."""
    with (
        pytest.MonkeyPatch.context() as patch,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as here,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as there,
    ):
        patch.setattr(space_rows, "MAX_CACHED_SPACES", remembered)
        grouped, alone = opened(here, waiting), opened(there)
        for group in groups:
            assert grouped.perform(group) == [result for one in group for result in alone.perform([one])]
        assert everything(grouped) == everything(alone)


def remembered() -> int:
    """How many spaces all stores of this process remember."""
    return sum(type(one) is space_rows.SpaceRow for one in gc.get_objects())  # a proxy may be of what is gone


def test_spaces_that_are_made_without_end_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are those that are looked for; whoever makes them costs the relay its disk, and no memory."""
    monkeypatch.setattr(space_rows, "MAX_CACHED_SPACES", 4)
    spaces = [Space(f"{number}") for number in range(20)]
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        tables, before, most = opened(db), remembered(), 0
        for space in spaces:
            assert tables.perform([s.AddSpace(space.handle, space.keys)]) == [s.Done()]
            most = max(most, remembered() - before)
        (found,) = Tables(db, QUOTAS, Clock()).perform([s.Lookup(tuple(space.handle for space in spaces))])
    assert isinstance(found, s.Found) and most <= 4
    assert found.known == tuple(s.SpaceInfo(space.keys, 0, GENESIS_HEAD) for space in spaces)


@given(st.integers(0, 300))
def test_a_run_is_cut_into_parts_that_one_statement_writes(count: int) -> None:
    """All are there, in order, in parts of known sizes, the largest first and at most one alone."""
    run = [s.AddEntry(b"handle", number.to_bytes(32, "big"), b"", False, b"key") for number in range(count)]
    parts = list(together(run))
    assert [one for part in parts for one in part] == run
    sizes = [len(part) for part in parts]
    assert {*sizes} <= {*TOGETHER} and sizes == sorted(sizes, reverse=True) and sizes.count(1) < TOGETHER[-2]

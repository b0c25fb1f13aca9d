"""Epochs that are started at the same time as others, or as a removal: which stand, and when another is owed."""

from collections.abc import Sequence

import pytest

from chez.spaces.statements import MAX_PREVIOUS
from tests.spaces.table import Table


def test_two_epochs_at_once() -> None:
    """Both stand, and a merge is owed until somebody makes one that follows both."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    one = table.by(table.bob).epoch([first.hash], 2, [first.hash])
    two = table.by(table.carol).epoch([first.hash], 2, [first.hash])
    state = table.members([first, one, two]).state
    assert state.epoch_heads == {one.hash, two.hash} and state.rotation_owed
    merge = table.by(table.alice).epoch(sorted([one.hash, two.hash]), 3, sorted([one.hash, two.hash]))
    state = table.members([first, one, two, merge]).state
    assert state.epoch_heads == {merge.hash} and not state.rotation_owed


def test_a_removal_that_the_epoch_did_not_know_leaves_a_rotation_owed() -> None:
    """A removal and an epoch at the same time: the epoch's keys went to whom was removed, so another is owed."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    rotated = table.by(table.bob).epoch([first.hash], 2, [first.hash])
    removed = table.by(table.carol).remove([first.hash], table.dora.id)
    assert table.members([first, rotated, removed]).state.rotation_owed
    after = table.by(table.bob).epoch([removed.hash, rotated.hash], 3, [rotated.hash])
    assert not table.members([first, rotated, removed, after]).state.rotation_owed


@pytest.mark.parametrize(("number", "follows"), [(1, []), (3, ["first"]), (2, []), (2, ["first", "first"])])
def test_an_epoch_that_does_not_follow_is_void(number: int, follows: Sequence[str]) -> None:
    """A wrong number, no predecessor or one named twice: such an epoch does not count."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    wrong = table.by(table.alice).epoch([first.hash], number, [first.hash for _ in follows])
    assert set(table.members([first, wrong]).state.epochs) == {first.hash}


def test_an_epoch_links_to_older_ones_beside_those_it_follows() -> None:
    """What nothing else leads to may be linked to by any later epoch, under its true number."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    second = table.by(table.alice).epoch([first.hash], 2, [first.hash])
    for number, stands in ((1, True), (2, False)):
        third = table.by(table.alice).epoch([second.hash], 3, [second.hash, first.hash], {first.hash: number})
        assert (third.hash in table.members([first, second, third]).state.epochs) == stands


def test_more_epochs_at_once_than_one_may_link_to_are_followed() -> None:
    """Somebody started more than fit: an epoch with as many links as it may have follows them all, with less none."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    renamed = [table.by(table.bob).rename([first.hash], f"name {n}") for n in range(MAX_PREVIOUS + 1)]
    apart = [table.by(table.bob).epoch([one.hash], 2, [first.hash]) for one in renamed]
    heads = sorted(one.hash for one in apart)
    for links, stands in ((MAX_PREVIOUS, True), (MAX_PREVIOUS - 1, False)):
        after = table.by(table.alice).epoch(heads, 3, heads[:links])
        state = table.members([first, *renamed, *apart, after]).state
        assert (state.epoch_heads == {after.hash} and not state.rotation_owed) == stands

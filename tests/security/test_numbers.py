"""Numbers that members say: one that no store keeps is refused by itself, and ends nobody's sync."""

import msgspec
import pytest

from chez.errors import BadEntry
from chez.records import automerge
from chez.records.automerge import BadChange
from chez.records.encode import encode_fields
from chez.sync.checkpoints.format import Run, frames_of
from chez.sync.entry import CHANGE, CHANGES, Inner, Item, RelayHead, SignedEntry, sign_entry
from tests.security.chains import NOTES, Node, World
from tests.simulation.household import NOW

BEYOND = (2**63 - 1, 2**63, 2**64 - 1)


def _signed(world: World, node: Node, item: Item, seen: RelayHead | None) -> SignedEntry:
    return sign_entry(Inner(1, world.house.space, node.author.keys.id, 1, node.hash, NOW, CHANGES, [item],
                            sorted(world.heads), seen), node.author.keys.signing)


@pytest.mark.parametrize("number", BEYOND)
def test_a_change_whose_operations_are_beyond_all_numbers_is_refused(number: int) -> None:
    """It costs its author's chain; what others wrote in the same page is there."""
    world = World()
    bad, friend, reader = Node(world.bad), Node(world.friend), world.reads()
    change = encode_fields(world.bad.keys.id, 1, number, (), {"n": 1})
    with pytest.raises(BadChange):
        automerge.read_change(change.bytes)
    entry = _signed(world, bad, Item(CHANGE, NOTES, "a", change.bytes), None)
    reader.receive(entry, world.put(friend, "b", {"n": 1}))
    assert reader.shown() == {"b": {"n": 1}} and reader.count("quarantine") == 1


@pytest.mark.parametrize("number", BEYOND)
def test_a_relays_head_beyond_all_numbers_is_refused(number: int) -> None:
    """So is one that an entry says to have seen at an offset that no log has."""
    world = World()
    bad, friend, reader = Node(world.bad), Node(world.friend), world.reads()
    change = encode_fields(world.bad.keys.id, 1, 1, (), {"n": 1})
    entry = _signed(world, bad, Item(CHANGE, NOTES, "a", change.bytes), RelayHead(bytes(32), number, bytes(32)))
    reader.receive(entry, world.put(friend, "b", {"n": 1}))
    assert reader.shown() == {"b": {"n": 1}} and reader.count("quarantine") == 1


@pytest.mark.parametrize(("times", "ages"), [([2**62] * 4, []), ([2**62, 1], []), ([5], [2**62, 2**62, 2**62]),
                                             ([5], [2**62, 1, 0])])
def test_times_of_a_checkpoint_beyond_all_numbers_are_refused(times: list[int], ages: list[int]) -> None:
    """Each step of a run is bounded, and so is what steps add up to."""
    run = Run(bytes(32), 1, times, [len(ages)] * len(times), ages, [], [], [], [])
    with pytest.raises(BadEntry):
        for frame in frames_of(run):
            msgspec.msgpack.encode(frame)

"""A removed device goes on writing, with a relay that helps it: what it dates back does not count, anywhere."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from chez.home.examine import first_bad_entry
from chez.home.replay import replay
from chez.records.purging import purge_change
from chez.spaces.statements import Cut
from chez.sync.chains import relearn
from chez.sync.entry import Part, SignedEntry
from chez.sync.standing import reconsider, writers
from tests.security.chains import Node, Reader, World, expected
from tests.tries import tries


def test_what_a_removed_device_writes_later_does_not_count() -> None:
    """Entries that name the statements from before the removal, beyond its cut, change no record, and are kept."""
    world = World()
    bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
    first = world.put(bad, "a", {"n": 1})
    removal = world.remove(owner, Cut(world.bad.keys.id, 1, first.hash))
    late = [world.put(bad, "a", {"n": 2}), world.put(bad, "b", {"n": 3})]
    reader.receive(first, removal)
    reader.receive(*late)
    assert reader.shown() == {"a": {"n": 1}}
    assert reader.db.execute("SELECT sequence, standing FROM entry WHERE author = ? ORDER BY sequence",
                             (world.bad.keys.id,)).fetchall() == [(1, 0), (2, 1), (3, 1)]
    assert reader.receipts == [
        ("entries-beyond-removal", {"device": world.bad.keys.id.hex(), "name": world.bad.name, "from": 2})]


def test_what_had_come_before_the_removal_is_taken_back() -> None:
    """Entries beyond the cut that arrive before the removal show, and are gone when it comes; alike after a restart."""
    world = World()
    bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
    first = world.put(bad, "a", {"n": 1})
    removal = world.remove(owner, Cut(world.bad.keys.id, 1, first.hash))
    reader.receive(first, world.put(bad, "a", {"n": 2}), world.put(bad, "b", {"n": 3}))
    assert reader.shown() == {"a": {"n": 2}, "b": {"n": 3}}
    reader.restart()
    reader.receive(removal)
    assert reader.shown() == {"a": {"n": 1}}


def test_a_cut_that_names_another_chain_leaves_nothing() -> None:
    """A removal that names an entry which is not the device's accepts none of what did not know of it."""
    world = World()
    bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
    reader.receive(world.put(bad, "a", {"n": 1}), world.remove(owner, Cut(world.bad.keys.id, 1, b"x" * 32)))
    assert reader.shown() == {}


def test_what_a_member_builds_on_comes_back() -> None:
    """A late change counts once a member who stays builds on it, with what it builds on itself, and no other does."""
    world = World()
    bad, owner, friend, reader = Node(world.bad), Node(world.owner), Node(world.friend), world.reads()
    first = world.put(bad, "a", {"n": 1})
    removal = world.remove(owner, Cut(world.bad.keys.id, 1, first.hash))
    late = [world.put(bad, "a", {"n": 2}), world.put(bad, "b", {"n": 3})]
    friend.view.see("a", bad.view.records["a"])
    later = world.put(bad, "a", {"n": 4})
    reader.receive(first, removal, *late, later)
    assert reader.shown() == {"a": {"n": 1}}
    reader.receive(world.put(friend, "a", {"mine": True}))
    assert reader.shown() == {"a": {"mine": True, "n": 2}}
    friend.view.see("a", bad.view.records["a"])
    reader.receive(world.put(friend, "a", {"mine": False}))
    assert reader.shown() == {"a": {"mine": False, "n": 4}}


def test_a_purge_that_does_not_count_gives_back_what_it_erased() -> None:
    """A removed device's late purge, arrived before its removal, is undone when that comes."""
    world = World()
    bad, owner, friend, reader = Node(world.bad), Node(world.owner), Node(world.friend), world.reads()
    first = world.put(bad, "x", {"n": 1})
    removal = world.remove(owner, Cut(world.bad.keys.id, 1, first.hash))
    reader.receive(world.put(friend, "a", {"n": 7}), first,
                   world.entry(bad, [("a", purge_change(world.bad.keys.id))]))
    assert reader.shown() == {"x": {"n": 1}}
    reader.receive(removal)
    assert reader.shown() == {"a": {"n": 7}, "x": {"n": 1}}


def test_a_batch_that_a_cut_would_tear_does_not_count() -> None:
    """Of a batch that a removal accepted a part of, nothing shows: it is shown together or not at all."""
    world = World()
    bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
    first = world.put(bad, "a", {"n": 1})
    parts = [world.entry(bad, [(id, bad.view.write(world.bad.keys.id, id, {"n": 2}))], part=Part(number, number == 1))
             for number, id in enumerate(("b", "c"))]
    reader.receive(first, *parts)
    assert set(reader.shown()) == {"a", "b", "c"}
    reader.receive(world.remove(owner, Cut(world.bad.keys.id, 2, parts[0].hash)))
    assert set(reader.shown()) == {"a"}


@settings(max_examples=tries(40), deadline=None)
@given(st.randoms(use_true_random=True), st.integers(0, 2**32))
def test_any_order_and_any_pages_give_what_the_definition_says(random: Random, seed: int) -> None:
    """Devices that hold the same entries and statements show the same records: those of the plain definition."""
    world = World(seed)
    entries = _history(world, random)
    wanted = expected(world, entries)
    for _ in range(2):
        reader, left = world.reads(), list(entries)
        random.shuffle(left)
        while left:
            count = random.randrange(1, len(left) + 1)
            reader.receive(*left[:count])
            left = left[count:]
            if random.random() < 0.3:
                reader.restart()
        assert reader.shown() == wanted
        _sound(reader)
        assert reader.shown() == wanted


def _sound(reader: Reader) -> None:
    """A store that `chez doctor` has nothing to say of, and that it makes the same records of."""
    space = reader.replica.space
    assert all(first_bad_entry(reader.db, 1, author) is None for author in writers(reader.db, 1))
    relearn(reader.db, 1, 0)
    assert reconsider(reader.db, space, reader.member.keys.id, writers(reader.db, 1)) == []
    replay(reader.db, 1, reader.member.keys.id, None, lambda done, total: None)


def _history(world: World, random: Random) -> list[SignedEntry]:
    """What three devices wrote, one of which forks and leaves batches undone, and what the owner said of that one."""
    nodes = {"bad": [Node(world.bad)], "owner": [Node(world.owner)], "friend": [Node(world.friend)]}
    places = [(0, bytes(32))]
    entries = []
    for number in range(random.randrange(4, 14)):
        who = random.choice(("bad", "bad", "bad", "owner", "friend"))
        node = random.choice(nodes[who])
        if who == "bad" and random.random() < 0.3:
            nodes["bad"].append(world.fork(node))
        elif who != "bad" and random.random() < 0.6:
            seen = "bad" if random.random() < 0.7 else "owner" if who == "friend" else "friend"
            _look(node, random.choice(nodes[seen]))
        part = None
        if node.part is not None or (who == "bad" and random.random() < 0.2):
            part = Part(0 if node.part is None else node.part + 1, node.part is not None and random.random() < 0.7)
        entries.append(world.put(node, random.choice("ab"), {f"f{random.randrange(3)}": number}, part=part,
                                 shared=random.choice("xy") if random.random() < 0.15 else None))
        if who == "bad":
            places.append((node.sequence, node.hash))
    for _ in range(random.randrange(3)):
        sequence, hash = random.choice(places)
        cut = Cut(world.bad.keys.id, sequence, hash)
        if random.random() < 0.5 and sequence and sequence not in {one.cut.sequence for one in world.told if one.pick}:
            entries.append(world.pick(nodes["owner"][0], cut))
        elif all(one.pick for one in world.told):
            entries.append(world.remove(nodes["owner"][0], cut))
    return entries


def _look(node: Node, other: Node) -> None:
    """An author sees what another has, but for records of which it saw another branch of a fork."""
    for id, changes in other.view.records.items():
        seen = {(one.actor, one.sequence): one.hash for one in node.view.records.get(id, [])}
        if all(seen.get((one.actor, one.sequence), one.hash) == one.hash for one in changes):
            node.view.see(id, changes)

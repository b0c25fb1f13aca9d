"""Changes named after what they hold, made by members gone bad: taken in alike everywhere, or by nobody."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import BadEntry
from chez.records import automerge
from chez.records.derived import check_derived, derive, named
from chez.records.encode import encode_fields
from chez.sync.entry import CHANGE, Item, SignedEntry
from tests.security.test_poison import COLLECTION, RECORDS, Author, Reader, interleaved
from tests.simulation.household import household
from tests.tries import tries

UNNAMED = bytes(24)


def _hostile(author: Author, id: str, made: list[bytes], random: Random) -> bytes:
    """A change of a record: of the author's own, or named, upon anything, with any clock."""
    known = [automerge.read_change(data) for data in made]
    depends = random.sample(known, random.randrange(min(2, len(known)) + 1))
    hashes = [change.hash for change in depends]
    match random.randrange(5):
        case 0:
            return author.change(id, made)
        case 1:  # upon what never comes
            return named(encode_fields(UNNAMED, 1, 5, [random.randbytes(32)], {"f1": "orphan"}).bytes).bytes
        case 2:  # a clock of its own
            return named(encode_fields(UNNAMED, 1, random.randrange(1, 9), hashes, {"f2": 1}).bytes).bytes
        case 3 if made:  # damaged below its name
            return named(author._damaged(encode_fields(UNNAMED, 1, 1, [], {"f0": random.randrange(3)}).bytes)).bytes
        case _:
            start = max((change.last for change in depends), default=0) + 1
            fields = {f"f{random.randrange(3)}": random.randrange(3)}
            return named(encode_fields(UNNAMED, 1, start, hashes, fields).bytes).bytes


@settings(max_examples=tries(60), deadline=None)
@given(st.integers(0, 2**32))
def test_devices_agree_on_named_changes_in_any_order(seed: int) -> None:
    """Two authors' named changes, good, orphaned, damaged, the same twice: same records and documents everywhere."""
    random = Random(seed)
    house = household(random)
    members = house.members(random, 5)
    authors = [Author(house, member, random) for member in members[1:3]]
    made: dict[str, list[bytes]] = {id: [] for id in RECORDS}
    chains: list[list[SignedEntry]] = [[], []]
    for _ in range(20):
        at, id = random.randrange(2), random.choice(RECORDS)
        try:
            data = _hostile(authors[at], id, made[id], random)
            change = automerge.read_change(data)
            if len(change.actor) != 32:
                check_derived(change)
            elif change.actor != authors[at].keys.id:
                continue
        except (BadEntry, IndexError):  # damaged in its header: not even a change
            continue
        made[id].append(data)
        chains[at].append(authors[at].entry(Item(CHANGE, COLLECTION, id, data)))
    readers = [Reader(house, member, random) for member in members[3:]]
    for reader in readers:
        order = interleaved(chains, random)
        while order:
            size = random.randint(1, 6)
            page, order = order[:size], order[size:]
            reader.receive(page)
            if random.random() < 0.3:
                reader.records.forget()
    first, second = readers
    assert first.shown() == second.shown()
    assert first.applied() == second.applied()
    first.check()


@pytest.mark.parametrize("forged", [
    encode_fields(UNNAMED, 1, 1, [], {"a": 1}).bytes,
    encode_fields(named(encode_fields(UNNAMED, 1, 1, [], {"a": 1}).bytes).actor, 1, 1, [], {"a": 2}).bytes,
    named(encode_fields(UNNAMED, 2, 1, [], {"a": 1}).bytes).bytes,
    encode_fields(b"x" * 23, 1, 1, [], {"a": 1}).bytes,
    encode_fields(b"", 1, 1, [], {"a": 1}).bytes,
    encode_fields(b"y" * 32, 1, 1, [], {"a": 1}).bytes,
])
def test_a_name_that_is_not_the_contents_is_refused(forged: bytes) -> None:
    """Another's name, another content's, a second change of one name, no name: quarantined with the entry."""
    random = Random(5)
    house = household(random)
    members = house.members(random, 3)
    author, reader = Author(house, members[1], random), Reader(house, members[2], random)
    reader.receive([author.entry(Item(CHANGE, COLLECTION, "a", forged))])
    assert reader.shown() == [] and reader.applied() == []
    (reason,) = reader.db.execute("SELECT reason FROM quarantine").fetchone()
    assert "name" in reason


def test_a_change_that_two_send_is_one() -> None:
    """The same migration from two authors is in the document once, and needs neither to have come first."""
    random = Random(5)
    house = household(random)
    members = house.members(random, 4)
    authors = [Author(house, member, random) for member in members[1:3]]
    base = encode_fields(authors[0].keys.id, 1, 1, [], {"tags": "x,y"})
    document = automerge.load(base.bytes, members[3].keys.id)
    _, (change,) = derive(document, {"tags": "x,y"}, {"tags": ["x", "y"]})
    assert change.dependencies == (base.hash,)
    chains = [[authors[0].entry(Item(CHANGE, COLLECTION, "a", base.bytes)),
               authors[0].entry(Item(CHANGE, COLLECTION, "a", change.bytes))],
              [authors[1].entry(Item(CHANGE, COLLECTION, "a", change.bytes))]]
    for order in ([*chains[1], *chains[0]], [*chains[0], *chains[1]]):
        reader = Reader(house, members[3], random)
        for entry in order:
            reader.receive([entry])
        assert reader.shown() == [("a", '{"tags":["x","y"]}', 0)]
        assert sorted(hash for _, hash in reader.applied()) == sorted([base.hash, change.hash])

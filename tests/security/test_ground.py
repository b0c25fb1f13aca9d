"""Operations that name what is not there, among every other kind of change: alike on every device, and editable."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chez.records import automerge, rows
from chez.records.encode import encode_fields, uleb
from chez.records.imported import record_id
from chez.records.operations import Operation, encode
from chez.records.past import open_past
from chez.records.rows import HERE
from chez.sync.entry import CHANGE, Item, SignedEntry, read_signed
from tests.security.crooked import Crook
from tests.security.test_poison import COLLECTION, Author, Reader, interleaved
from tests.simulation.household import household
from tests.tries import tries


@pytest.fixture(autouse=True)
def often_saved(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Snapshots come after a few changes, so that documents are loaded from saved forms too."""
    monkeypatch.setattr(rows, "SNAPSHOT_AFTER", 5)
    yield


def receive(reader: Reader, order: list[SignedEntry], random: Random) -> None:
    """Page by page, sometimes with nothing cached, sometimes restarted."""
    while order:
        size = random.randint(1, 8)
        page, order = order[:size], order[size:]
        reader.receive(page)
        match random.randrange(5):
            case 0:
                reader.records.forget()
            case 1:
                reader.restart()


def go_on(reader: Reader, random: Random) -> list[SignedEntry]:
    """Edit every record that is there in every way; what leaves."""
    db, records = reader.db, reader.records
    for id, state in db.execute("SELECT id, deleted FROM record WHERE deleted < 2 ORDER BY id").fetchall():
        open_past(db, 1, COLLECTION, id, reader.member.keys.id)
        if state == HERE:
            draft = records.begin_edit(db, 1, COLLECTION, id)
            after = draft.value | {"edited": random.randrange(9)}
            change = draft.written(after)
            assert change is not None
            records.end_edit(db, 1, draft, change, after)
            records.delete(db, 1, COLLECTION, id)
        records.put(db, 1, COLLECTION, id, {"put": random.randrange(9), "a": [1, {"b": 2}]})
        records.put_imported(db, 1, COLLECTION, id, {"who": 1}, {"v": random.randrange(9)}, "source", "run")
    return [read_signed(entry.packed) for _, entry in reader.replica.author.collect(db)]


def attack(seed: int, pages: int = 10) -> None:
    """Three crooks, two readers in different orders, then the readers' own work exchanged."""
    random = Random(seed)
    house = household(random)
    members = house.members(random, 6)
    readers = [Reader(house, replace(member, statements=members[-1].statements), random) for member in members[4:]]
    identity = {"who": 1}
    id = record_id(readers[0].replica.space.record_key, COLLECTION, identity)
    crooks = [Crook(house, member, random) for member in members[1:4]]
    made: dict[str, list[automerge.RawChange]] = {"a": [], id: []}
    known: dict[str, list[Operation]] = {one: [] for one in made}
    chains: list[list[SignedEntry]] = [[], [], []]
    for _ in range(pages):
        at = random.randrange(3)
        crooks[at].imported = id, identity
        chains[at] += crooks[at].page(made, known)
    for reader in readers:
        receive(reader, interleaved(chains, random), random)
    first, second = readers
    assert first.applied() == second.applied()
    assert first.shown() == second.shown()
    first.check()
    work = [go_on(reader, random) for reader in readers]
    first.receive(work[1])
    second.receive(work[0])
    assert first.applied() == second.applied()
    assert first.shown() == second.shown()
    second.check()
    for reader in readers:
        refused = reader.db.execute("SELECT reason FROM quarantine JOIN change ON change.bytes = quarantine.bytes "
                                    "JOIN entry ON entry.n = change.entry WHERE entry.author IN (?, ?)",
                                    [one.member.keys.id for one in readers]).fetchall()
        assert refused == []


@settings(max_examples=tries(40), deadline=None)
@given(st.integers(0, 2**32))
@example(5_044_527)  # an honest device's counter, over the lowest number that a crook put there, is refused
def test_devices_agree_and_go_on_after_crooked_operations(seed: int) -> None:
    """Whatever operations name, in whatever order they come: same records and documents, and every edit after."""
    attack(seed)


def test_a_change_that_waits_is_not_refused_for_a_later_one_that_is() -> None:
    """An author's later change may be refused before the earlier one's ground is here: in order or not, the same."""
    random = Random(4)
    house = household(random)
    members = house.members(random, 5)
    one, two = Author(house, members[1], random), Author(house, members[2], random)
    ground = encode_fields(two.keys.id, 1, 1, [], {"x": 1})
    bad = encode_fields(two.keys.id, 2, 9, [ground.hash], {"x": 2})  # its clock is wrong
    first = encode_fields(one.keys.id, 1, 2, [ground.hash], {"y": 1})
    second = encode_fields(one.keys.id, 2, 10, [first.hash, bad.hash], {"y": 2})
    theirs = [two.entry(Item(CHANGE, COLLECTION, "a", change.bytes)) for change in (ground, bad)]
    mine = [one.entry(Item(CHANGE, COLLECTION, "a", change.bytes)) for change in (first, second)]
    shown = []
    for order in ([*theirs, *mine], [*mine, *theirs], [theirs[0], *mine, theirs[1]], [mine[0], *theirs, mine[1]]):
        reader = Reader(house, members[3], random)
        for entry in order:
            reader.receive([entry])
            reader.restart()
        shown.append((reader.shown(), reader.applied()))
    assert shown[0][0] == [("a", '{"x":1,"y":1}', 0)]
    assert all(one == shown[0] for one in shown)


@pytest.mark.parametrize(("number", "taken"), [(2**63 - 1, True), (2**63, False), (2**64 - 1, False)])
def test_a_number_that_no_edit_could_write_back_is_refused(number: int, taken: bool) -> None:
    """An unsigned number beyond what records hold would make every later edit of its record fail."""
    random = Random(4)
    house = household(random)
    members = house.members(random, 3)
    author, reader = Author(house, members[1], random), Reader(house, members[2], random)
    one = Operation((1, members[1].keys.id), None, "k", False, 1, 3, uleb(number), ())
    change = encode(members[1].keys.id, 1, 1, [], [one])
    reader.receive([author.entry(Item(CHANGE, COLLECTION, "a", change.bytes))])
    assert (reader.shown() != []) is taken

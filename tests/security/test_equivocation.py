"""A device makes two different entries under one number: both are kept, and neither counts until an owner picks one."""

import pytest

from chez.errors import NotAllowed
from chez.records.counter import Counter
from chez.records.derived import named
from chez.records.encode import encode_fields
from chez.records.typed import Wanted
from chez.spaces.statements import Cut
from chez.sync import chains
from chez.sync.entry import CHANGE, CHANGES, STATEMENTS, Item, Part
from tests.security.chains import NOTES, Node, Reader, World


def test_both_branches_are_kept_and_neither_counts() -> None:
    """From the fork on nothing of the device counts, on whichever branch, and it is told once."""
    world = World()
    bad, friend, reader = Node(world.bad), Node(world.friend), world.reads()
    first = world.put(bad, "a", {"n": 1})
    other = world.fork(bad)
    one = [world.put(bad, "a", {"n": 2}), world.put(bad, "b", {"n": 2})]
    two = [world.put(other, "a", {"n": 3}), world.put(other, "c", {"n": 3})]
    reader.receive(first, *one)
    assert reader.shown() == {"a": {"n": 2}, "b": {"n": 2}}
    reader.receive(*two, world.put(friend, "d", {"n": 4}))
    assert reader.shown() == {"a": {"n": 1}, "d": {"n": 4}}
    kept = {hash for (hash,) in reader.db.execute("SELECT hash FROM entry WHERE author = ?", (world.bad.keys.id,))}
    assert kept == {entry.hash for entry in (first, *one, *two)}
    assert reader.receipts == [("equivocation", {"device": world.bad.keys.id.hex(), "name": world.bad.name, "from": 2})]


def test_an_owner_picks_and_that_branch_counts() -> None:
    """Once an owner picked an entry, its branch counts, and what comes on it; the other one does not."""
    world = World()
    bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
    first = world.put(bad, "a", {"n": 1})
    other = world.fork(bad)
    one = world.put(bad, "a", {"n": 2})
    two = world.put(other, "a", {"n": 3})
    reader.receive(two, one, first)
    assert reader.shown() == {"a": {"n": 1}}
    reader.receive(world.pick(owner, Cut(world.bad.keys.id, 2, one.hash)))
    assert reader.shown() == {"a": {"n": 2}}
    reader.restart()
    reader.receive(world.put(bad, "a", {"n": 4}), world.put(other, "b", {"n": 5}))
    assert reader.shown() == {"a": {"n": 4}}
    reader.receive(world.pick(owner, Cut(world.bad.keys.id, 2, two.hash)))  # and thinks better of it
    assert reader.shown() == {"a": {"n": 3}, "b": {"n": 5}}


def test_a_removal_that_names_a_branch_picks_it() -> None:
    """The cut of a removal says which branch its author had accepted, and up to where."""
    world = World()
    bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
    first = world.put(bad, "a", {"n": 1})
    other = world.fork(bad)
    branch = [world.put(bad, "a", {"n": 2}), world.put(bad, "a", {"n": 3})]
    reader.receive(first, *branch, world.put(other, "a", {"n": 9}))
    reader.receive(world.remove(owner, Cut(world.bad.keys.id, 2, branch[0].hash)))
    assert reader.shown() == {"a": {"n": 2}}


def test_an_entry_that_breaks_a_rule_beside_a_good_one_is_a_fork_in_any_order() -> None:
    """Whether the good or the broken entry of one number arrives first: nothing counts from there on."""
    for last in (False, True):
        world = World()
        bad, reader = Node(world.bad), world.reads()
        first = world.put(bad, "a", {"n": 1})
        other = world.fork(bad)
        good = [world.put(bad, "a", {"n": 2}), world.put(bad, "b", {"n": 3})]
        foreign = Item(CHANGE, NOTES, "a", encode_fields(b"z" * 32, 1, 1, (), {"x": 1}).bytes)
        broken = [world.entry(other, [], items=[foreign]), world.put(other, "c", {"n": 1})]
        pages = (good, broken) if last else (broken, good)
        reader.receive(first)
        for page in pages:
            reader.receive(*page)
        assert reader.shown() == {"a": {"n": 1}}
        assert reader.db.execute("SELECT hash FROM set_aside ORDER BY sequence").fetchall() == [
            (entry.hash,) for entry in broken]


def test_forks_without_end_cost_one_look_a_page() -> None:
    """Hundreds of entries under one number are kept, told once, and change nothing more."""
    world = World()
    bad, reader = Node(world.bad), world.reads()
    first = world.put(bad, "a", {"n": 1})
    many = [world.put(world.fork(bad), "a", {"n": number}) for number in range(2, 202)]
    reader.receive(first)
    for at in range(0, 200, 40):
        reader.receive(*many[at : at + 40])
    assert reader.shown() == {"a": {"n": 1}}
    assert reader.count("branch") == 199 and len(reader.receipts) == 1


def test_unsent_work_on_what_counts_no_more_is_made_anew() -> None:
    """This device's unsent edit of a record stays, field by field, when what it built on goes.

    And an unsent edit that builds on what stays goes out as it was made.
    """
    world = World()
    bad, friend, reader = Node(world.bad), Node(world.friend), world.reads()
    first = world.put(bad, "a", {"n": 1})
    other = world.fork(bad)
    one = world.put(bad, "b", {"n": 2, "cups": 1})
    reader.receive(first, one, world.put(friend, "c", {"n": 3}))
    for id in ("a", "b", "c"):
        reader.records.put(reader.db, 1, NOTES, id, {}, lambda stored: Wanted({**stored, "mine": 1}))
    before = dict(reader.db.execute("SELECT id, hash FROM change JOIN record ON record.n = change.record "
                                    "WHERE state = 1").fetchall())
    reader.receive(world.put(other, "b", {"n": 9}))
    assert reader.shown() == {"a": {"mine": 1, "n": 1}, "b": {"mine": 1}, "c": {"mine": 1, "n": 3}}
    after = dict(reader.db.execute("SELECT id, hash FROM change JOIN record ON record.n = change.record "
                                   "WHERE state = 1").fetchall())
    assert (after["a"], after["c"]) == (before["a"], before["c"]) and after["b"] != before["b"]
    reader.restart()
    assert [entry.inner.kind for _, entry in reader.replica.author.collect(reader.db)] == [STATEMENTS, CHANGES]


def test_a_record_that_goes_and_comes_back_is_told_to_the_feed() -> None:
    """Whoever follows the changes hears that a record is gone when it counts no more, and of its return."""
    world = World()
    bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
    other = world.fork(bad)
    one = world.put(bad, "a", {"n": 1})
    touched: list[str] = []
    reader.records.rows.touch = lambda collection, id: touched.append(id)
    reader.receive(one)
    feed = "SELECT deleted, changed > born FROM record WHERE id = 'a'"
    assert reader.db.execute(feed).fetchone() == (0, 0)
    reader.receive(world.put(other, "b", {"n": 2}))
    assert reader.db.execute(feed).fetchone() == (2, 1) and touched[-1] == "a"
    reader.receive(world.pick(owner, Cut(world.bad.keys.id, 1, one.hash)))
    assert reader.db.execute(feed).fetchone() == (0, 0) and touched[-1] == "a"


def test_a_change_that_another_brought_too_stays() -> None:
    """What a device on a fork brought first, and a member brought as well, as a migration is, counts by the member."""
    world = World()
    bad, friend, reader = Node(world.bad), Node(world.friend), world.reads()
    other = world.fork(bad)
    shared = named(encode_fields(bytes(24), 1, 1, (), {"city": "Lyon"}).bytes)
    reader.receive(world.entry(bad, [("a", shared)]), world.entry(friend, [("a", shared)]))
    assert reader.shown() == {"a": {"city": "Lyon"}}
    reader.receive(world.put(other, "b", {"n": 1}))
    assert reader.shown() == {"a": {"city": "Lyon"}}


def test_each_branch_of_a_fork_has_batches_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another branch holds makes no batch too large, so a branch is whole in whatever order both come."""
    monkeypatch.setattr(chains, "MAX_BATCH_OPERATIONS", 3)
    for last in (False, True):
        world = World()
        bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
        first = world.put(bad, "a", {"n": 1}, part=Part(0, last=False))
        other = world.fork(bad)
        ways = [[world.put(node, "b", {"n": n}, part=Part(1, last=False)),
                 world.put(node, "c", {"n": n}, part=Part(2, last=True))] for n, node in ((2, bad), (3, other))]
        reader.receive(first, *ways[last], *ways[not last])
        assert reader.shown() == {}
        assert reader.db.execute("SELECT reason FROM quarantine").fetchall() == []
        reader.receive(world.pick(owner, Cut(world.bad.keys.id, 2, ways[0][0].hash)))
        assert reader.shown() == {"a": {"n": 1}, "b": {"n": 2}, "c": {"n": 2}}


@pytest.mark.parametrize("there", [True, False], ids=["of another", "of none"])
def test_who_wrote_on_what_counts_no_more_goes_on_writing(there: bool) -> None:
    """A device sent an edit that builds on what is on a fork now: what it writes next arrives at others.

    It may not carry the number of what waits. And what was sent counts again with a pick.
    """
    world = World()
    bad, owner, writer = Node(world.bad), Node(world.owner), world.reads()
    other = Reader(world.house, world.friend, world.random)
    begun = [world.put(owner, "a", {"n": 1})] if there else []
    bad.view.see("a", owner.view.records.get("a", []))
    fork = world.fork(bad)
    begun.append(world.put(bad, "a", {"m": 2, "cups": 1}))

    def write(**fields: object) -> None:
        writer.records.put(writer.db, 1, NOTES, "a", fields, lambda stored: Wanted(stored | fields))
        other.receive(*[entry for _, entry in writer.replica.author.collect(writer.db)])
        assert other.shown() == writer.shown()
        assert other.count("quarantine") == writer.count("quarantine") == 0

    writer.receive(*begun)
    other.receive(*begun)
    write(mine=1, drunk=Counter(1))
    draft = writer.records.begin_edit(writer.db, 1, NOTES, "a")
    twice = world.put(fork, "b", {"n": 9})
    writer.receive(twice)
    other.receive(twice)
    base: dict[str, object] = {"n": 1} if there else {}
    assert writer.shown() == ({"a": base} if there else {})
    write(mine=2, drunk=Counter(2))
    write(mine=3, drunk=Counter(4))
    assert writer.shown()["a"] == base | {"mine": 3, "drunk": Counter(4)}
    change = draft.written(draft.value | {"late": True})
    assert change is not None
    writer.records.end_edit(writer.db, 1, draft, change, draft.value | {"late": True})
    with pytest.raises(NotAllowed):
        writer.records.undo(writer.db, 1, NOTES, "a")
    writer.restart()
    write(more="x")
    assert writer.shown()["a"] == base | {"mine": 3, "drunk": Counter(4), "late": True, "more": "x"}
    picked = world.pick(owner, Cut(world.bad.keys.id, 1, begun[-1].hash))
    writer.receive(picked)
    other.receive(picked)
    assert writer.shown() == other.shown() and writer.shown()["a"].items() >= {"m": 2, "late": True, "n": 1}.items() - (
        set() if there else {("n", 1)})
    write(mine=5)
    writer.records.undo(writer.db, 1, NOTES, "a")
    write(more="y")
    assert writer.shown()["a"]["drunk"] == Counter(5) and writer.shown()["a"]["more"] == "y"


def test_no_import_takes_back_what_a_person_changed_where_their_own_work_waits() -> None:
    """In such a record, too, a field that they changed stays, and the others follow the file (`records.by_hand`)."""
    world = World()
    bad, owner, writer = Node(world.bad), Node(world.owner), world.reads()
    begun = world.put(owner, "a", {"key": 7})
    bad.view.see("a", owner.view.records.get("a", []))
    fork = world.fork(bad)
    writer.receive(begun, world.put(bad, "a", {"m": 2}))

    def imported(row: int, **values: str) -> str:
        return writer.records.put_imported(writer.db, 1, NOTES, "a", {"key": 7}, values,
                                           f"lines/1 0123456789abcdef {row}", "run", members={})

    assert imported(1, label="june", state="open") == "updated"
    writer.replica.author.collect(writer.db)
    writer.receive(world.put(fork, "b", {"n": 9}))
    assert writer.shown() == {"a": {"key": 7}}
    assert imported(2, label="june", state="open") == "updated"
    writer.records.put(writer.db, 1, NOTES, "a", {}, lambda stored: Wanted(stored | {"label": "mine"}))
    with pytest.raises(NotAllowed):
        writer.records.undo(writer.db, 1, NOTES, "a")
    assert imported(2, label="june", state="open") == "edited"
    assert imported(3, label="july", state="done") == "updated"
    assert writer.shown()["a"].items() >= {"label": "mine", "state": "done"}.items()


def test_unsent_work_on_what_waits_is_made_anew_under_no_number() -> None:
    """Beside what was sent and waits now, what was not sent yet is said again so that others take it in."""
    world = World()
    bad, writer = Node(world.bad), world.reads()
    other = Reader(world.house, world.owner, world.random)
    fork = world.fork(bad)
    first = world.put(bad, "a", {"n": 1})
    for reader in (writer, other):
        reader.receive(first)
    writer.records.put(writer.db, 1, NOTES, "a", {}, lambda stored: Wanted(stored | {"mine": 1}))
    other.receive(*[entry for _, entry in writer.replica.author.collect(writer.db)])
    writer.records.put(writer.db, 1, NOTES, "a", {}, lambda stored: Wanted(stored | {"mine": 2}))
    twice = world.put(fork, "b", {"n": 9})
    for reader in (writer, other):
        reader.receive(twice)
    other.receive(*[entry for _, entry in writer.replica.author.collect(writer.db)])
    assert writer.shown() == other.shown() == {"a": {"mine": 2}}
    assert other.count("quarantine") == 0


def test_a_pick_of_its_own_lets_nothing_count_after_a_removal() -> None:
    """A device says which branch of its chain counts before anybody has it: a removal that knew so names the chain."""
    world = World()
    bad, owner, reader = Node(world.bad), Node(world.owner), world.reads()
    first = world.put(bad, "a", {"n": 1})
    hidden = world.fork(bad)
    later = world.put(hidden, "b", {"n": 9})
    said = world.pick(bad, Cut(world.bad.keys.id, 2, later.hash), by=world.bad)
    branch = [said, world.put(bad, "a", {"n": 2}), world.put(bad, "a", {"n": 3})]
    reader.receive(first, *branch)
    reader.receive(world.remove(owner, Cut(world.bad.keys.id, 4, branch[-1].hash)))
    assert reader.shown() == {"a": {"n": 3}}
    reader.receive(later, world.put(hidden, "c", {"n": 9}))
    assert reader.shown() == {"a": {"n": 3}}
    reader.receive(world.pick(owner, Cut(world.bad.keys.id, 2, later.hash)))  # an owner who knows of both
    assert reader.shown() == {}

"""Changes that come before what they build on: the same records in any order, and no work done twice for them."""

from collections.abc import Iterator, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import BadEntry
from chez.records import automerge, waiting
from chez.records.automerge import RawChange
from chez.records.encode import encode_fields
from chez.records.store import Incoming, RecordStore
from chez.records.waiting import Budget
from chez.store.database import Connection
from tests.security.crooked import crooked
from tests.store.blank import blank
from tests.tries import tries

AUTHORS = [bytes((n,)) * 32 for n in (1, 2, 3)]


class Store:
    """A device that merges what others wrote, a page at a time."""

    def __init__(self) -> None:
        self.db: Connection = blank()
        self.db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
        for n, author in enumerate(AUTHORS, 1):
            self.db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
                            "VALUES (?, 1, ?, 1, x'00', 0, x'00')", (n, author))
        self.restart()

    def restart(self) -> None:
        """Begin again from what is stored."""
        self.records = RecordStore(b"a" * 32)

    def take(self, page: Sequence[RawChange], budget: Budget | None = None) -> None:
        """Merge a page of one record."""
        self.records.merge(self.db, 1, [
            Incoming("notes", "n", change, 1 + AUTHORS.index(change.actor), None, 0) for change in page], budget)

    def settle(self, budget: int) -> int:
        """Merge what is owed, in steps; how many it took."""
        steps = 0
        while self.records.owed(self.db, 1):
            before = self.due()
            self.records.work_off(self.db, 1, Budget(budget))
            assert self.due() != before  # each step gets somewhere
            steps += 1
        return steps

    def due(self) -> list[tuple[int]]:
        """The rows of what is owed."""
        return self.db.execute("SELECT change FROM waiting WHERE missing = 0 ORDER BY change").fetchall()

    def outcome(self) -> tuple[list[tuple[bytes, int]], list[tuple[str, int]], list[tuple[bytes]]]:
        """What became of each change, what is shown, and what was set aside (of several reasons, any)."""
        return (self.db.execute("SELECT hash, state FROM change ORDER BY hash").fetchall(),
                self.db.execute("SELECT json, deleted FROM record").fetchall(),
                self.db.execute("SELECT bytes FROM quarantine ORDER BY bytes").fetchall())

    def check(self) -> None:
        """The log loads in its order, the index of what waits is what the log says, and nothing is there twice."""
        log = self.db.execute("SELECT hash, state, bytes FROM change ORDER BY n").fetchall()
        assert len({hash for hash, *_ in log}) == len(log)
        applied = {hash for hash, state, _ in log if state < 2}
        for n, state, data in self.db.execute("SELECT n, state, bytes FROM change").fetchall():
            row = self.db.execute("SELECT missing, weight FROM waiting JOIN change ON n = change WHERE n = ?",
                                  (n,)).fetchone()
            assert (row is not None) == (state == 2)
            if row is not None:
                needs = {one for (one,) in self.db.execute("SELECT hash FROM missing WHERE change = ?", (n,))}
                assert len(needs) == row[0] > 0 and needs.isdisjoint(applied)
                assert set(automerge.read_change(data).dependencies) - needs <= applied
                assert row[1] == automerge.read_change(data).weight
        assert self.db.execute("SELECT count(*) FROM missing WHERE change NOT IN (SELECT change FROM waiting)"
                               ).fetchone() == (0,)
        for (n,) in self.db.execute("SELECT n FROM record WHERE deleted < 2").fetchall():
            base = self.records._rows.base(self.db, n)
            assert self.records._rows._columns(self.db, "notes", automerge.extract(automerge.load(base, b"x")))[0] == (
                self.db.execute("SELECT json FROM record").fetchone()[0])


def written(random: Random, count: int) -> list[RawChange]:
    """Changes of three authors that build on each other's: most are good, some build on what is bad or never comes."""
    made: list[RawChange] = []
    numbers = dict.fromkeys(AUTHORS, 0)
    tips: dict[bytes, RawChange] = {}
    for _ in range(count):
        actor = random.choice(AUTHORS)
        ground = random.sample(made, min(len(made), random.choice((0, 1, 1, 2, 3))))
        needs = {one.hash: one for one in ([tips[actor], *ground] if actor in tips else ground)}
        start = max([one.last for one in needs.values()], default=0) + 1
        numbers[actor] += 1
        if random.random() < 0.06:
            start += 1  # its clock is wrong
        depends = list(needs) if random.random() < 0.95 else [*needs, random.randbytes(32)]
        if random.random() < 0.1:
            change = crooked(random, actor, numbers[actor], [*needs.values()], [])
        else:
            change = encode_fields(actor, numbers[actor], start, depends, {random.choice("abc"): random.randrange(9)})
        made.append(change)
        tips[actor] = change
    return made


def in_order_of_each(made: list[RawChange], random: Random) -> list[RawChange]:
    """An order of arrival: any, but each author's as they were made (its chain of entries sees to that)."""
    chains = [[one for one in made if one.actor == author] for author in AUTHORS]
    out = []
    while any(chains):
        out.append(random.choice([chain for chain in chains if chain]).pop(0))
    return out


def backwards(made: list[RawChange]) -> list[RawChange]:
    """The latest authors first, each author's in order."""
    return [one for author in reversed(AUTHORS) for one in made if one.actor == author]


@settings(max_examples=tries(60), deadline=None)
@given(st.integers(0, 2**32))
def test_any_order_any_pages_and_any_budget_give_the_same(seed: int) -> None:
    """One by one, all at once, the latest author first, in pages with restarts, in steps of a budget: all the same."""
    random = Random(seed)
    made = written(random, 24)
    at_once = Store()
    at_once.take(made)
    outcomes = [at_once]
    for order, sizes, budget in ((made, (1, 1), None), (backwards(made), (1, 1), 1), (backwards(made), (24, 24), None),
                                 (in_order_of_each(made, random), (1, 9), random.choice((1, 40, 200)))):
        store = Store()
        while order:
            size = random.randint(*sizes)
            store.take(order[:size], None if budget is None else Budget(budget))
            order = order[size:]
            if random.random() < 0.3:
                store.restart()
            if random.random() < 0.3 and budget is not None:
                store.records.work_off(store.db, 1, Budget(budget))
        store.settle(budget or 1)
        outcomes.append(store)
    for store in outcomes:
        store.check()
        assert store.outcome() == at_once.outcome()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The rows of waiting changes that are read."""
    rows: list[int] = []
    read, due = waiting.read, waiting.due

    def counted(db: Connection, row: int) -> waiting.Due:
        rows.append(row)
        return read(db, row)

    def all_due(db: Connection, record: int, budget: Budget | None) -> list[waiting.Due]:
        found = due(db, record, budget)
        rows.extend(one.row for one in found)
        return found

    monkeypatch.setattr(waiting, "read", counted)
    monkeypatch.setattr(waiting, "due", all_due)
    yield rows


def paired(count: int) -> tuple[list[RawChange], list[RawChange]]:
    """Changes of one author, and those of another that each build on one of them and on the one before."""
    grounds: list[RawChange] = []
    waits: list[RawChange] = []
    for number in range(1, count + 1):
        start = 2 * number - 1
        grounds.append(encode_fields(AUTHORS[0], number, start, [waits[-1].hash] if waits else [], {f"f{number}": 1}))
        waits.append(encode_fields(AUTHORS[1], number, start + 1, [grounds[-1].hash], {f"g{number}": 2}))
    return grounds, waits


def test_what_waits_is_read_once(reads: list[int]) -> None:
    """Hundreds wait, and what they wait for comes one a page: each page reads the one that it releases."""
    store = Store()
    grounds, waits = paired(300)
    store.take(waits)
    assert store.db.execute("SELECT count(*) FROM waiting").fetchone() == (300,)
    for number, ground in enumerate(grounds, 1):
        store.take([ground])
        assert len(reads) == number
    assert len(set(reads)) == 300
    assert store.db.execute("SELECT count(*) FROM change WHERE state = 0").fetchone() == (600,)
    store.check()


def test_what_is_released_at_once_is_worked_off_in_steps(reads: list[int]) -> None:
    """One change releases hundreds: a transaction merges what its budget allows, and a restart loses nothing of it."""
    store = Store()
    ground = encode_fields(AUTHORS[0], 1, 1, [], {"a": 1})
    made = [encode_fields(AUTHORS[1], 1, 2, [ground.hash], {"b": 0})]
    for number in range(2, 301):
        made.append(encode_fields(AUTHORS[1], number, number + 1, [made[-1].hash], {f"b{number}": number}))
    store.take(made)
    store.take([ground], Budget(0))
    shown = [store.db.execute("SELECT count(*) FROM change WHERE state = 0").fetchone()[0]]
    while store.records.owed(store.db, 1):
        store.restart()
        store.records.work_off(store.db, 1, Budget(50 * (1 + waiting.PER_CHANGE)))
        shown.append(store.db.execute("SELECT count(*) FROM change WHERE state = 0").fetchone()[0])
    assert shown == [1, 51, 101, 151, 201, 251, 301]
    assert len(reads) == 300
    store.check()


def test_what_waits_for_a_refused_change_is_refused_in_steps() -> None:
    """Hundreds wait for a change that turns out to be bad: each is refused and set aside once, within the budget."""
    store = Store()
    ground = encode_fields(AUTHORS[0], 1, 5, [], {"a": 1})  # its clock is wrong
    made = [encode_fields(AUTHORS[1], 1, 6, [ground.hash], {"b": 0})]
    for number in range(2, 201):
        made.append(encode_fields(AUTHORS[1], number, number + 5, [made[-1].hash], {f"b{number}": number}))
    store.take(made)
    store.take([ground], Budget(0))
    assert store.settle(20 * waiting.PER_CHANGE) >= 10
    assert store.db.execute("SELECT state, count(*) FROM change GROUP BY state").fetchall() == [(3, 201)]
    assert store.db.execute("SELECT count(DISTINCT bytes), count(*) FROM quarantine").fetchone() == (201, 201)
    assert store.db.execute("SELECT count(*) FROM missing").fetchone() == (0,)


def test_what_others_wrote_in_wait_does_not_keep_a_device_from_writing() -> None:
    """A local write releases a change of another's that is refused: that one is set aside, the write stands."""
    store = Store()
    mine = encode_fields(b"a" * 32, 1, 1, (), {"a": 1})
    bad = encode_fields(AUTHORS[0], 1, 9, [mine.hash], {"b": 1})
    store.take([bad])
    store.records.writer.take(store.db, 1, "notes", "n", [mine])
    assert store.db.execute("SELECT hash, state FROM change ORDER BY state").fetchall() == [(mine.hash, 1),
                                                                                             (bad.hash, 3)]
    assert store.db.execute("SELECT bytes FROM quarantine").fetchall() == [(bad.bytes,)]


def test_what_a_local_write_releases_is_not_sent_by_this_device() -> None:
    """Another's change that waited for one of this device is merged with it, and stays the other's."""
    store = Store()
    mine = encode_fields(b"a" * 32, 1, 1, (), {"a": 1})
    good = encode_fields(AUTHORS[0], 1, 2, [mine.hash], {"b": 1})
    store.take([good])
    store.records.writer.take(store.db, 1, "notes", "n", [mine])
    assert store.db.execute("SELECT hash, state, entry FROM change ORDER BY n").fetchall() == [
        (mine.hash, 1, None), (good.hash, 0, 1)]


def test_waiting_changes_that_are_damaged_here_hold_up_nothing() -> None:
    """The bytes of a waiting change rot: its record goes on, it alone is left, and is not tried for ever."""
    store = Store()
    ground = encode_fields(AUTHORS[0], 1, 1, [], {"a": 1})
    store.take([encode_fields(AUTHORS[1], 1, 2, [ground.hash], {"b": 0})])
    store.db.execute("UPDATE change SET bytes = x'0011' WHERE state = 2")
    store.take([ground])
    assert store.db.execute("SELECT json FROM record").fetchone() == ('{"a":1}',)
    assert not store.records.owed(store.db, 1)
    with pytest.raises(BadEntry):
        automerge.read_change(b"\0\x11")

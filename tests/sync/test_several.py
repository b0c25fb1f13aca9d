"""One space at two relays: each gets every entry, whatever happens, and what came from one goes to the other."""

from collections import deque
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records.encode import encode_fields
from chez.records.store import RecordStore
from chez.store.database import Connection
from chez.sync.chains import last_entry
from chez.sync.entry import CHANGE, CHANGES, MANIFEST, Inner, Item, seal, sign_entry
from chez.sync.outbox import waiting_spaces
from chez.sync.replica import Replica
from chez.sync.sealed import Sealed
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.frames import Entry
from tests.checkpoints.test_order import manifest
from tests.simulation.household import NOW, household
from tests.sync.test_hearing import Family, Home
from tests.tries import tries

RELAYS = (1, 2)


class Writer:
    """A device that writes, and two relays that take what comes; as the links do it, without them."""

    def __init__(self) -> None:
        random = Random(3)
        house = household(random)
        self.me = house.founder.keys.id
        self.db: Connection = house.store(house.founder, bytes(32))
        self.db.execute("INSERT INTO relay (n, url) VALUES (2, 'ws://other.test:8787')")
        self.records = RecordStore(self.me)
        self.replica = house.replica(house.founder, self.db, random, self.records)
        self.replica.relays.kept |= set(RELAYS)
        self.way: dict[int, deque[Sealed]] = {relay: deque() for relay in RELAYS}
        self.begun: set[int] = set()
        self.sealing: set[int] = set()
        self.owed: set[int] = set()
        self.has: dict[int, set[int]] = {relay: set() for relay in RELAYS}
        self.count = 0

    def _transaction(self, undone: bool, put: bool, first: int = 0) -> None:
        """Something is written, and sealed for whoever is connected; or all of it is undone."""
        self.db.execute("BEGIN IMMEDIATE")
        made: dict[int, list[Sealed]] = {}
        if put:
            self.count += 1
            self.records.put(self.db, 1, "notes", f"{self.count}", {"n": self.count})
        if first:
            made[first] = self.replica.author.outgoing(self.db, first)
        waiting = waiting_spaces(self.db, self.me)
        for relay in sorted(self.sealing):
            if 1 in waiting or self.replica.relays.owes(relay):
                made[relay] = made.get(relay, []) + self.replica.author.outgoing(self.db, relay)
                waiting = waiting_spaces(self.db, self.me)
        if undone:
            self.db.execute("ROLLBACK")
            self.records.forget()
            self.replica.forget()
            return
        self.db.execute("COMMIT")
        for relay, sealed in made.items():
            self.way[relay].extend(sealed)

    def write(self, undone: bool) -> None:
        self._transaction(undone, True)

    def connect(self, relay: int) -> None:
        """A connection begins: everything that is not acknowledged is under way."""
        if relay in self.begun:
            return
        self.db.execute("BEGIN IMMEDIATE")
        self.replica.resume(self.db, relay, bytes(32))
        sealed = self.replica.author.unacknowledged(self.db, relay)
        self.db.execute("COMMIT")
        self.way[relay] = deque(sealed)
        self.begun.add(relay)

    def follow(self, relay: int) -> None:
        """From now on transactions seal for it; what was written since it began is to be, soon."""
        if relay in self.begun and relay not in self.sealing:
            self.sealing.add(relay)
            self.owed.add(relay)

    def work(self, undone: bool = False) -> None:
        """What was written between the beginning of a connection and its following is sealed."""
        for relay in sorted(self.owed):
            self.owed.discard(relay)
            self._transaction(undone, False, relay)
            if undone:  # its link ends with that
                self.disconnect(relay, 0)

    def disconnect(self, relay: int, arrived: int) -> None:
        """Some of what was under way arrived, and its acknowledgements did not."""
        self.has[relay] |= {one.entry for one in list(self.way[relay])[:arrived]}
        self.way[relay].clear()
        self.begun.discard(relay)
        self.sealing.discard(relay)
        self.owed.discard(relay)
        self.replica.relays.end(relay)

    def acknowledge(self, relay: int) -> None:
        if self.way[relay]:
            one = self.way[relay].popleft()
            self.has[relay].add(one.entry)
            self.db.execute("BEGIN IMMEDIATE")
            self.replica.author.acknowledged(self.db, relay, one, None)
            self.db.execute("COMMIT")

    def rotate(self) -> None:
        """A new epoch: what is not known to have arrived is forgotten, and sealed anew at the next connection."""
        self.db.execute("BEGIN IMMEDIATE")
        self.replica.rotate(self.db)
        self.db.execute("COMMIT")
        for relay in RELAYS:
            self.disconnect(relay, 1)

    def settle(self) -> None:
        """Both connect anew, and take everything."""
        for relay in RELAYS:
            self.disconnect(relay, 0)
        for relay in RELAYS:
            self.connect(relay)
            self.follow(relay)
        self.work()
        while any(self.way.values()):
            for relay in RELAYS:
                self.acknowledge(relay)


relays = st.sampled_from(RELAYS)
steps = st.one_of(
    st.tuples(st.just("write"), st.booleans()), st.tuples(st.just("connect"), relays),
    st.tuples(st.just("follow"), relays),
    st.tuples(st.just("work"), st.booleans()), st.tuples(st.just("disconnect"), relays, st.integers(0, 3)),
    st.tuples(st.just("acknowledge"), relays), st.tuples(st.just("acknowledge"), relays), st.tuples(st.just("rotate")))


@settings(max_examples=tries(100))
@given(st.lists(steps, max_size=30))
def test_each_relay_gets_every_entry(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    """Connections that come and go, transactions that are undone, new epochs: in the end both have all."""
    writer = Writer()
    for what, *how in steps:
        getattr(writer, what)(*how)
    writer.settle()
    entries = {n for (n,) in writer.db.execute("SELECT n FROM entry WHERE author = ?", (writer.me,))}
    assert entries and all(writer.has[relay] == entries for relay in RELAYS)
    assert writer.db.execute("SELECT (SELECT count(*) FROM sealed) + (SELECT count(*) FROM lacking)").fetchone() == (0,)


def test_what_an_undone_transaction_paid_is_owed_still() -> None:
    """An entry made while a connection began is sealed by a transaction that is undone: it is not skipped for ever."""
    writer = Writer()
    writer.connect(1)
    writer.follow(1)
    writer.work()
    writer.connect(2)
    writer.write(False)
    writer.follow(2)
    writer.write(True)
    writer.work()
    writer.write(False)
    while writer.way[2]:
        writer.acknowledge(2)
    writer.settle()
    assert writer.has[1] == writer.has[2]


def test_what_is_written_is_sealed_for_both_in_its_transaction() -> None:
    """One entry, two envelopes, and neither relay's waits for the other's."""
    writer = Writer()
    for relay in RELAYS:
        writer.connect(relay)
        writer.follow(relay)
        writer.work()
        while writer.way[relay]:
            writer.acknowledge(relay)
    writer.write(False)
    (one,), (two,) = (writer.way[relay] for relay in RELAYS)
    assert one.entry == two.entry and one.id != two.id


def knows_two(family: Family) -> tuple[Home, Replica]:
    """A device comes to know a second relay, and gives it all that it has."""
    reader = family.other
    reader.db.execute("INSERT INTO relay (n, url) VALUES (2, 'ws://other.test:8787')")
    replica = reader.replicas[1]
    replica.relays.kept |= set(RELAYS)
    replica.resume(reader.db, 2, bytes(32))
    for relay in RELAYS:
        for one in replica.author.unacknowledged(reader.db, relay):
            replica.author.acknowledged(reader.db, relay, one, None)
    return reader, replica


def written(family: Family, *names: str) -> list[bytes]:
    """The envelopes of as many entries of the other device."""
    envelopes = []
    for name in names:
        family.founder.records.put(family.founder.db, 1, "notes", name, {"x": 1})
        envelopes += family.founder.sends()
    return envelopes


def refused_after(family: Family) -> list[bytes]:
    """An entry of the other device that carries a change in somebody else's name, and one that follows it."""
    keys, space = family.founder.member.keys, family.founder.replicas[1].space
    sequence, previous, _ = last_entry(family.founder.db, 1, keys.id)
    envelopes = []
    for at, actor in enumerate((bytes(32), keys.id), 1):
        change = Item(CHANGE, "notes", f"refused {at}", encode_fields(actor, 1, 1, (), {"x": 1}).bytes)
        entry = sign_entry(Inner(1, space.id, keys.id, sequence + at, previous, NOW, CHANGES, [change],
                                 space.membership.named_heads, None), keys.signing)
        envelopes.append(seal(entry.packed, space.handle, space.epoch, bytes([at]) * 24))
        previous = entry.hash
    return envelopes


def brought_by_one(family: Family) -> tuple[Home, Replica, bytes]:
    """A device that knows two relays, of which one brought an entry of another device: its envelope comes along."""
    reader, replica = knows_two(family)
    (envelope,) = written(family, "a")
    reader.receives([envelope])
    return reader, replica, envelope


def test_what_one_relay_brought_is_given_to_the_other_at_the_second_look() -> None:
    """An entry of another device, which only one relay shows: after two looks it is sealed for the other, once."""
    family = Family()
    reader, replica, _ = brought_by_one(family)
    assert [replica.author.overdue(reader.db, relay) for relay in RELAYS] == [[], []]
    assert replica.author.overdue(reader.db, 1) == []
    (late,) = replica.author.overdue(reader.db, 2)
    assert replica.author.overdue(reader.db, 2) == []
    replica.author.acknowledged(reader.db, 2, late, None)
    assert reader.count("lacking") == reader.count("sealed") == 0


def test_a_relay_that_is_alone_is_looked_at_while_it_may_lack_something() -> None:
    """What it was storing, and did not show, is given to it; then each look would be a transaction for nothing."""
    family = Family()
    reader, replica = family.other, family.other.replicas[1]
    replica.relays.kept.add(1)
    assert not replica.relays.carries
    (envelope,) = written(family, "a")
    replica.early(reader.db, 1, Entry(0, envelope))
    assert replica.relays.carries and reader.count("lacking") == 1
    assert replica.author.overdue(reader.db, 1, said=True) == [] and replica.relays.carries
    for count in (0, 1, 0):
        assert replica.relays.carries and len(replica.author.overdue(reader.db, 1)) == count
    assert not replica.relays.carries


def test_what_a_relay_is_storing_it_lacks_still() -> None:
    """Another relay brought the entry before: that this one is storing it does not say that it has it."""
    reader, replica, envelope = brought_by_one(Family())
    assert reader.count("lacking") == 1
    replica.early(reader.db, 2, Entry(0, envelope))
    assert reader.count("lacking") == 1
    replica.incoming(reader.db, 2, [Entry(1, envelope)], GENESIS_HEAD)
    assert reader.count("lacking") == 0


def test_who_waits_for_it_has_what_one_relay_brought_given_to_the_other_at_once() -> None:
    """At the first look, when that is asked for: all that the other relay lacks is sealed for it, once."""
    reader, replica, _ = brought_by_one(Family())
    assert replica.author.overdue(reader.db, 1, at_once=True) == []
    (late,) = replica.author.overdue(reader.db, 2, at_once=True)
    assert replica.author.overdue(reader.db, 2, at_once=True) == replica.author.overdue(reader.db, 2) == []
    replica.author.acknowledged(reader.db, 2, late, None)
    assert reader.count("lacking") == reader.count("sealed") == 0


def test_what_the_other_relay_shows_in_time_is_not_given_to_it() -> None:
    """The author's own copy arrives there between two looks: nothing is sent."""
    family = Family()
    reader, replica, envelope = brought_by_one(family)
    assert replica.author.overdue(reader.db, 2) == []
    replica.incoming(reader.db, 2, [Entry(1, envelope)], GENESIS_HEAD)
    assert replica.author.overdue(reader.db, 2) == []


def test_what_was_parked_is_given_to_the_relays_that_did_not_show_it() -> None:
    """One relay brings the second entry, the other one the first: each is given what it lacks, and nothing else."""
    family = Family()
    reader, replica = knows_two(family)
    envelopes = written(family, "a", "b")
    reader.receives(envelopes[1:])
    assert (reader.count("parked"), reader.count("shown"), reader.count("lacking")) == (1, 1, 0)
    replica.incoming(reader.db, 2, [Entry(1, envelopes[0])], GENESIS_HEAD)
    assert (reader.count("parked"), reader.count("shown"), reader.count("lacking")) == (0, 0, 2)
    given = {relay: replica.author.overdue(reader.db, relay, at_once=True) for relay in RELAYS}
    sequences = {relay: [reader.db.execute("SELECT sequence FROM entry WHERE n = ?", (one.entry,)).fetchone()[0]
                         for one in found] for relay, found in given.items()}
    assert len(sequences[1]) == len(sequences[2]) == 1 and sequences[2][0] == sequences[1][0] + 1


def test_what_was_parked_is_not_given_to_a_relay_that_shows_it_behind_what_it_waited_for() -> None:
    """One relay brings the second entry, the other one both in a page: that lacks neither."""
    family = Family()
    reader, replica = knows_two(family)
    envelopes = written(family, "a", "b")
    reader.receives(envelopes[1:])
    replica.incoming(reader.db, 2, [Entry(at, one) for at, one in enumerate(envelopes, 1)], GENESIS_HEAD)
    assert [len(replica.author.overdue(reader.db, relay, at_once=True)) for relay in RELAYS] == [1, 0]


def test_what_waited_for_its_key_is_given_to_the_relay_that_did_not_show_it() -> None:
    """One relay brings what is sealed under a new epoch, the other one its keys: that alone is given the entries."""
    family = Family()
    reader, replica = knows_two(family)
    family.founder.replicas[1].rotate(family.founder.db)
    envelopes = [*family.founder.sends(), *written(family, "a")]
    replica.incoming(reader.db, 2, [Entry(at, one) for at, one in enumerate(envelopes, 1)], GENESIS_HEAD)
    assert (reader.count("locked"), reader.count("lacking")) == (2, 0)
    family.give_keys(reader)
    assert (reader.count("locked"), reader.count("record"), reader.count("shown")) == (0, 1, 0)
    assert [len(replica.author.overdue(reader.db, relay, at_once=True)) for relay in RELAYS] == [2, 0]


def test_what_was_parked_before_a_relay_was_known_is_given_to_it() -> None:
    """An entry waits where one relay keeps the space; another one, new, brings what it waited for, and lacks it."""
    family = Family()
    reader = family.other
    reader.replicas[1].relays.kept.add(1)
    envelopes = written(family, "a", "b")
    reader.receives(envelopes[1:])
    reader, replica = knows_two(family)
    replica.incoming(reader.db, 2, [Entry(1, envelopes[0])], GENESIS_HEAD)
    assert [len(replica.author.overdue(reader.db, relay, at_once=True)) for relay in RELAYS] == [1, 1]
    assert reader.count("shown") == 0


def test_a_relay_that_was_emptied_is_given_what_was_parked() -> None:
    """Where one relay alone keeps the space: an entry waits that its lost store had, and the new one has not."""
    family = Family()
    reader, replica = family.other, family.other.replicas[1]
    replica.relays.kept.add(1)
    for one in replica.author.unacknowledged(reader.db, 1):
        replica.author.acknowledged(reader.db, 1, one, None)
    envelopes = written(family, "a", "b")
    reader.receives(envelopes[1:])
    replica.resume(reader.db, 1, bytes([1]) * 32)
    replica.incoming(reader.db, 1, [Entry(1, envelopes[0])], GENESIS_HEAD)
    (row,) = reader.db.execute("SELECT max(n) FROM entry").fetchone()
    assert row in [one.entry for one in replica.author.unacknowledged(reader.db, 1)] and reader.count("shown") == 0


@pytest.mark.parametrize("pages", [[[1], [0]], [[1, 0]], [[0], [1]]])
@pytest.mark.parametrize("alone", [False, True])
def test_what_is_refused_after_it_waited_leaves_nothing_behind(pages: list[list[int]], alone: bool) -> None:
    """Where an entry was seen is forgotten once it is taken in, or set aside with what it follows."""
    family = Family()
    reader, replica = knows_two(family)
    (sound,), refused = written(family, "a"), refused_after(family)
    for page in pages:
        reader.receives([refused[at] for at in page])
    assert reader.count("parked") == reader.count("shown") == 2
    if alone:
        replica.relays.kept.discard(2)
    reader.receives([sound])
    assert (reader.count("parked"), reader.count("shown"), reader.count("quarantine")) == (0, 0, 2)


@pytest.mark.parametrize("pages", [[[2], [1], [0]], [[2, 1], [0]], [[0, 2, 1]]])
def test_what_is_refused_where_it_is_met_leaves_nothing_behind(pages: list[list[int]]) -> None:
    """What waited behind it, in the same page or an earlier one, is set aside with it."""
    family = Family()
    reader, _ = knows_two(family)
    envelopes = written(family, "a") + refused_after(family)
    for page in pages:
        reader.receives([envelopes[at] for at in page])
    assert (reader.count("parked"), reader.count("shown"), reader.count("quarantine")) == (0, 0, 2)


def test_what_is_said_of_a_checkpoint_goes_to_each_relay() -> None:
    """A manifest, vouch or announcement that is made for one relay is sealed for the other in the same transaction."""
    writer = Writer()
    for relay in RELAYS:
        writer.connect(relay)
        writer.follow(relay)
        writer.work()
        while writer.way[relay]:
            writer.acknowledge(relay)
    said, _ = writer.replica.author.say(writer.db, 1, Item(MANIFEST, "", "", msgspec.msgpack.encode(manifest(1))))
    assert writer.replica.relays.owes(2)
    assert [one.entry for one in writer.replica.author.outgoing(writer.db, 2)] == [said.entry]


def come_back(reader: Home, replica: Replica) -> list[int]:
    """The second relay is kept again, and read to its end; the rows of what it is given."""
    replica.relays.kept.add(2)
    replica.resume(reader.db, 2, bytes(32))
    assert 2 in replica.relays.reseeding
    return [one.entry for one in replica.author.unacknowledged(reader.db, 2)]


@pytest.mark.parametrize("again", [False, True])
def test_a_relay_that_was_let_go_of_is_given_what_came_meanwhile(again: bool) -> None:
    """Once it is kept again: what another relay brought is nowhere else noted as lacking there. Begun anew or not."""
    family = Family()
    reader, replica = knows_two(family)
    replica.relays.kept.discard(2)
    replica.relays.end(2)
    envelopes = written(family, "a", "b", "c")
    for envelope in envelopes[:2]:
        reader.receives([envelope])
    if again:
        replica = reader.open_again(1)
        replica.relays.kept.add(1)
    reader.receives(envelopes[2:])
    (last,) = reader.db.execute("SELECT max(n) FROM entry").fetchone()
    assert come_back(reader, replica) == [last - 2, last - 1, last]


def test_a_relay_that_was_let_go_of_is_not_given_what_it_shows() -> None:
    """It was brought some of it by others meanwhile: that is not sent to it again, nor what it had before."""
    family = Family()
    reader, replica = knows_two(family)
    replica.relays.kept.discard(2)
    envelopes = written(family, "a", "b")
    reader.receives(envelopes)
    replica.relays.kept.add(2)
    replica.resume(reader.db, 2, bytes(32))
    replica.incoming(reader.db, 2, [Entry(1, envelopes[0])], GENESIS_HEAD)
    (last,) = reader.db.execute("SELECT max(n) FROM entry").fetchone()
    assert [one.entry for one in replica.author.unacknowledged(reader.db, 2)] == [last]


def test_a_relay_that_is_let_go_of_twice_is_given_what_came_both_times() -> None:
    """The links to be kept are the same as the first time: it is noted all the same."""
    family = Family()
    reader, replica = knows_two(family)
    for name in ("a", "b"):
        replica.relays.kept.discard(2)
        replica.relays.end(2)
        reader.receives(written(family, name))
        (last,) = reader.db.execute("SELECT max(n) FROM entry").fetchone()
        assert come_back(reader, replica) == [last]
        for one in replica.author.unacknowledged(reader.db, 2):
            replica.author.acknowledged(reader.db, 2, one, None)
    assert reader.count("lacking") == reader.count("sealed") == 0


def test_it_is_noted_anew_what_a_relay_misses_where_that_was_undone() -> None:
    """A transaction that took something in is rolled back: what comes then is the first that the relay misses."""
    family = Family()
    reader, replica = knows_two(family)
    replica.relays.kept.discard(2)
    envelopes = written(family, "a")
    reader.db.execute("BEGIN IMMEDIATE")
    reader.receives(envelopes)
    reader.db.execute("ROLLBACK")
    reader.records.forget()
    replica.forget()
    reader.receives(envelopes)
    (last,) = reader.db.execute("SELECT max(n) FROM entry").fetchone()
    assert come_back(reader, replica) == [last]

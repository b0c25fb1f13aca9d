"""One space at two relays: each gets every entry, whatever happens, and what came from one goes to the other."""

from collections import deque
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.records.store import RecordStore
from chez.store.database import Connection
from chez.sync.entry import MANIFEST, Item
from chez.sync.outbox import waiting_spaces
from chez.sync.replica import Replica
from chez.sync.sealed import Sealed
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.frames import Entry
from tests.checkpoints.test_order import manifest
from tests.simulation.household import household
from tests.sync.test_hearing import Family, Home

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
            made[first] = self.replica.outgoing(self.db, first)
        waiting = waiting_spaces(self.db, self.me)
        for relay in sorted(self.sealing):
            if 1 in waiting or self.replica.relays.owes(relay):
                made[relay] = made.get(relay, []) + self.replica.outgoing(self.db, relay)
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
        sealed = self.replica.unacknowledged(self.db, relay)
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
            self.replica.acknowledged(self.db, relay, one, None)
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


@settings(max_examples=100)
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


def brought_by_one(family: Family) -> tuple[Home, Replica, bytes]:
    """A device that knows two relays, of which one brought an entry of another device: its envelope comes along."""
    reader = family.other
    reader.db.execute("INSERT INTO relay (n, url) VALUES (2, 'ws://other.test:8787')")
    replica = reader.replicas[1]
    replica.relays.kept |= set(RELAYS)
    replica.resume(reader.db, 2, bytes(32))
    for relay in RELAYS:
        for one in replica.unacknowledged(reader.db, relay):
            replica.acknowledged(reader.db, relay, one, None)
    family.founder.records.put(family.founder.db, 1, "notes", "a", {"x": 1})
    (envelope,) = family.founder.sends()
    reader.receives([envelope])
    return reader, replica, envelope


def test_what_one_relay_brought_is_given_to_the_other_at_the_second_look() -> None:
    """An entry of another device, which only one relay shows: after two looks it is sealed for the other, once."""
    family = Family()
    reader, replica, _ = brought_by_one(family)
    assert [replica.overdue(reader.db, relay) for relay in RELAYS] == [[], []]
    assert replica.overdue(reader.db, 1) == []
    (late,) = replica.overdue(reader.db, 2)
    assert replica.overdue(reader.db, 2) == []
    replica.acknowledged(reader.db, 2, late, None)
    assert reader.count("lacking") == reader.count("sealed") == 0


def test_who_waits_for_it_has_what_one_relay_brought_given_to_the_other_at_once() -> None:
    """At the first look, when that is asked for: all that the other relay lacks is sealed for it, once."""
    reader, replica, _ = brought_by_one(Family())
    assert replica.overdue(reader.db, 1, at_once=True) == []
    (late,) = replica.overdue(reader.db, 2, at_once=True)
    assert replica.overdue(reader.db, 2, at_once=True) == replica.overdue(reader.db, 2) == []
    replica.acknowledged(reader.db, 2, late, None)
    assert reader.count("lacking") == reader.count("sealed") == 0


def test_what_the_other_relay_shows_in_time_is_not_given_to_it() -> None:
    """The author's own copy arrives there between two looks: nothing is sent."""
    family = Family()
    reader, replica, envelope = brought_by_one(family)
    assert replica.overdue(reader.db, 2) == []
    replica.incoming(reader.db, 2, [Entry(1, envelope)], GENESIS_HEAD)
    assert replica.overdue(reader.db, 2) == []


def test_what_was_parked_is_given_to_the_relays_that_did_not_show_it() -> None:
    """One relay brings the second entry, the other one the first: each is given what it lacks, and nothing else."""
    family = Family()
    reader = family.other
    reader.db.execute("INSERT INTO relay (n, url) VALUES (2, 'ws://other.test:8787')")
    replica = reader.replicas[1]
    replica.relays.kept |= set(RELAYS)
    replica.resume(reader.db, 2, bytes(32))
    for relay in RELAYS:
        for one in replica.unacknowledged(reader.db, relay):
            replica.acknowledged(reader.db, relay, one, None)
    envelopes = []
    for name in ("a", "b"):
        family.founder.records.put(family.founder.db, 1, "notes", name, {"x": 1})
        envelopes += family.founder.sends()
    reader.receives(envelopes[1:])
    assert (reader.count("parked"), reader.count("shown"), reader.count("lacking")) == (1, 1, 0)
    replica.incoming(reader.db, 2, [Entry(1, envelopes[0])], GENESIS_HEAD)
    assert (reader.count("parked"), reader.count("shown"), reader.count("lacking")) == (0, 0, 2)
    given = {relay: replica.overdue(reader.db, relay, at_once=True) for relay in RELAYS}
    sequences = {relay: [reader.db.execute("SELECT sequence FROM entry WHERE n = ?", (one.entry,)).fetchone()[0]
                         for one in found] for relay, found in given.items()}
    assert len(sequences[1]) == len(sequences[2]) == 1 and sequences[2][0] == sequences[1][0] + 1


def test_what_is_said_of_a_checkpoint_goes_to_each_relay() -> None:
    """A manifest, vouch or announcement that is made for one relay is sealed for the other in the same transaction."""
    writer = Writer()
    for relay in RELAYS:
        writer.connect(relay)
        writer.follow(relay)
        writer.work()
        while writer.way[relay]:
            writer.acknowledge(relay)
    said, _ = writer.replica.say(writer.db, 1, Item(MANIFEST, "", "", msgspec.msgpack.encode(manifest(1))))
    assert writer.replica.relays.owes(2)
    assert [one.entry for one in writer.replica.outgoing(writer.db, 2)] == [said.entry]

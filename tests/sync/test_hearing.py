"""Entries name statements of the members, which may come later, or by another way than the entries of their space."""

from random import Random

import pytest

from chez.home.devices import expel
from chez.records.encode import encode_fields
from chez.records.store import RecordStore
from chez.records.waiting import Budget
from chez.spaces.handover import announce
from chez.spaces.rotation import tag_of
from chez.spaces.space import add_to_space, keep_statement, make_space
from chez.spaces.statements import Kind, Rename, Role, sign_statement
from chez.store.database import Connection
from chez.sync.entry import CHANGE, CHANGES, GENESIS, Inner, Item, seal, sign_entry
from chez.sync.intake import TURN
from chez.sync.replica import Replica
from chez.sync.rotating import sealed_packets
from chez_wire.frames import Entry
from tests.simulation.household import NOW, Member, household

RELAY = 1


class Home:
    """A device's store, with a replica of each of its spaces."""

    def __init__(self, family: "Family", member: Member) -> None:
        self.family, self.member = family, member
        self.db: Connection = family.house.store(member, bytes(32))
        self.records = RecordStore(member.keys.id)
        self.replicas: dict[int, Replica] = {}
        self.open(1)

    def open(self, n: int) -> Replica:
        """As a home does with a space that its store has, or has more of."""
        if n in self.replicas:
            self.replicas[n].hear()
        else:
            self.replicas[n] = self.family.house.replica(self.member, self.db, self.family.random, self.records, n)
            self.replicas[n].resume(self.db, RELAY, bytes(32))
        return self.replicas[n]

    def open_again(self, n: int) -> Replica:
        """As when a home is closed and opened: what was in memory alone is gone."""
        del self.replicas[n]
        return self.open(n)

    def sends(self, n: int = 1) -> list[bytes]:
        """The envelopes of what waits in a space, in their order."""
        return [one.envelope for one in self.replicas[n].author.outgoing(self.db, RELAY)]

    def receives(self, envelopes: list[bytes], n: int = 1) -> None:
        """Take these in, in a space; others that they tell of are opened."""
        (before,) = self.db.execute("SELECT position FROM cursor WHERE space = ? AND relay = ?", (n, RELAY)).fetchone()
        page = [Entry(before + at, envelope) for at, envelope in enumerate(envelopes, 1)]
        for found in self.replicas[n].incoming(self.db, RELAY, page, bytes(32)).spaces:
            self.open(found)

    def count(self, table: str) -> int:
        """Rows of a table."""
        found: int = self.db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return found


class Family:
    """Two devices of a person with one space beside the private one; `other` has all that `founder` sent (`log`)."""

    def __init__(self) -> None:
        self.random = Random(7)
        self.house = household(self.random)
        self.founder = Home(self, self.house.founder)
        spaces = [replica.space for replica in self.founder.replicas.values()]
        member = self.house.admit(self.founder.db, spaces, self.house.founder, self.house.candidate(self.random), "b")
        self.other = Home(self, member)
        self.shared = self.founder.open(make_space(
            self.founder.db, self.founder.replicas[1].space, self.house.founder.keys, "shared", Kind.SHARED,
            self.random.randbytes)).space.n
        self.log = {n: self.founder.sends(n) for n in (1, self.shared)}
        self._give(self.other)

    def _give(self, home: Home) -> Home:
        """All that the founder has sent so far."""
        for n, envelopes in self.log.items():
            home.receives(envelopes, n)
        return home

    def third(self) -> Home:
        """Another device that knows what the two know of each other, as they do of it."""
        member = self.newcomer()
        for n, before in self.log.items():
            new = self.founder.sends(n)
            self.other.receives(new, n)
            before += new
        return self._give(Home(self, member))

    def give_keys(self, home: Home) -> None:
        """A home takes its packet with the keys of the founder's newest epoch from a relay."""
        space, signer = self.founder.replicas[1].space, self.founder.member.keys.signing
        boxes = {packet.tag: packet.box for packet in sealed_packets(space, signer, self.random.randbytes)}
        home.replicas[1].take_packet(home.db, RELAY, boxes[tag_of(space.id, home.member.keys.sealing.public)])

    def newcomer(self) -> Member:
        """The founder lets a third device in, in both spaces."""
        spaces = [replica.space for replica in self.founder.replicas.values()]
        return self.house.admit(self.founder.db, spaces, self.house.founder, self.house.candidate(self.random), "c")


def rename(home: Home, n: int) -> None:
    """A statement about a space that nobody else has."""
    space = home.replicas[n].space
    keep_statement(home.db, n, space.membership, sign_statement(
        Rename(space.id, space.membership.named_heads, home.member.keys.id, "renamed"), home.member.keys.signing))


@pytest.mark.parametrize("way", ["offered", "copied"])
def test_a_statement_that_another_space_told_of_wakes_what_waits_for_it(way: str) -> None:
    """An entry names a certificate that comes in the private space first: it is taken in then, not kept for ever.

    So is one that is sealed by keys which come there.
    """
    family = Family()
    other = family.other
    if way == "offered":  # with keys of which no other space told yet
        family.founder.replicas[family.shared].rotate(family.founder.db)
    newcomer = family.newcomer()
    space = family.founder.replicas[family.shared].space
    change = Item(CHANGE, "notes", "a", encode_fields(newcomer.keys.id, 1, 1, (), {"x": 1}).bytes)
    entry = sign_entry(Inner(1, space.id, newcomer.keys.id, 1, GENESIS, NOW, CHANGES, [change],
                             space.membership.named_heads, None), newcomer.keys.signing)
    envelope = seal(entry.packed, space.handle, space.epoch, bytes(24))
    other.receives([envelope], family.shared)
    assert (other.count("parked" if way == "copied" else "locked"), other.count("record")) == (1, 0)
    replica = other.replicas[family.shared]
    other.receives(family.founder.sends())
    if way == "copied":  # when it connects again
        replica.resume(other.db, RELAY, bytes(32))
    assert replica.left
    replica.go_on(other.db, Budget(TURN))
    assert (other.count("parked"), other.count("locked"), other.count("record"), replica.left) == (0, 0, 1, False)


def test_what_waited_for_its_key_and_fails_is_reported_though_its_relay_has_another_store() -> None:
    """An altered entry, and one that breaks a rule, have no place in the log that there is now; the rest goes on."""
    family = Family()
    founder, other, n = family.founder, family.other, family.shared
    founder.replicas[n].rotate(founder.db)
    started = founder.sends(n)
    founder.records.put(founder.db, n, "notes", "a", {"x": 1})
    (written,) = founder.sends(n)
    space, stranger = founder.replicas[n].space, family.newcomer().keys
    foreign = Item(CHANGE, "notes", "b", encode_fields(founder.member.keys.id, 1, 1, (), {"x": 1}).bytes)
    broken = sign_entry(Inner(1, space.id, stranger.id, 1, GENESIS, NOW, CHANGES, [foreign],
                              space.membership.named_heads, None), stranger.signing)
    other.receives([*started, written, written[:-1] + bytes((written[-1] ^ 1,)),
                    seal(broken.packed, space.handle, space.epoch, bytes(24))], n)
    replica = other.replicas[n]
    replica.resume(other.db, RELAY, b"1" * 32)
    other.receives(founder.sends())
    replica.go_on(other.db, Budget(TURN))
    assert sorted(other.db.execute("SELECT relay, position, reason FROM quarantine")) == [
        (None, None, "the entry carries a change in another device's name"),
        (None, None, "the entry was altered on its way")]
    assert other.db.execute("SELECT id, json FROM record").fetchall() == [("a", '{"x":1}')]


def test_who_names_a_statement_says_it() -> None:
    """A device that heard of a statement elsewhere says it before what names it: whoever said it may be lost."""
    family = Family()
    founder, other = family.founder, family.other
    third = family.third()
    rename(founder, family.shared)  # which never leaves in an entry of the shared space
    founder.db.execute("UPDATE epoch SET announced = 0")  # as a device does that was restored
    announce(founder.db)
    other.receives(founder.sends())
    assert other.replicas[family.shared].go_on(other.db, Budget(TURN)).left is False
    other.records.put(other.db, family.shared, "notes", "a", {"x": 1})
    third.receives(other.sends(family.shared), family.shared)
    assert (third.count("parked"), third.count("record")) == (0, 1)
    assert third.replicas[family.shared].space.membership.state.name == "renamed"


def test_a_newcomer_says_its_own_certificate() -> None:
    """The device that let it in may be lost before it says so: what the newcomer writes is taken in all the same."""
    family = Family()
    newcomer = Home(family, family.newcomer())
    newcomer.records.put(newcomer.db, 1, "notes", "a", {"x": 1})
    family.other.receives(newcomer.sends())
    assert (family.other.count("parked"), family.other.count("record")) == (0, 1)


def test_what_the_log_has_is_not_said_again() -> None:
    """A device that comes in reads first: of what it was given at pairing it says only what is not there yet."""
    family = Family()
    newcomer = Home(family, family.newcomer())
    assert newcomer.replicas[1].relays.reseeding
    newcomer.receives(family.log[1])
    newcomer.receives(family.founder.sends())
    assert newcomer.sends() == [] and newcomer.replicas[1].author.unacknowledged(newcomer.db, RELAY) == []
    newcomer.replicas[1].resume(newcomer.db, RELAY, bytes(32))
    assert not newcomer.replicas[1].relays.reseeding


def test_who_was_interrupted_reads_on_before_it_says_anything() -> None:
    """A connection that ends while the log is read for the first time changes nothing of that."""
    family = Family()
    newcomer = Home(family, family.newcomer())
    newcomer.receives(family.log[1][:1])
    assert newcomer.db.execute("SELECT count(*) FROM statement WHERE sent = 0").fetchone() != (0,)
    newcomer.replicas[1].resume(newcomer.db, RELAY, bytes(32))
    assert newcomer.replicas[1].relays.reseeding


def test_who_was_taken_out_by_the_word_in_one_space_is_out_of_all() -> None:
    """That a device was taken out is heard in a shared space first: it is out of the private one too, and that said.

    Once: heard there as well it is said no more.
    """
    family = Family()
    founder, other = family.founder, family.other
    third = family.third().member.keys.id
    expel(other.db, [replica.space for replica in other.replicas.values()], other.member.keys, family.house.person,
          third, {third})
    founder.receives(other.sends(family.shared), family.shared)
    said = founder.sends()
    assert founder.replicas[1].space.membership.state.right(third) is None and len(said) == 1
    founder.receives(other.sends())
    assert founder.sends() == []


@pytest.mark.parametrize("apart", [True, False])
def test_who_was_taken_out_says_so_to_those_who_cannot_have_heard(apart: bool) -> None:
    """A device lets in another, which takes it out; a third, apart, starts an epoch, and knows of neither.

    Only the one that is out knows all of it, and says it once. Where it was taken out under the epoch
    that the relay has, it says nothing more.
    """
    family = Family()
    founder, other = family.founder, family.other
    spaces = [replica.space for replica in other.replicas.values()]
    newcomer = Home(family, family.house.admit(other.db, spaces, other.member, family.house.candidate(family.random),
                                               "c"))
    if apart:
        founder.replicas[1].rotate(founder.db)
    at = founder.replicas[1].space.epoch
    expel(newcomer.db, [newcomer.replicas[1].space], newcomer.member.keys, family.house.person, other.member.keys.id,
          set())
    rename(newcomer, 1)  # what is said there since changes nothing
    replica = other.replicas[1]
    for home in (founder, newcomer):
        add_to_space(other.db, 1, home.replicas[1].space.membership.statements, [at], sent=True)
    replica.hear()
    replica.access.let_in(other.db, RELAY, at)
    replica.caught_up(other.db, RELAY, 0)
    said = other.sends()
    assert len(said) == apart
    founder.receives(said)
    state = founder.replicas[1].space.membership.state
    assert state.right(newcomer.member.keys.id) == (Role.OWNER if apart else None)
    assert (state.right(other.member.keys.id) is None) == apart
    replica.caught_up(other.db, RELAY, 0)
    assert other.sends() == []

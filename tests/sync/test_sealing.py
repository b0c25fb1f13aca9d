"""What is sealed for a relay, and forgotten when another epoch is sealed under: it arrives all the same, and once."""

import pytest

from chez.keys.epochs import Epoch
from chez.spaces.rotation import packets_for, tag_of
from chez.spaces.space import add_to_space, keep_statement, load_space
from chez.spaces.statements import Role, SetRole, Signed, sign_statement
from chez.sync.entry import STATEMENT, read_signed, unseal
from chez.sync.rotating import take_packet
from chez.sync.sealed import sealed_for
from chez_wire.frames import Entry
from tests.sync.test_hearing import RELAY, Family, Home
from tests.sync.test_offers import taken_out


@pytest.mark.parametrize("arrived", [False, True])
def test_an_entry_that_was_refused_is_sent_again_though_a_later_one_arrived(arrived: bool) -> None:
    """A relay whose keys were replaced has the removal, and not what was written before it: that is sent in its turn.

    Unless it arrived after all, sealed as it was before.
    """
    family = Family()
    founder = family.founder
    replica, db = founder.replicas[1], founder.db
    for one in sealed_for(db, 1, RELAY):
        replica.author.acknowledged(db, RELAY, one, None)
    founder.records.put(db, 1, "notes", "a", {"x": 1})
    (written,) = replica.author.outgoing(db, RELAY)
    taken_out(family)
    (removal,) = replica.author.outgoing(db, RELAY)
    replica.rotate(db)
    (started,) = replica.author.outgoing(db, RELAY)
    replica.author.acknowledged(db, RELAY, removal, None)
    if arrived:
        replica.author.acknowledged(db, RELAY, written, None)
    replica.resume(db, RELAY, bytes(32))
    assert bool(replica.relays.reseeding) is not arrived  # first it is read whether the relay has it
    waiting = replica.author.unacknowledged(db, RELAY)
    assert [one.entry for one in waiting] == [one.entry for one in (written, started) if one is started or not arrived]
    for one in waiting:
        assert one.epoch == replica.space.epoch.id
        replica.author.acknowledged(db, RELAY, one, None)
    assert replica.author.unacknowledged(db, RELAY) == []


def test_what_waits_is_sealed_anew_where_another_device_starts_an_epoch() -> None:
    """Who was taken out with that reads nothing of what was written here before this device heard of it."""
    family = Family()
    founder, other = family.founder, family.other
    replica, db = other.replicas[1], other.db
    for one in replica.author.unacknowledged(db, RELAY):
        replica.author.acknowledged(db, RELAY, one, None)
    other.records.put(db, 1, "notes", "a", {"x": 1})
    (before,) = replica.author.outgoing(db, RELAY)
    founder.replicas[1].rotate(founder.db)
    family.give_keys(other)
    other.receives(founder.sends())
    waiting = replica.author.unacknowledged(db, RELAY)
    assert before.epoch != founder.replicas[1].space.epoch.id
    assert [(one.entry, one.epoch) for one in waiting] == [(before.entry, founder.replicas[1].space.epoch.id)]


def test_a_packet_adds_to_the_keys_that_are_here_and_replaces_none() -> None:
    """A box is from nobody: it brings an owner's seeds to who has the epoch's secret, and no other secret for that."""
    family = Family()
    founder, other = family.founder.replicas[1], family.other
    founder.rotate(family.founder.db)
    epoch, replica, device = founder.space.epoch, other.replicas[1], other.member.keys

    def take(given: Epoch) -> bool:
        boxes = {one.tag: one.box for one in packets_for(founder.space.id, founder.space.membership.state, given,
                                                         family.founder.member.keys.signing, family.random.randbytes)}
        box = boxes[tag_of(founder.space.id, device.sealing.public)]
        return take_packet(other.db, replica.space, box, device, None) is not None

    def known() -> list[Epoch]:
        return [replica.space.epochs[epoch.id], load_space(other.db, 1).epochs[epoch.id]]

    bare = Epoch(epoch.id, epoch.number, epoch.secret, None)
    assert take(bare) and known() == [bare, bare]
    assert not take(Epoch(epoch.id, epoch.number, bytes(32), epoch.append_seed, epoch.admin_seed))
    assert known() == [bare, bare]
    assert take(epoch) and known() == [epoch, epoch]
    assert take(bare) and known() == [epoch, epoch]


def test_a_packet_that_names_what_is_no_epoch_breaks_nothing() -> None:
    """An owner puts one there under the name of a statement that everybody knows: others can start an epoch all the
    same, without that owner, and its keys are not kept.
    """
    family = Family()
    founder, other = family.founder.replicas[1], family.other
    replica = other.replicas[1]
    forged = Epoch(founder.space.id, 7, bytes(32), None)
    boxes = {one.tag: one.box for one in packets_for(founder.space.id, founder.space.membership.state, forged,
                                                     family.founder.member.keys.signing, family.random.randbytes)}
    replica.take_packet(other.db, RELAY, boxes[tag_of(founder.space.id, other.member.keys.sealing.public)])
    family.founder.records.put(family.founder.db, 1, "notes", "a", {"x": 1})
    other.receives(family.founder.sends())
    replica.rotate(other.db)
    assert replica.space.epoch.number == 2 and other.count("record") == 1
    assert forged.id not in load_space(other.db, 1).epochs and other.count("epoch") == 3  # of two spaces


def test_a_late_acknowledgement_concerns_the_entry_that_was_sent() -> None:
    """Forgotten while under way, an entry is acknowledged: what was sealed after it waits for a word of its own."""
    family = Family()
    replica, db = family.founder.replicas[1], family.founder.db
    for one in sealed_for(db, 1, RELAY):
        replica.author.acknowledged(db, RELAY, one, None)
    family.founder.records.put(db, 1, "notes", "a", {"x": 1})
    (written,) = replica.author.outgoing(db, RELAY)
    replica.rotate(db)
    (started,) = replica.author.outgoing(db, RELAY)
    replica.author.acknowledged(db, RELAY, written, None)
    assert sealed_for(db, 1, RELAY) == [started]


@pytest.mark.parametrize("first", ["nobody", "before", "at once"])
def test_who_is_an_owner_no_more_seals_under_what_the_others_have(first: str) -> None:
    """An owner starts epochs apart and gives its role up; another's, known to that or not, was first at the relay.

    Then all that waits is sealed under that one, and read. If nobody was first, the relay gets the owner's own.
    """
    family = Family()
    founder, other, n = family.founder, family.other, family.shared
    replica, db = founder.replicas[n], founder.db
    for one in sealed_for(db, n, RELAY):
        replica.author.acknowledged(db, RELAY, one, None)
    at = replica.space.epoch
    founder.records.put(db, n, "notes", "a", {"x": 1})
    replica.author.outgoing(db, RELAY)
    for _ in range(2):
        replica.rotate(db)
    replica.author.outgoing(db, RELAY)
    if first != "nobody":
        other.replicas[n].rotate(other.db)
        at = other.replicas[n].space.epoch
    known = other.replicas[n].space.membership.statements
    for before in (True, False):
        if before == (first == "before"):
            add_to_space(db, n, known, [at], sent=True)
            replica.hear()
            replica.refresh(db)
        if before:
            space, keys = replica.space, founder.member.keys
            keep_statement(db, n, space.membership, sign_statement(
                SetRole(space.id, space.membership.named_heads, keys.id, family.house.person, Role.WRITER, []),
                keys.signing))
            own = space.epoch
    assert own.number == 3
    replica.access.let_in(db, RELAY, at)
    waiting = replica.author.unacknowledged(db, RELAY)
    *work, ends = [one.epoch for one in waiting]
    assert ends == at.id and set(work) == {own.id if first == "nobody" else at.id} and len(work) == 3
    for one in waiting:
        replica.author.acknowledged(db, RELAY, one, None)
    waits, made = replica.rotation(db, RELAY, at)
    assert not waits and (made is not None) == (first == "nobody")
    if first != "nobody":
        other.receives([one.envelope for one in waiting], n)
        assert other.count("locked") == other.count("parked") == other.count("quarantine") == 0
        assert other.db.execute("SELECT json FROM record WHERE id = 'a'").fetchone() == ('{"x":1}',)


def test_a_relay_that_lacks_how_an_epoch_began_is_told_by_who_brings_its_keys() -> None:
    """A newcomer has that from another relay alone, where it waits for what it follows: it says it once more first."""
    family = Family()
    founder = family.founder
    founder.records.put(founder.db, 1, "notes", "a", {"x": 1})
    founder.sends()
    at = founder.replicas[1].space.epoch
    founder.replicas[1].rotate(founder.db)
    (started,) = founder.sends()
    third = Home(family, family.newcomer())
    replica = third.replicas[1]
    third.db.execute("INSERT INTO relay (n, url) VALUES (2, 'ws://other.test:8787')")
    replica.relays.kept |= {1, 2}
    third.receives([*family.log[1], started])  # and not yet what was written before
    replica.resume(third.db, 2, bytes(32))
    replica.incoming(third.db, 2, [Entry(n, one) for n, one in enumerate(family.log[1], 1)], bytes(32))
    for one in replica.author.outgoing(third.db, 2):  # how it was let in itself
        replica.author.acknowledged(third.db, 2, one, None)
    assert third.count("parked") == 1
    assert replica.rotation(third.db, 2, at)[0]
    told = replica.author.outgoing(third.db, 2)
    assert told and replica.rotation(third.db, 2, at)[0]  # they are under way
    said = [item.data for one in told for item in read_signed(unseal(
        one.envelope, replica.space.handle, replica.space.epochs)).inner.items if item.kind == STATEMENT]
    assert replica.access.current.id in {Signed.kept(one).hash for one in said}
    for one in told:
        replica.author.acknowledged(third.db, 2, one, None)
    waits, made = replica.rotation(third.db, 2, at)
    assert not waits and made is not None

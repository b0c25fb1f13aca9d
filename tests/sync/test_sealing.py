"""What is sealed for a relay, and forgotten when another epoch is sealed under: it arrives all the same, and once."""

import pytest

from chez.sync.sealed import sealed_for
from tests.sync.test_hearing import RELAY, Family
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
        replica.acknowledged(db, RELAY, one, None)
    founder.records.put(db, 1, "notes", "a", {"x": 1})
    (written,) = replica.outgoing(db, RELAY)
    taken_out(family)
    (removal,) = replica.outgoing(db, RELAY)
    replica.rotate(db)
    (started,) = replica.outgoing(db, RELAY)
    replica.acknowledged(db, RELAY, removal, None)
    if arrived:
        replica.acknowledged(db, RELAY, written, None)
    replica.resume(db, RELAY, bytes(32))
    assert bool(replica.relays.reseeding) is not arrived  # first it is read whether the relay has it
    waiting = replica.unacknowledged(db, RELAY)
    assert [one.entry for one in waiting] == [one.entry for one in (written, started) if one is started or not arrived]
    for one in waiting:
        assert one.epoch == replica.space.epoch.id
        replica.acknowledged(db, RELAY, one, None)
    assert replica.unacknowledged(db, RELAY) == []


def test_a_late_acknowledgement_concerns_the_entry_that_was_sent() -> None:
    """Forgotten while under way, an entry is acknowledged: what was sealed after it waits for a word of its own."""
    family = Family()
    replica, db = family.founder.replicas[1], family.founder.db
    for one in sealed_for(db, 1, RELAY):
        replica.acknowledged(db, RELAY, one, None)
    family.founder.records.put(db, 1, "notes", "a", {"x": 1})
    (written,) = replica.outgoing(db, RELAY)
    replica.rotate(db)
    (started,) = replica.outgoing(db, RELAY)
    replica.acknowledged(db, RELAY, written, None)
    assert sealed_for(db, 1, RELAY) == [started]

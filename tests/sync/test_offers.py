"""Spaces that a device of the person tells of, which has no right to by what is said of it at the same time."""

from chez.home.devices import expel
from chez.records.waiting import Budget
from chez.spaces.space import load_space, make_space
from chez.spaces.statements import Kind, Role
from chez.sync.intake import TURN
from tests.sync.test_hearing import RELAY, Family, Home


def test_a_space_that_a_thief_made_and_offers_does_no_harm() -> None:
    """A stolen device lets in another, which makes a space: the home has it, opens again, and locks the thief out."""
    family = Family()
    founder, stolen = family.founder, family.other
    spaces = [replica.space for replica in founder.replicas.values()]
    expel(founder.db, spaces, founder.member.keys, family.house.person, stolen.member.keys.id,
          {stolen.member.keys.id})
    member = family.house.admit(stolen.db, [replica.space for replica in stolen.replicas.values()], stolen.member,
                                family.house.candidate(family.random), "thief")
    thief = Home(family, member)
    made = thief.open(make_space(thief.db, thief.replicas[1].space, member.keys, "mine", Kind.SHARED,
                                 family.random.randbytes))
    founder.receives([*stolen.sends(), *thief.sends()])  # before the relay has the keys of the new epoch
    (n,) = founder.db.execute("SELECT n FROM space WHERE id = ?", (made.space.id,)).fetchone()
    assert load_space(founder.db, n).name == "mine"
    replica = founder.replicas[n]
    state = replica.space.membership.state
    assert state.right(founder.member.keys.id) is Role.OWNER and state.right(member.keys.id) is None
    assert state.rotation_owed
    replica.resume(founder.db, RELAY, bytes(32))
    replica.caught_up(founder.db, RELAY, 0)
    assert not replica.space.membership.state.rotation_owed and replica.space.epoch.number == 2
    assert replica.go_on(founder.db, Budget(TURN)).left is False

"""Spaces that a device of the person tells of, which has no right to by what is said of it at the same time."""

import msgspec
import pytest
from msgspec import structs

from chez.errors import BadEntry, InvalidValue
from chez.home.devices import expel
from chez.keys.epochs import Epoch
from chez.records.waiting import Budget
from chez.spaces import handover
from chez.spaces import space as space_module
from chez.spaces.handover import EpochKeys, announce, buried, bury, hand_over, read_offer, take_offer
from chez.spaces.space import add_to_space, keep_statement, load_space, make_space
from chez.spaces.statements import Kind, Move, NewEpoch, Role, Signed, sign_statement
from chez.sync.chains import last_entry
from chez.sync.entry import CHANGES, GONE, SPACE, Inner, Item, seal, sign_entry
from chez.sync.intake import TURN
from chez.sync.moving import move
from tests.simulation.household import NOW
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


def test_a_device_that_offers_more_spaces_than_a_home_may_have_fills_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the limit is set aside with the reason, the rest of what the device says goes on; nor is one made
    here beyond it; what is here already is told of as ever."""
    family = Family()
    founder, other = family.founder, family.other
    held = founder.count("space")
    keys = other.member.keys
    for name in ("one", "two", "three"):
        other.open(make_space(other.db, other.replicas[1].space, keys, name, Kind.SHARED, family.random.randbytes))
    monkeypatch.setattr(space_module, "MAX_SPACES", held + 1)
    monkeypatch.setattr(handover, "MAX_SPACES", held + 1)
    founder.receives(other.sends())
    names = [name for (name,) in founder.db.execute("SELECT name FROM space ORDER BY n")]
    assert len(names) == held + 1 and set(names) & {"one", "two", "three"}
    reasons = [reason for (reason,) in founder.db.execute("SELECT reason FROM quarantine")]
    assert len(reasons) == 2 and all(f"beside the {held + 1} that a home may have" in reason for reason in reasons)
    announce(other.db)
    other.db.execute("UPDATE space SET announce = 1 WHERE name = ?", (names[-1],))
    founder.receives(other.sends())
    assert founder.count("quarantine") == 2
    (space,) = other.db.execute("SELECT id FROM space WHERE name = ?", (names[-1],)).fetchone()
    bury(other.db, space, keys.id, deleted=True, told=False)
    founder.receives([one.envelope for one in other.open_again(1).author.outgoing(other.db, RELAY)])
    assert founder.count("quarantine") == 2 and buried(founder.db, space)
    with pytest.raises(InvalidValue, match=f"this home has {held + 1} spaces") as refused:
        make_space(founder.db, founder.replicas[1].space, founder.member.keys, "more", Kind.SHARED,
                   family.random.randbytes)
    assert "forget" in refused.value.hint


def taken_out(family: Family) -> None:
    """The founder takes the other device out, and sends nothing of it yet."""
    spaces = [replica.space for replica in family.founder.replicas.values()]
    expel(family.founder.db, spaces, family.founder.member.keys, family.house.person,
          family.other.member.keys.id, set())


@pytest.mark.parametrize("backdated", [False, True])
def test_a_device_that_was_taken_out_deletes_nothing(backdated: bool) -> None:
    """What a thief deletes before the relay has new keys stays here, and comes back when it is offered again.

    So it does where it says so beside an entry that the removal accepted, under a number that is not beyond that.
    """
    family = Family()
    founder, thief = family.founder, family.other
    space = founder.replicas[family.shared].space.id
    sent = thief.sends()
    if backdated:
        thief.db.execute("BEGIN")
        thief.records.put(thief.db, 1, "notes", "a", {"x": 1})
        sent += thief.sends()
        thief.db.execute("ROLLBACK")
        thief.records.forget()
    founder.receives(sent)
    taken_out(family)
    bury(thief.db, space, thief.member.keys.id, deleted=True, told=False)
    (deletion,) = thief.open_again(1).author.outgoing(thief.db, RELAY)
    founder.receives([deletion.envelope])
    assert bool(founder.count("branch")) is backdated and founder.count("quarantine") == 0
    assert founder.count("gone") == 0 and not buried(founder.db, space)


NO_OFFERS = {
    "deletes the private space": lambda replica: Item(GONE, "", "", replica.space.id),
    "deletes half a space": lambda replica: Item(GONE, "", "", bytes(31)),
    "tells of another private space": lambda replica: Item(SPACE, "", "", msgspec.msgpack.encode(
        hand_over(replica.space, "ws://elsewhere.test"))),
    "tells of nothing": lambda replica: Item(SPACE, "", "", b"\xc1"),
}


@pytest.mark.parametrize("said", NO_OFFERS)
def test_what_no_device_says_of_a_space_is_refused(said: str) -> None:
    """A stolen device deletes or moves a person's private space, which is theirs for good: it is set aside, as any."""
    family = Family()
    founder, thief = family.founder, family.other
    replica, keys = thief.replicas[1], thief.member.keys
    founder.receives(thief.sends())
    sequence, previous, _ = last_entry(thief.db, 1, keys.id)
    entry = sign_entry(Inner(1, replica.space.id, keys.id, sequence + 1, previous, NOW, CHANGES,
                             [NO_OFFERS[said](replica)], replica.space.membership.named_heads, None), keys.signing)
    founder.receives([seal(entry.packed, replica.space.handle, replica.space.epoch, bytes(24))])
    assert [founder.count(table) for table in ("quarantine", "set_aside", "gone", "space")] == [1, 1, 0, 2]
    assert load_space(founder.db, 1).relay is None


def test_keys_that_nobody_told_of_keep_no_device_from_being_let_in() -> None:
    """A relay put a packet there with an epoch that it made up: who pairs is not handed that, for it checks all.

    Nor does it take a space whose beginning is left out, of which it could check nothing.
    """
    family = Family()
    space = family.founder.replicas[1].space
    made_up = Epoch(bytes([7]) * 32, 2, bytes(32), None)
    space.epochs = {**space.epochs, made_up.id: made_up}
    given = hand_over(space, "", whole=True)
    _, _, epochs = given.check()
    assert made_up.id in {one.id for one in hand_over(space, "").epochs}
    assert epochs == [one for one in space.epochs.values() if one is not made_up]
    for statements in ([], [raw for raw in given.statements if isinstance(Signed.read(raw).body, NewEpoch)]):
        with pytest.raises(BadEntry, match="without its beginning"):
            structs.replace(given, statements=statements).check()
    with pytest.raises(BadEntry, match="without keys"):
        structs.replace(given, epochs=[]).check()
    with pytest.raises(BadEntry, match="not those"):
        structs.replace(given, epochs=[*given.epochs, EpochKeys.of(made_up)]).check()


def test_a_device_that_was_taken_out_leads_no_space_to_another_relay() -> None:
    """A thief tells of the space as it was before its own move, which is void: the space stays at its relay."""
    family = Family()
    founder, thief = family.founder, family.other
    taken_out(family)
    replica = thief.replicas[family.shared]
    epoch = replica.space.epoch.id

    def say(admin: bytes) -> None:
        keep_statement(thief.db, family.shared, replica.space.membership, sign_statement(
            Move(replica.space.id, replica.space.membership.named_heads, thief.member.keys.id, admin),
            thief.member.keys.signing))

    move(thief.db, replica.space, thief.member.keys, family.random.randbytes, say)
    assert replica.space.epoch.id != epoch
    thief.db.execute("UPDATE space SET relay = 'wss://thief.example' WHERE n = ?", (family.shared,))
    announce(thief.db)
    founder.receives(thief.sends())
    assert founder.db.execute("SELECT relay FROM space WHERE n = ?", (family.shared,)).fetchone() == (None,)


@pytest.mark.parametrize(("why", "believed"), [
    ("", True), ("taken out", False), ("let in since", False), ("began an epoch itself", True)])
def test_that_its_persons_part_has_ended_a_device_hears_from_another_that_may_know(why: str, believed: bool) -> None:
    """From one that was not taken out, as long as no key is here that the other one had not when it said so."""
    family = Family()
    founder, other = family.founder, family.other
    third = Home(family, family.newcomer())  # which the other has not heard of
    for space, before in family.log.items():
        before += founder.sends(space)
        third.receives(before, space)
    (n,) = third.db.execute("SELECT n FROM space WHERE name = 'shared'").fetchone()
    if why == "taken out":
        taken_out(family)
        third.receives(founder.sends())
    other.db.execute("UPDATE space SET farewell = 1, told_by = ?, announce = 1 WHERE n = ?",
                     (founder.member.keys.id, family.shared))
    said = other.open_again(1).author.outgoing(other.db, RELAY)
    if why == "let in since":  # by an epoch that was started by who knows nothing of this device
        other.db.execute("UPDATE space SET farewell = 0")
        shared = other.open_again(family.shared)
        shared.rotate(other.db)
        add_to_space(third.db, n, shared.space.membership.statements, [shared.space.epoch], sent=True)
    if why == "began an epoch itself":  # and told nobody: that says nothing of others
        third.open_again(n).rotate(third.db)
    third.receives([one.envelope for one in said])
    founder.receives([one.envelope for one in said])
    for home, row, told in ((third, n, believed), (founder, family.shared, False)):  # which has a packet of each epoch
        found = home.db.execute("SELECT farewell, told_by FROM space WHERE n = ?", (row,)).fetchone()
        assert found == ((1, founder.member.keys.id) if told else (0, None)) and home.count("quarantine") == 0


@pytest.mark.parametrize("new", [False, True])
def test_that_its_person_is_in_again_a_device_hears_by_new_keys(new: bool) -> None:
    """Which another device has, that heard of no end: what was told before the person was let in again is over."""
    family = Family()
    founder, other = family.founder, family.other
    founder.db.execute("UPDATE space SET farewell = 1, told_by = ? WHERE n = ?", (bytes(32), family.shared))
    if new:
        other.open_again(family.shared).rotate(other.db)
    other.db.execute("UPDATE space SET announce = 1 WHERE n = ?", (family.shared,))
    founder.receives([one.envelope for one in other.open_again(1).author.outgoing(other.db, RELAY)])
    assert founder.db.execute("SELECT farewell FROM space WHERE n = ?", (family.shared,)).fetchone() == (int(not new),)
    assert founder.count("quarantine") == 0


def test_what_was_deleted_before_the_device_was_taken_out_is_gone() -> None:
    """A deletion that the removal accepts counts, for who reads both later too."""
    family = Family()
    founder, other = family.founder, family.other
    third = family.third()
    space = founder.replicas[family.shared].space.id
    bury(other.db, space, other.member.keys.id, deleted=True, told=False)
    sent = other.sends()
    founder.receives(sent)
    assert buried(founder.db, space)
    taken_out(family)
    third.receives([*founder.sends(), *sent])
    assert buried(third.db, space)


@pytest.mark.parametrize(("deleted", "inside", "comes"), [
    (True, True, False), (False, True, True), (False, False, False)])
def test_a_space_that_was_deleted_does_not_come_back_by_a_device_that_has_not_heard(
        deleted: bool, inside: bool, comes: bool) -> None:
    """One that was only left does, where the person is in again."""
    family = Family()
    db, space = family.founder.db, family.other.replicas[family.shared].space
    if not inside:
        db.execute("UPDATE meta SET value = ? WHERE key = 'person'", (bytes(32),))
    bury(db, space.id, family.founder.member.keys.id, deleted=deleted, told=True)
    offer = read_offer(msgspec.msgpack.encode(hand_over(space, "")))
    assert (take_offer(db, offer, family.founder.member.keys.id) is not None) is comes


def test_a_devicetaken_out_has_no_part_in_a_space_that_was_not_known_then() -> None:
    """It had made a space, of which the others hear after its removal: what it writes there later does not count.

    Not even dated back, to before anybody had said in that space that it is out.
    """
    family = Family()
    founder, stolen = family.founder, family.other
    made = stolen.open(make_space(stolen.db, stolen.replicas[1].space, stolen.member.keys, "trip", Kind.SHARED,
                                  family.random.randbytes)).space.n
    stolen.records.put(stolen.db, made, "notes", "before", {"x": 1})
    offer, log = stolen.sends(), stolen.sends(made)
    taken_out(family)
    founder.receives(offer)
    (n,) = founder.db.execute("SELECT n FROM space WHERE name = 'trip'").fetchone()
    founder.receives(log, n)
    replica = founder.replicas[n]
    replica.caught_up(founder.db, RELAY, len(log))
    assert stolen.member.keys.id in replica.space.membership.state.retired
    assert not replica.space.membership.state.rotation_owed
    stolen.records.put(stolen.db, made, "notes", "after", {"x": 2})
    founder.receives(stolen.sends(made), n)
    assert founder.db.execute("SELECT id FROM record WHERE space = ? AND deleted = 0", (n,)).fetchall() == [
        ("before",)]
    said = founder.count("statement")
    replica.caught_up(founder.db, RELAY, len(log) + 1)
    assert founder.count("statement") == said


def test_nothing_is_said_of_devices_that_were_out_before_the_space_began() -> None:
    """Of a device that never had a part in a space, for its person came later, no word is said there."""
    family = Family()
    founder = family.founder
    taken_out(family)
    n = founder.open(make_space(founder.db, founder.replicas[1].space, founder.member.keys, "trip", Kind.SHARED,
                                family.random.randbytes)).space.n
    replica = founder.replicas[n]
    said = founder.count("statement")
    replica.caught_up(founder.db, RELAY, 0)
    assert founder.count("statement") == said and replica.space.epoch.number == 1

"""However much somebody says at once, what others' rights rest on is named, and heard."""

from chez.keys.device import DeviceKeys
from chez.spaces.statements import MAX_HEADS, Role, Signed
from tests.spaces.people import seed
from tests.spaces.table import Table


def test_no_crowd_of_void_words_keeps_a_removal_from_being_known() -> None:
    """Who is taken out says more at the same time than can be named: a removal and what it rests on is named first."""
    table = Table()
    bob, heads = table.by(table.bob), table.heads
    renamed = table.by(table.carol).rename(heads, "their name")
    crowd = [bob.rename([renamed.hash], f"name {n}") for n in range(2 * MAX_HEADS)]
    removed = table.by(table.alice).remove(heads, table.bob.id)
    membership = table.members([renamed, removed, *crowd])
    named = membership.named_heads
    assert len(named) == MAX_HEADS < len(membership.heads)
    assert named[:2] == sorted([removed.hash, renamed.hash])
    epoch = table.by(table.alice).epoch(named, 1, [])
    assert not table.members([renamed, removed, *crowd, epoch]).state.rotation_owed


def test_no_crowd_of_words_that_stand_keeps_others_from_being_heard() -> None:
    """A reader says more of its own devices than can be named: what others' rights rest on is named all the same, and
    a few statements later nothing is left out."""
    table = Table()
    erik, log = table.erik, [table.logs[table.erik.id][0]]
    crowd = [erik.certify(log, 1, erik.devices[0].signing, seed(n)) for n in range(3 * MAX_HEADS)]
    membership = table.members(crowd)
    assert len(membership.heads) > 3 * MAX_HEADS
    for person, role in ((table.alice, Role.OWNER), (table.bob, Role.OWNER), (table.dora, Role.WRITER)):
        assert membership.right(person.devices[0].id, membership.named_heads).role is role
    said = []
    for _ in range(4):
        said.append(table.by(table.bob).set_role(membership.named_heads, table.dora.id, Role(len(said) % 2)))
        membership.add([Signed.read(said[-1].raw)])
    assert not {one.hash for one in said} & {one.hash for one, _ in membership.void()}
    assert len(membership.heads) <= MAX_HEADS


def test_no_device_says_so_much_of_its_person_that_it_cannot_be_taken_out() -> None:
    """A thief's device builds on what was before another came, more often than can be named: that one expels it."""
    table, count = Table(), 2 * MAX_HEADS
    alice = table.alice
    alice.devices = [*alice.devices[:2],
                     *(DeviceKeys.from_seeds(seed("made", n), seed("seal", n)) for n in range(count))]
    thief, laptop = alice.devices[0].signing, alice.devices[1].signing
    before = table.logs[alice.id]
    came = alice.certify(before, 1, alice.root)
    forks = []
    for n in range(count):
        first = alice.certify(before, 2 + n, thief)
        forks += [first, alice.certify([first.hash], 2 + (n + 1) % count, alice.devices[2 + n].signing, seed("x", n))]
    membership = table.members([came, *forks])
    heads = membership.person_heads(alice.id, laptop.public, thief.public)
    assert len(heads) == MAX_HEADS and came.hash in heads
    gone = Signed.read(alice.expel(heads, thief.public, laptop).raw)
    membership.add([gone])
    assert gone.hash not in {one.hash for one, _ in membership.void()}
    assert thief.public in membership.state.expelled
    assert not any(membership.state.active(device.id) for device in alice.devices[2:])

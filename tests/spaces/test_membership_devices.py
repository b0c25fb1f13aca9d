"""What a person's devices say of each other at the same time: who is one of them, and who never was."""

from itertools import permutations

import pytest

from chez.errors import BadEntry
from chez.spaces.membership import Membership
from chez.spaces.rules import targets_of
from chez.spaces.statements import (
    Certify,
    Create,
    Cut,
    Expel,
    Kind,
    Retire,
    Role,
    Signed,
    commitment_of,
    consent,
    sign_statement,
)
from tests.spaces.people import ZEROS, Author, Person, seed
from tests.spaces.table import Table, second, without


def test_expelled_device_says_nothing_new_and_what_it_had_said_stays() -> None:
    """Retired in a space, a device's statements that the retirement knew stay, what it says meanwhile is void."""
    table = Table()
    phone = second(table, table.bob)
    before = table.by(table.bob).set_role(table.heads, table.dora.id, Role.READER)
    meanwhile = table.by(table.bob).set_role([before.hash], table.erik.id, Role.OWNER)
    expel = table.bob.expel([phone.hash], table.bob.devices[0].id, table.bob.devices[1].signing, [phone.hash])
    retire = table.by(table.bob, 1).retire([before.hash, expel.hash], Cut(table.bob.devices[0].id, 4, ZEROS))
    assert table.roles(phone, before, meanwhile, expel, retire) == without(dora=Role.READER)
    membership = table.members([phone, before, meanwhile, expel, retire])
    assert set(membership.devices) == {person.devices[0].id for person in (table.alice, table.carol, table.dora,
                                                                           table.erik)} | {table.bob.devices[1].id}
    assert membership.state.rotation_owed


def test_a_thief_lets_nobody_in() -> None:
    """A device that the expelled one certifies at the same time never counts, nor what that one says."""
    table = Table()
    bob = table.bob
    phone = second(table, bob)
    thief = bob.certify([phone.hash], 2, bob.devices[0].signing)
    takeover = table.by(bob, 2).set_role([*table.heads, thief.hash], table.erik.id, Role.OWNER)
    expel = bob.expel([phone.hash], bob.devices[0].id, bob.devices[1].signing, [phone.hash])
    membership = table.members([phone, thief, takeover, expel])
    assert membership.state.members[table.erik.id].role is Role.READER
    assert bob.devices[2].id not in membership.devices


@pytest.mark.parametrize("root", [False, True])
def test_a_space_that_a_thief_made_is_its_persons(root: bool) -> None:
    """A device that never was one makes a space of its person's: it stays, without the device, a rotation is owed."""
    alice = Person("alice")
    enrol = alice.enrol()
    phone = alice.certify([enrol.hash], 0, alice.root)
    stolen = alice.certify([phone.hash], 1, alice.root)
    thief = alice.certify([stolen.hash], 2, alice.devices[1].signing)
    made = sign_statement(Create([thief.hash], alice.devices[2].id, alice.id, Kind.SHARED, seed("first admin"), ZEROS,
                                 "mine"), alice.devices[2].signing)
    by = Author(made.hash, alice.devices[2].signing)
    first = by.epoch([made.hash], 1, [])
    second = by.epoch([first.hash], 2, [first.hash])
    expel = alice.expel([stolen.hash], alice.devices[1].id, alice.root if root else alice.devices[0].signing)
    found = []
    for order in permutations((thief, made, first, second, expel)):
        membership = Membership(made.hash)
        membership.add([enrol, phone, stolen, *order])
        found.append(membership.state)
        assert membership.state == found[0]
        assert {one.hash for one, _ in membership.void()} == {thief.hash, second.hash}
    assert set(found[0].devices) == {alice.devices[0].id} and found[0].role(alice.id) is Role.OWNER
    assert found[0].epoch_heads == {first.hash} and found[0].rotation_owed


def test_devices_let_in_by_the_expelled_one_go_unless_kept() -> None:
    """An expulsion takes along the devices that the expelled one had let in, except those it names."""
    table = Table()
    bob = table.bob
    phone = second(table, bob)
    tablet = bob.certify([phone.hash], 2, bob.devices[0].signing)
    keeping = bob.expel([tablet.hash], bob.devices[0].id, bob.devices[1].signing, [phone.hash])
    membership = table.members([phone, tablet, keeping])
    assert [device.id in membership.devices for device in bob.devices] == [False, True, False]


def test_two_devices_expel_each_other_and_the_root_prevails() -> None:
    """Both go; and the root's expulsion of one makes void what that one said against the other."""
    table = Table()
    bob = table.bob
    phone = second(table, bob)
    one = bob.expel([phone.hash], bob.devices[0].id, bob.devices[1].signing, [phone.hash])
    two = bob.expel([phone.hash], bob.devices[1].id, bob.devices[0].signing, [table.logs[bob.id][0]])
    gone = table.members([phone, one, two])
    assert [device.id in gone.devices for device in bob.devices[:2]] == [False, False]
    root = bob.expel([phone.hash], bob.devices[0].id, bob.root, [phone.hash])
    kept = table.members([phone, two, root])
    assert [device.id in kept.devices for device in bob.devices[:2]] == [False, True]


def test_an_expelled_device_never_returns() -> None:
    """A certificate for a device that was expelled is void, whoever signs it."""
    table = Table()
    bob = table.bob
    phone = second(table, bob)
    expel = bob.expel([phone.hash], bob.devices[1].id, bob.devices[0].signing)
    again = bob.certify([expel.hash], 1, bob.root)
    assert bob.devices[1].id not in table.members([phone, expel, again]).devices
    meanwhile = bob.certify([phone.hash], 1, bob.root)
    assert bob.devices[1].id not in table.members([phone, expel, meanwhile]).devices


def test_nobody_claims_anothers_device() -> None:
    """A certificate without the device's own consent to this person, and to this sealing key, is no statement."""
    bob, mallory = Person("bob"), Person("mallory")
    device, salt = bob.devices[0], seed("bob", 0, "salt")
    own, other = device.sealing.public, mallory.devices[0].sealing.public
    word = consent(device.signing, commitment_of(bob.id, salt), own)
    for person, sealing, said in ((mallory, own, word), (mallory, own, bytes(64)), (bob, other, word)):
        enrol = person.enrol()
        claimed = sign_statement(Certify(person.id, [enrol.hash], person.id, device.id, sealing, "x", salt, said),
                                 person.root)
        with pytest.raises(BadEntry):
            Signed.read(claimed.raw)


def test_a_member_retires_only_its_own_expelled_devices() -> None:
    """An owner can't retire somebody else's device, nor anybody one that its person did not expel."""
    table = Table()
    cut = Cut(table.dora.devices[0].id, 0, ZEROS)
    for author in (table.by(table.alice), table.by(table.dora)):
        said = sign_statement(Retire(table.space, table.heads, author.key.public, cut), author.key)
        membership = table.members([said])
        assert table.dora.devices[0].id in membership.devices and [one for one, _ in membership.void()] == [said]


def test_an_expulsion_is_judged_in_one_pass_over_the_certificates() -> None:
    """Whoever hands over a long chain of devices, named so that each is found last, costs nobody more than its length.
    """
    table, looks = Table(), 0

    class Looked(dict[bytes, Certify]):
        def items(self):  # type: ignore[no-untyped-def]
            nonlocal looks
            looks += 1
            return super().items()

    root, devices = table.alice.root, [seed("chain", n) for n in range(60)]

    def certificate(device: bytes, issuer: bytes) -> Certify:
        return Certify(table.alice.id, [ZEROS], issuer, device, ZEROS, "d", ZEROS, bytes(64))

    chain = {device: Looked({device: certificate(device, above)})
             for above, device in zip([root.public, *devices], devices, strict=False)}
    targets = targets_of(Expel(table.alice.id, [ZEROS], root.public, devices[0], []), dict(reversed(chain.items())))
    assert targets == set(devices)
    assert looks <= 2 * len(devices)

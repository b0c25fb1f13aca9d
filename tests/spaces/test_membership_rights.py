"""What nobody may say of others, and what of an author counts whose right something took at the same time."""

import pytest

from chez.spaces.membership import Membership
from chez.spaces.statements import Create, Cut, Kind, Role, sign_statement
from tests.spaces.people import ZEROS, Author, Person, begin, seed


class Space:
    """Alice's space of two devices of hers, with Bob and Carol, each of one device."""

    def __init__(self, bob: Role = Role.WRITER) -> None:
        self.alice, self.bob, self.carol = (Person(name) for name in ("alice", "bob", "carol"))
        first = begin(self.alice)
        self.id = first[-1].hash
        self.members = Membership(self.id)
        self.second = self.alice.certify([first[1].hash], 1, self.alice.devices[0].signing)
        self.members.add([*first, self.second])
        for person in (self.bob, self.carol):
            enrol = person.enrol()
            self.members.add([enrol, person.certify([enrol.hash], 0, person.root)])
        self.owner, self.other = (Author(self.id, one.devices[0].signing) for one in (self.alice, self.bob))
        self.members.add([self.owner.add(self.heads, self.bob.id, bob)])
        self.members.add([self.owner.add(self.heads, self.carol.id, Role.READER)])

    @property
    def heads(self) -> list[bytes]:
        return sorted(self.members.heads)

    def void(self) -> list[str]:
        """Why what takes no effect does not."""
        return [why for _, why in self.members.void()]


def test_no_space_is_made_in_anothers_name() -> None:
    """A device makes one of which it says that another person owns it: nobody has a part in it."""
    alice, mallory = Person("alice"), Person("mallory")
    log = [alice.enrol(), mallory.enrol()]
    log += [person.certify([enrol.hash], 0, person.root) for person, enrol in zip((alice, mallory), log, strict=True)]
    create = sign_statement(Create([log[2].hash, log[3].hash], mallory.devices[0].id, alice.id, Kind.SHARED,
                                   seed("admin"), ZEROS, "hers"), mallory.devices[0].signing)
    members = Membership(create.hash)
    members.add([*log, create])
    assert [why for _, why in members.void()] == ["its author is no device of the person"]
    assert members.create is None and members.state.role(alice.id) is None


def test_no_device_that_was_taken_out_makes_a_space() -> None:
    """In its person's name, which names that it was: it is no device of the person any more."""
    alice = Person("alice")
    log = [alice.enrol()]
    log.append(alice.certify([log[0].hash], 0, alice.root))
    log.append(alice.certify([log[1].hash], 1, alice.devices[0].signing))
    log.append(alice.expel([log[2].hash], alice.devices[1].id, alice.devices[0].signing))
    create = sign_statement(Create([log[3].hash], alice.devices[1].id, alice.id, Kind.SHARED, seed("admin"), ZEROS,
                                   "a thief's"), alice.devices[1].signing)
    members = Membership(create.hash)
    members.add([*log, create])
    assert [why for _, why in members.void()] == ["its author is no device of the person"]
    assert members.create is None and members.state.role(alice.id) is None


def test_what_is_said_of_a_person_builds_on_that_person_alone() -> None:
    """A certificate that names what is about another, too, is none."""
    space = Space()
    heads = [*space.members.person_heads(space.alice.id), *space.members.person_heads(space.bob.id)]
    space.members.add([space.alice.certify(sorted(heads), 2, space.alice.devices[0].signing)])
    assert space.void() == ["it builds on what is not about its person"]


def test_nobody_retires_another_persons_device() -> None:
    """Alice took hers out; Bob can't say up to where what it wrote counts, nor can anybody before she did."""
    space = Space(bob=Role.OWNER)
    gone = space.alice.devices[1].id
    space.members.add([space.owner.retire(space.heads, Cut(gone, 3, seed("entry")))])
    space.members.add([space.alice.expel(space.members.person_heads(space.alice.id), gone,
                                         space.alice.devices[0].signing)])
    space.members.add([space.other.retire(space.heads, Cut(gone, 0, ZEROS))])
    assert space.void() == ["it retires a device that its person did not expel"] * 2
    assert space.members.cuts(gone) == []


def test_nothing_counts_of_a_device_that_one_let_in_while_it_was_taken_out() -> None:
    """In what the entry names it was Alice's device, and an owner's: its certificate takes no effect."""
    space = Space()
    before, certificates = space.heads, space.members.person_heads(space.alice.id)
    thief = space.alice.certify(certificates, 2, space.alice.devices[1].signing)
    space.members.add([thief])
    known = sorted({*before, thief.hash} - {space.second.hash})
    assert space.members.right(space.alice.devices[2].id, known).cut is None
    space.members.add([space.alice.expel(certificates, space.alice.devices[1].id, space.alice.devices[0].signing)])
    right = space.members.right(space.alice.devices[2].id, known)
    assert (right.role, right.cut) == (Role.OWNER, Cut(space.alice.devices[2].id, 0, ZEROS))


def test_who_is_taken_out_raises_nobody_at_the_same_time() -> None:
    """Two owners: one takes the other out, who makes a reader an owner meanwhile. That is void; a lower role stands."""
    for role, stands in ((Role.OWNER, False), (Role.READER, True)):
        space = Space(bob=Role.OWNER)
        space.members.add([space.owner.set_role(space.heads, space.carol.id, Role.WRITER)])
        heads = space.heads
        space.members.add([space.owner.remove(heads, space.bob.id), space.other.set_role(heads, space.carol.id, role)])
        assert space.members.state.role(space.carol.id) is (role if stands else Role.WRITER)


def test_of_two_ways_in_which_a_right_ended_the_shorter_counts() -> None:
    """A device is retired by its person, which is removed as well: its chain counts up to where both accepted it.

    Of several who removed the person, up to where the one had read who read most.
    """
    space = Space()
    device = space.bob.devices[0].id
    entries = [Cut(device, n, seed("entry", n)) for n in (3, 5, 7)]
    second = space.bob.certify(space.members.person_heads(space.bob.id), 1, space.bob.devices[0].signing)
    space.members.add([second])
    heads = space.heads
    space.members.add([space.bob.expel([second.hash], device, space.bob.devices[1].signing, keep=[second.hash])])
    retired = Author(space.id, space.bob.devices[1].signing).retire(space.heads, entries[0])
    space.members.add([space.owner.remove(heads, space.bob.id, [cut]) for cut in entries[1:]])
    assert space.members.right(device, heads).cut == entries[2]
    space.members.add([retired])
    assert space.void() == [] and space.members.right(device, heads).cut == entries[0]


@pytest.mark.parametrize("root", [False, True])
def test_a_space_stands_whose_maker_was_let_in_by_who_is_taken_out(root: bool) -> None:
    """It is its person's, not the device's: it has its owner, and the epoch that it began with, all the same.

    What else that device said there, which nobody let in by what takes effect, is void.
    """
    alice, bob = Person("alice"), Person("bob")
    log = [alice.enrol()]
    for number, by in ((0, alice.root), (1, alice.devices[0].signing), (2, alice.devices[1].signing)):
        log.append(alice.certify([log[-1].hash], number, by))
    maker = alice.devices[2].signing
    create = sign_statement(Create([log[-1].hash], maker.public, alice.id, Kind.SHARED, seed("admin"), ZEROS, "ours"),
                            maker)
    author, enrol = Author(create.hash, maker), bob.enrol()
    members = Membership(create.hash)
    first = author.epoch([create.hash], 1, [])
    members.add([*log, create, enrol, bob.certify([enrol.hash], 0, bob.root), first])
    members.add([author.add(sorted(members.heads), bob.id, Role.WRITER)])
    assert members.state.role(bob.id) is Role.WRITER
    members.add([alice.expel([log[2].hash], alice.devices[1].id, alice.root if root else alice.devices[0].signing)])
    assert members.create is not None and members.state.role(alice.id) is Role.OWNER
    assert members.epochs.keys() == {first.hash} and members.state.role(bob.id) is None
    assert [members.state.right(one.id) for one in alice.devices] == [Role.OWNER, None, None]


def test_the_root_key_makes_void_what_was_let_in_meanwhile_and_nothing_of_its_own() -> None:
    """A thief with a device of Alice's lets in another, which takes hers and Bob out: her root key undoes all."""
    space = Space()
    certificates = space.members.person_heads(space.alice.id)
    thief = space.alice.devices[2]
    let_in = space.alice.certify(certificates, 2, space.alice.devices[1].signing)
    space.members.add([let_in])
    known = sorted({*space.heads, let_in.hash})
    heads = [let_in.hash]
    robbed = space.alice.expel(heads, space.alice.devices[0].id, thief.signing)
    named = Author(space.id, thief.signing).rename(known, "mine")
    out = Author(space.id, thief.signing).remove(known, space.bob.id)
    new = Person("alice")
    new.devices = [*new.devices[:2], Person("alice's new").devices[0]]
    space.members.add([
        robbed, named, out, space.alice.expel(certificates, space.alice.devices[1].id, space.alice.root),
        space.alice.expel(certificates, thief.id, space.alice.root), new.certify(certificates, 2, space.alice.root)])
    state = space.members.state
    assert state.right(space.alice.devices[0].id) is Role.OWNER and state.right(new.devices[2].id) is Role.OWNER
    assert state.right(thief.id) is None and state.name == "ours" and state.role(space.bob.id) is Role.WRITER


def test_a_retirement_rests_on_an_expulsion_that_takes_effect() -> None:
    """A stolen device takes another out and retires it; the root key makes void that it did: its entries count on."""
    space = Space()
    certificates = space.members.person_heads(space.alice.id)
    honest, stolen = space.alice.devices[0], space.alice.devices[1]
    space.members.add([space.alice.expel(certificates, honest.id, stolen.signing, keep=[space.second.hash])])
    space.members.add([Author(space.id, stolen.signing).retire(space.heads, Cut(honest.id, 0, ZEROS))])
    assert [cut.sequence for cut in space.members.cuts(honest.id)] == [0]
    space.members.add([space.alice.expel(certificates, stolen.id, space.alice.root)])
    assert space.members.cuts(honest.id) == [] and space.members.state.right(honest.id) is Role.OWNER


def test_of_two_roles_that_are_given_at_the_same_time_the_lower_counts() -> None:
    """Whoever hears of both, in whatever order, has the same; nobody has more than each of the two would give."""
    space = Space(bob=Role.OWNER)
    heads = space.heads
    said = [space.owner.set_role(heads, space.carol.id, Role.WRITER),
            space.other.set_role(heads, space.carol.id, Role.OWNER)]
    for order in (said, said[::-1]):
        members = Membership(space.id)
        members.add([*space.members.statements, *order])
        assert members.state.role(space.carol.id) is Role.WRITER
        assert members.right(space.carol.devices[0].id, members.heads).role is Role.WRITER


def test_the_epoch_that_a_space_begins_with_stands_whose_maker_leaves_at_the_same_time() -> None:
    """Whoever is in the space has its keys: there is none before it that they could go back to."""
    alice = Person("alice")
    *log, create = begin(alice)
    author = Author(create.hash, alice.devices[0].signing)
    members = Membership(create.hash)
    first = author.epoch([create.hash], 1, [])
    members.add([*log, create, first, author.remove([create.hash], alice.id)])
    assert members.epochs.keys() == {first.hash} and members.state.role(alice.id) is None

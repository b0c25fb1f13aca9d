"""What nobody may say of others, and what of an author counts whose right something took at the same time."""

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

"""Who wins when things are said at the same time: each row of the table in docs/membership.md."""

from collections.abc import Iterable, Sequence
from itertools import permutations

import pytest

from chez.errors import BadEntry
from chez.keys.device import DeviceKeys
from chez.spaces.membership import Membership, Right
from chez.spaces.rules import targets_of
from chez.spaces.statements import (
    MAX_HEADS,
    MAX_PREVIOUS,
    Certify,
    Create,
    Cut,
    Enrol,
    Expel,
    Invite,
    Kind,
    Move,
    Pick,
    Rename,
    Retire,
    Role,
    Signed,
    commitment_of,
    sign_statement,
)
from tests.spaces.people import ZEROS, Author, Person, begin, seed


class Table:
    """A space of Alice, with Bob and Carol as owners, Dora as a writer and Erik as a reader; one device each."""

    def __init__(self, kind: Kind = Kind.SHARED) -> None:
        self.alice, self.bob, self.carol, self.dora, self.erik = (
            Person(name) for name in ("alice", "bob", "carol", "dora", "erik"))
        self.said = begin(self.alice, kind)
        self.space = self.said[-1].hash
        self.logs: dict[bytes, list[bytes]] = {self.alice.id: [self.said[1].hash]}
        heads = [self.space]
        for person, role in ((self.bob, Role.OWNER), (self.carol, Role.OWNER), (self.dora, Role.WRITER),
                             (self.erik, Role.READER)):
            enrol = person.enrol()
            certify = person.certify([enrol.hash], 0, person.root)
            self.said += [enrol, certify]
            self.logs[person.id] = [certify.hash]
            if kind is not Kind.PRIVATE:
                self.said.append(self.by(self.alice).add([*heads, certify.hash], person.id, role))
                heads = [self.said[-1].hash]
        self.heads = heads

    def by(self, person: Person, number: int = 0) -> Author:
        return Author(self.space, person.devices[number].signing)

    def members(self, statements: Iterable[Signed]) -> Membership:
        """All statements so far and these, which come to the same in any order of arrival."""
        late = list(statements)
        found = []
        for order in permutations(late) if len(late) < 5 else (late, late[::-1]):
            membership = Membership(self.space)
            membership.add([*order, *self.said])
            found.append(membership)
        assert all(one.state == found[0].state and one.heads == found[0].heads for one in found)
        return found[0]

    def roles(self, *statements: Signed) -> dict[str, Role]:
        return {member.name: member.role for member in self.members(statements).state.members.values()}


ALL = {"alice": Role.OWNER, "bob": Role.OWNER, "carol": Role.OWNER, "dora": Role.WRITER, "erik": Role.READER}


def _without(*names: str, **changed: Role) -> dict[str, Role]:
    return {name: changed.get(name, role) for name, role in ALL.items() if name not in names}


def test_two_owners_remove_each_other() -> None:
    """Both go: neither could have known."""
    table = Table()
    assert table.roles(table.by(table.bob).remove(table.heads, table.carol.id),
                       table.by(table.carol).remove(table.heads, table.bob.id)) == _without("bob", "carol")


def test_removed_while_removing_a_third() -> None:
    """Bob removes Carol, who at the same time removes Dora: all of it stands."""
    table = Table()
    assert table.roles(table.by(table.bob).remove(table.heads, table.carol.id),
                       table.by(table.carol).remove(table.heads, table.dora.id)) == _without("carol", "dora")


def test_promote_and_remove() -> None:
    """A removal beats a promotion said at the same time."""
    table = Table()
    assert table.roles(table.by(table.bob).set_role(table.heads, table.dora.id, Role.OWNER),
                       table.by(table.carol).remove(table.heads, table.dora.id)) == _without("dora")


def test_promote_and_demote() -> None:
    """Of two roles given at the same time the lower one counts."""
    table = Table()
    assert table.roles(table.by(table.bob).set_role(table.heads, table.dora.id, Role.OWNER),
                       table.by(table.carol).set_role(table.heads, table.dora.id, Role.READER)) == _without(
                           dora=Role.READER)


def test_two_owners_demote_each_other() -> None:
    """Both are demoted; Alice is still there to put it right."""
    table = Table()
    assert table.roles(table.by(table.bob).set_role(table.heads, table.carol.id, Role.READER),
                       table.by(table.carol).set_role(table.heads, table.bob.id, Role.WRITER)) == _without(
                           carol=Role.READER, bob=Role.WRITER)


def test_whom_a_removed_owner_let_in_at_the_same_time() -> None:
    """What a removed owner granted at the same time is void, and what those whom it let in said."""
    table = Table()
    frank = Person("frank")
    enrol = frank.enrol()
    certify = frank.certify([enrol.hash], 0, frank.root)
    let_in = table.by(table.bob).add([*table.heads, certify.hash], frank.id, Role.OWNER)
    renamed = sign_statement(Rename(table.space, [let_in.hash], frank.devices[0].id, "mine"), frank.devices[0].signing)
    gone = table.by(table.carol).remove(table.heads, table.bob.id)
    assert table.roles(enrol, certify, let_in, renamed) == ALL | {"frank": Role.OWNER}
    membership = table.members([enrol, certify, let_in, renamed, gone])
    assert {member.name for member in membership.state.members.values()} == set(ALL) - {"bob"}
    assert membership.state.name == "ours"
    assert {one.hash for one, _ in membership.void()} == {let_in.hash, renamed.hash}


def test_what_a_removal_knew_stays() -> None:
    """Whom a removed owner let in before stays, for the removal knew of it."""
    table = Table()
    demoted = table.by(table.bob).set_role(table.heads, table.dora.id, Role.READER)
    gone = table.by(table.carol).remove([demoted.hash], table.bob.id)
    assert table.roles(demoted, gone) == _without("bob", dora=Role.READER)


def test_removed_and_added_again() -> None:
    """Who was removed comes back by a word that knows of the removal, and by no other."""
    table = Table()
    gone = table.by(table.carol).remove(table.heads, table.dora.id)
    back = table.by(table.bob).add([gone.hash], table.dora.id, Role.READER)
    assert table.roles(gone, back) == _without(dora=Role.READER)
    second = table.by(table.alice).remove([gone.hash], table.dora.id)  # she is no member there: says nothing
    assert table.roles(gone, back, second) == _without(dora=Role.READER)


def test_leaving_owner_takes_nothing_over() -> None:
    """An owner who removes everybody on its way out is undone by nobody's clock: both it and they are gone, a root
    that owns the space remains."""
    table = Table()
    author = table.by(table.bob)
    takeover = [author.remove(table.heads, person.id) for person in (table.carol, table.dora)]
    gone = table.by(table.alice).remove(table.heads, table.bob.id)
    assert table.roles(*takeover, gone) == _without("bob", "carol", "dora")
    back = table.by(table.alice).add(sorted([one.hash for one in (*takeover, gone)]), table.carol.id, Role.OWNER)
    assert table.roles(*takeover, gone, back)["carol"] == Role.OWNER


@pytest.mark.parametrize(("who", "what"), [
    ("dora", "add"), ("erik", "add"), ("dora", "remove"), ("erik", "remove"), ("dora", "role"), ("erik", "role"),
    ("dora", "epoch"), ("erik", "epoch"), ("dora", "invite"), ("erik", "rename"), ("dora", "pick")])
def test_who_is_no_owner_changes_nothing(who: str, what: str) -> None:
    """A writer or a reader who adds, removes, promotes, rotates, invites, renames or picks is not heeded."""
    table = Table()
    person: Person = getattr(table, who)
    author, key = table.by(person), person.devices[0].signing
    frank = Person("frank").enrol()
    statement = {
        "add": lambda: author.add([*table.heads, frank.hash], frank.issuer, Role.READER),
        "remove": lambda: author.remove(table.heads, table.bob.id),
        "role": lambda: author.set_role(table.heads, person.id, Role.OWNER),
        "epoch": lambda: author.epoch(table.heads, 1, []),
        "invite": lambda: sign_statement(Invite(table.space, table.heads, key.public, ZEROS, Role.OWNER, 1, 0, ZEROS),
                                         key),
        "rename": lambda: sign_statement(Rename(table.space, table.heads, key.public, "mine"), key),
        "pick": lambda: sign_statement(Pick(table.space, table.heads, key.public, Cut(ZEROS, 1, ZEROS)), key),
    }[what]()
    membership = table.members([frank, statement])
    assert {member.name: member.role for member in membership.state.members.values()} == ALL
    assert not (membership.state.epochs or membership.state.invites or membership.state.picks)
    assert [one.hash for one, _ in membership.void()] == [statement.hash]


def test_anybody_may_leave_and_step_down() -> None:
    """A member of any role leaves, or gives up rights, by its own word."""
    table = Table()
    assert table.roles(table.by(table.erik).remove(table.heads, table.erik.id)) == _without("erik")
    assert table.roles(table.by(table.dora).set_role(table.heads, table.dora.id, Role.READER)) == _without(
        dora=Role.READER)


@pytest.mark.parametrize("what", ["leave", "lower", "move"])
def test_a_private_space_keeps_its_owner_and_its_place(what: str) -> None:
    """A thief with one device neither leaves for the person, nor lowers it, nor moves the space from where 24 words
    look for it: the root takes the device out, and what is left is the person's own.
    """
    table = Table(Kind.PRIVATE)
    second = table.alice.certify(table.logs[table.alice.id], 1, table.alice.devices[0].signing)
    thief = table.by(table.alice, 1)
    heads = sorted([*table.heads, second.hash])
    word = {"leave": thief.remove(heads, table.alice.id), "lower": thief.set_role(heads, table.alice.id, Role.READER),
            "move": thief.sign(Move(table.space, heads, thief.key.public, seed("the thief's")))}[what]
    expel = table.alice.expel([second.hash], table.alice.devices[1].id, table.alice.root)
    membership = table.members([second, word, expel])
    assert membership.state.right(table.alice.devices[0].id) is Role.OWNER
    assert membership.state.admins == (seed("first admin"),)
    assert [statement for statement, _ in membership.void()] == [word]


def test_a_private_space_takes_nobody_in() -> None:
    """Nobody is added to a private space, not by its owner either."""
    table = Table(Kind.PRIVATE)
    heads = [table.space, table.logs[table.bob.id][0]]
    assert table.roles(table.by(table.alice).add(heads, table.bob.id, Role.READER)) == {"alice": Role.OWNER}


# --- devices ------------------------------------------------------------------------------


def _second(table: Table, person: Person) -> Signed:
    return person.certify(table.logs[person.id], 1, person.devices[0].signing)


def test_expelled_device_says_nothing_new_and_what_it_had_said_stays() -> None:
    """Retired in a space, a device's statements that the retirement knew stay, what it says meanwhile is void."""
    table = Table()
    phone = _second(table, table.bob)
    before = table.by(table.bob).set_role(table.heads, table.dora.id, Role.READER)
    meanwhile = table.by(table.bob).set_role([before.hash], table.erik.id, Role.OWNER)
    expel = table.bob.expel([phone.hash], table.bob.devices[0].id, table.bob.devices[1].signing, [phone.hash])
    retire = table.by(table.bob, 1).retire([before.hash, expel.hash], Cut(table.bob.devices[0].id, 4, ZEROS))
    assert table.roles(phone, before, meanwhile, expel, retire) == _without(dora=Role.READER)
    membership = table.members([phone, before, meanwhile, expel, retire])
    assert set(membership.devices) == {person.devices[0].id for person in (table.alice, table.carol, table.dora,
                                                                           table.erik)} | {table.bob.devices[1].id}
    assert membership.state.rotation_owed


def test_a_thief_lets_nobody_in() -> None:
    """A device that the expelled one certifies at the same time never counts, nor what that one says."""
    table = Table()
    bob = table.bob
    phone = _second(table, bob)
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
    phone = _second(table, bob)
    tablet = bob.certify([phone.hash], 2, bob.devices[0].signing)
    keeping = bob.expel([tablet.hash], bob.devices[0].id, bob.devices[1].signing, [phone.hash])
    membership = table.members([phone, tablet, keeping])
    assert [device.id in membership.devices for device in bob.devices] == [False, True, False]


def test_two_devices_expel_each_other_and_the_root_prevails() -> None:
    """Both go; and the root's expulsion of one makes void what that one said against the other."""
    table = Table()
    bob = table.bob
    phone = _second(table, bob)
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
    phone = _second(table, bob)
    expel = bob.expel([phone.hash], bob.devices[1].id, bob.devices[0].signing)
    again = bob.certify([expel.hash], 1, bob.root)
    assert bob.devices[1].id not in table.members([phone, expel, again]).devices
    meanwhile = bob.certify([phone.hash], 1, bob.root)
    assert bob.devices[1].id not in table.members([phone, expel, meanwhile]).devices


def test_nobody_claims_anothers_device() -> None:
    """A certificate without the device's own consent to this person is no statement."""
    bob, mallory = Person("bob"), Person("mallory")
    enrol = mallory.enrol()
    device = bob.devices[0]
    salt = seed("bob", 0, "salt")
    for word in (bytes(64), device.signing.sign("chez/1 consent", commitment_of(bob.id, salt))):
        claimed = sign_statement(Certify(mallory.id, [enrol.hash], mallory.id, device.id, device.sealing.public, "x",
                                         salt, word), mallory.root)
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


# --- epochs -------------------------------------------------------------------------------


def test_two_epochs_at_once() -> None:
    """Both stand, and a merge is owed until somebody makes one that follows both."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    one = table.by(table.bob).epoch([first.hash], 2, [first.hash])
    two = table.by(table.carol).epoch([first.hash], 2, [first.hash])
    state = table.members([first, one, two]).state
    assert state.epoch_heads == {one.hash, two.hash} and state.rotation_owed
    merge = table.by(table.alice).epoch(sorted([one.hash, two.hash]), 3, sorted([one.hash, two.hash]))
    state = table.members([first, one, two, merge]).state
    assert state.epoch_heads == {merge.hash} and not state.rotation_owed


def test_a_removal_that_the_epoch_did_not_know_leaves_a_rotation_owed() -> None:
    """A removal and an epoch at the same time: the epoch's keys went to whom was removed, so another is owed."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    rotated = table.by(table.bob).epoch([first.hash], 2, [first.hash])
    removed = table.by(table.carol).remove([first.hash], table.dora.id)
    assert table.members([first, rotated, removed]).state.rotation_owed
    after = table.by(table.bob).epoch([removed.hash, rotated.hash], 3, [rotated.hash])
    assert not table.members([first, rotated, removed, after]).state.rotation_owed


@pytest.mark.parametrize(("number", "follows"), [(1, []), (3, ["first"]), (2, []), (2, ["first", "first"])])
def test_an_epoch_that_does_not_follow_is_void(number: int, follows: Sequence[str]) -> None:
    """A wrong number, no predecessor or one named twice: such an epoch does not count."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    wrong = table.by(table.alice).epoch([first.hash], number, [first.hash for _ in follows])
    assert set(table.members([first, wrong]).state.epochs) == {first.hash}


def test_an_epoch_links_to_older_ones_beside_those_it_follows() -> None:
    """What nothing else leads to may be linked to by any later epoch, under its true number."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    second = table.by(table.alice).epoch([first.hash], 2, [first.hash])
    for number, stands in ((1, True), (2, False)):
        third = table.by(table.alice).epoch([second.hash], 3, [second.hash, first.hash], {first.hash: number})
        assert (third.hash in table.members([first, second, third]).state.epochs) == stands


def test_more_epochs_at_once_than_one_may_link_to_are_followed() -> None:
    """Somebody started more than fit: an epoch with as many links as it may have follows them all, with less none."""
    table = Table()
    first = table.by(table.alice).epoch(table.heads, 1, [])
    renamed = [table.by(table.bob).rename([first.hash], f"name {n}") for n in range(MAX_PREVIOUS + 1)]
    apart = [table.by(table.bob).epoch([one.hash], 2, [first.hash]) for one in renamed]
    heads = sorted(one.hash for one in apart)
    for links, stands in ((MAX_PREVIOUS, True), (MAX_PREVIOUS - 1, False)):
        after = table.by(table.alice).epoch(heads, 3, heads[:links])
        state = table.members([first, *renamed, *apart, after]).state
        assert (state.epoch_heads == {after.hash} and not state.rotation_owed) == stands


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


# --- entries ------------------------------------------------------------------------------


def test_what_an_entry_may_say_and_up_to_where() -> None:
    """An entry counts by what its own heads say of its author, and up to the cut of a removal it did not know."""
    table = Table()
    dora = table.dora.devices[0].id
    cut = Cut(dora, 7, seed("seventh"))
    gone = table.by(table.carol).remove(table.heads, table.dora.id, [cut])
    before = table.members([])
    assert before.right(dora, table.heads) == Right(Role.WRITER)
    assert before.right(table.erik.devices[0].id, table.heads) == Right(Role.READER)
    assert before.right(Person("frank").devices[0].id, table.heads) == Right(None)
    after = table.members([gone])
    assert after.right(dora, table.heads) == Right(Role.WRITER, cut)
    assert after.right(dora, [gone.hash]) == Right(None)
    back = table.by(table.bob).add([gone.hash], table.dora.id, Role.WRITER)
    again = table.members([gone, back])
    assert again.right(dora, [back.hash]) == Right(Role.WRITER)
    assert again.right(dora, table.heads) == Right(Role.WRITER, cut)


def test_of_two_removals_the_one_that_had_seen_more_cuts() -> None:
    """Two owners remove the same person at the same time: what either had accepted counts."""
    table = Table()
    dora = table.dora.devices[0].id
    early, late = Cut(dora, 3, seed(3)), Cut(dora, 9, seed(9))
    membership = table.members([table.by(table.bob).remove(table.heads, table.dora.id, [early]),
                                table.by(table.carol).remove(table.heads, table.dora.id, [late])])
    assert membership.right(dora, table.heads) == Right(Role.WRITER, late)


def test_a_device_that_a_removal_does_not_name_is_cut_at_its_beginning() -> None:
    """A removal that names no entry of a device had seen none of it."""
    table = Table()
    dora = table.dora.devices[0].id
    membership = table.members([table.by(table.bob).remove(table.heads, table.dora.id)])
    assert membership.right(dora, table.heads) == Right(Role.WRITER, Cut(dora, 0, ZEROS))


def test_who_was_let_in_by_a_removed_owner_writes_nothing_that_counts() -> None:
    """Entries of somebody whose admission turned out void count only as far as others build on them."""
    table = Table()
    frank = Person("frank")
    enrol = frank.enrol()
    certify = frank.certify([enrol.hash], 0, frank.root)
    let_in = table.by(table.bob).add([*table.heads, certify.hash], frank.id, Role.WRITER)
    device = frank.devices[0].id
    assert table.members([enrol, certify, let_in]).right(device, [let_in.hash]) == Right(Role.WRITER)
    gone = table.by(table.carol).remove(table.heads, table.bob.id)
    membership = table.members([enrol, certify, let_in, gone])
    assert membership.right(device, [let_in.hash]) == Right(Role.WRITER, Cut(device, 0, ZEROS))


# --- form ---------------------------------------------------------------------------------


def test_statements_of_another_space_and_forged_ones_do_nothing() -> None:
    """A statement about another space, a second Create, and a person's statement that builds on a space are void."""
    table = Table()
    other = Author(seed("another space"), table.alice.devices[0].signing).remove(table.heads, table.bob.id)
    key = table.bob.devices[0].signing
    again = sign_statement(Create(table.logs[table.bob.id], key.public, table.bob.id, Kind.SHARED, ZEROS, ZEROS, "x"),
                           key)
    impure = table.bob.certify([*table.logs[table.bob.id], *table.heads], 1, table.bob.root)
    membership = table.members([other, again, impure])
    assert {one.hash for one, _ in membership.void()} == {other.hash, again.hash, impure.hash}
    assert {member.name: member.role for member in membership.state.members.values()} == ALL


def test_a_root_that_enrols_twice_has_one_recovery_key() -> None:
    """Two first words of a person: the lower nonce counts on every device."""
    table = Table()
    bob = table.bob
    second = sign_statement(Enrol(bob.id, seed("other recovery"), seed("relay"), b"\1" * 32, "bobby"), bob.root)
    state = table.members([second]).state
    assert state.persons[bob.id].recovery == bob.recovery.public


def test_statements_wait_for_what_they_build_on() -> None:
    """A statement whose ground is missing changes nothing until that arrives, whatever else does."""
    table = Table()
    membership = Membership(table.space)
    late = table.by(table.bob).remove(table.heads, table.dora.id)
    assert membership.add([late]) == []
    joined = membership.add(table.said)
    assert {one.hash for one in joined} == {one.hash for one in (*table.said, late)}
    assert not membership.knows([seed("never seen")]) and membership.knows([late.hash])


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

"""Who wins when things are said at the same time, and which entries count then: the table in docs/membership.md."""

import pytest

from chez.spaces.membership import Membership, Right
from chez.spaces.statements import (
    Create,
    Cut,
    Enrol,
    Invite,
    Kind,
    Move,
    Pick,
    Rename,
    Role,
    sign_statement,
)
from tests.spaces.people import ZEROS, Author, Person, seed
from tests.spaces.table import ALL, Table, without


def test_two_owners_remove_each_other() -> None:
    """Both go: neither could have known."""
    table = Table()
    assert table.roles(table.by(table.bob).remove(table.heads, table.carol.id),
                       table.by(table.carol).remove(table.heads, table.bob.id)) == without("bob", "carol")


def test_removed_while_removing_a_third() -> None:
    """Bob removes Carol, who at the same time removes Dora: all of it stands."""
    table = Table()
    assert table.roles(table.by(table.bob).remove(table.heads, table.carol.id),
                       table.by(table.carol).remove(table.heads, table.dora.id)) == without("carol", "dora")


def test_promote_and_remove() -> None:
    """A removal beats a promotion said at the same time."""
    table = Table()
    assert table.roles(table.by(table.bob).set_role(table.heads, table.dora.id, Role.OWNER),
                       table.by(table.carol).remove(table.heads, table.dora.id)) == without("dora")


def test_promote_and_demote() -> None:
    """Of two roles given at the same time the lower one counts."""
    table = Table()
    assert table.roles(table.by(table.bob).set_role(table.heads, table.dora.id, Role.OWNER),
                       table.by(table.carol).set_role(table.heads, table.dora.id, Role.READER)) == without(
                           dora=Role.READER)


def test_two_owners_demote_each_other() -> None:
    """Both are demoted; Alice is still there to put it right."""
    table = Table()
    assert table.roles(table.by(table.bob).set_role(table.heads, table.carol.id, Role.READER),
                       table.by(table.carol).set_role(table.heads, table.bob.id, Role.WRITER)) == without(
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
    assert table.roles(demoted, gone) == without("bob", dora=Role.READER)


def test_removed_and_added_again() -> None:
    """Who was removed comes back by a word that knows of the removal, and by no other."""
    table = Table()
    gone = table.by(table.carol).remove(table.heads, table.dora.id)
    back = table.by(table.bob).add([gone.hash], table.dora.id, Role.READER)
    assert table.roles(gone, back) == without(dora=Role.READER)
    second = table.by(table.alice).remove([gone.hash], table.dora.id)  # she is no member there: says nothing
    assert table.roles(gone, back, second) == without(dora=Role.READER)


def test_leaving_owner_takes_nothing_over() -> None:
    """An owner who removes everybody on its way out is undone by nobody's clock: both it and they are gone, a root
    that owns the space remains."""
    table = Table()
    author = table.by(table.bob)
    takeover = [author.remove(table.heads, person.id) for person in (table.carol, table.dora)]
    gone = table.by(table.alice).remove(table.heads, table.bob.id)
    assert table.roles(*takeover, gone) == without("bob", "carol", "dora")
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
    assert not (membership.state.epochs or membership.state.invites or membership.picks(ZEROS))
    assert [one.hash for one, _ in membership.void()] == [statement.hash]


def test_anybody_may_leave_and_step_down() -> None:
    """A member of any role leaves, or gives up rights, by its own word."""
    table = Table()
    assert table.roles(table.by(table.erik).remove(table.heads, table.erik.id)) == without("erik")
    assert table.roles(table.by(table.dora).set_role(table.heads, table.dora.id, Role.READER)) == without(
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

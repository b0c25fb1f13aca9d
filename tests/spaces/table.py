"""A space of five people, in which a test has them say something at the same time."""

from collections.abc import Iterable
from itertools import permutations

from chez.spaces.membership import Membership
from chez.spaces.statements import Kind, Role, Signed
from tests.spaces.people import Author, Person, begin

__all__ = ("ALL", "Table", "second", "without")


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
        """What one of a person's devices says in the space."""
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
        """Who is a member with these, by name, and as what."""
        return {member.name: member.role for member in self.members(statements).state.members.values()}


ALL = {"alice": Role.OWNER, "bob": Role.OWNER, "carol": Role.OWNER, "dora": Role.WRITER, "erik": Role.READER}
"""The roles that the table begins with."""


def without(*names: str, **changed: Role) -> dict[str, Role]:
    """Roles as the table begins, but for those who are gone and those who have another."""
    return {name: changed.get(name, role) for name, role in ALL.items() if name not in names}


def second(table: Table, person: Person) -> Signed:
    """The word by which a person's first device lets in the second."""
    return person.certify(table.logs[person.id], 1, person.devices[0].signing)

"""Who shares a space, and what its owners say about that.

Each step is one transaction: the statements, the new epoch where somebody's keys change,
which entries count from then on, and the receipt. It is in effect on this device when it
returns; the relay and the others hear of it with the next sync.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.held import Held, HeldSpaces
from chez.keys.device import DeviceKeys
from chez.spaces.card import Card
from chez.spaces.link import SpaceLink
from chez.spaces.space import SpaceKeys, keep_statement
from chez.spaces.statements import MAX_HEADS, Add, Role, Signed, SpaceBody, sign_statement
from chez.store.database import Connection, Database

__all__ = ("Member", "RoleName", "Sharing")

RoleName = Literal["owner", "writer", "reader"]
"""What a member may do: each may do what those after it may. An owner says who belongs, a writer writes."""

_ROLES: Final = {role.name.lower(): role for role in Role}


@dataclass(frozen=True, slots=True)
class Member:
    """A person who shares a space: by which name, in which role, with which devices.

    The name is what the person calls itself, which proves nothing. `own` says that it is the
    person whose home this is.
    """

    id: bytes = field(repr=False)
    name: str
    role: RoleName
    devices: tuple[str, ...]
    own: bool


class Sharing:
    """The members of one space: what `Space` says of them, and lets an owner say."""

    def __init__(self, database: Database, spaces: HeldSpaces, held: Held, device: DeviceKeys, person: bytes) -> None:
        self._database = database
        self._spaces = spaces
        self._held = held
        self._device = device
        self._person = person

    async def members(self) -> list[Member]:
        """Everybody who shares the space; see `Space.members`."""
        return await self._database.read(self._members)

    async def add(self, card: Card, role: RoleName, invite: bytes) -> Member:
        """Let somebody in; see `Space.add`."""
        return await self._database.write(lambda db: self.admit(db, card, role, invite))

    def link(self, relay: str | None) -> str:
        """The space link; see `Space.link`."""
        space = self._space
        if relay is None:
            raise NotFound("this space is at no relay, so there is nothing to link to",
                           "Set the home's relay: `chez relay URL`.")
        if space.private:
            raise _private()
        return SpaceLink(space.id, space.handle, relay, space.name).text

    # --- in the database's thread -----------------------------------------------------------

    def admit(self, db: Connection, card: Card, role: RoleName, invite: bytes = b"") -> Member:
        """Let the person of a card in, in an open transaction. Raises `NotAllowed`, `InvalidValue`.

        `invite` is the hash of the invitation that the person came by, or empty.
        """
        given = _role_named(role)
        self._held.replica.refresh(db)
        self._must_own("lets somebody in")
        membership = self._space.membership
        if card.person == self._person:
            raise NotAllowed("this is your own card", "Give it to others; add theirs.")
        if membership.state.role(card.person) is not None:
            raise NotAllowed(f"{card.name!r} is a member already", "`set_role` gives another role.")
        for statement in self._known(card):
            keep_statement(db, self._space.n, membership, statement)
        if not any(True for _ in membership.state.devices_of(card.person)):
            raise InvalidValue(f"{card.name!r} took out every device that the card names", "Ask for a new card.")
        about = membership.person_heads(card.person)
        others = [head for head in membership.named_heads if head not in about]
        self._say(db, Add(self._space.id, [*about, *others][:MAX_HEADS], self._device.id, card.person, given, invite))
        self._held.replica.rotate(db)
        self._held.replica.recount(db)
        self._receipt(db, "member-added", card.person, {"role": role})
        return next(member for member in self._members(db) if member.id == card.person)

    def _known(self, card: Card) -> Iterator[Signed]:
        """What the card and the spaces that are here say of its person: a card may be older than what they do."""
        said = set()
        logs = (held.space.membership.person_log(card.person) for held in list(self._spaces.all.values()))
        for log in (card.statements, *logs):
            for statement in log:
                if statement.hash not in said:
                    said.add(statement.hash)
                    yield statement

    @property
    def _space(self) -> SpaceKeys:
        return self._held.space

    def _members(self, db: Connection) -> list[Member]:
        self._held.replica.refresh(db)
        state = self._space.membership.state
        found = [Member(member.person, member.name, _role_name(member.role),
                        tuple(sorted(device.name for device in state.devices_of(member.person))),
                        member.person == self._person) for member in state.members.values()]
        return sorted(found, key=lambda one: (-_ROLES[one.role], not one.own, one.name, one.id))

    def _must_own(self, what: str) -> None:
        """Refuse who is no owner, before anything is said. `what` an owner does ("lets somebody in")."""
        if self._space.private:
            raise _private()
        right = self._space.membership.state.right(self._device.id)
        if self._held.replica.removed or right is None:
            raise NotAllowed("you are no member of this space any more", "An owner of it can add you again.")
        if right is not Role.OWNER:
            raise NotAllowed(f"only an owner {what}, and you are a {right.name.lower()}", "Ask an owner of the space.")

    def _say(self, db: Connection, body: SpaceBody) -> None:
        """Sign a statement and keep it. Raises `NotAllowed` when it takes no effect."""
        membership = self._space.membership
        statement = sign_statement(body, self._device.signing)
        keep_statement(db, self._space.n, membership, statement)
        why = next((reason for one, reason in membership.void() if one.hash == statement.hash), None)
        if why is not None:
            raise NotAllowed(f"this can't be said here: {why}", "Sync first: somebody may have changed it.")

    def _receipt(self, db: Connection, kind: str, person: bytes, body: dict[str, str]) -> None:
        name = self._space.membership.state.persons[person].name
        self._held.engine.receipt(db, kind, {"person": person.hex(), "name": name, **body})


def _role_named(role: str) -> Role:
    """The role of a name. Raises `InvalidValue`."""
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidValue(f"there is no role {role!r}", "A member is an owner, a writer or a reader.")
    return _ROLES[role]


def _role_name(role: Role) -> RoleName:
    names: dict[Role, RoleName] = {Role.OWNER: "owner", Role.WRITER: "writer", Role.READER: "reader"}
    return names[role]


def _private() -> NotAllowed:
    return NotAllowed("the private space is yours alone", "Make one to share: `chez space create NAME`.")

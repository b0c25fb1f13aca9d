"""Who shares a space, and what its owners say about that.

Each step is one transaction: the statements, the new epoch where somebody's keys change,
which entries count from then on, and the receipt. It is in effect on this device when it
returns; the relay and the others hear of it with the next sync.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from chez import crypto
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.held import LEAST_PREFIX, Held, HeldSpaces
from chez.keys.device import DeviceKeys
from chez.spaces.card import Card
from chez.spaces.handover import announce_end
from chez.spaces.link import SpaceLink
from chez.spaces.permits import check_member, check_owner, role_of
from chez.spaces.saying import say
from chez.spaces.space import SpaceKeys, keep_statement, note_name
from chez.spaces.state import State
from chez.spaces.statements import (
    MAX_CUTS,
    MAX_HEADS,
    Add,
    Archive,
    Cut,
    Move,
    Remove,
    Rename,
    Role,
    SetRole,
    Signed,
    SpaceBody,
)
from chez.store.database import Connection, Database
from chez.sync.chains import known_whole, last_counted
from chez.sync.moving import move
from chez.sync.replica import Replica

__all__ = ("Member", "RoleName", "Sharing", "Who", "no_member", "own_card", "role_name", "role_named")

RoleName = Literal["owner", "writer", "reader"]
"""What a member may do: each may do what those after it may. An owner says who belongs, a writer writes."""

_ROLES: Final = {role.name.lower(): role for role in Role}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """A person who shares a space: by which name, in which role, with which devices.

    The name is what the person calls itself, which proves nothing. `own` says that it is the
    person whose home this is; `contact` is what it is called among the contacts, `verified` that
    the two compared their safety words.
    """

    id: bytes = field(repr=False)
    name: str
    role: RoleName
    devices: tuple[str, ...]
    own: bool
    contact: str | None = None
    verified: bool = False


Who = Member | bytes | str
"""A member: itself, its id, or its name or the beginning of its id in hexadecimal (8 digits or more).

The name of a contact means that contact, whatever members call themselves.
"""


class Sharing:
    """The members of one space: what `Space` says of them, and lets its owners say."""

    def __init__(self, database: Database, spaces: HeldSpaces, held: Held, device: DeviceKeys, person: bytes) -> None:
        self._database = database
        self._spaces = spaces
        self._held = held
        self._device = device
        self._person = person

    @property
    def role(self) -> RoleName | None:
        """What the person of this home may do; None for who has no part in the space."""
        role = role_of(self._space, self._device.id)
        return None if role is None else role_name(role)

    async def members(self) -> list[Member]:
        """Everybody who shares the space; see `Space.members`."""
        return await self._database.read(self._members)

    async def find(self, who: Who) -> Member:
        """Who is called so; see `Space.member`."""
        return await self._database.read(lambda db: self._find(who))

    async def add(self, card: Card, role: RoleName, invite: bytes) -> Member:
        """Let somebody in; see `Space.add`."""
        return await self._database.write(lambda db: self.admit(db, card, role, invite))

    async def set_role(self, who: Who, role: RoleName) -> Member:
        """Give another role; see `Space.set_role`."""
        return await self._write(lambda db: self._set_role(db, who, role_named(role, self._space)))

    async def remove(self, who: Who) -> Member:
        """Take somebody out; see `Space.remove`."""
        return await self._write(lambda db: self._remove(db, who))

    async def leave(self) -> None:
        """Leave; see `Space.leave`."""
        await self._write(self._leave)

    async def transfer(self, who: Who) -> Member:
        """Make another the owner; see `Space.transfer`."""
        return await self._write(lambda db: self._transfer(db, who))

    async def rename(self, name: str) -> None:
        """Call the space differently; see `Space.rename`."""
        await self._write(lambda db: self._rename(db, name))

    async def archive(self, archived: bool) -> None:
        """Put the space away, or take it out again; see `Space.archive`."""
        await self._write(lambda db: self._archive(db, archived))

    async def rotate(self) -> None:
        """Start a new epoch; see `Space.rotate`."""
        def work(db: Connection) -> None:
            check_owner(self._space, self._device.id, "starts a new epoch")
            self._rotate(db)
            self._receipt(db, "epoch-started", {"number": self._space.epoch.number})

        await self._write(work)

    def move(self, db: Connection, relay: str | None) -> None:
        """Take the space to another place, in an open transaction; see `Space.move`."""
        self._held.replica.forget()  # another device may have moved it just before: this move follows that one
        self._held.replica.refresh(db)
        space = self._space
        check_owner(space, self._device.id, "moves a space")

        def word(admin: bytes) -> None:
            self._say(db, Move(space.id, self._heads, self._device.id, admin))

        move(db, space, self._device, crypto.random_bytes, word)
        if relay is not None:
            db.execute("UPDATE space SET relay = ? WHERE n = ?", (relay, space.n))
        self._receipt(db, "space-moved", {"name": space.name, "relay": relay or space.relay or ""})

    def link(self, relay: str | None, pins: Sequence[str]) -> str:
        """The space link, with the pins that this home has for the relay; see `Space.link`."""
        space = self._space
        if space.private:
            raise NotAllowed("the private space is yours alone", "Make one to share: `chez space create NAME`.")
        if relay is None:
            raise NotFound("this space is at no relay, so there is nothing to link to",
                           "Set the home's relay: `chez relay URL`.")
        return SpaceLink(space.id, space.handle, relay, space.name, tuple(pins)).text

    async def _write(self, work: Callable[[Connection], T]) -> T:
        """Do something in a transaction of its own, on the members as they are, and count anew by what it said."""
        def whole(db: Connection) -> T:
            self._held.replica.refresh(db)
            result = work(db)
            self._held.replica.recount(db)
            return result

        return await self._database.write(whole)

    # --- in the database's thread -----------------------------------------------------------

    def admit(self, db: Connection, card: Card, role: RoleName, invite: bytes = b"") -> Member:
        """Let the person of a card in, in an open transaction. Raises `NotAllowed`, `InvalidValue`.

        `invite` is the hash of the invitation that the person came by, or empty.
        """
        given = role_named(role, self._space)
        self._held.replica.refresh(db)
        check_owner(self._space, self._device.id, "lets somebody in")
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
        heads = [*about[:MAX_HEADS // 2], *others][:MAX_HEADS]
        self._say(db, Add(self._space.id, heads, self._device.id, card.person, given, invite))
        self._rotate(db)
        self._held.replica.recount(db)
        by = {"invitation": invite.hex()} if invite else {}
        self._tell(db, "member-added", card.person, {"role": role, **by})
        return self.member(card.person)

    def _set_role(self, db: Connection, who: Who, role: Role) -> Member:
        check_member(self._space, self._device.id)
        member = self._find(who)
        if not (member.own and role < _ROLES[member.role]):
            check_owner(self._space, self._device.id, "gives roles")
        if _ROLES[member.role] is role:
            return member
        if member.own:
            self._check_left_to_an_owner("give up that role")
        self._give(db, member.id, role)
        if not member.own:  # else another owner starts the epoch
            self._rotate(db)
        return self.member(member.id)

    def _give(self, db: Connection, person: bytes, role: Role) -> None:
        if role < Role.WRITER:
            self._held.replica.author.flush(db)  # what was written before counts
        cuts = self._cuts(db, person) if role < Role.WRITER else []
        self._say(db, SetRole(self._space.id, self._heads, self._device.id, person, role, cuts))
        self._tell(db, "member-role", person, {"role": role_name(role)})

    def _remove(self, db: Connection, who: Who) -> Member:
        check_owner(self._space, self._device.id, "takes somebody out")
        member = self._find(who)
        if member.own:
            raise NotAllowed("nobody takes out himself", "`leave` ends your part in the space.")
        self._say(db, Remove(self._space.id, self._heads, self._device.id, member.id, self._cuts(db, member.id)))
        self._rotate(db)
        self._tell(db, "member-removed", member.id, {})
        return member

    def _leave(self, db: Connection) -> None:
        if self._space.private:
            raise NotAllowed("the private space is yours, and cannot be left", "`chez wipe` empties this device.")
        check_member(self._space, self._device.id)
        if len(self._state.members) == 1:
            raise NotAllowed("nobody else is in this space, so nobody would be left", "Delete it.")
        self._check_left_to_an_owner("leave")
        self._held.replica.author.flush(db)  # what was written before counts
        self._say(db, Remove(self._space.id, self._heads, self._device.id, self._person,
                             self._cuts(db, self._person)))
        announce_end(db, self._space, self._device.id)
        self._receipt(db, "space-left", {"name": self._space.name})

    def _transfer(self, db: Connection, who: Who) -> Member:
        check_owner(self._space, self._device.id, "makes another the owner")
        member = self._find(who)
        if member.own:
            raise NotAllowed("you are an owner already", "Name another member.")
        if member.role != "owner":
            self._give(db, member.id, Role.OWNER)
        self._rotate(db)  # its keys are for the new owner; those of the next are for no former one
        self._give(db, self._person, Role.WRITER)
        return self.member(member.id)

    def _rename(self, db: Connection, name: str) -> None:
        check_owner(self._space, self._device.id, "gives a space its name")
        if name == self._space.name:
            return
        self._spaces.check_name(name)
        former = self._space.name
        self._say(db, Rename(self._space.id, self._heads, self._device.id, name))
        note_name(db, self._space)
        self._receipt(db, "space-renamed", {"name": name, "former": former})

    def _archive(self, db: Connection, archived: bool) -> None:
        check_owner(self._space, self._device.id, "puts a space away")
        if self._state.archived == archived:
            return
        self._held.replica.author.flush(db)
        self._say(db, Archive(self._space.id, self._heads, self._device.id, archived))
        self._receipt(db, "space-archived" if archived else "space-taken-out", {"name": self._space.name})

    # --- what these have in common ----------------------------------------------------------

    @property
    def _space(self) -> SpaceKeys:
        return self._held.space

    @property
    def _state(self) -> State:
        return self._held.space.membership.state

    @property
    def _heads(self) -> list[bytes]:
        return self._held.space.membership.named_heads

    def _known(self, card: Card) -> Iterator[Signed]:
        """What the card and the spaces that are here say of its person: a card may be older than what they do."""
        said = set()
        logs = (held.space.membership.person_log(card.person) for held in list(self._spaces.all.values()))
        for log in (card.statements, *logs):
            for statement in log:
                if statement.hash not in said:
                    said.add(statement.hash)
                    yield statement

    def _check_left_to_an_owner(self, what: str) -> None:
        owners = [member.person for member in self._state.members.values() if member.role is Role.OWNER]
        if owners == [self._person]:
            raise NotAllowed(f"you are the only owner, and can't {what}: nobody could let anybody in or out any more",
                             "Make another member the owner first (`transfer`), or delete the space.")

    def _cuts(self, db: Connection, person: bytes) -> list[Cut]:
        """The last entry that counts of each device the person ever had: up to there what it wrote stays.

        One statement has room for some; of a person with more, those that wrote most. Raises
        `NotAllowed` where that is not known: what is to be read yet would count for nothing.
        """
        if not known_whole(db, self._space, self._device.id):
            raise NotAllowed(f"this device has not read the space {self._space.name!r} yet: it can't tell what stays",
                             "Sync first.")
        state, n = self._state, self._space.n
        devices = [id for id in state.certificates if person in state.persons_of(id)]
        cuts = [Cut(id, *last) for id in devices if (last := last_counted(db, n, id))[0]]
        return sorted(cuts, key=lambda cut: (-cut.sequence, cut.device))[:MAX_CUTS]

    def _rotate(self, db: Connection) -> None:
        self._held.replica.rotate(db)

    def _members(self, db: Connection) -> list[Member]:
        self._held.replica.refresh(db)
        found = [self.member(person) for person in self._state.members]
        return sorted(found, key=lambda one: (-_ROLES[one.role], not one.own, one.name, one.id))

    def member(self, person: bytes) -> Member:
        state = self._state
        member = state.members[person]
        return Member(person, member.name, role_name(member.role),
                      tuple(sorted(device.name for device in state.devices_of(person))), person == self._person)

    def _find(self, who: Who) -> Member:
        """Raises `NotFound`, and `InvalidValue` when several are called so."""
        members = [self.member(person) for person in self._state.members]
        if isinstance(who, Member | bytes):
            id = who.id if isinstance(who, Member) else who
            found = [member for member in members if member.id == id]
        else:
            # Whoever calls itself as another's id begins is not taken for that one.
            found = [member for member in members if member.id.hex() == who.lower()] or [
                member for member in members if member.name == who or (
                    len(who) >= LEAST_PREFIX and member.id.hex().startswith(who.lower()))]
        if len(found) > 1:
            raise InvalidValue(f"{len(found)} members are called {who!r}",
                               "Name one by the beginning of its id: `chez space members` shows it.")
        if not found:
            shown = who if isinstance(who, str) else who.name if isinstance(who, Member) else who.hex()
            raise no_member(shown, self._space.name)
        return found[0]

    def _say(self, db: Connection, body: SpaceBody) -> None:
        say(db, self._space, self._device.signing, body)

    def _tell(self, db: Connection, kind: str, person: bytes, body: Mapping[str, Any]) -> None:
        name = self._state.persons[person].name
        self._receipt(db, kind, {"person": person.hex(), "name": name, **body})

    def _receipt(self, db: Connection, kind: str, body: Mapping[str, Any]) -> None:
        self._held.engine.receipt(db, kind, body)


def own_card(db: Connection, private: Replica, person: bytes) -> Card:
    """The card of the person whose private space this is."""
    private.refresh(db)
    return Card.of(person, private.space.membership.person_log(person))


def no_member(who: str, space: str) -> NotFound:
    """What is said of somebody, as the person named it, who does not share a space."""
    return NotFound(f"there is no member {who!r} in {space!r}", "`chez space members` shows who is.")


def role_named(role: str, space: SpaceKeys) -> Role:
    """The role of a name, that a member of a space may have. Raises `InvalidValue`."""
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidValue(f"there is no role {role!r}", "A member is an owner, a writer or a reader.")
    if space.public and _ROLES[role] is Role.READER:
        raise InvalidValue("everybody reads a public space without being a member",
                           "Give its address: `chez space address`.")
    return _ROLES[role]


def role_name(role: Role) -> RoleName:
    """The name of a role."""
    names: dict[Role, RoleName] = {Role.OWNER: "owner", Role.WRITER: "writer", Role.READER: "reader"}
    return names[role]

"""What must be refused, and what a device must show, by the statements that it holds: the plain definition, asked."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from chez.errors import ChezError, NotAllowed, NotFound
from chez.spaces.statements import Add, Archive, Create, Expel, NewEpoch, Remove, Rename, Retire, Role, SetRole, Signed
from tests.spaces.reference import Facts, Model

__all__ = ("Said", "View")

Hashes = frozenset[bytes]
Refusal = type[ChezError] | None


class _Model(Model):
    """The reference, which is asked about the same pasts again and again."""

    def __init__(self, space: bytes) -> None:
        super().__init__(space, [])
        self.facts = cache(self.facts)  # type: ignore[method-assign]
        self.depth = cache(self._depth)

    def _depth(self, x: bytes) -> int:
        return 1 + max((self.depth(head) for head in self.all[x].heads), default=0)


class Said:
    """Everything that anybody ever said in one space."""

    def __init__(self, space: bytes) -> None:
        self._model = _Model(space)
        self.arrived: Hashes = frozenset()
        """What devices had that were in step with the relay: all others will find it there."""
        self.perhaps: Hashes = frozenset()
        """What devices had whose sync was interrupted: others may find it there."""

    def note(self, statements: Iterable[Signed]) -> Hashes:
        """Somebody has these; their hashes."""
        statements = list(statements)
        self._model.all.update((one.hash, one) for one in statements)
        return frozenset(one.hash for one in statements)

    @property
    def everything(self) -> Iterable[bytes]:
        """The hashes of all statements."""
        return self._model.all

    def statements(self) -> Iterable[Signed]:
        """All statements."""
        return self._model.all.values()

    def epochs(self, held: Hashes) -> Hashes:
        """The epochs among these."""
        return frozenset(hash for hash in held if isinstance(self._model.all[hash].body, NewEpoch))

    def out(self, device: bytes) -> bool:
        """Whether a relay may refuse a device, for what was said there, or may have been."""
        return any(self._model.facts(held).right(device) is None
                   for held in (self.arrived, self.arrived | self.perhaps))

    def view(self, held: Hashes, *, deaf: bool = False) -> "View":
        """What these of the statements amount to; `deaf`: to a device that was told that it is out."""
        return View(held, self._model, self._model.facts(held), deaf)

    def takers(self, device: bytes, held: Hashes) -> list[Signed]:
        """What of these took a device's right to write away, whether it was given back since or not."""
        persons = self._model.facts(held).devices.get(device, frozenset())
        said = [self._model.all[hash] for hash in self._model.effective(held)]
        return [one for one in said if
                (isinstance(one.body, Remove) and one.body.person in persons)
                or (isinstance(one.body, SetRole) and one.body.person in persons and one.body.role < Role.WRITER)
                or (isinstance(one.body, Retire) and one.body.cut.device == device)
                or (isinstance(one.body, Expel) and device in self._model.targets(one.hash))]

    def gave_back(self, persons: Hashes, held: Hashes, since: Hashes) -> bool:
        """Whether something of these that is not in `since` gives one of these persons a role."""
        return any(isinstance(body := self._model.all[hash].body, Create | Add | SetRole) and body.person in persons
                   for hash in held - since)


@dataclass(frozen=True)
class View:
    """A space as whoever holds these statements must see it."""

    held: Hashes
    model: _Model
    facts: Facts
    deaf: bool = False

    def right(self, device: bytes) -> Role | None:
        """What a device that holds this may do, by itself."""
        return None if self.deaf else self.facts.right(device)

    @property
    def effective(self) -> Hashes:
        """The statements that take effect."""
        return self.model.effective(self.held)

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self._last(Create, Rename).name)

    @property
    def archived(self) -> bool:
        """Whether it is put away."""
        last = self._last(Create, Archive)
        return isinstance(last, Archive) and last.archived

    def _last(self, *kinds: type) -> object:
        said = [hash for hash in self.model.effective(self.held) if isinstance(self.model.all[hash].body, kinds)]
        return self.model.all[max(said, key=lambda hash: (self.model.depth(hash), hash))].body

    @property
    def owed(self) -> bool:
        """Whether an epoch is owed: of several, or that does not know what took rights away."""
        taken = [hash for hash in self.model.effective(self.held) if isinstance(
            body := self.model.all[hash].body, Remove | Retire | Expel) or (
            isinstance(body, SetRole) and self.model.strong(hash))]
        heads = self.facts.epoch_heads
        return len(heads) != 1 or not all(hash in self.model.past(head) for head in heads for hash in taken)

    def packed(self, device: bytes) -> bool:
        """Whether who started the newest epoch knew of a device, and had a packet for it."""
        return all(self.model.facts(self.model.past(head)).right(device) is not None for head in self.facts.epoch_heads)

    def outsiders(self) -> Hashes:
        """The devices known here that have no part in the space."""
        return frozenset(device for device in self.facts.devices if self.facts.right(device) is None)

    def persons(self, device: bytes) -> Hashes:
        """Whose a device is."""
        return self.facts.devices.get(device, frozenset())

    def owners(self) -> Hashes:
        """The persons who own it."""
        return frozenset(person for person, role in self.facts.roles.items() if role is Role.OWNER)

    # --- refusals --------------------------------------------------------------------------

    def writing(self, device: bytes) -> Refusal:
        """Of a record's change."""
        right = self.right(device)
        return NotAllowed if right is None or right < Role.WRITER or self.archived else None

    def owning(self, device: bytes) -> Refusal:
        """Of what owners alone may do."""
        return None if self.right(device) is Role.OWNER else NotAllowed

    def adding(self, device: bytes, person: bytes) -> Refusal:
        """Of letting somebody in."""
        taken = person in self.facts.roles or person in self.persons(device)
        return self.owning(device) or (NotAllowed if taken else None)

    def giving(self, device: bytes, person: bytes, role: Role) -> Refusal:
        """Of another role for a member."""
        right, own = self.right(device), person in self.persons(device)
        if right is None:
            return NotAllowed
        if person not in self.facts.roles:
            return NotFound
        if not (own and role < right) and right is not Role.OWNER:
            return NotAllowed
        return self._left(person) if own and role is not right else None

    def removing(self, device: bytes, person: bytes) -> Refusal:
        """Of taking somebody out."""
        if self.owning(device):
            return NotAllowed
        if person not in self.facts.roles:
            return NotFound
        return NotAllowed if person in self.persons(device) else None

    def transferring(self, device: bytes, person: bytes) -> Refusal:
        """Of making somebody else the owner: as removing, for nobody does that to himself."""
        return self.removing(device, person)

    def leaving(self, device: bytes) -> Refusal:
        """Of ending one's own part."""
        if self.right(device) is None or len(self.facts.roles) == 1:
            return NotAllowed
        return next(iter({self._left(person) for person in self.persons(device)}))

    def _left(self, person: bytes) -> Refusal:
        return NotAllowed if self.owners() == {person} else None

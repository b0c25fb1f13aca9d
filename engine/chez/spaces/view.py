"""What a set of statements amounts to, asked of sets of bits: enough to judge what builds on it.

An `Index` tells which statements concern whom; a `View` is those of a closed set that take
effect. A question is a few operations on whole sets, so judging a statement costs little more
with ten thousand before it than with ten, however they are entangled.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from chez.spaces.dag import Dag, numbers_of
from chez.spaces.statements import (
    Add,
    Certify,
    Create,
    Enrol,
    Expel,
    NewEpoch,
    PersonBody,
    Pick,
    Remove,
    Retire,
    Role,
    SetRole,
    Signed,
)

__all__ = ("Index", "View", "Word")

_OWNED: Final = Create | Add | SetRole


class Word(msgspec.Struct, frozen=True):
    """What a statement is, seen from its own past.

    `strong`: it takes rights away, so it stands beside what is said at the same time.
    `root`: a person's root key says it. `targets`: the devices that an `Expel` concerns, as bits of
    `Index.devices`. `certificates` and `grants`: what its issuer's right rests on, one of each at least,
    as bits; empty for what needs none. `persons`: whose members' word it is in a space, who need
    the role `needs` for it. `begins`: it made the space, or started its first epoch on that,
    and stands whatever is said of its issuer at the same time.
    """

    strong: bool = False
    root: bool = False
    targets: int = 0
    certificates: int = 0
    grants: int = 0
    persons: frozenset[bytes] = frozenset()
    needs: Role = Role.READER
    begins: bool = False


def _bits() -> dict[bytes, int]:
    return {}


@dataclass(slots=True)
class Index:
    """Which statements concern whom, each set as bits: only what was right in its own past, but for `about`."""

    dag: Dag
    words: list[Word | str] = field(default_factory=list, repr=False)
    """By number, what a statement is; or why its issuer may not say it."""
    devices: list[bytes] = field(default_factory=list)
    """The devices that an `Expel` can concern, in the order of their bits."""
    right: int = 0
    strong: int = 0
    begins: int = 0
    roots: int = 0
    """Those that a person's root key says."""
    people: int = 0
    """Those about persons."""
    creates: int = 0
    epochs: int = field(default=0, repr=False)
    expulsions: int = 0
    retirements: int = 0
    about: dict[bytes, int] = field(default_factory=_bits)
    """By person, all statements about it, right or not."""
    enrolled: dict[bytes, int] = field(default_factory=_bits)
    certified: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    """By device, then by person, its certificates."""
    expelled: dict[bytes, int] = field(default_factory=_bits)
    """By device, what expels it, by name or with the one that had let it in."""
    disowned: dict[bytes, int] = field(default_factory=_bits)
    """By person, the expulsions that its root key says."""
    retired: dict[bytes, int] = field(default_factory=_bits)
    granted: dict[bytes, int] = field(default_factory=_bits)
    """By person, what gives it a role."""
    admitted: dict[bytes, int] = field(default_factory=_bits)
    """By person, what lets it in."""
    removed: dict[bytes, int] = field(default_factory=_bits)
    lowered: dict[tuple[bytes, Role], int] = field(default_factory=dict)
    """By person and the role that it is left with, what lowers it."""
    picked: dict[bytes, int] = field(default_factory=_bits)
    """By device, what says which entry counts where its chain forks."""
    said: dict[bytes, int] = field(default_factory=_bits)
    """By device, what it says of a space that takes no right away."""
    spoken: dict[tuple[bytes, Role], int] = field(default_factory=dict)
    """By person and the role needed for it, the same."""
    _bit_of: dict[bytes, int] = field(default_factory=dict)

    def add(self, number: int, statement: Signed, word: Word | str) -> None:
        """Note a statement that the graph has under this number."""
        bit, body = 1 << number, statement.body
        self.words.append(word)
        if isinstance(body, PersonBody):
            self.people |= bit
            self.about[body.person] = self.about.get(body.person, 0) | bit
        if isinstance(word, str):
            return
        self.right |= bit
        if word.strong:
            self.strong |= bit
        elif not isinstance(body, PersonBody):
            self.said[body.issuer] = self.said.get(body.issuer, 0) | bit
            for person in word.persons:
                key = person, word.needs
                self.spoken[key] = self.spoken.get(key, 0) | bit
        if word.begins:
            self.begins |= bit
        if word.root:
            self.roots |= bit
        if isinstance(body, PersonBody):
            self._note_person(bit, body, word)
        else:
            self._note_space(bit, body, word)

    def _note_person(self, bit: int, body: PersonBody, word: Word) -> None:
        match body:
            case Enrol():
                self.enrolled[body.person] = self.enrolled.get(body.person, 0) | bit
            case Certify():
                held = self.certified.setdefault(body.device, {})
                held[body.person] = held.get(body.person, 0) | bit
            case Expel():
                self.expulsions |= bit
                for device in self.devices_in(word.targets):
                    self.expelled[device] = self.expelled.get(device, 0) | bit
                if word.root:
                    self.disowned[body.person] = self.disowned.get(body.person, 0) | bit

    def _note_space(self, bit: int, body: object, word: Word) -> None:
        if isinstance(body, _OWNED):
            self.granted[body.person] = self.granted.get(body.person, 0) | bit
        if isinstance(body, Create | Add):
            self.admitted[body.person] = self.admitted.get(body.person, 0) | bit
        match body:
            case Create():
                self.creates |= bit
            case NewEpoch():
                self.epochs |= bit
            case Pick():
                self.picked[body.entry.device] = self.picked.get(body.entry.device, 0) | bit
            case Remove():
                self.removed[body.person] = self.removed.get(body.person, 0) | bit
            case SetRole() if word.strong:
                key = body.person, body.role
                self.lowered[key] = self.lowered.get(key, 0) | bit
            case Retire():
                self.retirements |= bit
                self.retired[body.cut.device] = self.retired.get(body.cut.device, 0) | bit

    def device_bits(self, devices: Iterable[bytes]) -> int:
        """A set of devices as bits."""
        bits = 0
        for device in devices:
            if device not in self._bit_of:
                self._bit_of[device] = len(self.devices)
                self.devices.append(device)
            bits |= 1 << self._bit_of[device]
        return bits

    def devices_in(self, bits: int) -> list[bytes]:
        """The devices of a set of bits."""
        return [self.devices[number] for number in numbers_of(bits)]

    def role_given(self, number: int) -> Role:
        """The role that a statement gives to its person."""
        body = self.dag.statements[number].body
        assert isinstance(body, _OWNED)  # only these are in `granted`
        return Role.OWNER if isinstance(body, Create) else body.role


class View:
    """The statements of a closed set that take effect, as bits; each question costs a few operations on sets."""

    def __init__(self, index: Index, effective: int) -> None:
        self._index = index
        self.effective = effective
        self._grants: dict[bytes, int] = {}

    def enrolled(self, person: bytes) -> bool:
        """Whether a person began."""
        return bool(self._index.enrolled.get(person, 0) & self.effective)

    def certificates(self, device: bytes) -> int:
        """The certificates of a device, as bits."""
        bits = 0
        for held in self._index.certified.get(device, {}).values():
            bits |= held
        return bits & self.effective

    def certified(self) -> dict[bytes, dict[bytes, Certify]]:
        """By device, its certificates by hash."""
        found: dict[bytes, dict[bytes, Certify]] = {}
        for number in numbers_of(self.effective & self._index.people):
            statement = self._index.dag.statements[number]
            if isinstance(statement.body, Certify):
                found.setdefault(statement.body.device, {})[statement.hash] = statement.body
        return found

    def persons_of(self, device: bytes) -> frozenset[bytes]:
        """Whose device it is."""
        held = self._index.certified.get(device, {})
        return frozenset(person for person, bits in held.items() if bits & self.effective)

    def expelled(self, device: bytes) -> bool:
        """Whether a device was expelled."""
        return bool(self._index.expelled.get(device, 0) & self.effective)

    def active(self, device: bytes) -> bool:
        """Whether a device is certified and not expelled."""
        return bool(self.certificates(device)) and not self.expelled(device)

    def grants(self, person: bytes) -> int:
        """What gives a person its role, as bits: what knew every removal of it, and nothing later."""
        if person not in self._grants:
            removed = self._index.removed.get(person, 0) & self.effective
            live = 0
            for number in self._index.dag.tops(self._index.granted.get(person, 0) & self.effective):
                if not removed & ~self._index.dag.past(number):
                    live |= 1 << number
            self._grants[person] = live
        return self._grants[person]

    def role(self, person: bytes) -> Role | None:
        """A person's role; None for who is no member."""
        return min((self._index.role_given(number) for number in numbers_of(self.grants(person))), default=None)

    def right(self, device: bytes) -> Role | None:
        """What a device may do in the space: its person's role while it takes part, else None."""
        if not self.active(device) or self._index.retired.get(device, 0) & self.effective:
            return None
        roles = [role for person in self.persons_of(device) if (role := self.role(person)) is not None]
        return max(roles, default=None)

    @property
    def create(self) -> Create | None:
        """The statement that made the space."""
        number = (self._index.creates & self.effective).bit_length() - 1
        body = self._index.dag.statements[number].body if number >= 0 else None
        return body if isinstance(body, Create) else None

    def epoch(self, id: bytes) -> NewEpoch | None:
        """An epoch that took effect."""
        dag = self._index.dag
        if id not in dag or not self._index.epochs & self.effective & 1 << dag.number(id):
            return None
        body = dag.statements[dag.number(id)].body
        return body if isinstance(body, NewEpoch) else None

    @property
    def epoch_tops(self) -> list[int]:
        """The numbers of the epochs that no other follows."""
        return self._index.dag.tops(self._index.epochs & self.effective)

    @property
    def newest_epochs(self) -> dict[bytes, NewEpoch]:
        """The epochs that no other follows, by id."""
        statements = [self._index.dag.statements[number] for number in self.epoch_tops]
        return {one.hash: one.body for one in statements if isinstance(one.body, NewEpoch)}

    def device_bits(self, devices: Iterable[bytes]) -> int:
        """A set of devices, as bits for `Word.targets`."""
        return self._index.device_bits(devices)

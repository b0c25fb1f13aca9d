"""Who belongs to a space: a function of the set of statements, not of their order.

Each statement is judged in the state of its own causal past (`rules.judge`). Then, of a
set of statements,

1. what takes rights away (`Remove`, a `SetRole` that lowers, `Expel`, `Retire`) and was
   right in its own past takes effect, whatever is said at the same time: of two owners
   who remove each other both go; only a person's root key, by an `Expel`, makes void what
   its devices said of each other at the same time;
2. every other statement that was right in its own past takes effect unless something under
   1, said at the same time, takes from its issuer the right to say it, or what that right
   rests on takes no effect itself. What a space begins with, its making and its first epoch,
   takes effect all the same: it is its person's, not the device's, and others may be in it.

So devices that hold the same statements agree. (The rule is that of strong removal as
local-first access control knows it; docs/membership.md has the table and its reasons.)
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from chez.spaces.dag import Dag, numbers_of
from chez.spaces.rules import Word, judge
from chez.spaces.state import Device, State
from chez.spaces.statements import (
    MAX_HEADS,
    Create,
    Cut,
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

__all__ = ("Device", "Membership", "Right")

_VIEWS: Final = 256
"""States kept, of the pasts that were asked about last."""

_BASES: Final = 64
"""How many statements are tried as one that everything else builds on or is known by."""


@dataclass(frozen=True, slots=True)
class _View:
    """The state of a set of statements, and which of them take effect, as bits."""

    state: State
    effective: int


@dataclass(frozen=True, slots=True)
class Right:
    """What an entry's author might do, in the state of the heads that the entry names.

    `cut`: the entry counts up to this one of the author's chain only, for somebody who did
    not know the entry took the right away; None when nobody did.
    """

    role: Role | None
    cut: Cut | None = None


class Membership:
    """The members of the space with this id; `add` statements in any order."""

    def __init__(self, space: bytes) -> None:
        self.space = space
        self._dag = Dag()
        self._held: dict[bytes, Signed] = {}
        self._waiting: dict[bytes, list[bytes]] = {}
        self.decisions = 0
        """How many statements are here that can decide which entries count."""
        self._words: list[Word | str] = []
        self._strong: list[int] = []
        self._about: dict[bytes, int] = {}
        """By person, the statements about it, as bits."""
        self._views: OrderedDict[tuple[int, ...], _View] = OrderedDict()
        self._rights: dict[tuple[bytes, tuple[int, ...]], Right] = {}

    # --- statements in ------------------------------------------------------------------

    def add(self, statements: Iterable[Signed]) -> list[Signed]:
        """Take statements in; returns those (of now and before) that have all they build on now."""
        joined: list[Signed] = []
        for statement in statements:
            if statement.hash not in self._dag and statement.hash not in self._held:
                self._held[statement.hash] = statement
                self._settle(statement, joined)
        if joined:
            self._rights.clear()
        return joined

    def _settle(self, statement: Signed, joined: list[Signed]) -> None:
        ready = [statement]
        while ready:
            one = ready.pop()
            missing = next((head for head in one.heads if head not in self._dag), None)
            if missing is not None:
                self._waiting.setdefault(missing, []).append(one.hash)
                continue
            del self._held[one.hash]
            self._words.append(self._judge(one))
            number = self._dag.add(one)
            word = self._words[number]
            if isinstance(word, Word) and word.strong:
                self._strong.append(number)
            if isinstance(one.body, PersonBody):
                self._about[one.body.person] = self._about.get(one.body.person, 0) | 1 << number
            if isinstance(one.body, Remove | SetRole | Retire | Expel | Pick):
                self.decisions += 1
            joined.append(one)
            ready += [self._held[hash] for hash in self._waiting.pop(one.hash, ())]

    def _judge(self, statement: Signed) -> Word | str:
        body = statement.body
        if isinstance(body, PersonBody):
            parents = [self._dag.statements[self._dag.number(head)].body for head in statement.heads]
            if not all(isinstance(parent, PersonBody) and parent.person == body.person for parent in parents):
                return "it builds on what is not about its person"
        return judge(statement, self.space, self._view(statement.heads).state)

    # --- the whole ----------------------------------------------------------------------

    def __len__(self) -> int:
        """How many statements have all they build on here."""
        return len(self._dag)

    @property
    def state(self) -> State:
        """What all statements that are here amount to."""
        return self._view(self._dag.heads).state

    @property
    def create(self) -> Create | None:
        """The statement that made the space."""
        return self.state.create

    @property
    def devices(self) -> dict[bytes, Device]:
        """The devices that take part now."""
        return self.state.devices

    @property
    def epochs(self) -> dict[bytes, NewEpoch]:
        """The epochs that owners made."""
        return dict(self.state.epochs)

    @property
    def heads(self) -> set[bytes]:
        """The statements that no other builds on."""
        return set(self._dag.heads)

    @property
    def named_heads(self) -> list[bytes]:
        """Of these, in order, as many as a new statement or an entry may name."""
        return sorted(self._dag.heads)[:MAX_HEADS]

    @property
    def statements(self) -> list[Signed]:
        """All that have what they build on here, each after those."""
        return list(self._dag.statements)

    def person_log(self, person: bytes) -> list[Signed]:
        """The statements about a person's devices, each after those it builds on."""
        return [statement for statement in self._dag.statements
                if isinstance(statement.body, PersonBody) and statement.body.person == person]

    def person_heads(self, person: bytes) -> list[bytes]:
        """The statements about a person's devices that no other builds on, in order."""
        numbers = [self._dag.number(statement.hash) for statement in self.person_log(person)]
        return sorted(self._dag.statements[number].hash for number in self._dag.maximal(numbers))

    def epoch(self, id: bytes) -> NewEpoch | None:
        """The signed words about an epoch, if they are here, even if what they build on is not."""
        held = self._held.get(id) or (self._dag.statements[self._dag.number(id)] if id in self._dag else None)
        return held.body if held is not None and isinstance(held.body, NewEpoch) else None

    def knows(self, heads: Iterable[bytes]) -> bool:
        """Whether all these statements are here, with all they build on."""
        return all(head in self._dag for head in heads)

    def before(self, a: bytes, b: bytes) -> bool:
        """Whether statement `b` builds on statement `a`; both are here."""
        return self._dag.before(a, b)

    def void(self) -> Iterator[tuple[Signed, str]]:
        """The statements that take no effect, and why."""
        effective = self._view(self._dag.heads).effective
        for number, statement in enumerate(self._dag.statements):
            word = self._words[number]
            if isinstance(word, str):
                yield statement, word
            elif not effective >> number & 1:
                yield statement, "somebody took its author's right to say it at the same time"

    # --- entries ------------------------------------------------------------------------

    def right(self, device: bytes, heads: Iterable[bytes]) -> Right:
        """What the author of an entry that names these heads (all known) might do, and up to where it counts."""
        numbers = self._top(heads)
        key = (device, numbers)
        if key not in self._rights:
            self._rights[key] = self._right(device, self._view_of(numbers).state, self._dag.closure_of(numbers))
        return self._rights[key]

    def _right(self, device: bytes, then: State, known: int) -> Right:
        role = then.right(device)
        if role is None:
            return Right(None)
        effective = self._view(self._dag.heads).effective
        grants = {hash for person in then.persons_of(device) for hash in then.grants.get(person, ())}
        for support in (then.certificates[device], grants):
            if not any(effective >> self._dag.number(hash) & 1 for hash in support):
                return Right(role, Cut(device, 0, bytes(32)))
        removals = [self._dag.statements[number].body for number in self._strong
                    if effective >> number & 1 and not known >> number & 1]
        cuts = []
        for kind in (Remove, SetRole, Retire):
            found = [cut for body in removals if isinstance(body, kind)
                     for cut in _cuts(body, device, role, then.persons_of(device))]
            if found:  # of several who removed the same, the one who had seen most
                cuts.append(max(found, key=lambda cut: (cut.sequence, cut.hash)))
        return Right(role, min(cuts, key=lambda cut: (cut.sequence, cut.hash), default=None))

    def cuts(self, device: bytes) -> list[Cut]:
        """Where removals that take effect cut a device's chain, the furthest first."""
        effective = self._view(self._dag.heads).effective
        bodies = [self._dag.statements[number].body for number in self._strong if effective >> number & 1]
        found = {(cut.sequence, cut.hash): cut for body in bodies for cut in _named(body) if cut.device == device}
        return [found[key] for key in sorted(found, key=lambda key: (-key[0], key[1]))]

    # --- which take effect --------------------------------------------------------------

    def _top(self, heads: Iterable[bytes]) -> tuple[int, ...]:
        return tuple(self._dag.maximal(self._dag.number(head) for head in heads))

    def _view(self, heads: Iterable[bytes]) -> _View:
        return self._view_of(self._top(heads))

    def _view_of(self, top: tuple[int, ...]) -> _View:
        """The state of a set of statements, given by those of it that no other builds on."""
        steps = []
        while top and top not in self._views:
            base, region = self._base(top)
            steps.append((top, region))
            top = base
        if top:
            self._views.move_to_end(top)
        view = self._views[top] if top else _View(State(), 0)
        for top, region in reversed(steps):
            view = self._advance(view, region)
            self._views[top] = view
        while len(self._views) > _VIEWS:
            self._views.popitem(last=False)
        return view

    def _base(self, top: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        """A set that nothing of the rest can change, and the rest: only that is gone through.

        For the rest builds on it as a whole, or is about persons who are new to it.
        """
        if len(top) == 1:
            return self._top(self._dag.statements[top[0]].heads), 1 << top[0]
        bits = self._dag.closure_of(top)
        most = max(top, key=lambda number: self._dag.past(number).bit_count())
        base = self._dag.past(most) | 1 << most
        if self._strangers(bits & ~base, base):
            return (most,), bits & ~base
        common = bits
        for head in top:
            common &= self._dag.past(head)
        for _ in range(_BASES):
            if not common:
                break
            number = common.bit_length() - 1
            common ^= 1 << number
            region = bits & ~(self._dag.past(number) | 1 << number)
            if all(self._dag.past(one) >> number & 1 for one in numbers_of(region)):
                return (number,), region
        return (), bits

    def _strangers(self, region: int, base: int) -> bool:
        """Whether a region is about persons of whom a base knows nothing: they have no part in it."""
        for number in numbers_of(region):
            body = self._dag.statements[number].body
            if not isinstance(body, PersonBody) or self._about[body.person] & base:
                return False
        return True

    def _advance(self, base: _View, region: int) -> _View:
        """The state after a region that builds, as a whole, on a base."""
        order = self._dag.ordered(region)
        effective = self._effective(base, region, order)
        state = base.state
        for number in order:
            word = self._words[number]
            if effective >> number & 1 and isinstance(word, Word):
                state = state.apply(self._dag.statements[number], self._dag, word.targets, word.strong)
        return _View(state, base.effective | effective)

    def _effective(self, base: _View, region: int, order: list[int]) -> int:
        """Which statements of a region take effect, as bits."""
        if len(order) == 1:
            return region if isinstance(self._words[order[0]], Word) else 0
        void = self._void(order)
        standing = [number for number in order if number not in void and self._stands(number, base, region, void)]
        weak = [number for number in order if isinstance(word := self._words[number], Word) and not word.strong]
        hit = {number for removal in standing for number in weak if self._hits(removal, number)}
        effective = base.effective
        for number in order:
            word = self._words[number]
            if isinstance(word, str) or number in void:
                continue
            if word.strong:
                effective |= (number in standing) << number
            elif word.begins or (number not in hit and all(
                    not support or any(effective >> self._dag.number(hash) & 1 for hash in support)
                    for support in (word.certificates, word.grants))):
                effective |= 1 << number
        return effective & region

    def _void(self, order: list[int]) -> set[int]:
        """What a root key, which expelled a device, makes void: what the person's devices said at the same time."""
        roots = [number for number in order if self._is_root_expulsion(number)]
        void: set[int] = set()
        if not roots:
            return void
        for number in order:
            word, body = self._words[number], self._dag.statements[number].body
            if isinstance(word, str) or word.root or word.begins:
                continue
            certificates = {self._dag.number(hash) for hash in word.certificates}
            if (certificates and certificates <= void) or (isinstance(body, PersonBody) and any(
                    self._dag.concurrent(root, number) and self._person(root) == body.person for root in roots)):
                void.add(number)
        return void

    def _is_root_expulsion(self, number: int) -> bool:
        word = self._words[number]
        return isinstance(word, Word) and word.root and isinstance(self._dag.statements[number].body, Expel)

    def _person(self, number: int) -> bytes:
        body = self._dag.statements[number].body
        return body.person if isinstance(body, PersonBody) else b""

    def _stands(self, number: int, base: _View, region: int, void: set[int]) -> bool:
        """Whether what takes rights away takes effect: it needs that the device of a `Retire` is expelled."""
        word, body = self._words[number], self._dag.statements[number].body
        if isinstance(word, str) or not word.strong:
            return False
        if not isinstance(body, Retire) or body.cut.device in base.state.expelled:
            return True
        return any(isinstance(other, Word) and body.cut.device in other.targets and known not in void
                   for known in numbers_of(region & self._dag.past(number)) for other in (self._words[known],))

    def _hits(self, removal: int, number: int) -> bool:
        """Whether a removal takes from the author of a statement, said at the same time, the right to say it."""
        word, said = self._words[number], self._dag.statements[number]
        if isinstance(word, str) or word.strong or not self._dag.concurrent(removal, number):
            return False
        other, body = self._words[removal], self._dag.statements[removal].body
        match body:
            case Expel():
                return isinstance(said.body, PersonBody) and isinstance(other, Word) and said.issuer in other.targets
            case Retire():
                return not isinstance(said.body, PersonBody) and said.issuer == body.cut.device
            case Remove():
                return body.person in word.persons
            case SetRole():
                return body.person in word.persons and word.needs > body.role
        return False


def _named(body: object) -> Sequence[Cut]:
    """The cuts that a removal names."""
    if isinstance(body, Retire):
        return (body.cut,)
    return body.cuts if isinstance(body, Remove | SetRole) else ()


def _cuts(body: object, device: bytes, role: Role, persons: frozenset[bytes]) -> Iterator[Cut]:
    """Where a removal cuts a device's chain, if it takes from it the right to write."""
    if isinstance(body, Retire):
        if body.cut.device == device:
            yield body.cut
    elif isinstance(body, Remove | SetRole) and body.person in persons:
        if isinstance(body, SetRole) and (body.role >= Role.WRITER or role == Role.READER):
            return
        named = [cut for cut in body.cuts if cut.device == device]
        yield named[0] if named else Cut(device, 0, bytes(32))

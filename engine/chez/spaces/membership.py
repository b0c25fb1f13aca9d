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
from threading import RLock
from typing import Final

import msgspec

from chez.spaces.dag import Dag, numbers_of
from chez.spaces.effects import Effects
from chez.spaces.folding import Fold
from chez.spaces.naming import of_persons, resting_on
from chez.spaces.rules import judge
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
from chez.spaces.view import View, Word

__all__ = ("Device", "Membership", "Right")

_STATES: Final = 16
"""States kept, of the sets that were asked about last: the next one is made from one of them."""


class Right(msgspec.Struct, frozen=True):
    """What an entry's author might do, in the state of the heads that the entry names.

    `cut`: the entry counts up to this one of the author's chain only, for somebody who did
    not know the entry took the right away; None when nobody did.
    """

    role: Role | None
    cut: Cut | None = None


_TAKEN: Final = "somebody took its author's right to say it at the same time"


class Membership:
    """The members of the space with this id; `add` statements in any order.

    Statements are taken in by the thread that writes the store, while others ask what they amount to: each sees all of
    a statement or nothing, and what is found out on the way is kept of the statements that are here.
    """

    def __init__(self, space: bytes) -> None:
        self.space = space
        self._alone = RLock()
        """Held while a statement is taken in, and by whoever works out what takes effect."""
        self._dag = Dag()
        self._held: dict[bytes, Signed] = {}
        self._waiting: dict[bytes, list[bytes]] = {}
        self.decisions = 0
        """How many statements are here that can decide which entries count."""
        self._effects = Effects(self._dag)
        self._states: OrderedDict[tuple[int, ...], State] = OrderedDict()
        self._ends: tuple[int, ...] | None = ()
        """The statements that no other builds on, by number; None when that is to be found out."""
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
            with self._alone:
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
            with self._alone:
                word = self._judge(one)
                self._effects.add(self._dag.add(one), one, word)
                self._ends = None
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
        return judge(statement, self.space, self._effects.view(self._dag.top(statement.heads)))

    # --- the whole ----------------------------------------------------------------------

    @property
    def looks(self) -> int:
        """How often a statement was looked at in order to judge others; it only grows, and tells what they cost."""
        return self._effects.looks

    def __len__(self) -> int:
        """How many statements have all they build on here."""
        return len(self._dag)

    @property
    def state(self) -> State:
        """What all statements that are here amount to."""
        with self._alone:
            return self._state_of(self._all)

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
        with self._alone:
            return set(self._dag.heads)

    @property
    def named_heads(self) -> list[bytes]:
        """Of these as many as a new statement or an entry may name, in order, what takes effect before the rest.

        Of more of those than there is room for, each person's in turn: none crowds out what another rests on.
        """
        with self._alone:
            heads = sorted(self._dag.heads)
            if len(heads) <= MAX_HEADS:
                return heads
            top = self._dag.tops(self._effective)
            if len(top) > MAX_HEADS:
                top = of_persons(self._dag, self._effects.view(self._all), top)
            first = sorted(self._dag.statements[number].hash for number in top)
            return [*first, *sorted(self._dag.heads.difference(first))][:MAX_HEADS]

    @property
    def statements(self) -> list[Signed]:
        """All that have what they build on here, each after those."""
        with self._alone:
            return list(self._dag.statements)

    def person_log(self, person: bytes) -> list[Signed]:
        """The statements about a person's devices, each after those it builds on."""
        with self._alone:
            return [self._dag.statements[number] for number in numbers_of(self._effects.index.about.get(person, 0))]

    def person_heads(self, person: bytes, *devices: bytes) -> list[bytes]:
        """The statements about a person's devices that no other builds on, in order, as many as one may name.

        Of more than that those first that know these devices: what is said by one, or about one, rests on them.
        """
        with self._alone:
            tops = self._dag.tops(self._effects.index.about.get(person, 0))
            if len(tops) > MAX_HEADS:
                tops = resting_on(self._dag, self._effects.view(self._all), tops, devices)
            return sorted(self._dag.statements[number].hash for number in tops)

    def epoch(self, id: bytes) -> NewEpoch | None:
        """The signed words about an epoch, if they are here, even if what they build on is not."""
        held = self._held.get(id) or (self._dag.statements[self._dag.number(id)] if id in self._dag else None)
        return held.body if held is not None and isinstance(held.body, NewEpoch) else None

    def knows(self, heads: Iterable[bytes]) -> bool:
        """Whether all these statements are here, with all they build on."""
        return self._dag.has(heads)

    def before(self, a: bytes, b: bytes) -> bool:
        """Whether statement `b` builds on statement `a`; both are here."""
        with self._alone:
            return self._dag.before(a, b)

    def void(self) -> list[tuple[Signed, str]]:
        """The statements that take no effect, and why."""
        with self._alone:
            effective, words = self._effective, self._effects.index.words
            return [(statement, word if isinstance(word, str) else _TAKEN)
                    for number, (statement, word) in enumerate(zip(self._dag.statements, words, strict=True))
                    if isinstance(word, str) or not effective >> number & 1]

    # --- entries ------------------------------------------------------------------------

    def right(self, device: bytes, heads: Iterable[bytes]) -> Right:
        """What the author of an entry that names these heads (all known) might do, and up to where it counts."""
        with self._alone:
            numbers = self._dag.top(heads)
            key = (device, numbers)
            if key not in self._rights:
                self._rights[key] = self._right(device, self._effects.view(numbers), self._dag.closure_of(numbers))
            return self._rights[key]

    def _right(self, device: bytes, then: View, known: int) -> Right:
        role = then.right(device)
        if role is None:
            return Right(None)
        effective, index, persons = self._effective, self._effects.index, then.persons_of(device)
        grants, against = 0, index.retired.get(device, 0)
        for person in persons:
            grants |= then.grants(person)
            against |= index.removed.get(person, 0)
            for lower in (Role.READER, Role.WRITER):
                against |= index.lowered.get((person, lower), 0)
        if not (then.certificates(device) & effective and grants & effective):
            return Right(role, Cut(device, 0, bytes(32)))
        removals = [self._dag.statements[number].body for number in numbers_of(against & effective & ~known)]
        cuts = []
        for kind in (Remove, SetRole, Retire):
            found = [cut for body in removals if isinstance(body, kind)
                     for cut in _cuts(body, device, role, persons)]
            if found:  # of several who removed the same, the one who had seen most
                cuts.append(max(found, key=lambda cut: (cut.sequence, cut.hash)))
        return Right(role, min(cuts, key=lambda cut: (cut.sequence, cut.hash), default=None))

    def cuts(self, device: bytes) -> list[Cut]:
        """Where removals that take effect cut a device's chain, the furthest first."""
        with self._alone:
            strong = self._effects.index.strong & self._effective
            bodies = [self._dag.statements[number].body for number in numbers_of(strong)]
        found = {(cut.sequence, cut.hash): cut for body in bodies for cut in _named(body) if cut.device == device}
        return [found[key] for key in sorted(found, key=lambda key: (-key[0], key[1]))]

    def picks(self, device: bytes) -> list[Cut]:
        """Which entries owners picked where a device's chain forks, the lowest number first; of several of a number
        the last.

        But for those that a removal knew which cuts the chain: its author accepted another entry all the same. The
        device itself may have picked one that nobody had, to be shown when it is gone.
        """
        with self._alone:
            return self._picks(device)

    def _picks(self, device: bytes) -> list[Cut]:
        known = 0
        for number in numbers_of(self._effects.index.strong & self._effective):
            if any(cut.device == device for cut in _named(self._dag.statements[number].body)):
                known |= self._dag.past(number)
        found: dict[int, Cut] = {}
        for number in self._dag.ordered(self._effects.index.picked.get(device, 0) & self._effective & ~known):
            body = self._dag.statements[number].body
            assert isinstance(body, Pick)  # the index's `picked`
            found[body.entry.sequence] = body.entry
        return [found[sequence] for sequence in sorted(found)]

    # --- which take effect, and what they amount to ------------------------------------------

    @property
    def _effective(self) -> int:
        """Of all that are here, those that take effect, as bits."""
        with self._alone:
            return self._effects.of(self._all)

    @property
    def _all(self) -> tuple[int, ...]:
        """All that is here, given by those that no other builds on."""
        if self._ends is None:
            self._ends = tuple(sorted(self._dag.number(head) for head in self._dag.heads))
        return self._ends

    def _state_of(self, top: tuple[int, ...]) -> State:
        """The state of a closed set, given by those of it that no other builds on: on one that was asked for before."""
        if top in self._states:
            self._states.move_to_end(top)
            return self._states[top]
        regions, base = [], top
        while base and base not in self._states:
            base, region = self._beneath(base)
            regions.append(region)
        view = self._effects.view(top)
        fold = Fold(self._states[base] if base else State(), self._effects.index)
        for region in reversed(regions):
            fold.take(self._dag.ordered(region & view.effective))
        self._states[top] = fold.state(view)
        if len(self._states) > _STATES:
            self._states.popitem(last=False)
        return self._states[top]

    def _beneath(self, top: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        """What a closed set rests on, by its ends, and the rest, as bits."""
        if len(top) == 1:
            return tuple(self._dag.maximal(self._dag.parents(top[0]))), 1 << top[0]
        ground, rest = self._effects.split(top)
        return tuple(self._dag.tops(ground)), rest


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

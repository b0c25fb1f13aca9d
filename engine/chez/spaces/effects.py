"""Which statements of a set take effect, by the rules that `membership` states, in sets of bits.

A closed set is split in two: its *ground*, which everything else in it builds on as a whole,
and the rest. What is said in the rest changes nothing of the ground, and any statement of the
rest already knows what took effect there; so only the rest is gone through, once. Whom a
removal meets is found with operations on whole sets: of two statements that knew nothing of each
other one came later, so it is enough to look at what is before each.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from chez.spaces.dag import Dag, numbers_of
from chez.spaces.statements import Certify, Expel, PersonBody, Remove, Retire, Role, SetRole, Signed
from chez.spaces.view import Index, View, Word

__all__ = ("Effects",)

_KEPT: Final = 256
"""Closed sets of several ends whose effect is kept, those asked about last; that of one statement's past always is."""

_ROLES: Final = tuple(Role)


class Effects:
    """What takes effect among the statements of a graph, by their numbers."""

    def __init__(self, dag: Dag) -> None:
        self._dag = dag
        self.index = Index(dag)
        self._upto: list[int] = []
        """By number, what takes effect of the statement and all it builds on."""
        self._kept: OrderedDict[tuple[int, ...], int] = OrderedDict()
        self.looks = 0
        """How often a statement was gone through, beside those that it does not know."""

    def add(self, number: int, statement: Signed, word: Word | str) -> None:
        """Take in a judged statement, which the graph has under this number."""
        self._upto.append(self.of(self._dag.maximal(self._dag.parents(number))) | isinstance(word, Word) << number)
        self.index.add(number, statement, word)

    def view(self, top: Iterable[int]) -> View:
        """What a closed set amounts to, given by those of it that no other builds on."""
        return View(self.index, self.of(top))

    def of(self, top: Iterable[int]) -> int:
        """What takes effect of a closed set, as bits; it is given by those of it that no other builds on."""
        key = tuple(top)
        if len(key) < 2:
            return self._upto[key[0]] if key else 0
        if key not in self._kept:
            self._kept[key] = self._compute(key)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    def split(self, top: tuple[int, ...]) -> tuple[int, int]:
        """The ground of a closed set, and the rest: what builds on the ground, or is about persons new to it."""
        bits = self._dag.closure_of(top)
        most = max(top, key=lambda number: self._dag.past(number).bit_count())
        base = self._dag.past(most) | 1 << most
        if self._strangers(bits & ~base, base):
            return base, bits & ~base
        ground = self._dag.ground(bits, top)
        return ground, bits & ~ground

    def _compute(self, top: tuple[int, ...]) -> int:
        ground, rest = self.split(top)
        self.looks += rest.bit_count()
        one = (rest & -rest).bit_length() - 1
        if ground & ~self._dag.past(one):  # the rest is about strangers, and the ground ends with one statement
            one = ground.bit_length() - 1
        return self._among(self._upto[one] & ground, rest)

    def _strangers(self, region: int, base: int) -> bool:
        """Whether a region is about persons and devices of which a base knows nothing: they have no part in it."""
        if region & ~self.index.people:
            return False
        for number in numbers_of(region):
            body = self._dag.statements[number].body
            assert isinstance(body, PersonBody)  # the index's `people`
            named = [self._dag.statements[number].issuer, *([body.device] if isinstance(body, Certify | Expel) else [])]
            if self.index.about[body.person] & base or any(
                    bits & base for device in named for bits in self.index.certified.get(device, {}).values()):
                return False
        return True

    # --- the rest of a set, on its ground ----------------------------------------------------

    def _among(self, effective: int, region: int) -> int:
        """What takes effect of a ground and a region on it: `effective` is what does of the ground."""
        index = self.index
        void = self._void(region)
        strong = self._standing(effective, index.strong & region & ~void, void)
        weak = index.right & region & ~index.strong & ~void
        hit = self._hit(strong, weak) & ~index.begins
        whole = effective | strong | (weak & ~hit)
        if not hit and strong | weak == index.right & region:
            return whole  # nothing loses what it rests on
        for number in numbers_of(weak & ~hit & ~index.begins):
            word = index.words[number]
            assert isinstance(word, Word)  # it was right
            if any(support and not support & whole for support in (word.certificates, word.grants)):
                whole ^= 1 << number
        return whole

    def _void(self, region: int) -> int:
        """What a root key, which expelled a device, makes void: what the person's devices said at the same time."""
        index, void = self.index, 0
        for person, roots in index.disowned.items():
            roots &= region
            if roots:
                own = index.about[person] & index.right & region
                for root in numbers_of(roots):
                    void |= own & ((1 << root) - 1) & ~self._dag.past(root)
                for number in numbers_of(own):
                    if roots & ((1 << number) - 1) & ~self._dag.past(number):
                        void |= 1 << number
        void &= ~(index.roots | index.begins)
        for number in numbers_of(index.right & region & ~(index.roots | index.begins) if void else 0):
            word = index.words[number]
            assert isinstance(word, Word)  # it was right
            if word.certificates and not word.certificates & ~void:
                void |= 1 << number
        return void

    def _standing(self, effective: int, strong: int, void: int) -> int:
        """Of what takes rights away, what takes effect: a `Retire` needs that its device is expelled."""
        known = effective | (self.index.right & ~void)
        for number in numbers_of(strong & self.index.retirements):
            body = self._dag.statements[number].body
            assert isinstance(body, Retire)  # the index's `retirements`
            if not self.index.expelled.get(body.cut.device, 0) & self._dag.past(number) & known:
                strong ^= 1 << number
        return strong

    def _hit(self, strong: int, weak: int) -> int:
        """Of what takes no rights away, that from whose author something, said at the same time, takes the right to."""
        hit = later = 0
        reaches: dict[object, int] = {}
        for number in numbers_of(strong & ~self.index.expulsions):
            body = self._dag.statements[number].body
            assert isinstance(body, Remove | SetRole | Retire)  # the rest of what is strong
            whose = _whose(body)
            reach = reaches.get(whose)
            if reach is None:
                reach = reaches[whose] = self._reach(body) & weak
                later |= reach
            hit |= reach & ((1 << number) - 1) & ~self._dag.past(number)
        for number in numbers_of(later & ~hit):
            if self._against(number) & strong & ((1 << number) - 1) & ~self._dag.past(number):
                hit |= 1 << number
        return hit | self._hit_persons(strong & self.index.expulsions, weak & self.index.people)

    def _reach(self, body: Remove | SetRole | Retire) -> int:
        """What is said of the space by whom a removal concerns, whenever."""
        index = self.index
        if isinstance(body, Retire):
            return index.said.get(body.cut.device, 0)
        least = body.role if isinstance(body, SetRole) else -1
        reach = 0
        for role in _ROLES:
            if role > least:
                reach |= index.spoken.get((body.person, role), 0)
        return reach

    def _against(self, number: int) -> int:
        """What takes from the author of a statement about the space the right to say it, whenever."""
        index, word = self.index, self.index.words[number]
        assert isinstance(word, Word)  # it was right
        against = index.retired.get(self._dag.statements[number].issuer, 0)
        for person in word.persons:
            against |= index.removed.get(person, 0)
            for role in _ROLES:
                if role < word.needs:
                    against |= index.lowered.get((person, role), 0)
        return against

    def _hit_persons(self, expulsions: int, weak: int) -> int:
        """Of what is said about persons, that whose author something, said at the same time, expels."""
        hit, left = 0, []
        for number in numbers_of(weak if expulsions else 0):
            against = self.index.expelled.get(self._dag.statements[number].issuer, 0) & expulsions & (
                ~self._dag.past(number))
            if against & ((1 << number) - 1):
                hit |= 1 << number
            elif against:
                left.append((number, against))
        if left:
            after = self._after(expulsions | weak, left[0][0])
            for number, against in left:
                if against & ~after.get(number, 0):
                    hit |= 1 << number
        return hit

    def _after(self, region: int, first: int) -> dict[int, int]:
        """By number, what builds on a statement, of all about persons between `first` and the end of a region.

        A device may name many others as its victims: to look at each of them for each expulsion would cost more.
        """
        after: dict[int, int] = {}
        between = self.index.people & ~((1 << first) - 1) & ((1 << region.bit_length()) - 1)
        for number in reversed(list(numbers_of(between))):
            bits = after.get(number, 0) | 1 << number
            for parent in self._dag.parents(number):
                if parent >= first:
                    after[parent] = after.get(parent, 0) | bits
        return after


def _whose(body: Remove | SetRole | Retire) -> object:
    """Whom a removal concerns, and how far: two that agree in this take the same from them."""
    if isinstance(body, Retire):
        return body.cut.device
    return body.person, body.role if isinstance(body, SetRole) else None

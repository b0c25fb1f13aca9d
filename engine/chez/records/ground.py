"""What a change's operations stand on: each names operations that are there, in what it builds on, and that fit.

The document library believes what a change says. An operation inside a map that is a
number, one that replaces what stands elsewhere, or one of a change that it does not
build on, is taken in or refused there by what else the document holds, and by whether it
is loaded or already open; some are taken in, and the document can't be read afterwards. So
two devices would differ, or lose a record. Here that is decided by the change and its
past alone, before the library sees it.

Most changes set fields of the root, each in the place of what the same device set there last (`records.settings`).
That these fit is told by the numbers of those operations alone, which are kept.

What a change tells by runs is looked at by runs (`records.runs`): whether they fit then follows from
one of their operations and from what they name, where it goes up in step with them.

Of each change is kept which others are in its past: of each device the last operation
(a vector clock; Fidge 1988, Mattern 1989), and one bit for each change in no device's name.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from chez.records import automerge
from chez.records.automerge import BadChange, Document, Held, RawChange
from chez.records.derived import DEVICE_ID
from chez.records.fields import only_sets, settings
from chez.records.operations import (
    DELETE,
    HEAD,
    MAKE_LIST,
    MAKE_MAP,
    MAKE_TEXT,
    MARK,
    SET,
    Operation,
    OpId,
)
from chez.records.runs import Run, Runs, unpack
from chez.records.settings import Settings

__all__ = ("Ground", "is_new")

_KNOWN: Final = frozenset((MAKE_MAP, MAKE_LIST, MAKE_TEXT, SET, DELETE, MARK))
_MAKES: Final = frozenset((MAKE_MAP, MAKE_LIST, MAKE_TEXT))
_UNPACKED: Final = 200_000
"""Runs of operations kept unpacked while changes are taken in: some tens of megabytes."""

_KEPT: Final = 2_000
"""Runs of one record kept unpacked in between: many records are kept at once."""


def is_new(change: RawChange) -> bool:
    """Whether a change only sets fields that it builds on nobody for: whatever the past, that fits it."""
    return not change.dependencies and change.sequence == 1 and only_sets(change)


class _Seen(msgspec.Struct, frozen=True, gc=False):
    """A change of the record, and what is in its past: each device's last operation, and the others' bits."""

    change: Held | RawChange
    devices: dict[bytes, int]
    others: int


class Ground:
    """The changes of one record, and what its operations are."""

    def __init__(self) -> None:
        self._heads: list[bytes] = []
        self._changes: dict[bytes, _Seen] = {}
        self._of: dict[bytes, tuple[list[int], list[_Seen]]] = {}  # by actor: where each change begins, and it
        self._bits: dict[bytes, int] = {}
        self._unpacked: OrderedDict[bytes, Runs] = OrderedDict()
        self._count = 0  # of what is unpacked
        self._last: dict[bytes, dict[str, int]] = {}  # by device: the number of what it set a field of the root to last

    def learn(self, document: Document) -> None:
        """Take in what a record's document holds by now."""
        heads = [bytes(head) for head in document.get_heads()]
        if heads != self._heads:
            for past in automerge.history(document, self._heads):
                if past.hash not in self._changes:
                    self._add(past, past.dependencies)
            self._heads = heads

    def stands(self, document: Document) -> None:
        """All that a record's document holds was taken in."""
        self._heads = [bytes(head) for head in document.get_heads()]

    def take(self, change: RawChange) -> Settings | None:
        """Take in a change, all it builds on being there; what it sets, if it does nothing else (`fields.settings`).

        Raises `BadChange` when its operations don't fit.
        """
        if (found := settings(change)) is not None and self._goes_on(change, found[0], found[3]):
            self._add(change, change.dependencies)
            return found
        seen, operations = self._seen(change, change.dependencies), unpack(change)
        _Check(self, seen, operations).all()
        self._add(change, change.dependencies)
        self._keep(change.hash, operations)  # what comes next mostly builds on it
        if found is not None:
            self._set(change, found[0])
        return found

    def _goes_on(self, change: RawChange, names: Sequence[str], numbers: Sequence[int]) -> bool:
        """Whether a change sets fields of the root that are new or that its device set last, and so fits."""
        last = self._last.get(change.actor, {})
        if len(change.actor) != DEVICE_ID or any(
                number and last.get(name) != number for name, number in zip(names, numbers, strict=True)):
            return False
        self._set(change, names)
        return True

    def _set(self, change: RawChange, names: Sequence[str]) -> None:
        if len(change.actor) == DEVICE_ID:
            numbers = range(change.first, change.last + 1)
            self._last.setdefault(change.actor, {}).update(zip(names, numbers, strict=True))

    def rest(self) -> None:
        """Let go of most of what is unpacked, until more is taken in."""
        while self._count > _KEPT:
            self._count -= len(self._unpacked.popitem(last=False)[1])

    def _add(self, change: Held | RawChange, dependencies: tuple[bytes, ...]) -> None:
        seen = self._seen(change, dependencies)
        if len(change.actor) != DEVICE_ID:
            self._bits[change.hash] = 1 << len(self._bits)
        self._changes[change.hash] = seen
        firsts, changes = self._of.setdefault(change.actor, ([], []))
        firsts.append(change.first)
        changes.append(seen)

    def _seen(self, change: Held | RawChange, dependencies: tuple[bytes, ...]) -> _Seen:
        own = self._of[change.actor][1][-1] if change.actor in self._of else None
        if own is not None and dependencies == (own.change.hash,):  # nearly always
            return _Seen(change, own.devices, own.others)
        needs = {hash: self._changes[hash] for hash in dependencies if hash in self._changes}
        if own is not None and len(change.actor) == DEVICE_ID:
            needs[own.change.hash] = own  # a device's changes follow each other, whatever they say to build on
        if own is not None and len(needs) == 1 and own.change.hash in needs:
            return _Seen(change, own.devices, own.others)
        devices: dict[bytes, int] = {}
        others = 0
        for hash, seen in needs.items():
            others |= seen.others | self._bits.get(hash, 0)
            for device, last in (*seen.devices.items(), (seen.change.actor, seen.change.last)):
                if len(device) == DEVICE_ID and device != change.actor:
                    devices[device] = max(last, devices.get(device, 0))
        return _Seen(change, devices, others)

    def find(self, by: _Seen, id: OpId) -> Operation | None:
        """An operation in a change's past."""
        number, actor = id
        change = self._holder(by, actor, number)
        return None if change is None else self._operations(change).find(number)

    def between(self, by: _Seen, actor: bytes, first: int, last: int) -> Iterator[Run | None]:
        """The runs of an actor's operations from `first` to `last` that are in a change's past; None for a gap."""
        while first <= last:
            change = self._holder(by, actor, first)
            if change is None:
                yield None
                return
            yield from self._operations(change).between(first, min(last, change.last))
            first = change.last + 1

    def _holder(self, by: _Seen, actor: bytes, number: int) -> Held | RawChange | None:
        """The change in another's past that has an operation."""
        firsts, changes = self._of.get(actor, ((), ()))
        if not (at := bisect_right(firsts, number)):
            return None
        change = changes[at - 1].change
        if number > change.last:
            return None
        if actor != by.change.actor and not (
                by.devices.get(actor, 0) >= change.last if len(actor) == DEVICE_ID
                else by.others & self._bits[change.hash]):
            return None
        return change

    def _operations(self, change: Held | RawChange) -> Runs:
        found = self._unpacked.get(change.hash)
        if found is None:
            found = unpack(change if isinstance(change, RawChange) else automerge.read_change(change.bytes))
            self._keep(change.hash, found)
        self._unpacked.move_to_end(change.hash)
        return found

    def _keep(self, hash: bytes, operations: Runs) -> None:
        self._unpacked[hash] = operations
        self._count += len(operations)
        while self._count > _UNPACKED and len(self._unpacked) > 1:
            self._count -= len(self._unpacked.popitem(last=False)[1])


class _Check:
    """The operations of one change, held against what they name."""

    def __init__(self, ground: Ground, by: _Seen, operations: Runs) -> None:
        self._ground = ground
        self._by = by
        self._operations = operations
        self._first = by.change.first
        self._obj: OpId | None = None  # the one looked at last, and what made it
        self._made = MAKE_MAP

    def all(self) -> None:
        """Raise `BadChange` unless every one of them fits."""
        for run in self._operations.all:
            self._one(run.at(0))
            if run.count > 1 and not self._in_step(run):
                for n in range(1, run.count):
                    self._one(run.at(n))

    def _one(self, one: Operation) -> None:
        if one.action not in _KNOWN or ((one.raw or one.kind) and one.action not in (SET, MARK)):
            raise BadChange("a change has an operation that no edit makes")
        if one.obj != self._obj:
            made = None if one.obj is None else self._find(one, one.obj)
            if one.obj is not None and (made is None or made.action not in _MAKES):
                raise BadChange("an operation acts inside of what is not there")
            self._obj, self._made = one.obj, MAKE_MAP if made is None else made.action
        self._key(one)
        self._before(one)

    def _in_step(self, run: Run) -> bool:
        """Whether all of a run fits because its first operation does. What can't be told so is looked at one by one.

        What stays the same from one operation to the next fits as it did. Elements that are
        neighbours in number fit if all are elements of the object; and what each of them
        replaces does, if that is the element's own insertion.
        """
        if run.before and (run.before[0] != run.key or run.back != run.step):
            return not run.step and not run.back
        if not run.step:
            return True
        if run.step not in (1, -1) or not isinstance(run.key, tuple):
            return False
        (number, actor), reach = run.key, run.step * (run.count - 1)
        for held in self._between(actor, min(number, number + reach), max(number, number + reach)):
            if held is None or not held.insert or held.obj != run.obj or (held.action == MARK and not run.insert):
                return False
        return True

    def _between(self, actor: bytes, first: int, last: int) -> Iterator[Run | None]:
        own = actor == self._by.change.actor
        if not own or first < self._first:
            yield from self._ground.between(self._by, actor, first, min(last, self._first - 1) if own else last)
        if own and last >= self._first:
            yield from self._operations.between(max(first, self._first), last)

    def _key(self, one: Operation) -> None:
        """A map has keys, a list and a text have elements."""
        fits = isinstance(one.key, str) == (self._made == MAKE_MAP)
        if isinstance(one.key, str):
            fits = fits and one.key != "" and not one.insert
        elif one.key == HEAD:
            fits = fits and one.insert
        elif fits:
            element = self._find(one, one.key)
            fits = element is not None and element.insert and element.obj == one.obj and (
                one.insert or element.action != MARK)
        if one.action == MARK:
            fits = fits and one.insert and self._made == MAKE_TEXT
        if not fits:
            raise BadChange("an operation acts on a place that is not there")

    def _before(self, one: Operation) -> None:
        """What is replaced stands in the same place, and is told in order; a deletion replaces something."""
        fits = not one.insert if one.before else one.action != DELETE
        last: OpId = HEAD
        for id in one.before:
            found = self._find(one, id)
            fits = fits and found is not None and found.place == one.place and found.action != DELETE and id > last
            last = id
        if not fits:
            raise BadChange("an operation replaces what is not there")

    def _find(self, one: Operation, id: OpId) -> Operation | None:
        if id >= one.id:
            return None
        if id[1] == self._by.change.actor and id[0] >= self._first:
            return self._operations.find(id[0])
        return self._ground.find(self._by, id)

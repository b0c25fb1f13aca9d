"""Undo and redo: the inverse of one change, made on what the record is now.

What a change did is undone place by place (a place is a key of a map, or an element of a
list or a text). With "somebody else's" meaning any change that is not this device's own
and that the change did not build on:

- a value that it set is replaced by what stood there before, if it still stands there
  alone. If somebody else's stands beside it (both were set at once), only this device's
  goes, and theirs shows. If it was overwritten or removed since, nothing is done.
- a map, a list or a text that it made goes, unless somebody else wrote inside.
- an element that it put into a list or a text goes, unless somebody else replaced it.
- what it deleted comes back where it was, unless something stands there again or, for a
  key of a map, somebody else set it since.
- of a counter that comes back, what other devices had added is in its base: each may write
  its own part only.
- marks in texts, the version of a record's form and what an import noted stay.

So nothing of anybody else is reverted, and what is left is reported. What comes back is a
copy; which operation stands for which is kept (`Moved`), so that earlier changes can be
undone after later ones. The order is last made, first undone; undoing the change that
made a record deletes it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from automerge.core import ObjType, ScalarType

from chez.records import automerge
from chez.records.automerge import Document, RawChange
from chez.records.counter import bounded
from chez.records.encode import UINT, scalar, uleb
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
    decode,
    is_make,
)
from chez.records.places import Place, Places, binding_id, operation_id
from chez.records.reserved import COUNTER, is_part_of, part_key, part_name
from chez.records.values import MAX_DEPTH

__all__ = ("Inverse", "Moved", "Spot", "inverse")


class Spot(msgspec.Struct, frozen=True):
    """An operation that stands for another one, and its place."""

    id: OpId
    obj: OpId | None
    key: str | OpId


Moved = dict[OpId, Spot]
_Held = tuple[str | None, Any, bytes]
_WHOLE: Final = ScalarType.Int
_EDGES: Final = ((ScalarType.Str, "markBegin"), (ScalarType.Str, "markEnd"))  # how the binding shows those of marks
_MAKES: Final = ((ObjType.Map, MAKE_MAP), (ObjType.List, MAKE_LIST), (ObjType.Text, MAKE_TEXT))


@dataclass(slots=True)
class Inverse:
    """The operations that undo a change, what they put back, and the places that were left."""

    operations: list[Operation] = field(default_factory=list)
    moved: Moved = field(default_factory=dict)
    left: list[Place] = field(default_factory=list)


def inverse(document: Document, change: RawChange, moved: Moved, actor: bytes, start: int) -> Inverse:
    """The inverse of a change of `actor` in a document; its operations are numbered from `start` on."""
    return _Inverter(document, change, moved, actor, start).run()


class _Inverter:
    def __init__(self, document: Document, change: RawChange, moved: Moved, actor: bytes, start: int) -> None:
        self._document = document
        self._operations = {one.id: one for one in decode(change)}
        self._at: dict[Place, list[Operation]] = {}
        for one in self._operations.values():
            self._at.setdefault(one.place, []).append(one)
        self._written_over = {id for one in self._operations.values() for id in one.before}
        self._heads = change.dependencies
        self._hash = change.hash
        self._moved = dict(moved)
        self._actor = actor
        self._next = start
        self._out = Inverse()
        self._held: dict[OpId | None, dict[OpId, _Held]] = {}
        self._since = Places()
        self._since.add(self._operations.values())
        self._others: list[Operation] = []
        for raw in automerge.changes_of(document, [change.hash]):
            later = automerge.read_change(raw)
            operations = decode(later)
            self._since.add(operations)
            if later.actor != actor:
                self._others += operations
        self._touched = {one.place for one in self._others}
        self._overtaken = {id for one in self._others for id in one.before}
        self._places = {one.place for one in self._operations.values()}
        self._added: dict[Place, int] = {}  # what others had added to counters that it deleted, until that is put back

    def run(self) -> Inverse:
        parts = {one.id for one in self._operations.values() if self._is_others_part(one)}
        for one in self._operations.values():
            if one.id in parts:
                self._sum_up(one)
        for one in self._operations.values():
            if one.id in parts:
                continue
            if one.obj in self._operations or one.action == MARK or _kept(one):
                continue  # what is inside of something that it made goes with that
            if one.insert:
                self._uninsert(one)
            elif one.action == DELETE:
                self._restore(one)
            elif one.id not in self._written_over:  # else by the change itself, and that puts back what was before both
                self._unset(one)
        for (obj, key), total in tuple(self._added.items()):  # of counters without a base
            if self._since.in_force((obj, key)):
                self._out.left.append((obj, key))
            else:
                self._count(obj, str(key), total)
        self._out.moved = self._moved
        return self._out

    # --- the three kinds ------------------------------------------------------------------

    def _uninsert(self, one: Operation) -> None:
        spot = self._stands_for(one.id) or Spot(one.id, one.obj, one.id)
        there = self._in_force(spot)
        if spot.id not in there or self._lived_in(spot, one):
            self._leave(spot, bool(there))
        else:
            self._write(spot.obj, spot.key, DELETE, before=(spot.id,))

    def _unset(self, one: Operation) -> None:
        spot = self._spot(one)
        there = self._in_force(spot)
        # What this change set beside each other goes at once, for what stood there before all of it.
        together = [same for same in self._at[one.place] if not same.insert and self._spot(same).id in there]
        ids = tuple(self._spot(same).id for same in together)
        if spot.id not in there:
            self._leave(spot, bool(there) or (spot.obj, spot.key) in self._touched)
        elif set(there) - {*ids}:
            self._write(spot.obj, spot.key, DELETE, before=(spot.id,))
        elif any(self._lived_in(self._spot(same), same) for same in together):
            self._leave(spot, True)
        elif one is not together[0]:
            return
        elif old := [held for same in together for held in self._old(same)]:
            self._put_back(old, spot.obj, spot.key, ids)
        elif (total := self._added.pop((spot.obj, spot.key), None)) is not None:
            self._count(spot.obj, str(spot.key), total, ids)
        else:
            self._write(spot.obj, spot.key, DELETE, before=ids)

    def _spot(self, one: Operation) -> Spot:
        return self._stands_for(one.id) or Spot(one.id, one.obj, one.key)

    def _restore(self, one: Operation) -> None:
        old = self._old(one)
        if not old or not any(operation_id(id) in self._contents(one.obj) for _, _, id in old):
            return  # what it deleted was its own, or did not show
        inside = self._stands_for(one.obj)
        obj = one.obj if inside is None else inside.id
        if isinstance(one.key, str):
            if (obj, one.key) in self._touched or self._in_force(Spot(one.id, obj, one.key), own=False):
                self._leave(Spot(one.id, obj, one.key), True)
            else:
                self._put_back(old, obj, one.key)
        elif inside is None and self._in_force(Spot(one.id, obj, one.key), own=False):
            self._leave(Spot(one.id, obj, one.key), True)
        elif inside is None and self._survived(one):
            self._put_back(old, obj, one.key)
        else:
            new = self._copy(old[-1], obj, one.key if inside is None else self._anchor(one, old[-1]), insert=True)
            self._put_back(old[:-1], obj, new)

    # --- counters: each device may write its own part only --------------------------------------

    def _is_others_part(self, one: Operation) -> bool:
        """Whether an operation deletes what another device had added to a counter."""
        return (one.action == DELETE and isinstance(one.key, str) and (name := part_name(one.key)) is not None
                and one.key != part_key(self._actor, name))

    def _sum_up(self, one: Operation) -> None:
        """What another device had added is put back with the counter's base, unless it added more meanwhile."""
        inside = self._stands_for(one.obj)
        obj, key = one.obj if inside is None else inside.id, str(one.key)
        if not self._overtaken.isdisjoint(one.before):
            return  # its part has that in it
        place = obj, part_name(key) or ""
        for _, value, id in self._old(one)[-1:]:
            self._added[place] = self._added.get(place, 0) + (_part(key, value, id) or 0)

    def _count(self, obj: OpId | None, name: str, total: int, before: tuple[OpId, ...] = ()) -> None:
        """A base of a counter, which is one although nothing of this device may have been added."""
        kind, raw = scalar(bounded(total))
        self._write(obj, name, SET, kind=kind, raw=raw, before=before)
        self._begin_part(obj, name)

    def _begin_part(self, obj: OpId | None, name: str) -> None:
        own = (obj, part_key(self._actor, name))
        if not self._since.in_force(own) and own not in self._places:
            kind, raw = scalar(0)
            self._write(*own, SET, kind=kind, raw=raw)

    # --- what is there ----------------------------------------------------------------------

    def _stands_for(self, id: OpId | None) -> Spot | None:
        """What stands for an operation now: a copy of it may have been undone and put back again."""
        spot = None
        while id is not None and (found := self._moved.get(id)) is not None:
            spot, id = found, found.id
        return spot

    def _in_force(self, spot: Spot, *, own: bool = True) -> list[OpId]:
        """What stands at a place now, as far as this change and those that it did not build on know."""
        if spot.obj is not None and spot.obj in self._since.replaced:
            return []  # the object itself is gone
        found = {one.id for one in self._since.in_force((spot.obj, spot.key))}
        if own and spot.id not in self._since.replaced:
            found.add(spot.id)
        return list(found)

    def _lived_in(self, spot: Spot, one: Operation) -> bool:
        """Whether somebody else wrote inside of what an operation made."""
        return is_make(one.action) and any(
            self._since.within(other.obj, outer) for other in self._others for outer in {spot.id, one.id})

    def _leave(self, spot: Spot, somebody: bool) -> None:
        if somebody:
            self._out.left.append((spot.obj, spot.key))

    def _old(self, one: Operation) -> list[_Held]:
        """What a change replaced at a place: the one that showed is last."""
        before, found = list(one.before), []
        while before:
            id = before.pop()
            if id in self._operations:
                before += self._operations[id].before
            else:
                found.append(id)
        if len(found) < 2:
            return [held for id in found if (held := self._contents(one.obj).get(id)) is not None]
        return [held for id in sorted(found) if (held := self._beside(one.obj, id)) is not None]

    def _beside(self, obj: OpId | None, id: OpId) -> _Held | None:
        """The same of a conflict: the binding tells what showed, the others' changes have the rest."""
        if (held := self._contents(obj).get(id)) is not None:
            return held
        for raw in automerge.changes_of(self._document):
            change = automerge.read_change(raw)
            if change.actor == id[1] and change.first <= id[0] <= change.last:
                one = decode(change)[id[0] - change.first]
                kind = next((kind for kind, action in _MAKES if action == one.action), None)
                return None, (one.kind, one.raw) if kind is None else kind, binding_id(id)
        return None

    def _put_back(self, old: list[_Held], obj: OpId | None, key: str | OpId, before: tuple[OpId, ...] = ()) -> None:
        """All that stood at a place stands there again, and the same shows: the last that is written."""
        total = self._added.pop((obj, key), None)
        for n, (_, value, id) in enumerate(old):
            if total is not None and n == len(old) - 1 and _whole(value):
                value = _more(value, total)
                self._begin_part(obj, str(key))
            self._copy((None, value, id), obj, key, before=before if n == 0 else ())

    def _contents(self, obj: OpId | None) -> dict[OpId, _Held]:
        if obj not in self._held:
            held = automerge.contents(self._document, binding_id(obj), self._heads) if self._heads else []
            self._held[obj] = {operation_id(id): (key, value, id) for key, value, id in held}
        return self._held[obj]

    def _survived(self, one: Operation) -> bool:
        """Whether something else stood at an element after a change deleted what showed there (a settled conflict)."""
        held = automerge.contents(self._document, binding_id(one.obj), [self._hash])
        after = {operation_id(id) for _, _, id in held}
        beside = after - self._contents(one.obj).keys() - self._operations.keys()
        if not beside:
            return False
        places = Places.of(self._document)
        return any(places.where.get(id) == (one.obj, one.key) for id in beside)

    def _anchor(self, one: Operation, old: _Held) -> OpId:
        """Where an element belongs in the copy of its list: after the nearest one before it that was copied."""
        anchor = HEAD
        for id in self._contents(one.obj):
            if id == operation_id(old[2]):
                break
            if (spot := self._stands_for(id)) is not None and not isinstance(spot.key, str):
                anchor = spot.key
        return anchor

    # --- what is written ----------------------------------------------------------------------

    def _write(self, obj: OpId | None, key: str | OpId, action: int, *, insert: bool = False, kind: int = 0,
               raw: bytes = b"", before: tuple[OpId, ...] = ()) -> OpId:
        id = (self._next, self._actor)
        self._next += 1
        self._out.operations.append(Operation(id, obj, key, insert, action, kind, raw, before))
        return id

    def _copy(self, held: _Held, obj: OpId | None, key: str | OpId, *, insert: bool = False,
              before: tuple[OpId, ...] = (), depth: int = 0) -> OpId:
        """Put back what a place held, with all that was inside."""
        _, value, id = held
        if type(value) is tuple:
            kind, raw = _stored(*value)
            new = self._write(obj, key, SET, insert=insert, kind=kind, raw=raw, before=before)
        else:
            make = next(action for kind, action in _MAKES if kind == value)
            new = self._write(obj, key, make, insert=insert, before=before)
            if depth < MAX_DEPTH:
                self._fill(new, automerge.contents(self._document, id, self._heads), depth + 1)
        self._moved[operation_id(id)] = Spot(new, obj, new if insert else key)
        return new

    def _fill(self, obj: OpId, held: Sequence[_Held], depth: int) -> None:
        own, added = self._tallied(held)
        missing = [part_key(self._actor, name) for name in added if part_key(self._actor, name) not in own]
        after: OpId = HEAD
        for key, value, id in held:
            if key is None:
                if value not in _EDGES:
                    after = self._copy((key, value, id), obj, after, insert=True, depth=depth)
            elif key in own or not key.startswith(COUNTER):
                total = added.pop(key, 0)  # to anything but a whole number nothing was added
                self._copy((key, _more(value, total), id), obj, key, depth=depth)
        for name, number in (*added.items(), *((key, 0) for key in missing)):
            kind, raw = scalar(bounded(number))
            self._write(obj, name, SET, kind=kind, raw=raw)

    def _tallied(self, held: Sequence[_Held]) -> tuple[set[str], dict[str, int]]:
        """Of what a map held, the keys of this device's parts of counters, and what others added by counter."""
        own: set[str] = set()
        added: dict[str, int] = {}
        for key, value, id in held:
            if key is None or (number := _part(key, value, id)) is None:
                continue
            name = part_name(key) or ""
            if key == part_key(self._actor, name):
                own.add(key)
            else:
                added[name] = added.get(name, 0) + number
        return own, added


def _part(key: str, value: Any, id: bytes) -> int | None:
    """What a device had added to a counter by itself; None for anything else."""
    return value[1] if part_name(key) is not None and _whole(value) and is_part_of(key, operation_id(id)[1]) else None


def _whole(value: Any) -> bool:
    return type(value) is tuple and value[0] == _WHOLE and type(value[1]) is int


def _more(value: Any, amount: int) -> Any:
    """A counter's base with something added to it; anything else as it is."""
    return (_WHOLE, bounded(value[1] + amount)) if amount and _whole(value) else value


def _kept(one: Operation) -> bool:
    """Whether an operation sets what Chez keeps beside the fields; a deletion of the record is the person's."""
    return (one.obj is None and isinstance(one.key, str) and one.key[:1] == "_" and one.key != "_deleted"
            and part_name(one.key) is None)


def _stored(kind: Any, value: Any) -> tuple[int, bytes]:
    """A scalar as the format has it."""
    if type(kind) is int:  # it is so already
        return kind, value
    if kind == ScalarType.Uint:
        return UINT, uleb(value)
    return scalar(automerge.plain(value))

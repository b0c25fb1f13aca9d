"""The places of a document: what is in force at each, and what people call it.

Built from the operations of all changes of a document (`records/operations.py`), which
takes a few microseconds each; only history, conflicts and undo need it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from struct import error as StructError
from typing import Final

from automerge.core import ObjType

from chez.records import automerge
from chez.records.automerge import ROOT, Document
from chez.records.encode import uleb
from chez.records.operations import (
    DELETE,
    MAKE_LIST,
    MAKE_MAP,
    MAKE_TEXT,
    MARK,
    Operation,
    OpId,
    decode,
    is_make,
    read_scalar,
)
from chez.records.reserved import operation, part_name
from chez.records.values import MAX_DEPTH, Value

__all__ = ("Names", "Place", "Places", "binding_id", "escaped", "operation_id", "value_of")

Place = tuple[OpId | None, str | OpId]
"""A key of a map, or an element of a list: the object and the key."""

_KINDS: Final = {MAKE_MAP: ObjType.Map, MAKE_LIST: ObjType.List, MAKE_TEXT: ObjType.Text}
_MAKES: Final = tuple((kind, action) for action, kind in _KINDS.items())


@dataclass(slots=True)
class Places:
    """What the operations of some changes do, place by place."""

    made: dict[OpId, Operation] = field(default_factory=dict)
    """The maps, lists and texts, by what made them."""
    at: dict[Place, list[Operation]] = field(default_factory=dict)
    """The operations that set something at a place."""
    replaced: dict[OpId, list[Operation]] = field(default_factory=dict)
    """Those that an operation was replaced by."""
    where: dict[OpId, Place] = field(default_factory=dict)
    """The place of each operation that set something."""

    @classmethod
    def of(cls, document: Document) -> "Places":
        """All of a document."""
        places = cls()
        for raw in automerge.changes_of(document):
            places.add(decode(automerge.read_change(raw)))
        return places

    def add(self, operations: Iterable[Operation]) -> None:
        """Take in more operations, in whatever order."""
        for one in operations:
            if is_make(one.action):
                self.made[one.id] = one
            if one.action not in (DELETE, MARK):
                self.at.setdefault(one.place, []).append(one)
                self.where[one.id] = one.place
            for id in one.before:
                self.replaced.setdefault(id, []).append(one)

    def in_force(self, place: Place) -> list[Operation]:
        """What stands at a place; the last one shows, the others are beside it."""
        return sorted([one for one in self.at.get(place, ()) if one.id not in self.replaced], key=lambda one: one.id)

    def within(self, obj: OpId | None, outer: OpId) -> bool:
        """Whether an object is another one, or inside it."""
        while obj is not None and obj != outer:
            obj = self._around(obj)
        return obj == outer

    def _around(self, obj: OpId) -> OpId | None:
        """The object that another one is in. Numbers rise inwards, so that no way out is endless."""
        maker = self.made.get(obj)
        return None if maker is None or maker.obj is None or maker.obj >= obj else maker.obj

    def path(self, place: Place) -> str | None:
        """What people call a place: dots lead into maps, a list is one field. None for what is Chez's own."""
        steps = self.steps(place)
        return None if steps is None else ".".join(map(escaped, steps))

    def steps(self, place: Place) -> list[str] | None:
        """The names that lead to a place, the record's field first."""
        steps: list[str] = []
        obj, key = place
        while True:
            if isinstance(key, str):
                steps.append(part_name(key) or key)
            else:
                steps.clear()
            if obj is None:
                break
            maker = self.made.get(obj)
            if maker is None or (maker.obj is not None and maker.obj >= obj):
                return None
            obj, key = maker.obj, maker.id if maker.insert else maker.key
        return None if not steps or steps[-1].startswith("_") else steps[::-1]


class Names:
    """What people call the places of a document.

    Those in what it shows are read from it; only for one that is elsewhere are all its changes
    looked at, which takes seconds in a long history. `more` are operations that are not in it yet.
    """

    def __init__(self, document: Document, more: Iterable[Operation] = ()) -> None:
        self._document = document
        self._more = tuple(more)
        self._shown = Places()
        self._walk(None, 0)
        self._shown.add(self._more)

    def path(self, place: Place) -> str | None:
        """What a place is called (see `Places.path`)."""
        return self._at(place).path(place)

    def field(self, place: Place) -> str | None:
        """The field of the record that a place is in; None for what is Chez's own."""
        steps = self._at(place).steps(place)
        return None if steps is None else steps[0]

    def _at(self, place: Place) -> Places:
        return self._shown if place[0] is None or place[0] in self._shown.made else self._all

    @cached_property
    def _all(self) -> Places:
        places = Places.of(self._document)
        places.add(self._more)
        return places

    def _walk(self, obj: OpId | None, depth: int) -> None:
        """Note what makes the objects that a map or a list shows."""
        for key, kind, id in automerge.contents(self._document, binding_id(obj), self._document.get_heads()):
            if type(kind) is not tuple:
                made = operation_id(id)
                place = made if key is None else key
                self._shown.made[made] = Operation(made, obj, place, key is None,
                                                    next(action for one, action in _MAKES if one == kind), 0, b"", ())
                if kind != ObjType.Text and depth < MAX_DEPTH:
                    self._walk(made, depth + 1)


def escaped(step: str) -> str:
    """A step of a path, as `chez.query.paths` reads it."""
    return step.replace(".", "\\.")


def binding_id(id: OpId | None) -> bytes:
    """How the binding calls an object: tag, actor, that one's index (which it does not need), number."""
    if id is None:
        return ROOT
    return b"".join((b"\x10", uleb(len(id[1])), id[1], b"\0", uleb(id[0])))


def operation_id(id: bytes) -> OpId:
    """The operation that the binding calls so."""
    actor, number = operation(id)
    return number, actor


def value_of(document: Document, one: Operation) -> Value:
    """What an operation set, whether it shows or not."""
    if one.action in _KINDS:
        return automerge.inside(document, _KINDS[one.action], binding_id(one.id))
    try:
        return read_scalar(one.kind, one.raw)
    except (IndexError, ValueError, OverflowError, StructError):
        return None

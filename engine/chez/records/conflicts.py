"""Conflicts: places where devices set something at once, so that one value shows and the others stand beside it.

Nothing is lost by a conflict, and nothing must be done about it: the same value shows on
every device (Automerge's choice, by the operations' numbers). To resolve one is to take
away the others: what was chosen stays as it is, so that edits inside it go on merging.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from chez.errors import Damaged, NotFound
from chez.records import automerge
from chez.records.automerge import Document, RawChange
from chez.records.documents import unreadable
from chez.records.operations import DELETE, MAKE_TEXT, Operation, OpId, decode, encode, is_make
from chez.records.past import NameOf, Past, among, open_past
from chez.records.places import Place, Places, binding_id, escaped, operation_id, value_of
from chez.records.values import MAX_DEPTH, Value
from chez.store.database import Connection

__all__ = ("Conflict", "Version", "conflicts_of", "find_conflicts", "resolution")


_Found = tuple[str, Place, list[Operation]]
"""A name, a place, and what is in force there."""


@dataclass(frozen=True, slots=True)
class Version:
    """One of the values that stand at a place. `choice` names it to `Collection.resolve`."""

    choice: str
    value: Value = field(repr=False)
    device: bytes = field(repr=False)
    device_name: str | None
    shows: bool


class Conflict(msgspec.Struct, frozen=True):
    """A field with several values, the one that shows first. Dots lead inside, an item of a list is `items[2]`."""

    field: str
    versions: tuple[Version, ...]


def conflicts_of(past: Past, names: NameOf) -> list[Conflict]:
    """Every conflict in what a record shows, in order of the fields."""
    out = []
    for name, _, found in _walk(past.document, past.places, None, ""):
        authors = {one.id: _author(past, one.id) for one in found}
        out.append(Conflict(name, tuple([
            Version(_choice(one.id), value_of(past.document, one), authors[one.id], names(authors[one.id]), n == 0)
            for n, one in enumerate(reversed(found))])))
    return sorted(out, key=lambda conflict: conflict.field)


def find_conflicts(db: Connection, step: Callable[[int, int], None], space: int, collection: str | None, actor: bytes,
                   names: NameOf) -> tuple[dict[tuple[str, str], list[Conflict]], list[Damaged]]:
    """Every conflict in a space, or in one collection of it, by collection and id; and the records that can't be read.

    Of one change there is none. `step(done, total)` is called before each record that has more, `actor` is this device.
    To be asked of one state of the store.
    """
    out, damaged = {}, []
    where, values = among(collection)
    several = db.execute(f"SELECT n, collection, id FROM record WHERE space = ? {where} AND deleted = 0 AND "
                         "(SELECT count(*) FROM change WHERE record = record.n) > 1 ORDER BY collection, id",
                         (space, *values)).fetchall()
    for done, (n, name, id) in enumerate(several):
        step(done, len(several))
        try:
            if _contested(db, n) and (found := conflicts_of(open_past(db, space, name, id, actor), names)):
                out[name, id] = found
        except Damaged as error:
            damaged.append(error)
        except automerge.BadChange as error:
            damaged.append(unreadable(name, id, error))
    return out, damaged


def _contested(db: Connection, n: int) -> bool:
    """Whether changes of a record that did not know of each other may have set one place to different values.

    The log tells it in a part of the time that the document takes, but for changes that only a snapshot has. What two
    devices imported of one file is forked, and says the same.
    """
    changes = []
    for (data,) in db.execute("SELECT bytes FROM change WHERE record = ? AND state < 2", (n,)).fetchall():
        if data is None:
            return True
        changes.append(automerge.read_change(data))
    if len({one.dependencies for one in changes}) == len(changes) and all(len(one.dependencies) < 2 for one in changes):
        return False  # each goes on from another one
    places = Places()
    for change in changes:
        places.add(decode(change))
    return any(_differ(places.in_force(place)) for place, found in places.at.items()
               if len(found) > 1 and not (isinstance(place[1], str) and place[1].startswith("_")))


def _differ(found: list[Operation]) -> bool:
    """Whether what is in force at a place is more than one value."""
    return len({(one.action, one.kind, one.raw, one.id if is_make(one.action) else None) for one in found}) > 1


def resolution(past: Past, field: str, choice: str, sequence: int, actor: bytes) -> RawChange:
    """The change by `actor`, its `sequence`th, that leaves one version of a field. Raises `NotFound`."""
    for name, place, found in _walk(past.document, past.places, None, ""):
        if name == field and choice in map(_choice, [one.id for one in found]):
            others = tuple([one.id for one in found if _choice(one.id) != choice])
            start = max(change.last for change in past.changes) + 1
            obj, key = place
            remove = Operation((start, actor), obj, key, False, DELETE, 0, b"", others)
            heads = [bytes(head) for head in past.document.get_heads()]
            return encode(actor, sequence, start, heads, [remove])
    raise NotFound(f"the field {field!r} of record {past.id!r} has no such version any more",
                   "Look at its conflicts again.")


def _walk(document: Document, places: Places, obj: OpId | None, prefix: str, depth: int = 0) -> list[_Found]:
    """The conflicts of a map or a list and of what it shows."""
    out = []
    for place, name in _shown(document, places, obj, prefix):
        found = places.in_force(place)
        if _differ(found):
            out.append((name, place, found))
        if found and is_make(found[-1].action) and found[-1].action != MAKE_TEXT and depth < MAX_DEPTH:
            out += _walk(document, places, found[-1].id, name, depth + 1)
    return out


def _shown(document: Document, places: Places, obj: OpId | None, prefix: str) -> list[tuple[Place, str]]:
    """The places of a map or a list, and their names."""
    held = automerge.contents(document, binding_id(obj), document.get_heads())
    if obj is None or any(key is not None for key, _, _ in held):
        return [((obj, key), f"{prefix}.{escaped(key)}" if prefix else escaped(key))
                for key, _, _ in held if key is not None and not key.startswith("_")]
    shown = [places.where.get(operation_id(id)) for _, _, id in held]
    return [(place, f"{prefix}[{n}]") for n, place in enumerate(shown) if place is not None]


def _choice(id: OpId) -> str:
    return f"{id[0]}@{id[1].hex()}"


def _author(past: Past, id: OpId) -> bytes:
    for change in past.changes:
        if change.actor == id[1] and change.first <= id[0] <= change.last:
            return past.known.get(change.hash, (change.actor, 0))[0]
    return id[1]

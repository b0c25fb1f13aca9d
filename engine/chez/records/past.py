"""A record's past: its changes, its value at each of them, and what differs between two.

The document has it all. The log adds who brought a change and when it was made. Changes
are in Lamport's order (CACM 21:7, 1978): by the number of their last operation, then by
hash, those of a migration with the edit they were made for; so that every device that has
the same ones shows them alike, whatever arrived first.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final, Literal

import msgspec

from chez.errors import InvalidValue, NotFound
from chez.records import automerge
from chez.records.automerge import Document, Held, RawChange
from chez.records.by_hand import is_import
from chez.records.derived import MIGRATION
from chez.records.documents import unreadable
from chez.records.operations import DELETE, Operation, decode, is_make
from chez.records.places import Names, Places, escaped
from chez.records.rows import ABSENT, Rows
from chez.records.values import OWN, Value
from chez.shown import NO_RECORD
from chez.store.database import Connection

__all__ = ("Change", "Difference", "Kind", "NameOf", "Past", "among", "differences", "moment", "open_past")

NameOf = Callable[[bytes], str | None]
"""What a device is called, by its id."""

Kind = Literal["created", "edited", "deleted", "restored", "imported", "migrated"]
"""What a change did to its record."""

PREFIX: Final = 4
"""Characters of a change's hash that are enough to name it, if no other begins so."""

PAUSE: Final = timedelta(minutes=5)
"""What one device does in the same fields without a longer pause is shown as one, in a grouped history."""

LOOKED_AT: Final = 10_000
"""Changes that a page is made of at most: half a second."""

_ABSENT: Final = object()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a record.

    `hash` names it everywhere. `device` made it (or imported it), `time` is that one's
    clock then, None if not known: nothing is ordered by it. `fields` are those it
    touched, dots lead inside.

    In a grouped history it stands for `count` edits of one device in the same fields, each within five minutes of the
    one before: `hash` and `time` are those of the last, `oldest` and `since` those of the first.
    """

    hash: str
    kind: Kind
    device: bytes = dataclasses.field(repr=False)
    device_name: str | None
    time: datetime | None
    fields: tuple[str, ...]
    oldest: str
    since: datetime | None
    count: int = 1

    def goes_on(self, older: "Change") -> bool:
        """Whether it belongs to what somebody did just before, to people."""
        return (self.kind == older.kind == "edited" and self.device == older.device and self.fields == older.fields
                and self.since is not None and older.time is not None and abs(self.since - older.time) <= PAUSE)

    def joined(self, older: "Change") -> "Change":
        """Both as one."""
        return dataclasses.replace(self, oldest=older.oldest, since=older.since, count=self.count + older.count)


class Difference(msgspec.Struct, frozen=True):
    """A field that differs: dots lead inside. `before` is None for one that was added, `after` for one removed."""

    field: str
    kind: Literal["added", "removed", "changed"]
    before: Value = dataclasses.field(repr=False)
    after: Value = dataclasses.field(repr=False)


@dataclass
class Past:
    """A record's document, and what the log knows of its changes: author, time."""

    collection: str
    id: str
    document: Document
    known: dict[bytes, tuple[bytes, int]]

    @cached_property
    def changes(self) -> list[Held]:
        """All of them, in order."""
        return _with_their_edits(sorted(automerge.history(self.document),
                                        key=lambda one: (one.last, one.first, one.hash)))

    @cached_property
    def places(self) -> Places:
        """What all operations do."""
        places = Places()
        for change in self.changes:
            places.add(decode(automerge.read_change(change.bytes)))
        return places

    @cached_property
    def _names(self) -> Names:
        return Names(self.document)

    def find(self, point: str) -> Held:
        """The change of this hash, or whose hash begins so. Raises `NotFound`, `InvalidValue`."""
        wanted = point.lower()
        if len(wanted) < PREFIX or set(wanted) - set("0123456789abcdef"):
            raise InvalidValue(f"{point!r} names no change", f"Give the first {PREFIX} or more characters of its hash.")
        found = [change for change in self.changes if change.hash.hex().startswith(wanted)]
        if len(found) > 1:
            raise InvalidValue(f"{len(found)} changes begin with {point!r}", "Give more of the hash.")
        if not found:
            raise NotFound(f"the record {self.id!r} in {self.collection!r} has no change {point!r}",
                           "Its history has the points of its past, each with the hash of a change.")
        return found[0]

    def value(self, point: str) -> dict[str, Value]:
        """The value as of a change: with it and all that it builds on. Raises as `find` does."""
        return automerge.extract(automerge.since(self.document, [self.find(point).hash], b"past"))

    def page(self, names: NameOf, limit: int, before: str | None, *, grouped: bool = False) -> list[Change]:
        """The newest changes first, or those before one. Raises as `find` does."""
        end = len(self.changes) if before is None else self.changes.index(self.find(before))
        out: list[Change] = []
        for held in reversed(self.changes[max(0, end - (LOOKED_AT if grouped else limit)):end]):
            change = self._change(automerge.read_change(held.bytes), names)
            if grouped and out and out[-1].goes_on(change):
                out[-1] = out[-1].joined(change)
            elif len(out) == limit:
                break
            else:
                out.append(change)
        return out

    def _change(self, change: RawChange, names: NameOf) -> Change:
        operations = decode(change)
        author, milliseconds = self.known.get(change.hash, (change.actor, 0))
        fields: dict[str, None] = {}
        for one in operations:
            if (name := self._names.path(one.place)) is not None:
                fields[name] = None
        time, hash = moment(milliseconds), change.hash.hex()
        return Change(hash, _kind(change, operations), author, names(author), time, tuple(fields), hash, time)


def _with_their_edits(ordered: list[Held]) -> list[Held]:
    """Changes named after what they hold come just before the first one that builds on them.

    They build on little, or on nothing, so by their number they would stand before the
    record was made.
    """
    places = {change.hash: at for at, change in enumerate(ordered)}
    before: dict[bytes, int] = {}  # the place of the first change that builds on it
    for change in reversed(ordered):
        if len(change.actor) == MIGRATION:
            places[change.hash] = before.get(change.hash, places[change.hash])
        for hash in change.dependencies:
            before[hash] = min(before.get(hash, places[change.hash]), places[change.hash])
    return sorted(ordered, key=lambda one: (places[one.hash], len(one.actor) != MIGRATION))


def open_past(db: Connection, space: int, collection: str, id: str, actor: bytes) -> Past:
    """A record's past, of a deleted one as well; `actor` is this device. Raises `NotFound`, `Damaged`."""
    rows = Rows(actor)
    row = rows.find(db, space, collection, id)
    if row is None or row.state >= ABSENT:
        raise NotFound(f"there is no record {id!r} in {collection!r}", NO_RECORD)
    known = {hash: (author, time) for hash, author, time in db.execute(
        "SELECT change.hash, coalesce(author, ?), time FROM change LEFT JOIN entry ON entry.n = change.entry "
        "WHERE record = ? AND state < 2", (actor, row.n))}
    document = rows.load(db, row.n)
    try:
        return Past(collection, id, document, known)
    except automerge.BadChange as error:
        raise unreadable(collection, id, error) from None


def among(collection: str | None) -> tuple[str, tuple[str, ...]]:
    """The condition, and its values, of records of one collection, or of all but Chez's own."""
    if collection is None:
        return f"AND lower(substr(collection, 1, {len(OWN[0])})) NOT IN {OWN}", ()
    return "AND collection = ?", (collection,)


def moment(milliseconds: int) -> datetime | None:
    """A time of the log; None for one that is not known, or that no calendar has."""
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds) if milliseconds > 0 else None
    except OverflowError:
        return None


def _kind(change: RawChange, operations: list[Operation]) -> Kind:
    keys = {one.key: one for one in operations if one.obj is None}
    if is_import(change.actor, change.bytes):
        return "imported"
    if len(change.actor) == MIGRATION:
        begins = len(operations) == 1 and is_make(operations[0].action)  # a list, map or text, for the edit after it
        return "edited" if begins else "migrated"
    if not change.dependencies:
        return "created"
    if (one := keys.get("_deleted")) is not None:
        return "restored" if one.action == DELETE else "deleted"
    return "edited"


def differences(before: dict[str, Value], after: dict[str, Value]) -> list[Difference]:
    """What differs between two values of a record, field by field; lists and texts as a whole."""
    return _differences("", _public(before), _public(after))


def _public(value: dict[str, Value]) -> dict[str, Value]:
    return {key: item for key, item in value.items() if not key.startswith("_")}


def _differences(prefix: str, before: dict[str, Value], after: dict[str, Value]) -> list[Difference]:
    out: list[Difference] = []
    for key in sorted(before.keys() | after.keys()):
        a, b = before.get(key, _ABSENT), after.get(key, _ABSENT)
        name = prefix + escaped(key)
        if type(a) is dict and type(b) is dict:
            out += _differences(name + ".", a, b)
        elif a is _ABSENT:
            out.append(Difference(name, "added", None, b))
        elif b is _ABSENT:
            out.append(Difference(name, "removed", a, None))
        elif type(a) is not type(b) or a != b:
            out.append(Difference(name, "changed", a, b))
    return out

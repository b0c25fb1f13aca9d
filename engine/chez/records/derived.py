"""Changes that are named after what they hold, so that two devices make the very same one.

When devices migrate one record at once, each would put its own copy of every migrated
field in place, and an edit made inside one copy would vanish with it. So a migration
writes each field by a change of its own, that follows from the field's old and new value
alone: its actor is the hash of the rest of its bytes, and it builds on the change that
wrote the old value (on none for a new field). Two devices that come to the same value
make the same bytes; what they then edit inside merges.

Work that a device had not sent is the same case when its backup is restored twice, or a
home was copied twice: each new device would say it in its own name, and all of them would
count (records/anew.py). So what it is made anew by is named after what it holds too, under
names of another length.

Nobody can make two different changes of one such actor, so it needs no author to answer
for its numbers; a receiver recomputes the hash. Who sends one is known by the entry.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from chez import crypto
from chez.records import automerge
from chez.records.automerge import BadChange, Document, RawChange
from chez.records.columns import BadColumns, read_uleb
from chez.records.counter import Counter
from chez.records.diff import same, write_difference
from chez.records.reserved import REMADE
from chez.records.values import Value

__all__ = ("DEVICE_ID", "MIGRATION", "check_derived", "derive", "made_anew", "named")

DEVICE_ID: Final = 32
"""Bytes of a device's id; an actor of another length is no device."""

MIGRATION: Final = 24
"""Bytes of the actor of a change that migrates a field, or makes it an empty one; `REMADE` is the other length."""

_CONTEXTS: Final = {MIGRATION: "chez/1 migration actor", REMADE: "chez/1 remade actor"}
_UNNAMED: Final = bytes(MIGRATION)
_ABSENT: Final = object()


def check_derived(change: RawChange) -> None:
    """Raise `BadChange` unless a change's actor is the hash of the rest, and it is that actor's only one."""
    size = len(change.actor)
    if change.sequence != 1 or size not in _CONTEXTS or _name(change.bytes, size) != change.actor:
        raise BadChange("the entry carries a change in a name that is neither its author's nor its content's")


def named(change: bytes, size: int = MIGRATION) -> RawChange:
    """A first change of an actor of `size` bytes, in the name of what it holds."""
    at = _actor_at(change)
    tail = change[8:at] + _name(change, size) + change[at + size :]
    return automerge.read_change(change[:4] + hashlib.sha256(tail).digest()[:4] + tail)


def derive(document: Document, stored: dict[str, Value], wanted: dict[str, Value]) -> tuple[Document, list[RawChange]]:
    """Set the fields of a record that differ from what is stored, by changes named after what they hold.

    Returns a copy of the document with them, and those that it did not have. Fields that
    `wanted` has not stay; counters become their number; reserved fields are left alone.
    """
    history = automerge.history(document)
    known = {change.hash for change in history}
    fields = {key: _uncounted(wanted[key]) for key in sorted(wanted) if key[0] != "_"}
    made = [_derived(document, history, key, value) for key, value in fields.items()
            if not same(stored.get(key, _ABSENT), value)]
    fresh = [change for change in made if change is not None and change.hash not in known]
    return (automerge.applied(document, fresh) if fresh else document), fresh


def _derived(document: Document, history: Sequence[automerge.Held], key: str, value: Value) -> RawChange | None:
    found = automerge.written_by(document, key)
    if found is None:
        scratch = automerge.new(_UNNAMED)
    else:
        actor, number = found
        base = [past.hash for past in history if past.actor == actor and past.first <= number <= past.last]
        scratch = automerge.since(document, base, _UNNAMED)
    change = write_difference(scratch, {}, {key: value})
    if change is None:  # it is there, below what was put over it
        return None
    return named(change)


def made_anew(document: Document, wanted: dict[str, Value], work: bytes) -> RawChange | None:
    """The change that makes a document's value `wanted`, named after what it holds; None if it is that.

    `work` is the hash of a change (32 bytes) that says whose part of counters it is.
    """
    draft = document.fork()
    draft.set_actor(bytes(REMADE))
    change = write_difference(draft, automerge.extract(draft), wanted, work)
    return None if change is None else named(change, REMADE)


def _uncounted(value: Value) -> Value:
    """A counter's first value is the number at its name; devices add their parts to that (records/reserved.py)."""
    if type(value) is dict:
        return {key: _uncounted(item) for key, item in value.items()}
    if type(value) is list:
        return [_uncounted(item) for item in value]
    return int(value) if type(value) is Counter else value


def _actor_at(change: bytes) -> int:
    """Where the actor stands in a change that was read before (automerge.read_change)."""
    _, at = read_uleb(change, 9)
    count, at = read_uleb(change, at)
    return read_uleb(change, at + 32 * count)[1]


def _name(change: bytes, size: int) -> bytes:
    try:
        at = _actor_at(change)
    except (IndexError, BadColumns):
        raise BadChange("a change is cut short") from None
    return crypto.hash_fields(_CONTEXTS[size], change[8:at], change[at + size :])[:size]

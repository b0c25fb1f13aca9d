"""What a person changed in an imported record since an import gave it: no file takes that back.

Told by the record's changes: a field is the person's where a change of theirs touched it that no import knew of which
gave it since, unless it reads as the last import left it (an undo). Edits of a list, a map or a text are edits of the
field that it is in. What a migration makes of a field is what it was.
"""

from bisect import bisect_left
from collections.abc import Set
from functools import reduce
from operator import attrgetter, or_
from typing import Final

from chez.records import automerge
from chez.records.automerge import Document, Held
from chez.records.counter import Counter
from chez.records.derived import MIGRATION
from chez.records.diff import same
from chez.records.imported import IMPORT_ACTOR
from chez.records.operations import OpId, decode, sets_field
from chez.records.places import Names
from chez.records.text import Mark, Text
from chez.records.values import Value

__all__ = ("changed_by_hand", "is_import")

_NOBODY: Final = b"past"

_SHORT: Final = 2_000
"""Changes that are read for it: a quarter of a second. Of somebody who typed a text here there are many more."""


def is_import(actor: bytes, change: bytes) -> bool:
    """Whether a change came with an import: it says from where, or is the one that an identity gives."""
    return actor == IMPORT_ACTOR or sets_field(change, "_source")


def changed_by_hand(document: Document, value: dict[str, Value], fields: Set[str]) -> set[str]:
    """Of the fields of a record those that a person changed, or took out, since the last import that gave them.

    In a history of more than `_SHORT` changes, all that are there and that no import wrote as they show.
    """
    changes = automerge.history(document)
    by_actor: dict[bytes, list[Held]] = {}
    for one in changes:
        by_actor.setdefault(one.actor, []).append(one)
    suspects = {name for name in fields if not _is_imports(document, by_actor, value, name)}
    if not suspects or len(changes) > _SHORT:
        return suspects & value.keys()
    if all(len(one.actor) == MIGRATION or is_import(one.actor, one.bytes) for one in changes):
        return set()
    names, by_hand, given = Names(document), dict.fromkeys(suspects, 0), dict[str, tuple[OpId, bytes]]()
    known: dict[bytes, int] = {}  # what each change builds on, and itself, as bits
    for n, one in enumerate(changes):
        before = reduce(or_, [known[hash] for hash in one.dependencies], 0)
        known[one.hash] = before | 1 << n
        if len(one.actor) == MIGRATION:
            continue
        imported = is_import(one.actor, one.bytes)
        for each in decode(automerge.read_change(one.bytes)):
            if (name := names.field(each.place)) not in suspects:
                continue
            if imported:
                by_hand[name] &= ~before
                given[name] = max(given.get(name, ((0, b""), b"")), (each.id, one.hash))
            else:
                by_hand[name] |= 1 << n
    edited = {name for name, touches in by_hand.items() if touches}
    left = {hash: automerge.extract(automerge.since(document, [hash], _NOBODY))
            for hash in {given[name][1] for name in edited & given.keys()}}
    return {name for name in edited if not _alike(value, left[given[name][1]] if name in given else {}, name)}


def _is_imports(document: Document, by_actor: dict[bytes, list[Held]], value: dict[str, Value], name: str) -> bool:
    """Whether a field is a plain value that an import wrote; what is in a list, a map or a text can be anybody's."""
    found = automerge.written_by(document, name)
    if found is None or type(value.get(name)) in (dict, list, Text, Counter):
        return False
    actor, number = found
    own = by_actor[actor]
    return is_import(actor, own[bisect_left(own, number, key=attrgetter("last"))].bytes)


def _alike(a: dict[str, Value], b: dict[str, Value], name: str) -> bool:
    return (name in a) == (name in b) and (name not in a or (
        same(a[name], b[name]) and _marks(a[name]) == _marks(b[name])))


def _marks(value: Value) -> list[tuple[Mark, ...]]:
    """The marks of each text in a value, which `same` does not look at."""
    if type(value) is Text or type(value) is str:  # one is alike the other
        return [value.marks if type(value) is Text else ()]
    inside = [value[key] for key in sorted(value)] if type(value) is dict else value if type(value) is list else ()
    return [marks for one in inside for marks in _marks(one)]

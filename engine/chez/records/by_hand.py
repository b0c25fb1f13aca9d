"""What a person changed in an imported record since an import gave it: no file takes that back.

Told by the record's changes, in Lamport's order: a field is the person's where the last change that touched it is no
import's, unless it reads as the last import left it (an undo). Edits of a list, a map or a text are edits of the field
that it is in. What a migration makes of a field is what it was.
"""

from collections.abc import Sequence, Set
from typing import Final

from chez.records import automerge
from chez.records.automerge import Document, Held
from chez.records.counter import Counter
from chez.records.derived import MIGRATION
from chez.records.diff import same
from chez.records.imported import IMPORT_ACTOR
from chez.records.operations import decode, sets_field
from chez.records.places import Names
from chez.records.text import Text
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
    suspects = {name for name in fields if not _is_imports(document, changes, value, name)}
    if not suspects or len(changes) > _SHORT:
        return suspects & value.keys()
    done = [(one, is_import(one.actor, one.bytes)) for one in changes if len(one.actor) != MIGRATION]
    if all(imported for _, imported in done):
        return set()
    names, by_hand, given = Names(document), dict[str, bool](), dict[str, bytes]()
    for one, imported in sorted(done, key=lambda each: (each[0].last, each[0].first, each[0].hash)):
        touched = {names.field(each.place) for each in decode(automerge.read_change(one.bytes))}
        by_hand |= dict.fromkeys(suspects & touched, not imported)
        if imported:
            given |= dict.fromkeys(suspects & touched, one.hash)
    edited = {name for name, so in by_hand.items() if so}
    left = {hash: automerge.extract(automerge.since(document, [hash], _NOBODY))
            for hash in {given[name] for name in edited & given.keys()}}
    return {name for name in edited if not _alike(value, left[given[name]] if name in given else {}, name)}


def _is_imports(document: Document, changes: Sequence[Held], value: dict[str, Value], name: str) -> bool:
    """Whether a field is a plain value that an import wrote; what is in a list, a map or a text can be anybody's."""
    found = automerge.written_by(document, name)
    if found is None or type(value.get(name)) in (dict, list, Text, Counter):
        return False
    actor, number = found
    return any(one.actor == actor and one.first <= number <= one.last and is_import(actor, one.bytes)
               for one in changes)


def _alike(a: dict[str, Value], b: dict[str, Value], name: str) -> bool:
    return (name in a) == (name in b) and (name not in a or same(a[name], b[name]))

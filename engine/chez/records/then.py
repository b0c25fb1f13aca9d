"""What records were at a cursor: rebuilt from their changes, as far as these are still here.

Each write of a record's projection has a number, and so has each change in the log, in the order in which it went
into its document here. The cursor of a whole state (`feed.cursor_now`) has the highest of both. So a record
whose last write is no later is as it was; of any other, the changes up to there are what it was made of.

What is no longer known is left out: a purged record, and one whose log was written anew since (after a removal or a
fork, when some of its changes count no more). Whoever needs proof holds what is found against a hash.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from chez.errors import InvalidValue
from chez.records import automerge
from chez.records.automerge import BadChange
from chez.records.rows import Rows
from chez.records.values import Value, to_json
from chez.store.database import Connection

__all__ = ("MOST", "State", "Was", "records_then")

MOST: Final = 50_000
"""Records that are rebuilt at once: a quarter of a minute."""


class State(msgspec.Struct, frozen=True):
    """All that a store held at a moment: the numbers of its last write and of its last change by then."""

    written: int
    logged: int


@dataclass(frozen=True, slots=True, repr=False)
class Was:
    """A record as it was: its space's row, its collection and id, and its value as the projection has it."""

    space: int
    collection: str
    id: str
    json: str


def records_then(db: Connection, state: State, collections: Collection[str], device: bytes) -> Iterator[Was]:
    """The records of some collections that were there at a state and were written since, as they were.

    Raises `InvalidValue` when more than `MOST` were written since. `device` is this one's id.
    """
    marks = ", ".join("?" * len(collections))
    changed = db.execute(f"SELECT n, space, collection, id FROM record WHERE changed > ? AND collection IN ({marks}) "
                         f"LIMIT {MOST + 1}", (state.written, *collections)).fetchall()
    if len(changed) > MOST:
        raise InvalidValue(f"more than {MOST:,} records were written since: they are not rebuilt",
                           "Ask for fewer collections, or for a later state.")
    rows = Rows(device)
    for n, space, collection, id in changed:
        value = _value(rows, db, n, state)
        if value is not None:
            yield Was(space, collection, id, to_json(value)[0])


def _value(rows: Rows, db: Connection, n: int, state: State) -> dict[str, Value] | None:
    """What a record was; None where it was not there, was deleted, or is not known any more."""
    then = {hash for (hash,) in db.execute("SELECT hash FROM change WHERE record = ? AND n <= ? AND state < 2",
                                           (n, state.logged))}
    if not then:
        return None
    try:
        held = automerge.history(automerge.load(rows.base(db, n), rows.actor))
        # Refused when one of them builds on a change that is in the log later: then it was written anew.
        document = automerge.load(b"".join([one.bytes for one in held if one.hash in then]), rows.actor)
    except BadChange:
        return None
    value = automerge.extract(document)
    return None if value.pop("_deleted", None) is True else value

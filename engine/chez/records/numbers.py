"""The numbers of writes and of changes are given once, though rows that have them are taken away.

Each write of a record has a number (`record.changed`), and each change in the log has one (`change.n`): the next after
the highest that is there. Feeds, live queries and states of the past go by them. So where the highest goes, a
row is left that has it: of a record that no collection has, and that nobody is shown.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from chez.records.rows import ABSENT, REFUSED
from chez.store.database import Connection

__all__ = ("given_once",)

_NOWHERE: Final = ""
"""The collection and the id of that record, which are none."""


@contextmanager
def given_once(db: Connection) -> Iterator[None]:
    """What is taken away inside leaves its numbers behind. In an open transaction."""
    before = _highest(db)
    yield
    changed, logged = before
    now = _highest(db)
    if now != before:
        n = _mark(db, max(changed, now[0]))
        if logged > now[1]:
            db.execute("DELETE FROM change WHERE record = ?", (n,))
            db.execute("INSERT INTO change (n, record, hash, sequence, last, weight, state, time) "
                       "VALUES (?, ?, x'', 0, 0, 0, ?, 0)", (logged, n, REFUSED))


def _highest(db: Connection) -> tuple[int, int]:
    written, logged = db.execute("SELECT (SELECT coalesce(max(changed), 0) FROM record), "
                                 "(SELECT coalesce(max(n), 0) FROM change)").fetchone()
    return int(written), int(logged)


def _mark(db: Connection, changed: int) -> int:
    """The row of that record, written last with this number, or later."""
    (n,) = db.execute("INSERT INTO record (space, collection, id, json, deleted, tail, changed, born) "
                      "SELECT min(n), ?1, ?1, '{}', ?2, 0, ?3, ?3 FROM space WHERE true "
                      "ON CONFLICT DO UPDATE SET changed = max(changed, excluded.changed), "
                      "born = max(born, excluded.born) RETURNING n", (_NOWHERE, ABSENT, changed)).fetchone()
    return int(n)

"""Whether a store holds the tables, indexes, views and triggers that this version writes, and no others.

A store carries its own program: a trigger or a view in it runs when something else is
written or read. Whoever signed a backup may have put any in, or taken some out. So before
a store from elsewhere is used, its schema is compared, word for word, with one made here
from the same declarations.
"""

import sqlcipher3

from chez.errors import BadArchive, InvalidValue
from chez.query import fulltext, indexes
from chez.store.database import Connection
from chez.store.file import check_schema, migrate

__all__ = ("check_written_here",)

_Objects = dict[tuple[str, str], tuple[str, str | None]]
"""The table and the text of each object, by its kind and name."""

MOST = 10_000
"""Objects of a store: some dozens of its own, and a dozen for each collection that is searched or indexed."""


def check_written_here(db: Connection) -> None:
    """Raise `BadArchive` unless the store's schema is one that this version writes; `Damaged` for a newer one's.

    Nothing but the list of its objects is read before those of every store are known to be ours.
    """
    check_schema(db)
    (count,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if count > MOST:
        raise _foreign(f"it has {count:,} tables, indexes, views and triggers")
    found = _objects(db)
    ours = sqlcipher3.connect(":memory:", isolation_level=None)
    try:
        migrate(ours)
        _same({key: found.get(key) for key in _objects(ours)}, _objects(ours))
        _declare(db, ours)
        _same(found, _objects(ours))
    except (InvalidValue, sqlcipher3.Error, ValueError, TypeError) as error:
        raise _foreign(str(error)) from None
    finally:
        ours.close()


def _declare(db: Connection, ours: Connection) -> None:
    """Make here the indexes that the store says it has: what was declared is in their names and in `search`."""
    (count,) = db.execute("SELECT count(*) FROM search").fetchone()
    if count > MOST:
        raise _foreign(f"it lists {count:,} full-text indexes")
    for index in indexes.named(db):
        ours.execute(index.statement())
    for statement in fulltext.statements(db):
        ours.execute(statement)


def _objects(db: Connection) -> _Objects:
    return {(kind, name): (table, sql) for kind, name, table, sql in db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master")}


def _same(found: "dict[tuple[str, str], tuple[str, str | None] | None] | _Objects", ours: _Objects) -> None:
    for kind, name in sorted(found.keys() | ours.keys()):
        if found.get((kind, name)) != ours.get((kind, name)):
            raise _foreign(f"the {kind} {name!r:.80} is not one that Chez makes")


def _foreign(why: str) -> BadArchive:
    return BadArchive(f"the store was not written by this Chez: {why}", "Use another backup.")

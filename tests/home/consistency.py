"""Whether a home's store agrees with itself."""

import sqlcipher3

from chez.query import fulltext
from chez.records import automerge
from chez.records.values import Value, from_json, shows
from chez.store.database import Connection


def problems(db: Connection, actor: bytes) -> list[str]:
    """What SQLite, SQLCipher and the log itself find wrong in a store; nothing, if all is well."""
    found = [f"integrity: {row}" for row in db.execute("PRAGMA integrity_check").fetchall() if row != ("ok",)]
    found += [f"page: {row}" for row in db.execute("PRAGMA cipher_integrity_check").fetchall()]
    found += [f"reference: {row}" for row in db.execute("PRAGMA foreign_key_check").fetchall()]
    found += full_text(db)
    fields = set(db.execute("SELECT collection, name FROM field").fetchall())
    for n, collection, id, json, kinds, deleted in db.execute(
            "SELECT n, collection, id, json, kinds, deleted FROM record "
            "WHERE deleted < 3 AND collection <> ''").fetchall():
        shown = from_json(json, kinds)
        value, gone = logged(db, n, actor)
        if not shows(json, kinds, value) or gone != bool(deleted):
            found.append(f"{collection}/{id}: the projection is not what the log gives")
        if not {(collection, name) for name in shown} <= fields:
            found.append(f"{collection}/{id}: a field is missing in the list of fields")
    return found


def full_text(db: Connection) -> list[str]:
    """What FTS5 finds wrong with the full-text indexes, in each word, and what the doctor does."""
    found = [f"full text of {collection}: {why}" for collection, why in fulltext.problems(db)]
    for n, collection in db.execute("SELECT n, collection FROM search").fetchall():
        try:
            db.execute(f"INSERT INTO \"search {n}\" (\"search {n}\", rank) VALUES ('integrity-check', 1)")
        except sqlcipher3.Error as error:
            found.append(f"full text of {collection}: {error}")
    return found


def logged(db: Connection, n: int, actor: bytes) -> tuple[dict[str, Value], bool]:
    """A record's value, and whether it is deleted, from its snapshot and the changes since."""
    snapshot = db.execute("SELECT doc FROM snapshot WHERE record = ?", (n,)).fetchone()
    since = db.execute("SELECT bytes FROM change WHERE record = ? AND state < 2 AND bytes IS NOT NULL ORDER BY n", (n,))
    data = (snapshot[0] if snapshot else b"") + b"".join(row[0] for row in since)
    value = automerge.extract(automerge.load(data, actor))
    deleted = value.pop("_deleted", False) is True
    return value, deleted

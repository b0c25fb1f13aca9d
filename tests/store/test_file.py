"""The file of a store, as SQLCipher is told to make it, and copies of it."""

import os
from pathlib import Path

import pytest
import sqlcipher3

from chez.store.file import Connection, connect, copy, migrate

KEY = bytes(range(32))


def opened(path: Path, *pragmas: str) -> Connection:
    """The file by nothing but SQLCipher, with these settings besides its own."""
    db = sqlcipher3.connect(str(path), isolation_level=None)
    for pragma in ("cipher_log_level = NONE", f"key = \"x'{KEY.hex()}'\"", *pragmas):
        db.execute(f"PRAGMA {pragma}")
    return db


def store(path: Path, *, words: int = 1) -> Connection:
    """A store in which something is kept."""
    db = connect(path, KEY)
    migrate(db)
    rows = [(f"word {n}", os.urandom(900)) for n in range(words)]
    db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", rows)
    return db


@pytest.mark.parametrize("copied", [False, True])
def test_each_page_is_authenticated_by_hmac_sha256(tmp_path: Path, copied: bool) -> None:
    """What another program has to be told to read a home, or a copy of it; all else is SQLCipher's own choice."""
    path = tmp_path / "store"
    with_words = store(path)
    if copied:
        copy(with_words, path := tmp_path / "copy")
    with_words.close()
    found = opened(path, "cipher_hmac_algorithm = HMAC_SHA256")
    assert found.execute("SELECT length(value) FROM meta WHERE key = 'word 0'").fetchone() == (900,)
    with pytest.raises(sqlcipher3.DatabaseError, match="not a database"):
        opened(path).execute("SELECT * FROM meta")


def test_a_copy_is_all_of_one_moment(tmp_path: Path) -> None:
    """Who writes meanwhile waits for nothing, and what it writes together is together in the copy, or not there."""
    db, other, written = store(tmp_path / "store", words=300), connect(tmp_path / "store", KEY), list[int]()

    def write() -> int:
        other.execute("BEGIN")
        other.execute("INSERT INTO field (collection, name) VALUES ('copied', ?)", (str(len(written)),))
        other.execute("INSERT INTO meta (key, value) VALUES ('meanwhile' || ?, x'01')", (len(written),))
        other.execute("COMMIT")
        written.append(len(written))
        return 0

    db.set_progress_handler(write, 100)
    copy(db, tmp_path / "copy")
    db.set_progress_handler(None, 0)
    made = connect(tmp_path / "copy", KEY)
    fields, words = (made.execute(f"SELECT count(*) FROM {where}").fetchone()[0] for where in (
        "field WHERE collection = 'copied'", "meta WHERE key LIKE 'meanwhile%'"))
    assert fields == words < len(written) - 3


def test_a_copy_is_the_store(tmp_path: Path) -> None:
    """Its marks, its schema and its rows."""
    db = store(tmp_path / "store", words=300)
    copy(db, tmp_path / "copy")
    assert dump(connect(tmp_path / "copy", KEY)) == dump(db)
    assert attached(db) == []


def attached(db: Connection) -> list[str]:
    """What else is open on the connection."""
    return [name for _, name, _ in db.execute("PRAGMA database_list") if name not in ("main", "temp")]


def dump(db: Connection) -> list[object]:
    """All that is in a store."""
    marks = [db.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id", "integrity_check")]
    schema = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name").fetchall()
    return [*marks, schema, *(db.execute(f'SELECT * FROM "{name}"').fetchall() for kind, name, *_ in schema
                              if kind == "table")]


def test_a_copy_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """Where nothing can be written, and where it breaks in the middle; the store is used on."""
    db = store(tmp_path / "store", words=300)
    with pytest.raises(sqlcipher3.Error):
        copy(db, tmp_path / "missing" / "copy")
    db.set_progress_handler(lambda: 1, 1_000)
    with pytest.raises(sqlcipher3.OperationalError, match="interrupted"):
        copy(db, tmp_path / "copy")
    db.set_progress_handler(None, 0)
    assert not db.in_transaction and attached(db) == []
    db.execute("DELETE FROM meta WHERE key LIKE 'word%'")

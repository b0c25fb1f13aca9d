"""Whether a store's file is sound, as SQLCipher and SQLite see it."""

import os

import sqlcipher3

from chez.store.database import Connection

__all__ = ("file_of", "store_problems")

MOST = 100
"""Problems that are told; a file that was cut in half has one for every page."""


def store_problems(db: Connection) -> list[str]:
    """What is wrong with the file's pages, its trees and its references; nothing, if all is well.

    Costs one reading of the whole file.
    """
    trees = [f"tree: {text}" for (text,) in _rows(db, f"integrity_check({MOST})") if text != "ok"]
    found = [*_bad_pages(db, bool(trees)), *trees]
    if not found:
        found += [f"reference: row {row} of {table} names a row of {other} that is not there"
                  for table, row, other, _ in _rows(db, "foreign_key_check")]
    return found[:MOST]


def _bad_pages(db: Connection, trees: bool) -> list[str]:
    """The pages of the file that fail their checks; `trees` says that reading the store fails as well.

    Power that is cut while the log is written back leaves pages torn, in the file, that the
    log has whole: nothing is damaged, and writing it back again mends them.
    """
    found = _rows(db, "cipher_integrity_check")
    if found and not trees:
        try:
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlcipher3.Error:  # opened for reading only
            return [] if _log_is_there(db) else [f"page: {text}" for (text,) in found]
        found = _rows(db, "cipher_integrity_check")
    return [f"page: {text}" for (text,) in found]


def file_of(db: Connection) -> str:
    """The file of a store that is open, whatever bytes its folder's name has: it need not be text."""
    (name,) = db.execute("SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'").fetchone()
    return os.fsdecode(name)


def _log_is_there(db: Connection) -> bool:
    try:
        return os.stat(f"{file_of(db)}-wal").st_size > 0
    except OSError:
        return False


def _rows(db: Connection, pragma: str) -> list[tuple[str, ...]]:
    try:
        return list(db.execute(f"PRAGMA {pragma}").fetchmany(MOST))
    except sqlcipher3.Error as error:
        return [(f"it can't be checked ({error})",) * (4 if pragma == "foreign_key_check" else 1)]

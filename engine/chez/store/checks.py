"""Whether a store's file is sound, as SQLCipher and SQLite see it."""

import sqlcipher3

from chez.store.database import Connection

__all__ = ("store_problems",)

MOST = 100
"""Problems that are told; a file that was cut in half has one for every page."""


def store_problems(db: Connection) -> list[str]:
    """What is wrong with the file's pages, its trees and its references; nothing, if all is well.

    Costs one reading of the whole file.
    """
    found = [f"page: {text}" for (text,) in _rows(db, "cipher_integrity_check")]
    found += [f"tree: {text}" for (text,) in _rows(db, f"integrity_check({MOST})") if text != "ok"]
    if not found:
        found += [f"reference: row {row} of {table} names a row of {other} that is not there"
                  for table, row, other, _ in _rows(db, "foreign_key_check")]
    return found[:MOST]


def _rows(db: Connection, pragma: str) -> list[tuple[str, ...]]:
    try:
        return list(db.execute(f"PRAGMA {pragma}").fetchmany(MOST))
    except sqlcipher3.Error as error:
        return [(f"it can't be checked ({error})",) * (4 if pragma == "foreign_key_check" else 1)]

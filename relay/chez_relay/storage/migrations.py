"""The versions of the store's schema: each file of schema/ is one step, and steps are only ever added.

A store of an earlier version is copied aside, then all steps that it lacks are one transaction:
whatever happens meanwhile, the store is as it was, or up to date.
"""

import logging
import sqlite3
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage.copies import copied, made_another

__all__ = ("APPLICATION_ID", "checked_version", "migrate", "steps")

APPLICATION_ID: Final = 0x43484552
"""SQLite's application id of a relay's store: "CHER"."""

_log = logging.getLogger("chez_relay")


def steps() -> list[str]:
    """The SQL of each version, in order."""
    folder = resources.files("chez_relay.storage").joinpath("schema")
    files = {file.name: file for file in folder.iterdir() if file.name.endswith(".sql")}
    return [files[name].read_text(encoding="utf-8") for name in sorted(files)]


def checked_version(db: sqlite3.Connection, newest: int) -> int:
    """The version of the store in `db`, 0 for an empty file.

    Raises `StoreUnusable` when it is something else's file or of a version above `newest`.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and application != APPLICATION_ID:
        raise StoreUnusable("the file in the data folder is no relay's store", "choose another --data folder")
    if version > newest:
        raise StoreUnusable("the store was written by a newer chez-relay", "install that version")
    return int(version)


def migrate(db: sqlite3.Connection, path: Path, known: Sequence[str]) -> None:
    """Bring the store in `db`, whose file is `path`, to the last of the known steps.

    A store that had an earlier version is kept as `NAME.before-VERSION`, a store of its own like a backup. Raises
    `StoreUnusable` as `checked_version`, and when a step fails; `StorageFailed` when there is no room for the copy.
    """
    version = checked_version(db, len(known))
    if version == len(known):
        return
    before = path.with_name(f"{path.name}.before-{version + 1:04}")
    if version:
        _log.warning("the store is of an earlier version: it is copied to %s, then brought up to date", before.name)
        try:
            with copied(db, before, alone=True) as made:  # the folder is locked
                made_another(made)
        except (sqlite3.Error, OSError) as error:
            raise StorageFailed(f"the store can't be copied before it is brought up to date: {error}",
                                "make room for a second copy; the store is as it was") from error
    try:
        db.executescript("\n".join((
            "BEGIN IMMEDIATE;", *known[version:], f"PRAGMA application_id = {APPLICATION_ID};",
            f"PRAGMA user_version = {len(known)};", "COMMIT;")))
    except sqlite3.Error as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if not version:
            raise
        raise StoreUnusable(f"the store can't be brought up to date: {error}",
                            f"it is as it was; a copy is {before.name}") from error
    if version:
        _log.info("the store is up to date")

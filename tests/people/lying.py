"""A relay that lies: its store is changed while it does not run, and what it says then holds together."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from chez_relay.storage.integrity import seal
from chez_relay.storage.sqlite import FILE_NAME
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head

__all__ = ("packets", "rewrite", "set_packet")


@contextmanager
def _store(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / FILE_NAME)) as db, db:
        yield db


def _row(db: sqlite3.Connection, handle: bytes) -> int:
    (space,) = db.execute("SELECT space FROM spaces WHERE handle = ?", (handle,)).fetchone()
    return int(space)


def rewrite(folder: Path, handle: bytes, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Another log for a space: numbers and heads fit what it holds now."""
    with _store(folder) as db:
        space = _row(db, handle)
        before = [row[0] for row in db.execute("SELECT envelope FROM entries WHERE place >> 32 = ? ORDER BY place",
                                             (space,))]
        db.execute("DELETE FROM entries WHERE place >> 32 = ?", (space,))
        db.execute("DELETE FROM hashes WHERE space = ?", (space,))
        head = GENESIS_HEAD
        after = change(before)
        for number, envelope in enumerate(after, 1):
            head = fold_head(head, entry_id(envelope))
            db.execute("INSERT INTO entries (place, entry, head, control, envelope) VALUES (?, ?, ?, 0, ?)",
                       ((space << 32) + number, entry_id(envelope), head, envelope))
        db.execute("UPDATE spaces SET last = ?, hashed = 0, head = ? WHERE space = ?", (len(after), head, space))
        row = db.execute("SELECT handle, space, admin_key, recovery_key, read_key, append_key, control_key, last,"
                         " hashed, head, data_bytes, control_bytes, blob_bytes, packets, packets_hash, last_drop"
                         " FROM spaces WHERE space = ?", (space,)).fetchone()
        db.execute("UPDATE spaces SET seal = ? WHERE space = ?", (seal(*row), space))


def packets(folder: Path, handle: bytes) -> dict[bytes, bytes]:
    """The boxes that a space has, by tag."""
    with _store(folder) as db:
        return dict(db.execute("SELECT tag, box FROM packets WHERE space = ?", (_row(db, handle),)).fetchall())


def set_packet(folder: Path, handle: bytes, tag: bytes, box: bytes | None) -> None:
    """Another box under a tag, or none."""
    with _store(folder) as db:
        space = _row(db, handle)
        db.execute("DELETE FROM packets WHERE space = ? AND tag = ?", (space, tag))
        if box is not None:
            db.execute("INSERT INTO packets (space, tag, box, seal) VALUES (?, ?, ?, ?)",
                       (space, tag, box, seal(space, tag, box)))

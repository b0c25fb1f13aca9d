"""Manifests and vouches that entries brought: kept by their names, whether the author's chain is whole here or not."""

from collections.abc import Mapping

from chez.errors import BadEntry
from chez.store.database import Connection
from chez.sync.checkpoints.format import Announcement, Manifest, Vouch, read_announcement, read_manifest, read_vouch
from chez.sync.checkpoints.parting import forget_sent
from chez.sync.entry import ANNOUNCEMENT, MANIFEST, VOUCH, Inner

__all__ = ("ASKED", "HEARD", "LATE", "MADE", "OPEN", "REFUSED", "SOUND", "TAKEN", "UNFIT", "announcements",
           "author_of", "forget_announced", "hear", "manifest_of", "manifests", "refuse", "set_state", "set_vouch",
           "state_of", "unsay", "vouches")

HEARD, SOUND, TAKEN, REFUSED, MADE = 0, 1, 2, 3, 4
"""States of a checkpoint; SOUND: compared with what is here."""

OPEN, ASKED, LATE, UNFIT = 0, 1, 2, 3
"""States of a vouch: what it names may be dropped yet; it is; another drop came first; nobody is to ask for it."""


def hear(db: Connection, space: int, inner: Inner, hash: bytes) -> bool:
    """Keep what an entry of kind CHECKPOINTS says; whether it is new. Raises `BadEntry`."""
    if len(inner.items) != 1 or inner.items[0].kind not in (MANIFEST, VOUCH, ANNOUNCEMENT):
        raise BadEntry("the entry is to have one manifest, vouch or announcement")
    (item,) = inner.items
    if item.kind == MANIFEST:
        read_manifest(item.data)
        done = db.execute("INSERT OR IGNORE INTO checkpoint (space, entry, author, body, state, position) VALUES "
                          "(?1, ?2, ?3, ?4, 0, (SELECT coalesce(max(position), 0) + 1 FROM checkpoint "
                          "WHERE space = ?1))", (space, hash, inner.author, item.data))
    elif item.kind == ANNOUNCEMENT:
        read_announcement(item.data)
        done = db.execute("INSERT OR IGNORE INTO announced (space, entry, author, sequence, body) VALUES "
                          "(?, ?, ?, ?, ?)", (space, hash, inner.author, inner.sequence, item.data))
    else:
        forget_sent(db, space, read_vouch(item.data).release)
        done = db.execute("INSERT OR IGNORE INTO vouch (space, entry, author, body, state) VALUES (?, ?, ?, ?, 0)",
                          (space, hash, inner.author, item.data))
    return bool(done.rowcount > 0)


def manifests(db: Connection, space: int, *states: int) -> list[tuple[bytes, bytes, Manifest]]:
    """Checkpoints in some states, the newest first: entry, author, manifest."""
    rows = db.execute("SELECT entry, author, body, state FROM checkpoint WHERE space = ? ORDER BY position DESC",
                      (space,)).fetchall()
    return [(entry, author, read_manifest(body)) for entry, author, body, state in rows if state in states]


def manifest_of(db: Connection, space: int, entry: bytes) -> Manifest:
    """The manifest that an entry carries. Raises `LookupError` where it was not heard of."""
    row = db.execute("SELECT body FROM checkpoint WHERE space = ? AND entry = ?", (space, entry)).fetchone()
    if row is None:
        raise LookupError("this manifest is not here")
    return read_manifest(row[0])


def author_of(db: Connection, space: int, entry: bytes) -> bytes:
    """The device that made a checkpoint which was heard of."""
    (author,) = db.execute("SELECT author FROM checkpoint WHERE space = ? AND entry = ?", (space, entry)).fetchone()
    return bytes(author)


def vouches(db: Connection, space: int) -> list[tuple[bytes, bytes, Vouch, int]]:
    """All vouches: entry, author, what it says, state."""
    rows = db.execute("SELECT entry, author, body, state FROM vouch WHERE space = ?", (space,)).fetchall()
    return [(entry, author, read_vouch(body), state) for entry, author, body, state in rows]


def announcements(db: Connection, space: int, log: bytes) -> list[tuple[bytes, int, Announcement]]:
    """What was announced at a log: author, the number of the entry that says so, what it says."""
    rows = db.execute("SELECT author, sequence, body FROM announced WHERE space = ?", (space,)).fetchall()
    return [(author, sequence, said) for author, sequence, body in rows
            if (said := read_announcement(body)).log == log]


def unsay(db: Connection, space: int, log: bytes, lies: Mapping[bytes, tuple[int, int]]) -> None:
    """Forget what was announced at a log by who named any of these, at these places."""
    for author, sequence, said in announcements(db, space, log):
        if not lies.items().isdisjoint(said.places.items()):
            forget_announced(db, space, author, sequence)


def forget_announced(db: Connection, space: int, author: bytes, sequence: int) -> None:
    """Forget what an author announced in the entry of this number."""
    db.execute("DELETE FROM announced WHERE space = ? AND author = ? AND sequence = ?", (space, author, sequence))


def set_state(db: Connection, space: int, entry: bytes, state: int) -> None:
    """What became of a checkpoint."""
    db.execute("UPDATE checkpoint SET state = ? WHERE space = ? AND entry = ?", (state, space, entry))


def state_of(db: Connection, space: int, entry: bytes) -> int:
    """What became of a checkpoint that was heard of."""
    (state,) = db.execute("SELECT state FROM checkpoint WHERE space = ? AND entry = ?", (space, entry)).fetchone()
    return int(state)


def set_vouch(db: Connection, space: int, entry: bytes, state: int) -> None:
    """What became of a vouch."""
    db.execute("UPDATE vouch SET state = ? WHERE space = ? AND entry = ?", (state, space, entry))


def refuse(db: Connection, space: int, entry: bytes, reason: str) -> None:
    """A checkpoint is not what it says: it is kept as evidence, and never read again."""
    set_state(db, space, entry, REFUSED)
    db.execute("INSERT INTO quarantine (space, relay, position, reason, bytes, author) "
               "SELECT space, NULL, NULL, ?, body, author FROM checkpoint WHERE space = ? AND entry = ?",
               (reason, space, entry))

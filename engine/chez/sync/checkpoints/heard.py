"""Manifests and vouches that entries brought: kept by their names, whether the author's chain is whole here or not."""

from collections.abc import Collection, Iterator, Mapping

from chez.errors import BadEntry
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync.checkpoints.format import Announcement, Manifest, Vouch, read_announcement, read_manifest, read_vouch
from chez.sync.checkpoints.parting import forget_sent
from chez.sync.entry import ANNOUNCEMENT, MANIFEST, VOUCH, Inner

__all__ = ("ASKED", "HEARD", "LATE", "MADE", "OPEN", "REFUSED", "SOUND", "TAKEN", "UNFIT", "announcements",
           "author_of", "checkpoints", "forget_announced", "hear", "is_proven", "manifest_of", "refuse", "set_state",
           "set_vouch", "state_of", "unhear", "unsay", "vouch_of", "vouches")

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


def unhear(db: Connection, space: int, entries: Collection[bytes]) -> None:
    """Forget what these entries said, which nobody else may ever hear: nothing is to rest on it."""
    for table in ("checkpoint", "vouch", "announced"):
        db.executemany(f"DELETE FROM {table} WHERE space = ? AND entry = ?", [(space, entry) for entry in entries])


def checkpoints(db: Connection, space: SpaceKeys) -> list[tuple[bytes, bytes]]:
    """Checkpoints that were not refused, of devices that are known to be somebody's, the newest first: entry, author.

    Whoever has an epoch's key could say one in the name of a device that nobody ever let in. But one that a known
    device vouched for, or that a relay dropped on, may stand for what was dropped, and who made it be nobody's since:
    let in by one that was removed. What is in it is proven by whoever wrote it.
    """
    known = space.membership.state.device
    rows: list[tuple[bytes, bytes]] = db.execute(
        "SELECT entry, author FROM checkpoint WHERE space = ? AND state <> ? ORDER BY position DESC",
        (space.n, REFUSED)).fetchall()
    if not any(known(author) is None for _, author in rows):
        return rows
    vouched = {vouch.manifest for _, voucher, vouch, state in vouches(db, space.n)
               if state == ASKED or known(voucher) is not None}
    return [(entry, author) for entry, author in rows if known(author) is not None or entry in vouched]


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


def vouches(db: Connection, space: int) -> Iterator[tuple[bytes, bytes, Vouch, int]]:
    """All vouches, read one by one: entry, author, what it says, state."""
    rows = db.execute("SELECT entry, author, state FROM vouch WHERE space = ?", (space,)).fetchall()
    for entry, author, state in rows:
        yield entry, author, vouch_of(db, space, entry), state


def vouch_of(db: Connection, space: int, entry: bytes) -> Vouch:
    """The vouch that an entry carries, which was heard of."""
    (body,) = db.execute("SELECT body FROM vouch WHERE space = ? AND entry = ?", (space, entry)).fetchone()
    return read_vouch(body)


def announcements(db: Connection, space: int, log: bytes) -> Iterator[tuple[bytes, int, Announcement]]:
    """What was announced at a log, read one by one: author, the number of the entry that says so, what it says."""
    for entry, author, sequence in db.execute("SELECT entry, author, sequence FROM announced WHERE space = ?",
                                              (space,)).fetchall():
        row = db.execute("SELECT body FROM announced WHERE space = ? AND entry = ?", (space, entry)).fetchone()
        if row is not None and (said := read_announcement(row[0])).log == log:
            yield author, sequence, said


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


def is_proven(db: Connection, space: int, entry: bytes) -> bool:
    """Whether a checkpoint was compared with what is here, taken in, or made here."""
    return db.execute("SELECT 1 FROM checkpoint WHERE space = ? AND entry = ? AND state IN (?, ?, ?)",
                      (space, entry, SOUND, TAKEN, MADE)).fetchone() is not None


def set_vouch(db: Connection, space: int, entry: bytes, state: int) -> None:
    """What became of a vouch."""
    db.execute("UPDATE vouch SET state = ? WHERE space = ? AND entry = ?", (state, space, entry))


def refuse(db: Connection, space: int, entry: bytes, reason: str) -> None:
    """A checkpoint is not what it says: it is kept as evidence, and never read again."""
    set_state(db, space, entry, REFUSED)
    db.execute("INSERT INTO quarantine (space, relay, position, reason, bytes, author) "
               "SELECT space, NULL, NULL, ?, body, author FROM checkpoint WHERE space = ? AND entry = ?",
               (reason, space, entry))

"""Attachments that no record holds any more: when a relay may release their pieces. No I/O.

A device that is away may have put the reference into another record, in what it did not send. So every device
that may write must be known to have seen that no record holds it: by two of its entries that say so. An entry
names how far its author had read the relay's log. What a device wrote before it collected an entry is in that one or
in others collected at once, which name the same offset: once one that names a later offset is here, so are all of
them. A device that writes a reference after that (an undo, an application that kept it) does it knowing that nobody
may have the content any more; where it has the content still, it sends it again, for it hears of the release.
"""

from collections.abc import Collection
from typing import Final

from chez.spaces.permits import role_of
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Role
from chez.store.database import Connection
from chez.sync.entry import CHANGES, read_kept
from chez.sync.outbox import waiting_spaces
from chez.sync.sealed import sealed_for, unsealed
from chez_wire.limits import ID_BYTES

__all__ = ("forget_sent", "released")

_LOOKED: Final = 64
"""The last entries of a device that are looked at: of several relays, it names each in its turn."""

_AT_ONCE: Final = 1024
"""Pieces that are released by one vouch, so that its entry stays small."""


def forget_sent(db: Connection, space: int, chunks: Collection[bytes]) -> None:
    """Somebody released these pieces: a blob here that has one is asked for anew at relays, and sent again."""
    db.executemany("DELETE FROM blob_relay WHERE blob IN (SELECT chunk.blob FROM chunk JOIN blob ON "
                   "blob.n = chunk.blob WHERE chunk.id = ? AND blob.space = ?)", [(chunk, space) for chunk in chunks])


def released(db: Connection, space: SpaceKeys, device: bytes, relay: int, log: bytes,
             gone: Collection[bytes]) -> list[bytes]:
    """The pieces of attachments that a relay may release now; those in `gone` are."""
    out: dict[bytes, None] = {}  # a member may have listed a piece in two attachments
    rows = db.execute("SELECT n, blob, chunks, parted.relay IS NOT NULL, position FROM parting LEFT JOIN parted ON "
                      "parting = n AND relay = ? WHERE space = ? ORDER BY n", (relay, space.n)).fetchall()
    for n, blob, chunks, met, position in rows:
        if met and position is None:
            continue
        if _wanted(db, space.n, blob):
            db.execute("DELETE FROM parted WHERE parting = ?", (n,))
            db.execute("DELETE FROM parting WHERE n = ?", (n,))
            continue
        left = [id for id in _split(chunks) if id not in gone and not _shared(db, space.n, id)]
        if not met and left:
            position = _said(db, space, device, relay)
            if position is None:
                continue
        if not met or not left:
            db.execute("INSERT OR REPLACE INTO parted (parting, relay, position) VALUES (?, ?, ?)",
                       (n, relay, position if left else None))
        if left and all(_saw(db, space.n, other, log, position) for other in _writers(space) - {device}):
            out |= dict.fromkeys(left)
        if len(out) >= _AT_ONCE:
            break
    return [*out][:_AT_ONCE]


def _split(ids: bytes) -> list[bytes]:
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]


def _wanted(db: Connection, space: int, blob: str) -> bool:
    """Whether a record holds it again, or somebody here looks at it."""
    (wanted,) = db.execute("SELECT EXISTS (SELECT 1 FROM blob_reference WHERE blob = ?1) OR "
                           "EXISTS (SELECT 1 FROM blob WHERE id = ?1 AND space = ?2)", (blob, space)).fetchone()
    return bool(wanted)


def _shared(db: Connection, space: int, chunk: bytes) -> bool:
    """Whether another attachment here has the same piece: a member made it so."""
    return db.execute("SELECT 1 FROM chunk JOIN blob ON blob.n = chunk.blob WHERE chunk.id = ? AND space = ?",
                      (chunk, space)).fetchone() is not None


def _said(db: Connection, space: SpaceKeys, device: bytes, relay: int) -> int | None:
    """Up to where a relay's log says what this device knows; None while something is on its way there."""
    if space.n in waiting_spaces(db, device) or sealed_for(db, space.n, relay) or unsealed(
            db, space.n, relay, device):
        return None
    last = db.execute("SELECT hash FROM entry WHERE space = ? AND author = ? AND branch = 0 AND kind = ? "
                      "ORDER BY sequence DESC LIMIT 1", (space.n, device, CHANGES)).fetchone()
    if last is not None and db.execute("SELECT 1 FROM relay_head WHERE space = ? AND relay = ? AND entry = ?",
                                       (space.n, relay, last[0])).fetchone() is None:
        return None
    (position,) = db.execute("SELECT position FROM cursor WHERE space = ? AND relay = ?",
                             (space.n, relay)).fetchone()
    return int(position)


def _writers(space: SpaceKeys) -> set[bytes]:
    state = space.membership.state
    return {device for device in state.devices if (role_of(space, device) or Role.READER) >= Role.WRITER}


def _saw(db: Connection, space: int, device: bytes, log: bytes, position: int) -> bool:
    """Whether two entries of a device, collected one after the other, name an offset that is no earlier."""
    named: set[int] = set()
    for (packed,) in db.execute("SELECT inner FROM entry WHERE space = ? AND author = ? AND branch = 0 AND kind = ? "
                                "ORDER BY sequence DESC LIMIT ?", (space, device, CHANGES, _LOOKED)):
        head = read_kept(packed).inner.relay
        if head is not None and head.log == log and head.offset >= position:
            named.add(head.offset)
            if len(named) > 1:
                return True
    return False

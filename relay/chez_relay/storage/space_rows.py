"""The table of spaces, their packets, and what deleted ones leave behind, on the open transaction of `Tables`.

Spaces that are written to are remembered between groups (this process is the only writer),
so that an append is one insert, and a space's row is updated once per group.
"""

import sqlite3
from dataclasses import dataclass
from typing import Final

from chez_relay.bounds import MAX_CACHED_SPACES
from chez_relay.storage import (
    AddSpace,
    Done,
    DropSpace,
    PacketData,
    Quotas,
    ReadPacket,
    Result,
    RotateSpace,
    SealedPacket,
    SpaceKeys,
)
from chez_relay.storage.batches import TOGETHER, together, values
from chez_relay.storage.integrity import Damaged, blob, intact, seal
from chez_relay.storage.refusals import NO_PACKET, NO_SPACE, NOT_OWNER, OTHER_RECOVERY_KEY, OTHER_SPACE_KEYS
from chez_relay.storage.rotation import packets_over_quota, rotated
from chez_wire.dropping import NO_DROP
from chez_wire.envelope import GENESIS_HEAD
from chez_wire.limits import MIB
from chez_wire.packets import PACKET_COST, packets_hash

__all__ = ("PLACES", "SWEEP_ROWS", "Room", "SpaceRow", "SpaceRows", "slice_room")

PLACES: Final = 2**32
"""Places of entries for each space: see the schema."""

_UPDATES: Final = {
    # As in `entry_rows`, FAIL lets SQLite write down nothing beforehand: a failure undoes the whole group.
    count: f"WITH after (space, last, hashed, head, data, control, blobs, dropped, seal) AS ({values(count, 9)})"
           " UPDATE OR FAIL spaces SET last = after.last, hashed = after.hashed, head = after.head,"
           " data_bytes = after.data, control_bytes = after.control, blob_bytes = after.blobs,"
           " last_drop = after.dropped, seal = after.seal"
           " FROM after WHERE spaces.space = after.space"
    for count in TOGETHER
}

SWEEP_BYTES: Final = 8 * MIB
"""Bytes of deleted spaces that one `Expire` removes: a group takes no longer than another."""

SWEEP_ROWS: Final = 1024
"""Rows that one `Expire` removes at most, for the same reason."""


@dataclass(slots=True)
class SpaceRow:
    """One row of the table, with what this group changed in it."""

    number: int
    keys: SpaceKeys
    last: int
    hashed: int
    head: bytes
    data_bytes: int
    control_bytes: int
    blob_bytes: int
    packets: int
    packets_hash: bytes
    drop: bytes

    def seal(self, handle: bytes) -> bytes:
        """What the row of the table says about itself."""
        keys = self.keys
        return seal(handle, self.number, keys.admin, keys.recovery, keys.read, keys.append, keys.control, self.last,
                    self.hashed, self.head, self.data_bytes, self.control_bytes, self.blob_bytes, self.packets,
                    self.packets_hash, self.drop)

    @property
    def used(self) -> int:
        """Bytes that count in the quota for entries."""
        return self.data_bytes + self.packets * PACKET_COST


class SpaceRows:
    """The spaces on `db`."""

    def __init__(self, db: sqlite3.Connection, quotas: Quotas) -> None:
        self._db = db
        self._quotas = quotas
        self._spaces: dict[bytes, SpaceRow] = {}
        self._changed: dict[bytes, SpaceRow] = {}

    def get(self, handle: bytes) -> SpaceRow | None:
        """A space, if it is there. Raises `Damaged` when its row is not what was written."""
        if (space := self._spaces.get(handle)) is not None:
            return space
        row = self._db.execute(
            "SELECT space, admin_key, recovery_key, read_key, append_key, control_key, last, hashed, head,"
            " data_bytes, control_bytes, blob_bytes, packets, packets_hash, last_drop, seal FROM spaces"
            " WHERE handle = ?",
            (handle,),
        ).fetchone()
        if row is None:
            return None
        space = SpaceRow(row[0], SpaceKeys(*row[1:6]), *row[6:-1])
        if space.seal(handle) != row[-1]:
            raise Damaged
        self._remember(handle, space)
        return space

    def _remember(self, handle: bytes, space: SpaceRow) -> None:
        if len(self._spaces) >= MAX_CACHED_SPACES:
            self.write()
            self._spaces.clear()
        self._spaces[handle] = space

    def changed(self, handle: bytes, space: SpaceRow) -> None:
        """Its counters changed: `write` stores them."""
        self._changed[handle] = space

    def write(self) -> None:
        """Store the counters of all spaces that changed."""
        for part in together(list(self._changed.items())):
            self._db.execute(_UPDATES[len(part)], [value for handle, s in part for value in (
                s.number, s.last, s.hashed, s.head, s.data_bytes, s.control_bytes, s.blob_bytes, s.drop,
                s.seal(handle))])
        self._changed.clear()

    def forget(self) -> None:
        """The transaction was undone: what is remembered may be ahead of the file."""
        self._spaces.clear()
        self._changed.clear()

    # --- keys and packets ---------------------------------------------------------------

    def add(self, request: AddSpace) -> Result:
        """Make a space."""
        digest, keys = packets_hash(request.packets), request.keys
        if (space := self.get(request.handle)) is not None:
            return Done() if (space.keys, space.packets_hash) == (keys, digest) else OTHER_SPACE_KEYS
        if (self.deleted(request.handle) or keys.recovery) != keys.recovery:
            return OTHER_RECOVERY_KEY
        if (refusal := packets_over_quota(request.packets, self._quotas)) is not None:
            return refusal
        self._db.execute("DELETE FROM deleted WHERE handle = ?", (request.handle,))
        made = self._db.execute(
            "INSERT INTO spaces (handle, admin_key, recovery_key, read_key, append_key, control_key, last, hashed,"
            " head, data_bytes, control_bytes, blob_bytes, packets, packets_hash, last_drop, seal)"
            " VALUES (?, ?, ?, ?, ?, ?, 0, 0, ?, 0, 0, 0, ?, ?, ?, x'')",
            (request.handle, keys.admin, keys.recovery, keys.read, keys.append, keys.control, GENESIS_HEAD,
             len(request.packets), digest, NO_DROP),
        )
        space = SpaceRow(made.lastrowid or 0, keys, 0, 0, GENESIS_HEAD, 0, 0, 0, len(request.packets), digest, NO_DROP)
        self._remember(request.handle, space)
        self.changed(request.handle, space)  # its seal needs the number that it just got
        self._put_packets(space.number, request.packets)
        return Done()

    def rotate(self, request: RotateSpace) -> Result:
        """Replace a space's admin key, credentials and packets."""
        if (space := self.get(request.handle)) is None:
            return NO_SPACE
        digest = packets_hash(request.packets)
        keys = rotated(space.keys, space.packets_hash, space.packets, request, digest, self._quotas)
        if not isinstance(keys, SpaceKeys):
            return keys
        self._db.execute("DELETE FROM packets WHERE space = ?", (space.number,))
        self._put_packets(space.number, request.packets)
        self._db.execute(
            "UPDATE spaces SET admin_key = ?, read_key = ?, append_key = ?, control_key = ?, packets = ?,"
            " packets_hash = ? WHERE space = ?",
            (keys.admin, keys.read, keys.append, keys.control, len(request.packets), digest, space.number),
        )
        space.keys, space.packets, space.packets_hash = keys, len(request.packets), digest
        self.changed(request.handle, space)
        return Done()

    def _put_packets(self, space: int, packets: tuple[SealedPacket, ...]) -> None:
        self._db.executemany(
            "INSERT INTO packets (space, tag, box, seal) VALUES (?, ?, ?, ?)",
            [(space, packet.tag, packet.box, seal(space, packet.tag, packet.box)) for packet in packets])

    def packet(self, request: ReadPacket) -> Result:
        """One packet. One statement, so that no time tells a space without the tag from no space."""
        row = self._db.execute(
            "SELECT box, seal, space FROM packets"
            " WHERE space = (SELECT space FROM spaces WHERE handle = ?) AND tag = ?",
            (request.handle, request.tag),
        ).fetchone()
        if row is None:
            return NO_PACKET
        intact(row[1], (row[2], request.tag, row[0]))
        return PacketData(row[0])

    # --- deletion -----------------------------------------------------------------------

    def drop(self, request: DropSpace) -> Result:
        """Delete a space: its row at once, what may be large by and by (`sweep`)."""
        if (space := self.get(request.handle)) is None:
            return Done()
        if request.signer not in (space.keys.admin, space.keys.recovery):
            return NOT_OWNER
        self._spaces.pop(request.handle, None)
        self._changed.pop(request.handle, None)
        self._db.execute("DELETE FROM packets WHERE space = ?", (space.number,))
        self._db.execute("DELETE FROM spaces WHERE space = ?", (space.number,))
        self._db.execute("INSERT INTO leftovers (space) VALUES (?)", (space.number,))
        self._db.execute("INSERT INTO deleted (handle, recovery_key) VALUES (?, ?)",
                         (request.handle, space.keys.recovery))
        return Done()

    def deleted(self, handle: bytes) -> bytes | None:
        """The recovery key of a space that was deleted and not made anew."""
        row = self._db.execute("SELECT recovery_key FROM deleted WHERE handle = ?", (handle,)).fetchone()
        return None if row is None else blob(row[0])

    def sweep(self, room: "Room") -> bool:
        """Remove a slice of what deleted spaces held; whether there is more."""
        for (space,) in self._db.execute("SELECT space FROM leftovers ORDER BY space LIMIT ?", (room.rows,)).fetchall():
            first = space * PLACES
            if not (
                self._emptied("SELECT place, length(envelope) FROM entries WHERE place >= ? AND place < ? LIMIT ?",
                              (first, first + PLACES), "DELETE FROM entries WHERE place = ?", room)
                and self._forgotten(space, room)
                and self._emptied("SELECT number, length(data) FROM chunks WHERE space = ? LIMIT ?",
                                  (space,), "DELETE FROM chunks WHERE number = ?", room)
            ):
                return True
            self._db.execute("DELETE FROM leftovers WHERE space = ?", (space,))
        return self._db.execute("SELECT 1 FROM leftovers").fetchone() is not None

    def _forgotten(self, space: int, room: "Room") -> bool:
        gone = self._db.execute("DELETE FROM hashes WHERE (space, start, offset) IN (SELECT space, start, offset FROM"
                                " hashes WHERE space = ? LIMIT ?)", (space, room.rows))
        room.rows -= gone.rowcount
        return room.rows > 0

    def _emptied(self, query: str, values: tuple[int, ...], delete: str, room: "Room") -> bool:
        rows = self._db.execute(query, (*values, room.rows + 1)).fetchall()
        gone = [(number,) for number, size in rows if room.take(size)]
        self._db.executemany(delete, gone)
        return len(gone) == len(rows)


def slice_room() -> "Room":
    """What one `Expire` may remove."""
    return Room(SWEEP_ROWS, SWEEP_BYTES)


@dataclass(slots=True)
class Room:
    """How much one `Expire` may still remove; the last row may exceed the bytes."""

    rows: int
    bytes: int

    def take(self, size: int) -> bool:
        """Whether one more row may go."""
        if self.rows <= 0 or self.bytes <= 0:
            return False
        self.rows, self.bytes = self.rows - 1, self.bytes - size
        return True

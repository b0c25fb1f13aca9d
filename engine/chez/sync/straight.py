"""One change straight into an entry, where a transaction leaves nothing else to be sent.

Who edits live writes one change in each transaction. All that the outbox would be asked for is in memory then
(`records.rows.Held`), so the change goes into the log with its entry at once: it is never in the outbox, whose index
would be written for nothing, and of sixteen statements seven are left. What is made is the same.
"""

from collections.abc import Callable
from typing import Final

from chez import crypto
from chez.keys.device import DeviceKeys
from chez.records.rows import Held
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync.chains import End, follow_up
from chez.sync.entry import CHANGE, CHANGES, GENESIS, Inner, Item, RelayHead, log_name, seal, sign_entry
from chez.sync.outbox import named_by
from chez.sync.sealed import Sealed, keep_sealed
from chez.sync.sealing import epoch_for

__all__ = ("straight",)

_ENDS: Final = (
    "SELECT relay, incarnation, position, head, epoch, entry.sequence, entry.hash, (SELECT heads FROM named "
    "WHERE space = ?1 AND author = ?2 AND branch = 0 ORDER BY sequence DESC LIMIT 1) "
    "FROM cursor LEFT JOIN entry ON entry.n = (SELECT n FROM entry WHERE space = ?1 AND author = ?2 AND branch = 0 "
    "ORDER BY sequence DESC LIMIT 1) WHERE cursor.space = ?1 "
    "AND NOT EXISTS (SELECT 1 FROM meta WHERE key = 'device.copied') ORDER BY relay")
"""The relays that keep a space, how far each was read, and the end of the device's chain with each; none to a home
that has a copy (`sync.copied`)."""


def straight(db: Connection, space: SpaceKeys, device: DeviceKeys, held: Held, relay: int, now: int,
             entropy: Callable[[int], bytes], log: Callable[[Connection, int], None]) -> Sealed | None:
    """Put the change that is held into an entry, `log` it with the entry's row, and seal that for a relay.

    Nothing is written before all that may fail was done. None for a relay that was never met. Raises as `seal`.
    """
    rows = db.execute(_ENDS, (space.n, device.id)).fetchall()
    there = [epoch for one, _, _, _, epoch, *_ in rows if one == relay]
    if not there:
        return None
    end = End(rows[0][5] or 0, rows[0][6] or GENESIS, rows[0][7])
    _, incarnation, position, head, *_ = rows[end.sequence % len(rows)]
    items = [Item(CHANGE, held.row.collection, held.row.id, held.change.bytes,
                  max(0, now - held.time) if held.time else 0)]
    entry = sign_entry(Inner(1, space.id, device.id, end.sequence + 1, end.hash, now, CHANGES, items,
                             named_by(space, device.id, CHANGES, items),
                             RelayHead(log_name(incarnation, space.handle), position, head)),
                       device.signing, (held.change.hash,))
    at = space.epochs.get(there[0] or b"", space.epoch)
    epoch = epoch_for(space, device.id, at, entry.packed, CHANGES)
    envelope = seal(entry.packed, space.handle, epoch, entropy(crypto.NONCE_BYTES))
    row = follow_up(db, space.n, entry, end)
    log(db, row)
    return keep_sealed(db, relay, row, envelope, CHANGES)

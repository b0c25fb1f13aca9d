"""What each relay is still to be given, as far as this device knows: counted in the store, connected or not."""

from collections.abc import Iterable

import msgspec

from chez.home.reports import RelayStatus
from chez.store.database import Connection

__all__ = ("with_lacks",)


def with_lacks(db: Connection, device: bytes, relays: Iterable[RelayStatus]) -> tuple[RelayStatus, ...]:
    """Relays with what they lack of this `device`'s and of others' work."""
    waiting: int = db.execute("SELECT count(*) FROM change WHERE state = 1").fetchone()[0]
    return tuple(msgspec.structs.replace(one, lacks=_lacks(db, device, one.url, waiting)) for one in relays)


def _lacks(db: Connection, device: bytes, url: str, waiting: int) -> int | None:
    """How many entries, and changes that are in none yet; None for a relay that was never read."""
    row = db.execute("SELECT n FROM relay WHERE url = ? AND EXISTS (SELECT 1 FROM cursor WHERE relay = n)",
                     (url,)).fetchone()
    if row is None:
        return None
    unsealed: int = db.execute(
        "SELECT count(*) FROM cursor JOIN entry ON entry.space = cursor.space AND author = ?2 "
        "AND entry.n > acknowledged WHERE cursor.relay = ?1 "
        "AND entry.n NOT IN (SELECT entry FROM sealed WHERE sealed.relay = ?1) "
        "AND entry.n NOT IN (SELECT entry FROM lacking WHERE lacking.relay = ?1)", (*row, device)).fetchone()[0]
    known: int = db.execute(
        "SELECT count(*) FROM (SELECT entry FROM sealed WHERE relay = ?1 "
        "UNION SELECT entry FROM lacking WHERE relay = ?1 "
        "UNION SELECT entry.n FROM cursor JOIN entry ON entry.space = cursor.space AND author <> ?2 "
        "AND entry.n >= missed WHERE cursor.relay = ?1 AND missed > 0)", (*row, device)).fetchone()[0]
    return waiting + unsealed + known

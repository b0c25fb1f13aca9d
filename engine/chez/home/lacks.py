"""What each relay is still to be given, as far as this device knows: counted in the store, connected or not."""

import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chez.home.reports import RelayStatus
from chez.store.database import Connection

__all__ = ("with_lacks",)


def with_lacks(db: Connection, device: bytes, relays: Iterable[RelayStatus],
               kept: Mapping[str, Sequence[int]]) -> tuple[RelayStatus, ...]:
    """Relays with what they lack of this `device`'s and of others' work; `kept`: the rows of the spaces at each."""
    return tuple(msgspec.structs.replace(one, lacks=_lacks(db, device, one.url, kept.get(one.url, ())))
                 for one in relays)


def _lacks(db: Connection, device: bytes, url: str, spaces: Sequence[int]) -> int | None:
    """How many entries, and changes that are in none yet; None for a relay that was never read.

    What was known of it in other spaces, which were kept there before, is no matter of it any more.
    """
    row = db.execute("SELECT n FROM relay WHERE url = ? AND EXISTS (SELECT 1 FROM cursor WHERE relay = n)",
                     (url,)).fetchone()
    if row is None:
        return None
    given = (*row, device, json.dumps(list(spaces)))
    waiting: int = db.execute(
        "SELECT count(*) FROM change JOIN record ON record.n = change.record WHERE state = 1 "
        "AND space IN (SELECT value FROM json_each(?))", given[2:]).fetchone()[0]
    unsealed: int = db.execute(
        "SELECT count(*) FROM cursor JOIN entry ON entry.space = cursor.space AND author = ?2 "
        "AND entry.n > acknowledged WHERE cursor.relay = ?1 AND cursor.space IN (SELECT value FROM json_each(?3)) "
        "AND entry.n NOT IN (SELECT entry FROM sealed WHERE sealed.relay = ?1) "
        "AND entry.n NOT IN (SELECT entry FROM lacking WHERE lacking.relay = ?1)", given).fetchone()[0]
    known: int = db.execute(
        "SELECT count(*) FROM (SELECT entry FROM sealed WHERE relay = ?1 "
        "UNION SELECT entry FROM lacking WHERE relay = ?1 "
        "UNION SELECT entry.n FROM cursor JOIN entry ON entry.space = cursor.space AND author <> ?2 "
        "AND entry.n >= missed WHERE cursor.relay = ?1 AND missed > 0) AS known JOIN entry ON entry.n = known.entry "
        "WHERE space IN (SELECT value FROM json_each(?3))", given).fetchone()[0]
    return waiting + unsealed + known

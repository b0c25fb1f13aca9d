"""What the store remembers of the relays of devices that were met: until they were not met for long.

Each is a row of `relay`, called by its store's incarnation. While one is away the store notes what it lacks, as for
any relay; one that never comes again would cost a few bytes for each entry for ever.
"""

from collections.abc import Collection
from typing import Final

from chez.store.database import Connection

__all__ = ("KEPT_SECONDS", "MOST", "forget_relays", "met_relays", "note_met", "relay_label")

KEPT_SECONDS: Final = 30 * 24 * 3600
"""How long one is remembered; then it is read from its beginning, as one that is new."""

MOST: Final = 128
"""How many are remembered, those that were met last: more than a network has of one home's spaces. A member gone bad
is met with a store made anew as often as it likes, and each would be one more relay that may lack whatever comes."""

_PREFIX: Final = "lan:"


def relay_label(incarnation: bytes) -> str:
    """What the store calls the relay of a device that was met: by its store, for its address is another each time."""
    return f"{_PREFIX}{incarnation.hex()}"


def note_met(db: Connection, relay: int, now: int) -> None:
    """The relay in this row was met just now, in Unix seconds."""
    db.execute("UPDATE relay SET met = ? WHERE n = ?", (now, relay))


def met_relays(db: Connection) -> set[int]:
    """The rows of all that are remembered."""
    return {n for (n,) in db.execute("SELECT n FROM relay WHERE url LIKE ?", (f"{_PREFIX}%",))}


def forget_relays(db: Connection, before: int, here: Collection[int] = ()) -> int:
    """Forget those that were met last before this, in Unix seconds, and all but the `MOST` that were met last; returns
    how many.

    Those in the rows `here` stay, and count for none of these. So does one that brought what still waits for its
    key, or showed a log that others were not shown.
    """
    away = f"url LIKE ?1 AND n NOT IN ({', '.join(f'?{number}' for number, _ in enumerate(here, 4))})"
    rows = db.execute(f"SELECT n FROM relay WHERE {away} AND (met < ?2 OR n NOT IN "
                      f"(SELECT n FROM relay WHERE {away} ORDER BY met DESC, n DESC LIMIT ?3)) "
                      "AND NOT EXISTS (SELECT 1 FROM locked WHERE relay = n) "
                      "AND NOT EXISTS (SELECT 1 FROM alarm WHERE relay = n)",
                      (f"{_PREFIX}%", before, MOST, *here)).fetchall()
    tables = db.execute("SELECT name, \"from\" FROM sqlite_master JOIN pragma_foreign_key_list(sqlite_master.name) "
                        "WHERE sqlite_master.type = 'table' AND \"table\" = 'relay'").fetchall()
    for (relay,) in rows:
        for table, column in tables:
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", (relay,))
        # No key, for 0 is no relay; the row's number may be another relay's next.
        db.execute("UPDATE OR REPLACE shown SET relay = 0 WHERE relay = ?", (relay,))
        db.execute("DELETE FROM relay WHERE n = ?", (relay,))
    return len(rows)

"""What it costs to tell how a home stands."""

from itertools import count

import chez

OTHERS = 3000


async def test_entries_of_others_cost_a_status_nothing(home: chez.Home) -> None:
    """Of a space in which this device writes nothing, however much others do, none is looked at."""
    steps = count()
    await home._database.read(lambda db: db.set_progress_handler(lambda: next(steps) and 0, 100))
    await home._database.write(_met)
    before = next(steps)
    await home.status()
    few = next(steps) - before
    await home._database.write(_written_by_another)
    before = next(steps)
    assert (await home.status()).pending == 0
    assert next(steps) - before <= few + OTHERS // 100


def _met(db) -> None:  # type: ignore[no-untyped-def]
    """A relay was read, which has nothing of this device."""
    db.execute("INSERT INTO relay (url) VALUES ('ws://127.0.0.1:1')")
    db.execute("INSERT OR REPLACE INTO cursor (space, relay, incarnation, position, head, acknowledged) "
               "SELECT space.n, relay.n, zeroblob(32), 0, zeroblob(32), (SELECT coalesce(max(n), 0) FROM entry) "
               "FROM space, relay")


def _written_by_another(db) -> None:  # type: ignore[no-untyped-def]
    """Entries come of another device."""
    db.executemany("INSERT INTO entry (space, author, sequence, hash, kind, inner) SELECT n, zeroblob(32), ?1, ?2, 0, "
                   "zeroblob(300) FROM space", [(number, number.to_bytes(32, "big")) for number in range(OTHERS)])

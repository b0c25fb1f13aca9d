"""A record with a long history: snapshots are taken of the right document."""

from chez.records import automerge
from chez.records.rows import SNAPSHOT_AFTER
from chez.records.store import Incoming, RecordStore
from chez.store.database import Connection
from tests.store.blank import blank


def _device(actor: bytes) -> tuple[Connection, RecordStore]:
    db = blank()
    db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
    db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
               "VALUES (1, 1, ?, 1, x'00', 0, x'00')", (b"a" * 32,))
    return db, RecordStore(actor)


def test_a_history_longer_than_a_snapshot_arrives_change_by_change() -> None:
    """Every change of a long history shows as it arrives, also after the caches are dropped."""
    (a, ours), (b, theirs) = _device(b"a" * 32), _device(b"b" * 32)
    count = 2 * SNAPSHOT_AFTER + 50
    for number in range(count):
        ours.put(a, 1, "ticks", "tick", {"n": number})
    changes = [automerge.read_change(data) for (data,) in a.execute("SELECT bytes FROM change ORDER BY n")]
    assert len(changes) == count
    for number, change in enumerate(changes):
        if number % 67 == 0:
            theirs.forget()
        assert theirs.merge(b, 1, [Incoming("ticks", "tick", change, 1)]) == []
        assert b.execute("SELECT json FROM record").fetchone() == (f'{{"n":{number}}}',)
    assert b.execute("SELECT count(*) FROM snapshot").fetchone() == (1,)
    # What came before the snapshot is still known: it is no news, and others may depend on it.
    assert theirs.merge(b, 1, [Incoming("ticks", "tick", changes[3], 1)]) == []
    assert b.execute("SELECT json FROM record").fetchone() == (f'{{"n":{count - 1}}}',)


def test_what_is_not_sent_keeps_its_bytes_beside_a_snapshot() -> None:
    """Bytes go once they are sent and a snapshot holds them; what is read afterwards is the same."""
    db, records = _device(b"a" * 32)

    def ticks(first: int, count: int) -> None:
        for number in range(first, first + count):
            records.put(db, 1, "ticks", "tick", {"n": number})

    def kept() -> list[int]:
        """The rows whose bytes are there."""
        return [n for (n,) in db.execute("SELECT n FROM change WHERE bytes IS NOT NULL ORDER BY n")]

    def shown() -> int:
        records.forget()
        records.put(db, 1, "ticks", "tick", {"n": -1})
        (json,) = db.execute("SELECT json FROM record").fetchone()
        return json  # type: ignore[no-any-return]

    ticks(0, SNAPSHOT_AFTER + 5)
    assert len(kept()) == SNAPSHOT_AFTER + 5  # all of it waits to be sent
    db.execute("UPDATE change SET state = 0, entry = 1 WHERE n <= 100")
    ticks(1000, SNAPSHOT_AFTER)
    assert kept()[0] == 101
    db.execute("UPDATE change SET state = 0, entry = 1")
    ticks(2000, 2 * SNAPSHOT_AFTER)
    changes, upto, freed = db.execute("SELECT changes, upto, freed FROM snapshot").fetchone()
    assert changes == upto and 101 < freed <= upto
    assert kept() == list(range(freed + 1, 4 * SNAPSHOT_AFTER + 6))
    assert shown() == '{"n":-1}'
    n = db.execute("SELECT n FROM record").fetchone()[0]
    document = automerge.load(records._rows.base(db, n), b"a" * 32)
    assert len(automerge.history(document)) == 4 * SNAPSHOT_AFTER + 6


def test_a_long_history_costs_a_change_no_more_than_a_short_one() -> None:
    """Snapshots come ever farther apart: a few times what the last one holds, they hold in all."""
    db, records = _device(b"a" * 32)
    held = []
    for number in range(20 * SNAPSHOT_AFTER):
        records.put(db, 1, "ticks", "tick", {"n": number})
        held.append((db.execute("SELECT changes FROM snapshot").fetchone() or (0,))[0])
    taken = sorted(set(held) - {0})
    assert sum(taken) <= 4 * taken[-1]
    assert taken[-1] >= len(held) // 2

"""A record with a long history: snapshots are taken of the right document."""

from chez.records import automerge
from chez.records.rows import SNAPSHOT_AFTER
from chez.records.store import Incoming, RecordStore
from chez.store.database import Connection, connect, migrate


def _device(actor: bytes) -> tuple[Connection, RecordStore]:
    db = connect(":memory:", bytes(32))
    migrate(db)
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

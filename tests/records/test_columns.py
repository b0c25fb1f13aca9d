"""Changes that claim more operations than they have bytes for are refused before they are loaded."""

import hashlib

import pytest

from chez.records import automerge
from chez.records.automerge import BadChange
from chez.records.columns import MAX_OPERATIONS
from chez.records.diff import write_difference
from chez.records.encode import _MAGIC, _run, sleb, uleb
from chez.records.rows import SNAPSHOT_AFTER
from chez.records.store import Incoming, RecordStore
from tests.store.blank import blank


def _bomb(count: int) -> bytes:
    """A valid change of `count` operations on one key, in under a hundred bytes."""
    columns = [(0x15, sleb(count) + uleb(1) + b"a"), (0x34, uleb(count)), (0x42, _run(1, count)),
               (0x56, _run(0, count)), (0x70, _run(0, count))]
    body = b"".join((uleb(0), uleb(32), b"a" * 32, uleb(1), uleb(1), b"\0\0\0", uleb(len(columns)),
                     *[uleb(id) + uleb(len(data)) for id, data in columns], *[data for _, data in columns]))
    tail = b"\1" + uleb(len(body)) + body
    return _MAGIC + hashlib.sha256(tail).digest()[:4] + tail


@pytest.mark.parametrize("count", [MAX_OPERATIONS + 1, 10_000_000, 2**40, 2**62])
def test_a_run_length_bomb_is_refused(count: int) -> None:
    """Under a hundred bytes that claim millions of operations never reach the document library."""
    bomb = _bomb(count)
    assert len(bomb) < 120
    with pytest.raises(BadChange, match="operations"):
        automerge.read_change(bomb)


def test_what_is_not_a_bomb_is_read() -> None:
    """The same change with a few operations is read and loaded; so are large honest edits."""
    assert automerge.read_change(_bomb(3)).sequence == 1
    automerge.load(_bomb(3), b"b" * 32)
    document = automerge.new(b"a" * 32)
    value = {"list": list(range(20_000)), "same": [0] * 5_000, "text": ["é" * 10] * 300, "nested": {"a": [{"b": None}]}}
    change = write_difference(document, {}, value)
    assert change is not None
    assert automerge.read_change(change).bytes == change


UNKNOWN = bytes.fromhex(
    "856f4a83e9331f29014300204141414141414141414141414141414141414141414141414141414141414141"
    "0101000000061505340143025603570270027e016101620202017e141601780200")


def test_a_column_yet_unknown_is_refused() -> None:
    """A document would keep such a column, and its saved form would not load any more."""
    with pytest.raises(BadChange, match="columns"):
        automerge.read_change(UNKNOWN)


def _by_hand(actor: bytes) -> automerge.RawChange:
    """A valid change of three fields whose columns are encoded as the library never does: runs cut in two."""
    keys = b"".join(sleb(-1) + uleb(1) + name for name in (b"a", b"b", b"c"))
    twice = _run(1, 2) + sleb(-1) + uleb(1)  # 1, 1 and 1, where one run of three belongs
    columns = [(0x15, keys), (0x34, uleb(3)), (0x42, twice), (0x56, _run(0, 2) + sleb(-1) + uleb(0)),
               (0x70, _run(0, 3))]
    body = b"".join((uleb(0), uleb(32), actor, uleb(1), uleb(1), b"\0\0\0", uleb(len(columns)),
                     *[uleb(id) + uleb(len(data)) for id, data in columns], *[data for _, data in columns]))
    tail = b"\1" + uleb(len(body)) + body
    return automerge.read_change(_MAGIC + hashlib.sha256(tail).digest()[:4] + tail)


def test_a_record_with_a_change_encoded_by_hand_outlives_its_snapshots() -> None:
    """What does not load from its saved form is kept as changes: after many edits the record opens and is written."""
    other = b"b" * 32
    db = blank()
    db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
    db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
               "VALUES (1, 1, ?, 1, x'00', 0, x'00')", (other,))
    store = RecordStore(b"a" * 32)
    change = _by_hand(other)
    document = automerge.load(change.bytes, b"a" * 32)
    assert automerge.saved(document) is None or automerge.load(bytes(document.save()), other) is not None
    assert store.merge(db, 1, [Incoming("notes", "n", change, 1)]) == []
    for number in range(2 * SNAPSHOT_AFTER + 20):
        store.put(db, 1, "notes", "n", {"a": None, "b": None, "c": None, "n": number})
        db.execute("UPDATE change SET state = 0 WHERE state = 1")
    store.forget()
    store.put(db, 1, "notes", "n", {"n": -1})
    assert db.execute("SELECT json FROM record").fetchall() == [('{"n":-1}',)]

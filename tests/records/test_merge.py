"""Changes that arrive before what they build on, and what happens to the record meanwhile."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chez.errors import NotFound
from chez.records import automerge
from chez.records.encode import encode_again, encode_fields
from chez.records.imported import identity_change, record_id
from chez.records.store import Incoming, RecordStore
from chez.store.database import Connection
from tests.store.blank import blank
from tests.tries import tries

IDENTITY = {"meter": "m", "number": 7}
ID = record_id(bytes(32), "readings", IDENTITY)
OTHER = b"b" * 32


def _device(actor: bytes) -> tuple[Connection, RecordStore]:
    db = blank()
    db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
    db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
               "VALUES (1, 1, ?, 1, x'00', 0, x'00')", (OTHER,))
    return db, RecordStore(actor)


def _shown(db: Connection) -> list[Any]:
    return db.execute("SELECT json, deleted FROM record WHERE deleted < 2").fetchall()


def _waiting(store: RecordStore, db: Connection) -> None:
    """The other device's values of an imported record arrive, its first change does not."""
    first = identity_change(IDENTITY)
    values = encode_fields(OTHER, 1, 3, (first.hash,), {"watts": 2.5})
    assert store.merge(db, 1, [Incoming("readings", ID, values, 1)]) == []
    assert _shown(db) == []


@settings(max_examples=tries(30))
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 12)), min_size=1, max_size=5))
def test_many_changes_at_once_are_logged_as_one_by_one(groups: list[tuple[int, int]]) -> None:
    """However many changes of a record come together, some of them again, the log and the value are as one by one."""
    changes = [encode_fields(OTHER, 1, 1, (), {"n": 0})]
    for n in range(1, sum(size for size, _ in groups)):
        last = changes[-1]
        changes.append(encode_again(OTHER, n + 1, n + 1, last.hash, {"n": n}, [n]))
    alone, together = _device(b"a" * 32), _device(b"a" * 32)
    for db, store in (alone, together):
        store.put(db, 1, "notes", "r", {"mine": 1})
    for change in changes:
        assert alone[1].merge(alone[0], 1, [Incoming("notes", "r", change, 1, None, 5)]) == []
    at = 0
    for size, again in groups:
        some = changes[max(0, at - again) : at + size]
        at += size
        assert together[1].merge(together[0], 1, [Incoming("notes", "r", one, 1, None, 5) for one in some]) == []
    log = "SELECT hash, bytes, sequence, last, weight, entry, state, origin, batch, time FROM change ORDER BY n"
    assert together[0].execute(log).fetchall() == alone[0].execute(log).fetchall()
    assert _shown(together[0]) == _shown(alone[0])
    assert automerge.extract(together[1].rows.load(together[0], 1)) == {"mine": 1, "n": at - 1}


def test_an_import_is_not_lost_on_a_record_that_waits() -> None:
    """The same reading imported here while the other's values wait: it is there at once, with both devices' fields."""
    db, store = _device(b"a" * 32)
    _waiting(store, db)
    assert store.put_imported(db, 1, "readings", ID, IDENTITY, {"edition": 1}, "file 7", "run") == "added"
    document = automerge.extract(store._rows.load(db, db.execute("SELECT n FROM record").fetchone()[0]))
    assert document == {"_source": "file 7", "edition": 1, "meter": "m", "number": 7, "watts": 2.5}
    assert store.put_imported(db, 1, "readings", ID, IDENTITY, {"edition": 1}, "file 7", "run") == "unchanged"
    assert store.merge(db, 1, [Incoming("readings", ID, identity_change(IDENTITY), 1)]) == []
    assert len(_shown(db)) == 1


def test_an_import_that_says_the_same_in_another_kind_is_an_update() -> None:
    """What a newer connector reads as a boolean or a float, where it was a number, replaces it as a put does."""
    db, store = _device(b"a" * 32)
    for said, outcome in ((1, "added"), (1, "unchanged"), (True, "updated"), (1.0, "updated"), ([0], "updated"),
                          ([False], "updated"), ([False], "unchanged")):
        assert store.put_imported(db, 1, "readings", ID, IDENTITY, {"on": said}, "file", "run") == outcome
        (shown,) = db.execute("SELECT json_extract(json, '$.on'), json_type(json, '$.on') FROM record").fetchall()
        assert shown == {int: (1, "integer"), bool: (1, "true"), float: (1.0, "real"), list: (
            "[0]" if type(said) is list and type(said[0]) is int else "[false]", "array")}[type(said)]


def test_a_record_damaged_here_refuses_nothing() -> None:
    """What arrives for a record whose bytes here do not load waits, and is in once they are whole."""
    db, store = _device(b"a" * 32)
    store.put(db, 1, "notes", "n", {"mine": 1})
    first = db.execute("SELECT bytes FROM change").fetchone()[0]
    theirs = [encode_fields(OTHER, 1, 1, (), {"one": 1})]
    theirs.append(encode_fields(OTHER, 2, 2, (theirs[0].hash,), {"two": 2}))
    db.execute("UPDATE change SET bytes = x'00112233'")
    store.forget()
    assert store.merge(db, 1, [Incoming("notes", "n", change, 1) for change in theirs[:1]]) == []
    db.execute("UPDATE change SET bytes = ? WHERE state < 2", (first,))
    store.forget()
    assert store.merge(db, 1, [Incoming("notes", "n", change, 1) for change in theirs[1:]]) == []
    assert _shown(db) == [('{"mine":1,"one":1,"two":2}', 0)]


def test_a_record_that_waits_is_neither_here_nor_deleted() -> None:
    """Until something of it can be shown, a record can be put but not edited or deleted."""
    db, store = _device(b"a" * 32)
    _waiting(store, db)
    for act in (store.begin_edit, store.delete):
        try:
            act(db, 1, "readings", ID)
        except NotFound:
            continue
        raise AssertionError(act)
    store.put(db, 1, "readings", ID, {"note": "by hand"})
    assert _shown(db) == [('{"note":"by hand"}', 0)]
    store.forget()
    assert store.merge(db, 1, [Incoming("readings", ID, identity_change(IDENTITY), 1)]) == []
    assert _shown(db) == [('{"meter":"m","note":"by hand","number":7,"watts":2.5}', 0)]
    store.forget()
    assert store.begin_edit(db, 1, "readings", ID).value["watts"] == 2.5

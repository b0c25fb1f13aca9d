"""Unsent work on a record that is made again: it stays where it was among all that waits to be sent."""

from chez.records import automerge
from chez.records.store import Incoming
from chez.records.unmade import put_back, take_out
from tests.records.pair import Device, pair


def waiting(device: Device) -> list[bytes]:
    """The hashes of what waits to be sent, in order."""
    return [hash for (hash,) in device.db.execute("SELECT hash FROM change WHERE state = 1 ORDER BY n")]


def made_again(device: Device, id: str, entry: int, brought: list[bytes]) -> None:
    """Make a record again, of what is in its log in an entry, and of changes that the `entry` brings."""
    rows = device.store._rows
    row = rows.find(device.db, 1, "notes", id)
    assert row is not None
    unsent = take_out(rows, device.db, row)
    known = device.db.execute("SELECT bytes FROM change WHERE record = ? AND entry IS NOT NULL ORDER BY n",
                              (row.n,)).fetchall()
    device.db.execute("DELETE FROM change WHERE record = ?", (row.n,))
    rows.drop(row.n)
    device.db.execute("UPDATE record SET json = '{}', kinds = NULL, deleted = 2, tail = 0 WHERE n = ?", (row.n,))
    device.store.merge(device.db, 1, [Incoming("notes", id, automerge.read_change(data), entry)
                                      for data in [*[data for (data,) in known], *brought]])
    put_back(rows, device.db, 1, row, unsent)


def test_work_keeps_its_place_among_what_waits() -> None:
    """Three records written in turns, one of them made again: all waits as it was written."""
    device, _ = pair()
    for n in range(4):
        for id in ("a", "b", "c"):
            device.put({"n": n, id: True}, id)
    before = waiting(device)
    made_again(device, "b", 2, [])
    assert waiting(device) == before
    assert device.stored("b") == {"n": 3, "b": True}


def test_what_an_entry_brings_meanwhile_waits_no_more() -> None:
    """An import's first change is anybody's: of one made here an entry brings it, and the rest waits in its place."""
    device, _ = pair()
    device.put({"n": 0}, "b")
    for n in range(3):
        device.store.put_imported(device.db, 1, "notes", "a", {"key": 7}, {"n": n}, f"file {n}", "run")
    before = waiting(device)
    data, hash = device.db.execute("SELECT bytes, hash FROM change JOIN record ON record.n = record "
                                   "WHERE id = 'a' ORDER BY change.n").fetchone()
    made_again(device, "a", 2, [data])
    assert waiting(device) == [one for one in before if one != hash]
    assert device.stored("a")["n"] == 2

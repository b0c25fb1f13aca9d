"""What is stored of a record is what its document says, however it came to be written: three devices, any order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.errors import ChezError
from chez.records import automerge
from chez.records.automerge import RawChange
from chez.records.conflicts import conflicts_of, find_conflicts
from chez.records.past import open_past
from chez.records.puts import Put
from chez.records.store import Incoming, RecordStore
from chez.records.typed import Form
from chez.records.values import from_json
from chez.store.database import Connection
from tests.records.pair import typed
from tests.store.blank import blank
from tests.tries import tries

NAMES = b"a" * 32, b"b" * 32, b"c" * 32
FORM: Form[Any] = Form("notes", None, 1, None)
IDS = "r", "s"

Brought = list[tuple[str, RawChange]]
"""What one entry brings: changes, each of a record."""


@dataclass
class Device:
    """A store in memory; what it wrote, and how many of each device's entries it has."""

    actor: bytes
    db: Connection = field(init=False)
    store: RecordStore = field(init=False)
    entries: list[Brought] = field(default_factory=list)
    has: list[int] = field(default_factory=lambda: [0] * len(NAMES))
    said: int = 0

    def __post_init__(self) -> None:
        self.db = blank()
        self.db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
        for n, author in enumerate(NAMES, 1):
            self.db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
                            "VALUES (?, 1, ?, 1, x'00', 0, x'00')", (n, author))
        self.store = RecordStore(self.actor)

    def collect(self) -> None:
        """What was made since is one entry."""
        rows = self.db.execute("SELECT change.n, id, bytes FROM change JOIN record ON record.n = record "
                               "WHERE state = 1 AND change.n > ? ORDER BY change.n", (self.said,)).fetchall()
        if rows:
            self.said = rows[-1][0]
            self.entries.append([(id, automerge.read_change(data)) for _, id, data in rows])

    def take(self, author: int, entries: Sequence[Brought]) -> None:
        """Merge some of another device's entries together."""
        found = self.store.merge(self.db, 1, [Incoming("notes", id, change, author + 1)
                                              for entry in entries for id, change in entry])
        assert found == []

    def shown(self) -> dict[str, Any]:
        """Every record's value and whether it is deleted, as the projection has them; as its own log has them, too."""
        out = {}
        for n, id, json, kinds, deleted in self.db.execute(
                "SELECT n, id, json, kinds, deleted FROM record WHERE deleted < 2").fetchall():
            out[id] = typed(from_json(json, kinds)), deleted
            assert out[id] == _said(automerge.load(self.store.rows.base(self.db, n), self.actor))
        return out

    def told(self, id: str) -> Any:
        """A record's history and conflicts."""
        past = open_past(self.db, 1, "notes", id, self.actor)
        (deleted,) = self.db.execute("SELECT deleted FROM record WHERE id = ?", (id,)).fetchone()
        found, damaged = find_conflicts(self.db, lambda done, total: None, 1, None, self.actor, str)
        assert found.get(("notes", id), []) == ([] if deleted else conflicts_of(past, str)) and damaged == []
        return [(one.hash, one.kind, one.fields) for one in past.page(str, 1000, None)], [
            (one.field, [(typed(each.value), each.choice) for each in one.versions])
            for one in conflicts_of(past, str)]


def _said(document: automerge.Document) -> tuple[Any, int]:
    value = automerge.extract(document)
    return typed({key: item for key, item in value.items() if key != "_deleted"}), int(value.get("_deleted") is True)


def plainly(devices: Sequence[Device]) -> dict[str, Any]:
    """What the document library says of all changes of each record, loaded at once."""
    out = {}
    for id in IDS:
        left = {change.hash: change for device in devices for entry in device.entries for of, change in entry
                if of == id}
        done: dict[bytes, RawChange] = {}
        while ready := [one for one in left.values() if all(hash in done for hash in one.dependencies)]:
            done |= {one.hash: left.pop(one.hash) for one in ready}
        assert not left
        if done:
            out[id] = _said(automerge.load(b"".join(one.bytes for one in done.values()), b"x"))
    return out


_plain = st.one_of(st.integers(-3, 3), st.sampled_from(("", "tea", b"x", 1.5, 1.0, True, None,
                                                        datetime(2026, 5, 1, tzinfo=UTC))))
_nested = st.one_of(st.lists(st.integers(0, 2), max_size=3), st.dictionaries(st.sampled_from("xy"), _plain, max_size=2),
                    st.builds(chez.Text, st.sampled_from(("te", "tea", "a tea"))),
                    st.builds(chez.Counter, st.integers(-2, 5)))
_fields = st.dictionaries(st.sampled_from(("n", "m", "k")), st.one_of(_plain, _plain, _plain, _nested), max_size=3)
_flat = st.dictionaries(st.sampled_from(("n", "m", "k")), _plain, min_size=1, max_size=3)
_puts = st.lists(st.tuples(st.sampled_from(IDS), st.one_of(_fields, _flat, _flat)), min_size=1, max_size=8)
_steps = st.lists(st.tuples(st.integers(0, 2), st.one_of(
    st.tuples(st.just("put"), _puts), st.tuples(st.just("put"), _puts), st.tuples(st.just("lose"), _puts),
    st.tuples(st.sampled_from(("delete", "restore", "undo", "redo", "edit")), st.sampled_from(IDS)),
    st.tuples(st.just("forget"), st.none()), st.tuples(st.just("collect"), st.none()),
    st.tuples(st.just("take"), st.tuples(st.integers(0, 2), st.integers(1, 4))))), max_size=25)


def _edit(device: Device, id: str) -> None:
    """As `Collection.edit`: an item more in a list, and a field less."""
    draft = device.store.begin_edit(device.db, 1, "notes", id)
    opened = FORM.open(id, draft.value)
    opened.value["n"] = [*(opened.value["n"] if isinstance(opened.value.get("n"), list) else ()), 7]
    opened.value.pop("m", None)
    opened.pen.lifted = True
    wanted = FORM.close(opened)
    change = draft.written(wanted.after)
    if change is not None:
        device.store.end_edit(device.db, 1, draft, change, wanted.after)


def _step(devices: Sequence[Device], device: Device, act: str, what: Any) -> None:
    store, db = device.store, device.db
    acts: dict[str, Callable[[], Any]] = {
        "delete": lambda: store.delete(db, 1, "notes", what), "restore": lambda: store.restore(db, 1, "notes", what),
        "undo": lambda: store.undo(db, 1, "notes", what), "redo": lambda: store.undo(db, 1, "notes", what, redo=True),
        "edit": lambda: _edit(device, what), "collect": device.collect, "forget": store.forget}
    if act in ("put", "lose"):
        db.execute("SAVEPOINT work")
        store.put_all(db, [Put(1, "notes", id, *FORM.put(id, value)) for id, value in what])
        if act == "lose":  # as when the process ends before the commit
            db.execute("ROLLBACK TO work")
            store.forget()
        db.execute("RELEASE work")
    elif act == "take":
        who, count = what
        if devices[who] is not device:
            at = device.has[who]
            device.take(who, devices[who].entries[at : at + count])
            device.has[who] = min(at + count, len(devices[who].entries))
    else:
        try:
            acts[act]()
        except ChezError:
            return  # there is nothing to delete, restore, undo


@given(_steps)
@settings(deadline=None, max_examples=tries(40))
def test_what_is_stored_is_what_the_document_says(steps: list[tuple[int, tuple[str, Any]]]) -> None:
    """After each step a device shows what its own log says; in the end all show what a fresh load of all changes says,
    and tell the same history and conflicts, as one does that takes in everything at once."""
    devices = [Device(name) for name in NAMES]
    for who, (act, what) in steps:
        _step(devices, devices[who], act, what)
        devices[who].shown()
    for device in devices:
        device.collect()
    wanted = plainly(devices)
    late = Device(b"d" * 32)
    for device in (*devices, late):
        for who in range(3):
            if devices[who] is not device:
                device.take(who, devices[who].entries[device.has[who]:])
        assert device.shown() == wanted
    for id in wanted:
        assert all(device.told(id) == late.told(id) for device in devices)

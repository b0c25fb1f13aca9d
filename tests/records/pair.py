"""Two devices of one space, without a network: what each made is handed to the other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chez.records import automerge
from chez.records.counter import Counter
from chez.records.store import Incoming, RecordStore
from chez.records.text import Text
from chez.records.typed import Form
from chez.records.values import from_json
from chez.store.database import Connection
from tests.store.blank import blank

NAMES = b"a" * 32, b"b" * 32


@dataclass
class Device:
    """A store in memory and its records."""

    actor: bytes
    db: Connection = field(init=False)
    store: RecordStore = field(init=False)
    given: set[tuple[str, bytes]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.db = blank()
        self.db.execute("INSERT INTO space (n, id, name, handle) VALUES (1, x'00', 'private', x'00')")
        for n, author in enumerate(NAMES, 1):
            self.db.execute("INSERT INTO entry (n, space, author, sequence, hash, kind, inner) "
                            "VALUES (?, 1, ?, 1, x'00', 0, x'00')", (n, author))
        self.store = RecordStore(self.actor)

    def stored(self, id: str = "r") -> dict[str, Any]:
        """A record's value as the projection has it; it must be what its document says."""
        n, json, kinds = self.db.execute("SELECT n, json, kinds FROM record WHERE id = ?", (id,)).fetchone()
        value = from_json(json, kinds)
        document = automerge.load(self.store._rows.base(self.db, n), self.actor)
        shown = {key: item for key, item in automerge.extract(document).items() if key != "_deleted"}
        assert typed(value) == typed(shown)
        return value

    def put(self, value: Any, id: str = "r", form: "Form[Any] | None" = None) -> None:
        """Put a record."""
        plain, over = (form or Form("notes", None, 1, None)).put(id, value)
        self.store.put(self.db, 1, "notes", id, plain, over)

    def edit(self, act: Callable[[Any], Any], id: str = "r", form: "Form[Any] | None" = None) -> Callable[[], None]:
        """Edit a record as `Collection.edit` does; what ends the edit is returned."""
        form = form or Form("notes", None, 1, None)
        draft = self.store.begin_edit(self.db, 1, "notes", id)
        opened = form.open(id, draft.value)
        act(opened.value)
        opened.pen.lifted = True
        wanted = form.close(opened)
        if wanted.migrated is not None:
            draft = draft.migrated(wanted.migrated)
        change = draft.written(wanted.after)
        if change is None:
            return lambda: None
        return lambda: self.store.end_edit(self.db, 1, draft, change, wanted.after)

    def read(self, id: str = "r", form: "Form[Any] | None" = None) -> Any:
        """A record's value for an app."""
        return (form or Form("notes", None, 1, None)).decode(id, self.stored(id))

    def give(self, other: "Device") -> None:
        """Hand over what was made here since the last time."""
        rows = self.db.execute("SELECT hash, collection, id, bytes FROM change JOIN record ON record.n = record "
                               "WHERE state = 1 ORDER BY change.n").fetchall()
        rows = [row for row in rows if (row[2], row[0]) not in self.given]
        entry = 1 + NAMES.index(self.actor)
        refused = other.store.merge(other.db, 1, [
            Incoming(collection, id, automerge.read_change(data), entry) for _, collection, id, data in rows])
        assert refused == []
        self.given.update((row[2], row[0]) for row in rows)


def typed(value: Any) -> Any:
    """A value with its types told apart, to compare: 1, 1.0 and True, a text and a str, are not equal."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    if isinstance(value, Text):
        return "text", str(value), value.marks
    if isinstance(value, float):
        return "float", value.hex()
    return type(value).__name__, int(value) if isinstance(value, Counter) else value


def pair() -> tuple[Device, Device]:
    """Two devices that have nothing yet."""
    return Device(NAMES[0]), Device(NAMES[1])


def meet(a: Device, b: Device) -> None:
    """Both hand over what they have; they must show the same."""
    a.give(b)
    b.give(a)
    ids = [id for (id,) in a.db.execute("SELECT id FROM record WHERE deleted < 2")]
    assert {id: a.stored(id) for id in ids} == {id: b.stored(id) for id in ids}

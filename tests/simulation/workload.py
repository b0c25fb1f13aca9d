"""Random edits, and what must be true of them in the end."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from chez.errors import NotAllowed, NotFound
from chez.records.imported import record_id
from chez.records.rows import PURGED
from chez.records.values import check_value, from_json
from chez.store.database import Connection
from tests.simulation.device import Device, Undone

__all__ = ("Workload",)

Key = tuple[bytes, str, str]
"""The id of a record's space, its collection and its own id."""

COLLECTIONS = ("notes", "tasks")
LIVE = 8


def _current(db: Connection, key: Key) -> dict[str, Any] | None:
    """A record's fields, also of a deleted one: to put it again without them would take their marks."""
    row = db.execute("SELECT json, kinds FROM record JOIN space ON space.n = record.space "
                     "WHERE space.id = ? AND collection = ? AND record.id = ?", key).fetchone()
    if row is None:
        return None
    value = from_json(*row)
    return {name: item for name, item in value.items() if not name.startswith("_")}


def _place(device: Device, key: Key) -> tuple[int, str, str]:
    """Where a device has a record: the space's row, the collection and the id."""
    return device.spaces[key[0]], key[1], key[2]


@dataclass
class Workload:
    """Edits drawn from `random`.

    Every write leaves a mark of its own: a new top-level field, or a token inserted into
    a list. Nobody overwrites a mark, so every mark whose write was acknowledged must be in
    the record at the end, whatever else happened.
    """

    random: Random
    count: int = 0
    marks: set[tuple[Key, str]] = field(default_factory=set)
    tokens: set[tuple[Key, str]] = field(default_factory=set)
    removed: set[tuple[Key, str]] = field(default_factory=set)
    purged: set[Key] = field(default_factory=set)
    """Records that must be gone everywhere in the end, whatever was written to them."""
    purgers: set[tuple[Key, str]] = field(default_factory=set)
    """Which devices, by the last characters of their names, purged which records."""
    together: list[tuple[str, tuple[Key, ...]]] = field(default_factory=list)
    """Marks that one transaction wrote into several records: they show together or not at all."""

    def step(self, device: Device, lose: bool) -> str:
        """One local write (or the begin or end of an edit); returns what it was."""
        self.count += 1
        kind = self.random.choice(("create", "shared", "change", "change", "change", "list", "list", "delete", "import",
                                   "together", "together", "open", "open", "fail", "undo", "purge", "live"))
        if device.edits and self.random.random() < 0.4:
            kind = "close"
        try:
            done = getattr(self, "_" + kind)(device, lose)
        except Undone:
            return f"{kind}, undone"
        return kind if done else f"{kind}, nothing to do"

    # --- kinds of writes --------------------------------------------------------------

    def _mark(self, device: Device) -> str:
        return f"mark {device.name[-1]} {self.count}"

    def _create(self, device: Device, lose: bool) -> bool:
        key = self._space(device), self.random.choice(COLLECTIONS), f"own {device.name[-1]} {self.count}"
        mark = self._mark(device)
        value = {mark: self.count, "title": f"title {self.count}", "list": ["first", "last"],
                 "inner": {"a": [1, {"b": 2}]}, "raw": bytes([self.count % 256]),
                 "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=self.count)}
        self._put(device, key, value if self.random.random() < 0.7 else {mark: self.count}, lose)
        self.marks.add((key, mark))
        return True

    def _shared(self, device: Device, lose: bool) -> bool:
        """Devices create and replace the same few records, knowing nothing of each other."""
        key = self._space(device), COLLECTIONS[0], f"shared {self.random.randrange(3)}"
        if key in device.edits:
            return False
        mark = self._mark(device)
        self._put(device, key, (_current(device.db, key) or {}) | {mark: True, "winner": device.name}, lose)
        self.marks.add((key, mark))
        return True

    def _change(self, device: Device, lose: bool) -> bool:
        key = self._existing(device)
        if key is None:
            return False
        mark = self._mark(device)
        self._put(device, key, self._mutated(_current(device.db, key) or {}) | {mark: [self.count]}, lose)
        self.marks.add((key, mark))
        return True

    def _live(self, device: Device, lose: bool) -> bool:
        """A row of changes of one field: what they show is told before they are taken in (`chez.sync.ahead`)."""
        key = self._space(device), COLLECTIONS[0], f"live {device.name[-1]}"
        if key in device.edits:
            return False
        for n in range(LIVE):
            self._put(device, key, (_current(device.db, key) or {}) | {"n": LIVE * self.count + n},
                      lose=lose and n == LIVE - 1)
        return True

    def _list(self, device: Device, lose: bool) -> bool:
        """One token into, or one out of, a list that one device alone created."""
        key = self._existing(device)
        value = _current(device.db, key) if key is not None else None
        if key is None or value is None or not key[2].startswith("own") or type(value.get("list")) is not list:
            return False
        items, at = value["list"], self.random.randrange(len(value["list"]) + 1)
        if at < len(items) and self.random.random() < 0.3:
            token = items.pop(at)
            self._put(device, key, value, lose)
            self.removed.add((key, token))
        else:
            token = f"token {device.name[-1]} {self.count}"
            items.insert(at, token)
            self._put(device, key, value, lose)
            self.tokens.add((key, token))
        return True

    def _together(self, device: Device, lose: bool) -> bool:
        """One mark into several records, old and new, in one transaction."""
        keys = {self._existing(device), self._existing(device)} - {None}
        found = sorted(key for key in keys if key is not None)
        found.append((self._space(device), self.random.choice(COLLECTIONS), f"own {device.name[-1]} {self.count}"))
        mark = self._mark(device)
        values = {key: check_value((_current(device.db, key) or {}) | {mark: "together"}) for key in found}

        def work(db: Connection) -> None:
            with device.records.together(db):
                for key, value in values.items():
                    device.records.put(db, *_place(device, key), value)

        device.write(work, lose=lose)
        self.marks |= {(key, mark) for key in found}
        for space in sorted({space for space, _, _ in found}):  # elsewhere each space shows its part when it has it
            self.together.append((mark, tuple([key for key in found if key[0] == space])))
        return True

    def torn(self, db: Connection) -> list[str]:
        """Transactions of late that a device shows by half."""
        late = self.together[-8:]
        shown = {key: _current(db, key) or {} for key in {key for _, keys in late for key in keys} - self.purged}
        return [mark for mark, keys in late if len({mark in shown[key] for key in keys if key in shown}) > 1]

    def _delete(self, device: Device, lose: bool) -> bool:
        key = self._existing(device)
        if key is None or self.random.random() < 0.5:
            return False
        device.write(lambda db: device.records.delete(db, *_place(device, key)), lose=lose)
        return True

    def _import(self, device: Device, lose: bool) -> bool:
        """The same few outside records, on any device, with values of two editions of the file."""
        number = self.random.randrange(6)
        identity = {"meter": "m", "number": number}
        values = {"watts": self.random.choice((1.5, 2.5)), "edition": self.random.randrange(2)}
        space = self._space(device)
        secret = device.replicas[device.spaces[space]].space.record_key
        key = space, "readings", record_id(secret, "readings", identity)
        if key in device.edits:
            return False
        device.write(lambda db: device.records.put_imported(
            db, *_place(device, key), identity, values, f"file {number}", "run"), lose=lose)
        self.marks.add((key, "meter"))
        return True

    def _open(self, device: Device, lose: bool) -> bool:
        """Begin an edit as `Collection.edit` does; what arrives until it ends merges with it."""
        key = self._existing(device)
        if key is None or lose:
            return False
        device.edits[key] = device.write(lambda db: device.records.begin_edit(db, *_place(device, key)))
        return True

    def _close(self, device: Device, lose: bool) -> bool:
        key = self.random.choice(sorted(device.edits))
        draft = device.edits.pop(key)
        if key in self.purged:  # somebody purged it meanwhile: the edit would be refused once that arrived
            return False
        before = draft.value
        mark = self._mark(device)
        kept = {name: item for name, item in before.items() if name.startswith("_")}
        public = {name: item for name, item in before.items() if name not in kept}
        after = check_value(self._mutated(public) | {mark: "edited"}) | kept
        change = draft.written(after)
        assert change is not None
        device.write(lambda db: device.records.end_edit(db, device.spaces[key[0]], draft, change, after), lose=lose)
        self.marks.add((key, mark))
        return True

    def _fail(self, device: Device, lose: bool) -> bool:
        """A write that raises after it changed documents: the caches must not remember it."""
        key = self._existing(device)
        if key is None:
            return False

        def work(db: Connection) -> None:
            device.records.put(db, *_place(device, key), {"never": "seen"})
            raise Undone

        device.write(work)
        return True

    # --- helpers ----------------------------------------------------------------------

    def _put(self, device: Device, key: Key, value: dict[str, Any], lose: bool) -> None:
        plain = check_value(value)
        device.write(lambda db: device.records.put(db, *_place(device, key), plain), lose=lose)

    def _undo(self, device: Device, lose: bool) -> bool:
        """Undo and redo at once: nothing that is shown differs, and two changes more are on their way."""
        key = self._existing(device)
        if key is None:
            return False

        def work(db: Connection) -> bool:
            try:
                device.records.undo(db, *_place(device, key))
            except (NotFound, NotAllowed):
                return False
            device.records.undo(db, *_place(device, key), redo=True)
            return True

        return device.write(work, lose=lose)

    def _purge(self, device: Device, lose: bool) -> bool:
        """One record that one device alone created, and not often: most are to live."""
        key = self._existing(device)
        if key is None or not key[2].startswith("own") or self.random.random() < 0.8:
            return False
        device.write(lambda db: device.records.purge(db, *_place(device, key)), lose=lose)
        self.purged.add(key)
        self.purgers.add((key, device.name[-1]))
        return True

    def _space(self, device: Device) -> bytes:
        """One of the spaces that the device has, the private one as often as all others."""
        first, *more = device.spaces
        return self.random.choice(more) if more and self.random.random() < 0.5 else first

    def _existing(self, device: Device) -> Key | None:
        rows = device.db.execute("SELECT space.id, collection, record.id FROM record "
                                 "JOIN space ON space.n = record.space WHERE deleted = 0 "
                                 "ORDER BY space.id, collection, record.id").fetchall()
        free = [row for row in rows if row not in device.edits]
        return self.random.choice(free) if free else None

    def _mutated(self, value: dict[str, Any]) -> dict[str, Any]:
        """Something else changes too: nested lists and maps, kinds of values, fields that go."""
        value = dict(value)
        match self.random.randrange(6):
            case 0:
                value["inner"] = {"a": [self.count, {"b": self.random.randrange(3)}, ["x"] * self.random.randrange(3)]}
            case 1:
                value["title"] = self.random.choice((None, True, self.count, self.count / 2, "text", b"bytes"))
            case 2:
                value.pop("title", None)
            case 3:
                value["at"] = datetime(2027, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.count)
            case 4:
                inner = value.get("inner")
                new = {f"k{self.random.randrange(4)}": {"n": self.count}}
                value["inner"] = (inner if type(inner) is dict else {}) | new
            case _:
                value["raw"] = [b"\0", b"\xff", datetime(2028, 1, 1, tzinfo=UTC), [self.random.randrange(4)]]
        return value

    # --- the end ----------------------------------------------------------------------

    def missing(self, db: Connection) -> list[str]:
        """Acknowledged writes that a device's store does not show."""
        rows = db.execute("SELECT space.id, collection, record.id, json, kinds, deleted FROM record "
                          "JOIN space ON space.n = record.space").fetchall()
        values = {(space, collection, id): from_json(json, kinds) for space, collection, id, json, kinds, _ in rows}
        gone = [f"{key} {mark}" for key, mark in sorted(self.marks)
                if key not in self.purged and mark not in values.get(key, {})]
        gone += [f"{key} {token}" for key, token in sorted(self.tokens - self.removed) if key not in self.purged
                 if type(values.get(key, {}).get("list")) is not list or token not in values[key]["list"]]
        states = {(space, collection, id): state for space, collection, id, _, _, state in rows}
        return gone + [f"{key} is not purged" for key in sorted(self.purged) if states.get(key) != PURGED]

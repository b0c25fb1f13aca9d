"""Changes of other devices, merged into their records.

All changes of a record are applied in one go. What every device must do alike, in
whatever order entries arrive, follows from each author's chain alone: an author numbers
its changes of a record 1, 2, 3 …, each building on the one before, and the operations in
them go on from the last ones it builds on (Lamport's clock), so that no two operations
of a document have one name. A change that breaks this is refused, and so is whatever
builds on a change that was refused. A change that builds on one that has not arrived
waits in the log (`records.waiting`), and so does, for its turn, what a budget leaves over:
however much arrives at once, other work has its turn in between (`work_off`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from chez.records import automerge, waiting
from chez.records.applying import apply_ready, shown_after, takes_over
from chez.records.automerge import Document, RawChange
from chez.records.derived import DEVICE_ID
from chez.records.documents import Tip
from chez.records.fields import born
from chez.records.graph import BUILDS, Graph, Incoming, Known, Node
from chez.records.ground import Ground
from chez.records.purging import erase, is_purge
from chez.records.reserved import REMADE
from chez.records.rows import ABSENT, HERE, IN_ENTRY, OUTBOX, PURGED, REFUSED, WAITING, Row, Rows
from chez.records.trail import begun
from chez.records.values import Value
from chez.records.waiting import Budget
from chez.store.database import Connection

__all__ = ("Incoming", "Refusal", "follows", "merge", "set_aside", "work_off")

_MANY: Final = 8
"""Changes of a record from which on they are asked for, and logged, together."""

_NUMBER: Final = "the change does not carry its author's next number in this record"


class Refusal(msgspec.Struct, frozen=True):
    """An incoming change that is not taken in, and why."""

    incoming: Incoming
    reason: str


def merge(rows: Rows, db: Connection, space: int, incoming: Sequence[Incoming],
          budget: Budget | None = None) -> list[Refusal]:
    """Merge changes, all those of a record in one go, in an open transaction.

    All of `incoming` is merged, whatever the budget, which whoever brings it spends; of what
    waited for it, as much as is left of the budget. Returns what was refused; nothing of it is in a document.
    """
    by_record: dict[tuple[str, str], list[Incoming]] = {}
    rows.calm = 0
    for item in incoming:
        by_record.setdefault((item.collection, item.id), []).append(item)
    refused: list[Refusal] = []
    for items in by_record.values():
        refused += _merge_record(rows, db, space, items, budget)
    return refused


def work_off(rows: Rows, db: Connection, space: int, budget: Budget) -> list[Refusal]:
    """Merge what is due in a space, as much as the budget allows; returns what was refused."""
    refused: list[Refusal] = []
    n = 0
    while not budget.spent and (found := waiting.owing(db, space, n)) is not None:
        n, collection, id = found
        if n in rows.damaged:
            continue
        row = rows.find(db, space, collection, id)
        assert row is not None  # it was just found
        refused += _Step(rows, db, space, collection, id, row, budget).run([], {})
    return refused


def set_aside(db: Connection, space: int, refused: Iterable[Refusal]) -> None:
    """Keep what was refused."""
    db.executemany("INSERT INTO quarantine (space, reason, bytes, author) "
                   "VALUES (?, ?, ?, (SELECT author FROM entry WHERE n = ?))",
                   [(space, refusal.reason, refusal.incoming.change.bytes, refusal.incoming.entry)
                    for refusal in refused])


def _merge_record(rows: Rows, db: Connection, space: int, items: list[Incoming],
                  budget: Budget | None) -> list[Refusal]:
    collection, id = items[0].collection, items[0].id
    row = rows.find(db, space, collection, id)
    if row is not None and row.state == PURGED:
        return []
    if _purged(rows, db, space, row, items):
        rows.entangled += 1
        return []
    if row is None and len(items) == 1 and items[0].entry is not None and (value := born(items[0].change)) is not None:
        (item,) = items  # as most records arrive; nothing that is here or waits has a part in it
        n = rows.insert(db, space, collection, id, value, 1, item.entry)
        rows.log(db, n, item.change, IN_ENTRY, item.origin, item.entry, item.time)
        return []
    if row is not None and len(items) == 1 and _follow(rows, db, space, row, items[0]):
        return []
    rows.entangled += 1
    step = _Step(rows, db, space, collection, id, row, budget)
    previous: dict[bytes, bytes] = {}
    step.look_up([item.change.hash for item in items])
    fresh, strange = _numbered(rows.actor, step.tips, items, step.known, previous)
    for item in items:
        if row is not None and item.entry is not None and len(item.change.actor) == REMADE and (
                step.known(item.change.hash) or (IN_ENTRY, 0))[0] == OUTBOX:
            rows.delivered(db, row.n, item.change.hash, item.entry)
    if not fresh and not strange:
        _again(db, step, items)
        return []
    refused = step.run(fresh, previous)
    for item in strange:
        rows.log(db, step.record, item.change, REFUSED, item.origin, item.entry, item.time, counted=False)
    if len(fresh) + len(strange) < len(items):
        _again(db, step, items)
    return [*[Refusal(item, _NUMBER) for item in strange], *refused]


def follows(rows: Rows, db: Connection, row: Row, change: RawChange, *, calm: bool = False) -> dict[str, Value] | None:
    """What another device's change sets that goes on from its author's last one, as live edits do; None for any other.

    Nothing that waits has a part in it, and what it builds on is all that the record has. Writes nothing. `calm`: it is
    known that nothing of the record waits or was refused; as it builds on the last change, it can't be here then.
    """
    trail = rows.trail(row.n)
    if trail is None or trail.actor == rows.actor or row.state != HERE:
        return None
    tip, value = rows.tips(db, row.n).get(change.actor), trail.told(change)
    if value is None or tip is None or tip.hash != trail.hash or tip.refuses(change.sequence) or not (
            calm or waiting.undisturbed(db, row.n, change.hash)):
        return None
    return value if all(takes_over(row.value, name, new) for name, new in value.items()) else None


def _follow(rows: Rows, db: Connection, space: int, row: Row, item: Incoming) -> bool:
    """Take in a change that `follows`; False for any other."""
    value = None if item.entry is None else follows(rows, db, row, item.change)
    trail, change = rows.trail(row.n), item.change
    if value is None or trail is None:
        return False
    tip = rows.tips(db, row.n)[change.actor]
    tip.sequence, tip.hash = change.sequence, change.hash
    rows.log(db, row.n, change, IN_ENTRY, item.origin, item.entry, item.time)
    rows.follow(row.n, change, trail.after(change, value))
    rows.project(db, row, row.value | value, row.tail + 1, item.entry)
    rows.edited(space, row)
    rows.calm = row.n if rows.is_warm(row.n) and not rows.refused(db, row.n) else 0
    return True


def _again(db: Connection, step: "_Step", items: list[Incoming]) -> None:
    """Keep which entries brought a change that another had brought: that one may come not to count."""
    db.executemany("INSERT OR IGNORE INTO carried (record, entry) SELECT record, ? FROM change "
                   "WHERE record = ? AND hash = ? AND entry IS NOT ?",
                   [(item.entry, step.record, item.change.hash, item.entry) for item in items
                    if item.entry is not None])


class _Step:
    """What one transaction does to one record."""

    def __init__(self, rows: Rows, db: Connection, space: int, collection: str, id: str, row: Row | None,
                 budget: Budget | None) -> None:
        self._rows, self._db, self._space, self._row = rows, db, space, row
        self._name = collection, id
        self._budget = budget
        self._n = None if row is None else row.n
        self.tips = {} if row is None else rows.tips(db, row.n)
        self._states: dict[bytes, tuple[int, int] | None] = {}

    @property
    def record(self) -> int:
        """The record's row; it has one once something was logged."""
        assert self._n is not None
        return self._n

    def known(self, hash: bytes) -> tuple[int, int] | None:
        """State and last operation of a change in the log."""
        if hash not in self._states:
            self._states[hash] = self._rows.logged(self._db, self._n, hash)
        return self._states[hash]

    def look_up(self, hashes: list[bytes]) -> None:
        """Ask at once for what `known` will be asked for."""
        if self._n is not None and len(hashes) >= _MANY:
            self._states |= dict.fromkeys(hashes) | self._rows.all_logged(self._db, self._n, hashes)

    def run(self, fresh: list[Incoming], previous: dict[bytes, bytes]) -> list[Refusal]:
        """Merge what is new and what is due; what waits for a change that is refused is refused too."""
        graph = self._graph()
        for item in fresh:
            graph.arrived(item, previous.get(item.change.hash), self.known)
            if self.tips.get(item.change.actor, Tip()).refuses(item.change.sequence):
                graph.doomed[item.change.hash] = BUILDS
        lately = self._n is not None and self._rows.is_warm(self._n)
        before = self._rows.trail(self._n) if self._n is not None else None
        document, done, ground = self._apply(graph)
        if self._n is None:
            value = None if document is None else automerge.extract(document)
            self._n = self._rows.insert(self._db, self._space, *self._name, value, len(done), _entry(done))
            self._log(graph, done)
            if document is not None:
                self._rows.keep(self._n, document, self.tips, ground)
        else:
            self._log(graph, done)
            if document is not None and self._row is not None:
                # Kept first: a snapshot is taken of the document that is kept.
                self._rows.keep(self._n, document, self.tips, ground)
                if lately and done[-1].change.actor != self._rows.actor:  # more of it may follow
                    self._rows.lead(self._n, begun(done[-1].change, before))
                    self._rows.edited(self._space, self._row)
                value = shown_after(self._row, graph, done)
                self._rows.project(self._db, self._row, automerge.extract(document) if value is None else value,
                                   self._row.tail + len(done), _entry(done))
        refused = _refused(graph)
        while graph.doomed and not graph.unreadable:
            graph = self._graph()
            graph.order()  # all that is due now waited for what was refused, or was left by the budget
            self._log(graph, [])
            refused += _refused(graph)
        return refused

    def _graph(self) -> Graph:
        graph = Graph(self._db, self._n, self._budget)
        if self._n is not None:
            graph.waits, is_due = waiting.wants(self._db, self._n)
            if is_due:
                graph.due(*self._name, waiting.due(self._db, self._n, self._budget))
        return graph

    def _apply(self, graph: Graph) -> tuple[Document | None, list[Incoming], Ground | None]:
        graph.order()
        document, done, ground = apply_ready(self._rows, self._db, self._n, graph) if graph.ready else (None, [], None)
        if self._n is not None:
            if graph.unreadable:
                self._rows.damaged.add(self._n)
            elif done:
                self._rows.damaged.discard(self._n)
        return document, done, ground

    def _log(self, graph: Graph, done: list[Incoming]) -> None:
        """Write what became of each change: applied (in causal order), refused, or waiting."""
        db, n = self._db, self.record
        nodes = {node.hash: node for node in graph.nodes}
        if len(done) >= _MANY and all(nodes[item.change.hash].row is None for item in done):
            self._rows.log_all(db, n, [(item.change, OUTBOX if item.entry is None else IN_ENTRY, item.origin,
                                        item.entry, item.time) for item in done])
        else:
            for item in done:
                self._write(nodes[item.change.hash], OUTBOX if item.entry is None else IN_ENTRY)
        applied = {item.change.hash for item in done}
        for hash, node in nodes.items():
            change = node.item.change
            if hash in graph.doomed:
                self._write(node, REFUSED)
                tip = self.tips.setdefault(change.actor, Tip())
                tip.broken = min(change.sequence, tip.broken or change.sequence)
            elif hash not in applied and node.row is None:
                row = self._write(node, WAITING)
                waiting.park(db, n, row, node.floor, set(node.needs) - applied)
        if graph.waits:
            for item in done:
                waiting.fulfil(db, n, item.change.hash, item.change.last)
            for hash in graph.doomed:
                waiting.refuse(db, n, hash)

    def _write(self, node: Node, state: int) -> int:
        item = node.item
        if node.row is not None:
            self._rows.unlog(self._db, node.row)  # the log is in causal order: after what it waited for
        return self._rows.log(self._db, self.record, item.change, state, item.origin, item.entry, item.time)


def _refused(graph: Graph) -> list[Refusal]:
    return [Refusal(node.item, graph.doomed[node.hash]) for node in graph.nodes if node.hash in graph.doomed]


def _purged(rows: Rows, db: Connection, space: int, row: Row | None, items: list[Incoming]) -> bool:
    """Purge the record if one of the changes says so."""
    item = next((item for item in items if is_purge(item.change)), None)
    if item is None:
        return False
    if row is None:
        n = rows.insert(db, space, item.collection, item.id, None, 0)
        row = Row(n, item.collection, item.id, {}, 0, ABSENT)
    erase(rows, db, space, row, item.change, OUTBOX if item.entry is None else IN_ENTRY, item.entry, item.time)
    return True


def _entry(done: list[Incoming]) -> int | None:
    return done[-1].entry if done else None


def _numbered(actor: bytes, tips: dict[bytes, Tip], items: list[Incoming],
              known: Known, previous: dict[bytes, bytes]) -> tuple[list[Incoming], list[Incoming]]:
    """Changes not seen before, and those of them whose number is not their author's next.

    Fills in `previous`: for a change, the one that its author made just before.
    """
    fresh: dict[bytes, Incoming] = {}
    strange: dict[bytes, Incoming] = {}
    for item in items:
        change = item.change
        if change.hash in fresh or change.hash in strange or known(change.hash) is not None:
            continue
        if change.actor != actor and len(change.actor) == DEVICE_ID:  # others make one change each
            tip = tips.setdefault(change.actor, Tip())
            if change.sequence != tip.sequence + 1:
                strange[change.hash] = item
                continue
            if tip.sequence:
                previous[change.hash] = tip.hash
            tip.sequence, tip.hash = change.sequence, change.hash
        fresh[change.hash] = item
    return list(fresh.values()), list(strange.values())

"""Changes of one record as a graph: what builds on what, the order to apply them in, and what can't be taken in.

Its nodes are what arrived and what is due; what waited for one of them in the store is read
when its last need is met, not before, and only while the budget lasts.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from chez.records import automerge, waiting
from chez.records.automerge import BadChange, RawChange
from chez.records.rows import REFUSED, WAITING
from chez.records.settings import Settings
from chez.records.waiting import Budget, Due, Wanting
from chez.store.database import Connection

__all__ = ("BUILDS", "Graph", "Incoming", "Known", "Node")

BUILDS: Final = "the change builds on one that was refused"
_CLOCK: Final = "the change's operations do not go on from those it builds on"

Known = Callable[[bytes], tuple[int, int] | None]
"""State and last operation of a change in the log, by its hash."""


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """A change for one record; `entry` is the row of the entry that brought it.

    `time` is when its author made it (Unix milliseconds, None: now, on this device).
    """

    collection: str
    id: str
    change: RawChange
    entry: int | None = None
    origin: str | None = None
    time: int | None = None


class Node(msgspec.Struct, eq=False, gc=False):
    """A change; `needs` is what it builds on that was not in the document, `row` its row when it waited."""

    item: Incoming
    needs: list[bytes]
    missing: int
    floor: int
    row: int | None = None

    @property
    def hash(self) -> bytes:
        """The change's hash."""
        return self.item.change.hash


@dataclass(slots=True)
class Graph:
    """The changes of one record that one step works on; `record` is None when there is no row of it yet."""

    db: Connection
    record: int | None
    budget: Budget | None
    nodes: list[Node] = field(default_factory=list)
    ready: list[Incoming] = field(default_factory=list)
    """What can be applied, in causal order."""
    doomed: dict[bytes, str] = field(default_factory=dict)
    """What can't be taken in, and why."""
    unreadable: bool = False
    """Whether something that waits is damaged here."""
    follows: bool = False
    """Whether what is ready builds on all that the document holds, each on the one before alone."""
    sets: dict[bytes, Settings | None] = field(default_factory=dict)
    """What a change sets that does nothing else, of those that were looked at."""
    waits: bool = False
    """Whether something in the store waits for another change."""
    _dependents: dict[bytes, list[Node]] = field(default_factory=dict)
    _stored: dict[int, tuple[Wanting, list[bytes]]] = field(default_factory=dict)

    def arrived(self, item: Incoming, previous: bytes | None, known: Known) -> None:
        """Put in a change that is new; `previous` is the one that its author made just before."""
        node = Node(item, [], 0, 0)
        needs = set(item.change.dependencies)
        if previous is not None:  # Automerge takes an author's changes by number only, whatever they say to build on
            needs.add(previous)
        refused = False
        for hash in needs:
            found = known(hash)
            if found is None or found[0] == WAITING:
                node.needs.append(hash)
                self._dependents.setdefault(hash, []).append(node)
            elif found[0] == REFUSED:
                refused = True
            else:
                node.floor = max(node.floor, found[1])
        node.missing = len(node.needs)
        self.nodes.append(node)
        if refused:
            self.doomed[node.hash] = BUILDS  # what builds on it is told when the graph is ordered

    def due(self, collection: str, id: str, found: Iterable[Due]) -> None:
        """Put in what waited for its turn."""
        for one in found:
            node = self._read(collection, id, one, [])
            if node is not None and one.refused:
                self.doomed[node.hash] = BUILDS

    def doom(self, hash: bytes, reason: str) -> None:
        """Refuse a change, and all in the graph that builds on it."""
        self.doomed[hash] = reason
        queue = deque((hash,))
        while queue:
            for other in self._dependents.get(queue.popleft(), ()):
                if other.hash not in self.doomed:
                    self.doomed[other.hash] = BUILDS
                    queue.append(other.hash)

    def order(self) -> None:
        """Find what can be applied (Kahn 1962)."""
        for hash, reason in list(self.doomed.items()):
            self.doom(hash, reason)
        queue = deque(node for node in self.nodes if not node.missing)
        while queue:
            node = queue.popleft()
            change = node.item.change
            if node.hash in self.doomed:
                continue
            if change.first != node.floor + 1:
                self.doom(node.hash, _CLOCK)
                continue
            self.ready.append(node.item)
            for other in self._dependents.get(node.hash, ()):
                other.floor = max(other.floor, change.last)
                other.missing -= 1
                if not other.missing:
                    queue.append(other)
            queue += self._released(node)

    def _released(self, node: Node) -> list[Node]:
        """What waited in the store for a change as the last one."""
        if self.record is None or not self.waits:
            return []
        out = []
        for found in waiting.wanting(self.db, self.record, node.hash):
            stored, needs = self._stored.setdefault(found.row, (found, []))
            needs.append(node.hash)
            stored.missing -= 1
            stored.floor = max(stored.floor, node.item.change.last)
            if stored.missing or (self.budget is not None and self.budget.spent):
                continue
            if self.budget is not None:
                self.budget.spend(stored.weight)
            other = self._read(node.item.collection, node.item.id, waiting.read(self.db, found.row), needs)
            if other is not None:
                other.floor = stored.floor
                out.append(other)
                for hash in needs:  # if one of them turns out to be refused, so is this
                    self._dependents.setdefault(hash, []).append(other)
        return out

    def _read(self, collection: str, id: str, one: Due, needs: list[bytes]) -> Node | None:
        try:
            change = automerge.read_change(one.bytes)
        except BadChange:
            self.unreadable = True
            return None
        node = Node(Incoming(collection, id, change, one.entry, one.origin, one.time), needs, 0, one.floor, one.row)
        self.nodes.append(node)
        return node

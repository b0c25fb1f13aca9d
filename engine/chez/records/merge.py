"""Changes of other devices, merged into their records.

All changes of a record are applied in one go. What every device must do alike, in
whatever order entries arrive, follows from each author's chain alone: an author numbers
its changes of a record 1, 2, 3 …, each building on the one before, and the operations in
them go on from the last ones it builds on (Lamport's clock), so that no two operations
of a document have one name. A change that breaks this is refused, and so is whatever
builds on a change that was refused. A change that builds on one that has not arrived
waits in the log.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.records import automerge
from chez.records.automerge import BadChange, Document, RawChange
from chez.records.derived import DEVICE_ID
from chez.records.ground import Ground, is_new
from chez.records.purging import erase, is_purge
from chez.records.reserved import REMADE
from chez.records.rows import ABSENT, IN_ENTRY, OUTBOX, PURGED, REFUSED, WAITING, Row, Rows, Tip
from chez.store.database import Connection

__all__ = ("Incoming", "Refusal", "merge")

_BUILDS: Final = "the change builds on one that was refused"
_NUMBER: Final = "the change does not carry its author's next number in this record"
_CLOCK: Final = "the change's operations do not go on from those it builds on"

_Known = Callable[[bytes], tuple[int, int] | None]
"""State and last operation of a change in the log, by its hash."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A change for one record; `entry` is the row of the entry that brought it.

    `time` is when its author made it (Unix milliseconds, None: now, on this device).
    """

    collection: str
    id: str
    change: RawChange
    entry: int | None = None
    origin: str | None = None
    time: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An incoming change that is not taken in, and why."""

    incoming: Incoming
    reason: str


@dataclass(slots=True)
class _Batch:
    """Changes of one record as a graph: what builds on what, and what can't be taken in, and why."""

    items: list[Incoming]
    ready: list[Incoming] = field(default_factory=list)
    doomed: dict[bytes, str] = field(default_factory=dict)
    dependents: dict[bytes, list[Incoming]] = field(default_factory=dict)

    def doom(self, item: Incoming, reason: str) -> None:
        """Refuse a change, and all of the batch that builds on it."""
        self.doomed[item.change.hash] = reason
        queue = deque([item])
        while queue:
            for other in self.dependents.get(queue.popleft().change.hash, ()):
                if other.change.hash not in self.doomed:
                    self.doomed[other.change.hash] = _BUILDS
                    queue.append(other)


def merge(rows: Rows, db: Connection, space: int, incoming: Sequence[Incoming],
          state: int = IN_ENTRY) -> list[Refusal]:
    """Merge changes, all those of a record in one go, in an open transaction.

    Returns what was refused; nothing of it is in a document.
    """
    by_record: dict[tuple[str, str], list[Incoming]] = {}
    for item in incoming:
        by_record.setdefault((item.collection, item.id), []).append(item)
    refused: list[Refusal] = []
    for items in by_record.values():
        refused += _merge_record(rows, db, space, items, state)
    return refused


def _merge_record(rows: Rows, db: Connection, space: int, items: list[Incoming], state: int) -> list[Refusal]:
    collection, id = items[0].collection, items[0].id
    row = rows.find(db, space, collection, id)
    if (row is not None and row.state == PURGED) or _purged(rows, db, space, row, items, state):
        return []
    n = None if row is None else row.n
    tips = {} if n is None else rows.tips(db, n)
    states: dict[bytes, tuple[int, int] | None] = {}

    def known(hash: bytes) -> tuple[int, int] | None:
        if hash not in states:
            states[hash] = rows.logged(db, n, hash)
        return states[hash]

    previous: dict[bytes, bytes] = {}
    fresh, strange = _numbered(rows.actor, tips, items, known, previous)
    for item in items:
        if n is not None and item.entry is not None and len(item.change.actor) == REMADE and (
                known(item.change.hash) or (IN_ENTRY, 0))[0] == OUTBOX:
            rows.delivered(db, n, item.change.hash, item.entry)
    if not fresh and not strange:
        return []
    held = [] if n is None else [Incoming(collection, id, automerge.read_change(data), entry, origin, time)
                                 for data, entry, origin, time in rows.waiting(db, n)]
    if held and n is not None:
        numbers = rows.numbers(db, n)
        for item in held:
            if before := numbers.get((item.change.actor, item.change.sequence - 1)):
                previous[item.change.hash] = before
    batch = _ordered([*held, *fresh], known, previous)
    for item in batch.items:
        if tips.get(item.change.actor, Tip()).refuses(item.change.sequence):
            batch.doom(item, _BUILDS)
    document, done, ground = _settle(rows, db, n, batch)
    value = None if document is None else automerge.extract(document)
    if n is None:
        n = rows.insert(db, space, collection, id, value, len(done), _entry(done))
    _log(rows, db, n, batch, {item.change.hash for item in held}, done, state)
    for item in strange:
        rows.log(db, n, item.change, REFUSED, item.origin, item.entry, item.time, counted=False)
    for item in batch.items:
        if item.change.hash in batch.doomed:
            tip = tips.setdefault(item.change.actor, Tip())
            tip.broken = min(item.change.sequence, tip.broken or item.change.sequence)
    if document is not None and value is not None:
        rows.keep(n, document, tips, ground)  # first: a snapshot is taken of the document that is kept
        if row is not None:
            rows.project(db, row, value, row.tail + len(done), _entry(done))
    return [Refusal(item, _NUMBER) for item in strange] + [
        Refusal(item, batch.doomed[item.change.hash]) for item in batch.items if item.change.hash in batch.doomed]


def _purged(rows: Rows, db: Connection, space: int, row: Row | None, items: list[Incoming], state: int) -> bool:
    """Purge the record if one of the changes says so."""
    item = next((item for item in items if is_purge(item.change)), None)
    if item is None:
        return False
    if row is None:
        n = rows.insert(db, space, item.collection, item.id, None, 0)
        row = Row(n, item.collection, item.id, {}, 0, ABSENT)
    erase(rows, db, space, row, item.change, state, item.entry, item.time)
    return True


def _entry(done: list[Incoming]) -> int | None:
    return done[-1].entry if done else None


def _numbered(actor: bytes, tips: dict[bytes, Tip], items: list[Incoming],
              known: _Known, previous: dict[bytes, bytes]) -> tuple[list[Incoming], list[Incoming]]:
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


def _ordered(items: list[Incoming], known: _Known, previous: dict[bytes, bytes]) -> _Batch:
    """What can be applied, in causal order (Kahn 1962), and what builds on a refused change."""
    batch = _Batch(items)
    here = {item.change.hash for item in items}
    missing: dict[bytes, int] = {}
    last: dict[bytes, int] = {}  # of what each builds on
    for item in items:
        change = item.change
        missing[change.hash] = last[change.hash] = 0
        needs = set(change.dependencies)
        # Automerge takes an author's changes by number only, whatever they say to build on.
        if change.hash in previous:
            needs.add(previous[change.hash])
        for hash in needs:
            if hash in here:
                batch.dependents.setdefault(hash, []).append(item)
                missing[change.hash] += 1
            elif (found := known(hash)) is None:
                missing[change.hash] += 1
            elif found[0] == REFUSED:
                batch.doomed[change.hash] = _BUILDS
            else:
                last[change.hash] = max(last[change.hash], found[1])
    for item in items:
        if item.change.hash in batch.doomed:
            batch.doom(item, _BUILDS)
    queue = deque(item for item in items if not missing[item.change.hash])
    while queue:
        item = queue.popleft()
        if item.change.first != last[item.change.hash] + 1 and item.change.hash not in batch.doomed:
            batch.doom(item, _CLOCK)
        batch.ready.append(item)
        for other in batch.dependents.get(item.change.hash, ()):
            last[other.change.hash] = max(last[other.change.hash], item.change.last)
            missing[other.change.hash] -= 1
            if not missing[other.change.hash]:
                queue.append(other)
    return batch


def _settle(rows: Rows, db: Connection, n: int | None, batch: _Batch
            ) -> tuple[Document | None, list[Incoming], Ground | None]:
    """Apply what is ready, all at once; when that fails, halve it until the change to blame is alone."""
    document = None if n is None else rows.warm(n)
    base = b"" if n is None or document is not None else rows.base(db, n)
    ground = None
    if not all(is_new(item.change) for item in batch.ready):
        if base:
            try:
                document, base = automerge.load(base, rows.actor), b""
            except BadChange:  # damaged here: that is no fault of who wrote these, so all of it waits
                return None, [], None
        ground = (None if n is None else rows.ground(n)) or Ground()
        _stand(ground, document, batch)
    done: list[Incoming] = []
    stack = [batch.ready]
    while stack:
        part = [item for item in stack.pop() if item.change.hash not in batch.doomed]
        if not part:
            continue
        try:
            if document is not None:
                document = automerge.applied(document, [item.change for item in part])
            else:
                document = automerge.load(base + b"".join([item.change.bytes for item in part]), rows.actor)
            done += part
        except BadChange as error:
            if len(part) == 1:
                if base and document is None and not _loads(base, rows.actor):
                    return None, [], None  # as above
                batch.doom(part[0], error.message)
            else:
                stack += part[len(part) // 2:], part[:len(part) // 2]
    return (document if done else None), done, ground


def _stand(ground: Ground, document: Document | None, batch: _Batch) -> None:
    """Refuse what does not fit what it builds on: the document library would take it in here, and not elsewhere."""
    if document is not None:
        ground.learn(document)
    for item in batch.ready:
        if item.change.hash not in batch.doomed:
            try:
                ground.take(item.change)
            except BadChange as error:
                batch.doom(item, error.message)
    ground.rest()


def _loads(base: bytes, actor: bytes) -> bool:
    try:
        automerge.load(base, actor)
    except BadChange:
        return False
    return True


def _log(rows: Rows, db: Connection, n: int, batch: _Batch, held: set[bytes], done: list[Incoming],
         state: int) -> None:
    """Write what became of each change: applied (in causal order), refused, or waiting."""
    applied = {item.change.hash for item in done}
    rest = [item for item in batch.items if item.change.hash not in applied]
    for item in [*done, *rest]:
        hash = item.change.hash
        becomes = state if hash in applied else REFUSED if hash in batch.doomed else WAITING
        if hash in held:
            if becomes == WAITING:
                continue
            rows.unlog(db, n, hash)  # the log is in causal order: after what it waited for
        rows.log(db, n, item.change, becomes, item.origin, item.entry, item.time)

"""Changes whose turn has come, applied to their record's document in one go.

What the document library refuses is found by halving, and refused alone; what does not fit what it builds on is refused
before, for the library would take it in here, and not elsewhere (`records.ground`). Bytes that are damaged on this
device are no fault of who wrote the changes: then all of them wait. Nothing is written here, that is for
`records.merge`.
"""

from collections.abc import Sequence
from typing import Final

from chez.records import automerge
from chez.records.automerge import BadChange, Document
from chez.records.encode import FLAT
from chez.records.graph import Graph, Incoming
from chez.records.ground import Ground, is_new
from chez.records.operations import read_scalar
from chez.records.rows import HERE, Row, Rows
from chez.records.values import Value, is_plain
from chez.store.database import Connection

__all__ = ("apply_ready", "shown_after", "takes_over")

_UNSET: Final = object()
"""What a field has that a record does not show."""


def apply_ready(rows: Rows, db: Connection, n: int | None, graph: Graph
            ) -> tuple[Document | None, list[Incoming], Ground | None]:
    """Apply what is ready, all at once; when that fails, halve it until the change to blame is alone."""
    document = None if n is None else rows.warm(n)
    base = b"" if n is None or document is not None else rows.base(db, n)
    ground = None
    if not all(is_new(item.change) for item in graph.ready):
        if base:
            try:
                document, base = automerge.load(base, rows.actor), b""
            except BadChange:  # damaged here: that is no fault of who wrote these, so all of it waits
                graph.unreadable = True
                return None, [], None
        ground = (None if n is None else rows.ground(n)) or Ground()
        _stand(ground, document, graph)
    graph.follows = document is not None and not graph.doomed and _in_a_row(document, graph.ready)
    done: list[Incoming] = []
    stack = [graph.ready]
    while stack:
        part = [item for item in stack.pop() if item.change.hash not in graph.doomed]
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
                    graph.unreadable = True  # as above
                    return None, [], None
                graph.doom(part[0].change.hash, error.message)
            else:
                stack += part[len(part) // 2:], part[:len(part) // 2]
    if ground is not None and document is not None and done:
        ground.stands(document)
    return (document if done else None), done, ground


def _stand(ground: Ground, document: Document | None, graph: Graph) -> None:
    """Refuse what does not fit what it builds on: the document library would take it in here, and not elsewhere."""
    if document is not None:
        ground.learn(document)
    for item in graph.ready:
        if item.change.hash not in graph.doomed:
            try:
                graph.sets[item.change.hash] = ground.take(item.change)
            except BadChange as error:
                graph.doom(item.change.hash, error.message)
    ground.rest()


def _in_a_row(document: Document, items: Sequence[Incoming]) -> bool:
    """Whether each change builds on the one before alone, and the first of them on all that a document holds."""
    heads = tuple(map(bytes, document.get_heads()))
    for item in items:
        if item.change.dependencies != heads:
            return False
        heads = (item.change.hash,)
    return bool(items)


def shown_after(row: Row, graph: Graph, done: Sequence[Incoming]) -> dict[str, Value] | None:
    """What a record shows after changes in a row that give fields of it other scalars; None where that is to be asked.

    Their operations have higher numbers than all that the document holds, so each shows what it sets. Asking takes
    the longer the oftener a field was written to.
    """
    if not graph.follows or graph.doomed or row.state != HERE or not is_plain(row.value):
        return None
    last: dict[str, tuple[int, bytes]] = {}
    for item in done:
        if (found := graph.sets.get(item.change.hash)) is None:
            return None
        names, kinds, raws, _ = found
        last.update(zip(names, [(kind, raw) for (_, kind), raw in zip(kinds, raws, strict=True)], strict=True))
    value = dict(row.value)
    for name, (kind, raw) in last.items():
        new = read_scalar(kind, raw)
        if name[0] == "_" or not takes_over(value, name, new):
            return None
        value[name] = new
    return value if len(value) == len(row.value) else dict(sorted(value.items()))


def takes_over(value: dict[str, Value], name: str, new: Value) -> bool:
    """Whether a scalar that a field of what a record shows is set to is what the field shows then.

    A number in the place of anything else may be the beginning of a counter that has parts.
    """
    old = value.get(name, _UNSET)
    return old is _UNSET or (type(old) in FLAT and (type(new) is not int or type(old) is int))


def _loads(base: bytes, actor: bytes) -> bool:
    try:
        automerge.load(base, actor)
    except BadChange:
        return False
    return True

"""What a typing session has typed, written into its record; and what others wrote there meanwhile.

The document lives where all documents do, with the writer's thread. A session has the text
as it was at its last visit (`Known`), and strokes typed since. In one transaction: what
changed in the text since then is told as a patch, the strokes are transformed over it and
become changes, one each, and the record is projected once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.errors import NotFound, RecordPurged
from chez.records import automerge
from chez.records.automerge import Document
from chez.records.keystrokes import TEXT, changes_by_hand, changes_by_library, is_worth_it
from chez.records.manuscript import Manuscript
from chez.records.operations import DELETE, SET, decode
from chez.records.patches import Patch, difference, over, patch_of, stepwise
from chez.records.places import operation_id
from chez.records.rows import HERE, PURGED, Row, Rows
from chez.records.text import Text, splices
from chez.records.values import Value
from chez.store.database import Connection

__all__ = ("Known", "Stroke", "Taken", "begin", "take_down")

_SHORT: Final = 2_000
"""Operations of a document, or changes that arrived, that are looked at to know whether a text is plain: 50 ms."""

_NAMED: Final = 20_000
"""Characters of a text up to which what others did to it is told by each character's identity: 30 ms."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """What was typed in one go, and when (Unix milliseconds)."""

    patch: Patch = field(repr=False)
    time: int


@dataclass(frozen=True, slots=True)
class Known:
    """A text as a session last saw it: which one, what it read, the heads of its document then.

    `plain` says whether each of its characters was put in by an operation of its own and nothing else acts on it, None
    when that is not known.
    """

    object: bytes
    content: str = field(repr=False)
    heads: tuple[bytes, ...]
    plain: bool | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What a visit led to: the text now, and what others did to it since the last (`arrived`, a patch of that text).

    `corrected` is a patch of what the strokes made of it: a character that others crafted of several
    letters goes, or stays, as a whole.
    """

    known: Known
    arrived: Patch = field(repr=False)
    corrected: Patch = field(default=(), repr=False)


def begin(rows: Rows, db: Connection, space: int, collection: str, id: str, path: Sequence[str | int]) -> Known:
    """A text as it is now. Raises `NotFound`, `RecordPurged`."""
    row = _row(rows, db, space, collection, id)
    document = rows.load(db, row.n)
    return _known(document, _object(document, path), None)


def take_down(rows: Rows, db: Connection, space: int, collection: str, id: str, path: Sequence[str | int],
              known: Known, strokes: Sequence[Stroke]) -> Taken:
    """Write strokes, each on the text that the one before left, the first on `known`.

    Raises `NotFound` while the record is deleted, or once the text is not there any more; and
    `RecordPurged`.
    """
    row = _row(rows, db, space, collection, id)
    document = rows.load(db, row.n)
    arrived: Patch = ()
    if known.heads != _heads(document):
        if _object(document, path) != known.object:
            raise NotFound(f"the text at {path!r} was removed from record {id!r}",
                           "What was typed since is in the session: put it where it belongs now.")
        found = _known(document, known.object, _still_plain(document, known))
        arrived = _arrived(document, known, found.content)
        known = found
    told, ready = arrived, []
    for stroke in strokes:
        patch, told = over(stroke.patch, told)
        if patch:  # what it took out may be gone already
            ready.append(Stroke(stepwise(patch), stroke.time))
    if not ready:
        return Taken(known, arrived)
    now = _write(rows, db, row, document, path, known, ready)
    return Taken(now, arrived, () if now.plain else _corrected(known.content, ready, now.content))


def _corrected(before: str, strokes: Sequence[Stroke], content: str) -> Patch:
    """What is else in a text than strokes should have made of it."""
    expected = Manuscript(before)
    for stroke in strokes:
        for one in stroke.patch:
            expected.splice(one.at, one.delete, one.insert)
    return patch_of(splices(str(expected), content))


def _write(rows: Rows, db: Connection, row: Row, document: Document, path: Sequence[str | int], known: Known,
           strokes: Sequence[Stroke]) -> Known:
    steps = [stroke.patch for stroke in strokes]
    last = max([found[1] for head in known.heads if (found := rows.logged(db, row.n, head)) is not None], default=0)
    plain = known.plain
    many = is_worth_it(len(steps), last)
    if plain is None and many and last <= _SHORT:
        plain = _is_plain(automerge.changes_of(document), known.object)
    if plain and many:
        changes = changes_by_hand(document, known.object, rows.own_last(db, row.n), last, steps)
        document = automerge.applied(document, changes)
    else:
        changes = changes_by_library(document, known.object, steps)
    rows.log_made(db, row.n, changes, [stroke.time for stroke in strokes])
    rows.keep(row.n, document)
    now = _known(document, known.object, plain)
    rows.project(db, row, _value(row.value, document, path, now.content), row.tail + len(changes))
    return now


def _row(rows: Rows, db: Connection, space: int, collection: str, id: str) -> Row:
    row = rows.find(db, space, collection, id)
    if row is not None and row.state == PURGED:
        raise RecordPurged(f"the record {id!r} in {collection!r} was purged", "What was typed since is in the session.")
    if row is None or row.state != HERE:
        raise NotFound(f"there is no record {id!r} in {collection!r}",
                       "" if row is None else "It was deleted: restore it, and what was typed since is written.")
    return row


def _object(document: Document, path: Sequence[str | int]) -> bytes:
    found = automerge.text_at(document, path)
    if found is None:
        raise NotFound(f"there is no text at {path!r}", "Put a chez.Text there first.")
    return found


def _heads(document: Document) -> tuple[bytes, ...]:
    return tuple(sorted(map(bytes, document.get_heads())))


def _known(document: Document, text: bytes, plain: bool | None) -> Known:
    return Known(text, automerge.content(document, text), _heads(document), plain)


def _still_plain(document: Document, known: Known) -> bool | None:
    if not known.plain:
        return known.plain
    try:
        changes = automerge.changes_of(document, known.heads)
    except automerge.BadChange:  # the document was made anew since
        return None
    return _is_plain(changes, known.object) if len(changes) <= _SHORT else None


def _is_plain(changes: Sequence[bytes], text: bytes) -> bool:
    """Whether changes only put single characters in a text, and take them out.

    A mark, or a value that stands over a character, can come from anybody. Written by hand, what is typed
    beside it would build on a place that is none, and be refused elsewhere.
    """
    here = operation_id(text)
    for change in changes:
        for one in decode(automerge.read_change(change)):
            letter = one.insert and one.action == SET and one.kind == TEXT and len(one.raw.decode()) == 1
            if one.obj == here and one.action != DELETE and not letter:
                return False
    return True


def _arrived(document: Document, known: Known, content: str) -> Patch:
    """What makes the text that a session knew into the one that is there."""
    if known.content == content:
        return ()
    if len(known.content) + len(content) <= _NAMED:
        before = _names(document, known.object, known.heads)
        after = _names(document, known.object, None)
        if before and after and (len(before), len(after)) == (len(known.content), len(content)):
            return difference(known.content, content, before, after)
    return patch_of(splices(known.content, content))


def _names(document: Document, text: bytes, heads: Sequence[bytes] | None) -> list[tuple[bytes, int]] | None:
    """A name for each character; None when the document does not know the heads: it was made anew since."""
    try:
        found = automerge.characters(document, text, heads)
    except automerge.BadChange:
        return None
    return [(id, n) for letters, id in found for n in range(len(letters))]


def _value(value: dict[str, Value], document: Document, path: Sequence[str | int], content: str) -> dict[str, Value]:
    """The record's value with the text in it; its marks, if it has some, moved with it."""
    at: Value = value
    for step in path[:-1]:
        at = at[step]
    if type(at[path[-1]]) is not Text or at[path[-1]].marks:
        return automerge.extract(document)
    at[path[-1]] = Text(content)
    return value


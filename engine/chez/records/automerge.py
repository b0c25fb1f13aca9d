"""The boundary to Automerge: the only module that imports the binding.

A record is one Automerge document. This module makes changes, reads the header of a raw
change without loading it, loads documents and turns them into plain values; every
failure of the binding, its panics included, leaves here as `BadChange` (docs of the
quirks: docs/decisions/0002-automerge-binding.md).

Nothing here is deferred: the binding holds the interpreter's lock while it works, so
callers run it in the database thread, where it delays no event loop for long.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from automerge import core
from msgspec.structs import astuple

from chez.errors import BadEntry, ChezError
from chez.records.columns import BadColumns, check_columns, read_uleb
from chez.records.reserved import Raw, fold, is_reserved, operation
from chez.records.settings import Settings
from chez.records.text import Mark, Text
from chez.records.values import MAX_DEPTH, Value

__all__ = ("ROOT", "BadChange", "Document", "Held", "RawChange", "applied", "changes_of", "character", "characters",
           "content", "contents", "extract", "has", "history", "inside", "last_change", "length", "load", "merged",
           "new", "plain", "read_change", "saved", "since", "splice", "text_at", "transaction", "written_by")

Document = core.Document
ROOT: Final = core.ROOT
_MAGIC: Final = b"\x85\x6f\x4a\x83"
_CHANGE: Final = 1


class BadChange(BadEntry):
    """Bytes are no change that Automerge accepts."""


class RawChange(msgspec.Struct, frozen=True, gc=False):
    """One uncompressed Automerge change and what its header says.

    `hash` is the change's SHA-256, `actor` its author's actor id, `sequence` counts the
    actor's changes from 1, `dependencies` are the hashes it builds on, `first` and `last`
    the numbers of its operations, `weight` how many it has and replaces. `settings` is what it sets, where that was
    found while it was read (`records.settings`): of two that are equal one may have it.
    """

    hash: bytes
    actor: bytes
    sequence: int
    dependencies: tuple[bytes, ...]
    first: int
    last: int
    weight: int
    bytes: bytes
    settings: Settings | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawChange) and astuple(self)[:-1] == astuple(other)[:-1]

    def __hash__(self) -> int:
        return hash(self.bytes)

    def __repr__(self) -> str:
        return f"<RawChange {self.hash.hex()[:16]}, {len(self.bytes):,} bytes>"


@dataclass(frozen=True, slots=True)
class Held:
    """A change that a document holds: its hash, its actor, the numbers of its operations, what it builds on."""

    hash: bytes
    actor: bytes
    first: int
    last: int
    dependencies: tuple[bytes, ...]
    bytes: bytes = field(repr=False)


@contextmanager
def _boundary(what: str) -> Iterator[None]:
    # The binding's panics derive from BaseException; everything else that does
    # (cancellation, KeyboardInterrupt) must pass.
    try:
        yield
    except (MemoryError, ChezError):
        raise
    except Exception as error:
        raise BadChange(f"{what}: {error}"[:300]) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise BadChange(f"{what}: the document library gave up") from None


def read_change(data: bytes) -> RawChange:
    """Read the header of one raw change.

    The format is that of the Automerge binary document format, section "Change chunk":
    magic, checksum, chunk type, length; then dependencies, actor, sequence. Compressed
    chunks are refused: entries are compressed as a whole, and a chunk that inflates
    would be a way around the limits.

    Raises `BadChange` if the bytes are anything but exactly one well-formed chunk.
    """
    try:
        if data[:4] != _MAGIC or data[8] != _CHANGE:
            raise BadChange("these bytes are not an uncompressed change")
        length, at = read_uleb(data, 9)
        if at + length != len(data):
            raise BadChange("a change is cut short or followed by other bytes")
        digest = hashlib.sha256(data[8:]).digest()
        if digest[:4] != data[4:8]:
            raise BadChange("a change's checksum is wrong")
        count, at = read_uleb(data, at)
        if count > len(data) // 32:
            raise BadChange("a change claims more dependencies than it has bytes")
        dependencies = tuple(data[at + 32 * i : at + 32 * (i + 1)] for i in range(count))
        size, at = read_uleb(data, at + 32 * count)
        actor = data[at : at + size]
        sequence, at = read_uleb(data, at + size)
        first, last, weight, found = check_columns(data, at)
    except IndexError:
        raise BadChange("a change is cut short") from None
    except BadColumns as error:
        raise BadChange(f"a change has {error}") from None
    if len(actor) != size:
        raise BadChange("a change is cut short")
    return RawChange(digest, actor, sequence, dependencies, first, last, weight, data, found)


def new(actor: bytes) -> Document:
    """An empty document whose changes will be by `actor`."""
    return core.Document(actor)


def load(data: bytes, actor: bytes) -> Document:
    """A document from its saved form and/or concatenated raw changes, in causal order.

    Raises `BadChange` for bytes Automerge refuses and for changes whose dependencies
    are missing.
    """
    with _boundary("these changes do not make a document"):
        document = core.Document.load(data)
        document.set_actor(actor)
        return document


def applied(document: Document, changes: Sequence[RawChange]) -> Document:
    """A copy of a document with more changes, whose dependencies it has.

    The binding takes changes into a living document only inside a sync message
    (Automerge sync protocol, message version 1), so one is written here: no heads, no
    needs, no haves. The copy is what may be kept: a document in which an apply failed
    half-way is not to be trusted.
    """
    message = b"".join((b"\x42\0\0\0", _uleb_bytes(len(changes)),
                        *[part for change in changes for part in (_uleb_bytes(len(change.bytes)), change.bytes)]))
    with _boundary("these changes do not fit the document"):
        copy = document.fork()
        copy.set_actor(document.get_actor())
        copy.receive_sync_message(core.SyncState(), core.Message.decode(message))
        # A change it does not accept may be queued without a word; then it is no head.
        inside = {hash for change in changes for hash in change.dependencies}
        if not {change.hash for change in changes} - inside <= {bytes(head) for head in copy.get_heads()}:
            raise BadChange("the document does not take these changes")
        return copy


def since(document: Document, heads: Sequence[bytes], actor: bytes) -> Document:
    """A copy of a document as it was at some heads, whose changes will be by `actor`.

    Made of the changes up to there: the binding's `fork_at` gives up on plain histories,
    for instance when a value is set, set back, and set by another device.
    """
    with _boundary("the document as it was can't be read"):
        changes = document.get_changes([])
        wanted, parts = set(map(bytes, heads)), []
        for change in reversed(changes):  # each comes after what it builds on
            if bytes(change.hash) in wanted:
                wanted.update(map(bytes, change.deps))
                parts.append(bytes(change.raw_bytes))
    return load(b"".join(reversed(parts)), actor) if parts else new(actor)


def merged(document: Document, other: Document) -> Document:
    """A copy of a document with all changes of another one."""
    with _boundary("these documents do not fit together"):
        copy = document.fork()
        copy.set_actor(document.get_actor())
        copy.merge(other)
        return copy


def _uleb_bytes(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@contextmanager
def transaction(document: Document) -> Iterator[Any]:
    """A transaction on a document, committed as one change when the block ends."""
    with _boundary("the edit can't be made"), document.transaction() as tx:
        yield tx


def last_change(document: Document) -> bytes:
    """The raw bytes of the change made last by this document's actor."""
    with _boundary("the change just made can't be read"):
        change = document.get_last_local_change()
        if change is None:
            raise BadChange("this document has no change of its own")
        return bytes(change.raw_bytes)


def changes_of(document: Document, after: Sequence[bytes] = ()) -> list[bytes]:
    """The raw changes of a document that are not ancestors of the heads in `after`."""
    with _boundary("the document's changes can't be read"):
        return [bytes(change.raw_bytes) for change in document.get_changes(list(after))]


def history(document: Document, after: Sequence[bytes] = ()) -> list[Held]:
    """The changes of a document that are not ancestors of the heads in `after`, in causal order."""
    with _boundary("the document's changes can't be read"):
        return [Held(bytes(one.hash), bytes(one.actor_id), one.start_op, one.max_op, tuple(map(bytes, one.deps)),
                     bytes(one.raw_bytes)) for one in document.get_changes(list(after))]


def written_by(document: Document, field: str) -> tuple[bytes, int] | None:
    """The actor and the number of the operation that set what a field shows; None when it is not there."""
    with _boundary("the document's value can't be read"):
        found = document.get(ROOT, field)
        return None if found is None else operation(found[1])


def has(document: Document, field: str) -> bool:
    """Whether an operation stands at a field of a document."""
    with _boundary("the document's value can't be read"):
        return document.get(ROOT, field) is not None


def text_at(document: Document, path: Sequence[str | int]) -> bytes | None:
    """The text that keys of maps and indexes of lists lead to, None when there is none."""
    with _boundary("the document's value can't be read"):
        at = ROOT
        for step in path:
            wanted = core.ObjType.Map if isinstance(step, str) else core.ObjType.List
            within = isinstance(step, str) or 0 <= step < document.length(at)
            found = document.get(at, step) if within and document.object_type(at) == wanted else None
            if found is None or type(found[0]) is tuple:
                return None
            at = found[1]
        return at if document.object_type(at) == core.ObjType.Text else None


def length(document: Document, text: bytes) -> int:
    """Characters of a text."""
    with _boundary("the text can't be read"):
        return int(document.length(text))


def content(document: Document, text: bytes) -> str:
    """What a text reads."""
    with _boundary("the text can't be read"):
        return str(document.text(text))


def splice(document: Document, text: bytes, steps: Sequence[tuple[int, int, str]]) -> None:
    """Splice a text, one step after the other, by one change: place, characters that go, those that come."""
    with transaction(document) as tx:
        for at, delete, insert in steps:
            tx.splice_text(text, at, delete, insert)


def character(document: Document, text: bytes, position: int) -> bytes:
    """The id of the operation that put a character in."""
    with _boundary("the text can't be read"):
        found = document.get(text, position)
        if found is None:
            raise BadChange("the text has no such character")
        return bytes(found[1])


def characters(document: Document, text: bytes, heads: Sequence[bytes] | None = None) -> list[tuple[str, bytes]]:
    """Each character of a text, now or at some heads, and the id of the operation that put it in."""
    with _boundary("the text can't be read"):
        found = document.values(text, None if heads is None else list(heads))
        # The ends of marks are among them, as if they were text.
        return [(value[1], id) for value, id in found
                if type(value) is tuple and type(value[1]) is str and value[1] not in ("markBegin", "markEnd")]


def saved(document: Document) -> bytes | None:
    """A document's saved form, or None when that does not load to the same state.

    Changes that were written by hand, in an encoding other than the library's own, may
    load and yet save to what is refused; the changes themselves are then all there is.
    """
    with _boundary("the document can't be saved"):
        data = bytes(document.save())
        heads = sorted(document.get_heads())
    try:
        again = load(data, document.get_actor())
    except BadChange:
        return None
    return data if sorted(again.get_heads()) == heads else None


def extract(document: Document, stand_in: bytes | None = None) -> dict[str, Value]:
    """The current value of a document as plain Python values.

    Maps become dicts (keys in order), lists lists, strings str, texts `Text` with their
    marks, counters `Counter` (records/reserved.py), timestamps aware datetimes in UTC;
    what is nested more than `MAX_DEPTH` levels deep is None. A document of changes that
    were taken in always has a value: whether one is taken in must not depend on what
    else arrived before it. `stand_in` is an actor that wrote in its device's place.
    """
    with _boundary("the document's value can't be read"):
        return _Reader(document, stand_in).map(ROOT, 0)


def inside(document: Document, kind: Any, id: bytes) -> Value:
    """The value of a map, a list or a text, by the id of the operation that made it; it need not be what shows."""
    with _boundary("the document's value can't be read"):
        return _Reader(document, None).value(kind, id, 1)


def contents(document: Document, obj: bytes, heads: Sequence[bytes]) -> list[tuple[str | None, Any, bytes]]:
    """What a map, a list or a text held at some heads: key, what the binding says of it, id of its operation."""
    with _boundary("the document as it was can't be read"):
        held = document.values(obj, list(heads))
        keyed = document.object_type(obj) == core.ObjType.Map
        keys: Sequence[str | None] = document.keys(obj, list(heads)) if keyed else [None] * len(held)
        return [(key, value, id) for key, (value, id) in zip(keys, held, strict=True)]


class _Reader(msgspec.Struct, frozen=True):
    document: Document
    stand_in: bytes | None

    def map(self, obj: bytes, depth: int) -> dict[str, Value]:
        # keys() and values() are one call each into the binding; reading key by key, as its
        # own extract does, takes twice as long.
        out: dict[str, Value] = {}
        raw: list[Raw] = []
        for key, (value, child) in zip(self.document.keys(obj), self.document.values(obj), strict=True):
            if key[:1] == "_" and is_reserved(key, depth == 0):
                raw.append((key, value, child))
            else:
                out[key] = self.value(value, child, depth + 1)
        return fold(out, raw, depth == 0, self.stand_in) if raw else out

    def value(self, value: Any, child: bytes, depth: int) -> Value:
        if type(value) is tuple:
            return plain(value[1])
        if value not in (core.ObjType.Map, core.ObjType.List):
            return Text(self.document.text(child), _marks(self.document, child))
        if depth > MAX_DEPTH:
            return None
        if value == core.ObjType.Map:
            return self.map(child, depth)
        return [self.value(item, at, depth + 1) for item, at in self.document.values(child)]


def _marks(document: Document, text: bytes) -> tuple[Mark, ...]:
    """The marks of a text; what no `Text.mark` makes shows as nothing."""
    try:
        with _boundary("the marks can't be read"):
            found = document.marks(text)
    except BadChange:
        return ()
    return tuple([Mark(one.start, one.end, one.name, one.value[1]) for one in found
                  if one.end > one.start and isinstance(one.value[1], str | int | float | bool | None)])


def plain(value: Any) -> Value:
    """A scalar as a record has it."""
    return _time(value) if type(value) is datetime else value


def _time(value: datetime) -> datetime:
    # The binding goes through a float, which misses the millisecond in far centuries.
    if off := value.microsecond % 1000:
        value += timedelta(microseconds=1000 - off if off >= 500 else -off)
    return value.replace(tzinfo=UTC)

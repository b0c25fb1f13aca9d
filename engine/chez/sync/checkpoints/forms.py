"""In which form a record's changes are written in a checkpoint: one after the other, or as one saved document.

A part is compressed as a whole, so what counts is what a form adds to those before it. Of records that
were edited alike, the changes, each written short, repeat those of the record before and
take a few bytes; a saved document always has a checksum and the hash of its head, which
compress to nothing. A long history of one record, a text that was typed, is smaller as a
document by far. Both are tried, each beside what came before it in that form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import zstandard

from chez.records import automerge
from chez.records.automerge import BadChange, RawChange
from chez.records.flat import check_flat, flattened
from chez.sync.checkpoints.format import Record
from chez.sync.short import shortened
from chez_wire.limits import KIB

__all__ = ("Forms",)

_BESIDE: Final = 64 * KIB
"""Bytes of what was written before that a form is tried beside: some tens of records."""

_LITTLE: Final = 64
"""Changes that take no more than this are not tried as a document, of which 36 bytes compress to nothing."""

_LEVEL: Final = 3


@dataclass(slots=True)
class Forms:
    """What was written before, in each form."""

    changes: bytes = b""
    documents: bytes = b""

    def wrote(self, record: Record) -> None:
        """This is before what comes next."""
        if record.saved:
            self.documents = _beside(self.documents, record.data)
        else:
            self.changes = _beside(self.changes, record.data)

    def record(self, key: tuple[str, str], rows: Sequence[tuple[int, int, bytes]], actor: bytes | None) -> Record:
        """The changes of a record in the smaller form, each row's author (by number), count and bytes.

        Without an actor, who loads a document, one after the other. Raises `BadChange` for what is no change.
        """
        found: dict[bytes, RawChange] = {}
        places: dict[bytes, list[tuple[int, int]]] = {}
        for number, ordinal, data in rows:
            change = automerge.read_change(data)
            found.setdefault(change.hash, change)
            places.setdefault(change.hash, []).append((number, ordinal))
        written, order = shortened([change.bytes for change in found.values()]), list(found)
        if document := self._smaller(found, written, actor):
            written, order = [document[0]], document[1]
        who, at, more = _placed(order, places)
        record = Record(*key, document is not None, written, who, at, more)
        self.wrote(record)
        return record

    def _smaller(self, found: dict[bytes, RawChange], written: list[bytes], actor: bytes | None) -> tuple[
            bytes, list[bytes]] | None:
        """The saved document and the hashes of its changes in order, if that is smaller than what is written."""
        if actor is None or len(found) < 2:
            return None
        changes = _squeezed(written, self.changes)
        document = _document(found, actor) if changes > _LITTLE else None
        if document is None or _squeezed([document[0]], self.documents) >= changes:
            return None
        self.changes = _beside(self.changes, written)  # so that the next is tried beside it in that form too
        return document


def _placed(order: Sequence[bytes], places: dict[bytes, list[tuple[int, int]]]) -> tuple[
        list[int], list[int], list[tuple[int, int, int]]]:
    last: dict[int, int] = {}
    who, at, more = [], [], []
    for n, hash in enumerate(order):
        (number, ordinal), *rest = places[hash]
        who.append(number)
        at.append(ordinal - last.get(number, 0))
        last[number] = ordinal
        more += [(n, *place) for place in rest]
    return who, at, more


def _document(found: dict[bytes, RawChange], actor: bytes) -> tuple[bytes, list[bytes]] | None:
    """A record's changes as one saved document, and their order in it; None when that does not give them back."""
    ordered = _ordered(found)
    if len(ordered) < len(found):
        return None  # it builds on what is not in this bundle
    try:
        saved = automerge.saved(automerge.load(b"".join([change.bytes for change in ordered]), actor))
        if saved is None:
            return None
        flat = flattened(saved)
        check_flat(flat)
        held = automerge.history(automerge.load(flat, actor))
    except BadChange:
        return None
    same = {one.hash: one.bytes for one in held} == {hash: change.bytes for hash, change in found.items()}
    return (flat, [one.hash for one in held]) if same else None


def _ordered(found: dict[bytes, RawChange]) -> list[RawChange]:
    """Changes behind what they build on, without those that build on what is not among them (Kahn 1962)."""
    behind: dict[bytes, list[bytes]] = {}
    left = {hash: len(change.dependencies) for hash, change in found.items()}
    for hash, change in found.items():
        for dependency in change.dependencies:
            behind.setdefault(dependency, []).append(hash)
    ready = [hash for hash, count in left.items() if not count]
    for hash in ready:  # which grows meanwhile
        for following in behind.get(hash, ()):
            left[following] -= 1
            if not left[following]:
                ready.append(following)
    return [found[hash] for hash in ready]


def _beside(before: bytes, written: Sequence[bytes]) -> bytes:
    return (before + b"".join(written))[-_BESIDE:]


def _squeezed(written: Sequence[bytes], before: bytes) -> int:
    """Bytes that this takes once it is compressed behind what came before."""
    beside = zstandard.ZstdCompressionDict(before, dict_type=zstandard.DICT_TYPE_RAWCONTENT) if before else None
    return len(zstandard.ZstdCompressor(level=_LEVEL, dict_data=beside).compress(b"".join(written)))

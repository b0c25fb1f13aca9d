"""A device's changes of one record that follow each other with nobody's in between, told without a document.

Most live edits set a few fields again: a slider, a counter, a form that is being filled in. When the change before was
this author's too, and all the record's history leads to it, then a change like that can be told byte for byte from what
is known: which number comes next, and which operation stands at the field. Its operations have the greatest numbers of
the record, so what they set is what shows (Automerge shows, of several, the one with the greatest number). The document
takes such changes in later, several at once (`Rows.warm`): each time costs it a walk through the record's history,
which was a third of what a live change cost at either side.

Whatever is not exactly such a change goes through the document, which decides as before.
"""

from dataclasses import dataclass, field
from typing import Final

from chez.records.automerge import RawChange
from chez.records.derived import DEVICE_ID
from chez.records.diff import same
from chez.records.encode import FLAT, encode_again
from chez.records.fields import sets_again
from chez.records.operations import SET, decode, read_scalar
from chez.records.values import Value, is_plain

__all__ = ("Trail", "begun")

_SHORT: Final = 1024
"""Bytes of a change that a trail begins with: others are not told to be followed by small ones."""

_SCALARS: Final = frozenset((0, 1, 2, 4, 5, 6, 7, 9))
"""The kinds of values that `encode_again` writes."""


@dataclass(frozen=True, slots=True)
class Trail:
    """The change that a record's whole history leads to: its author, hash, number and last operation.

    `stands` has fields and the number of the operation of this author's that was put there last.
    """

    actor: bytes
    hash: bytes
    sequence: int
    last: int
    stands: dict[str, int] = field(repr=False)

    def written(self, before: dict[str, Value], after: dict[str, Value]) -> RawChange | None:
        """The change by which the author goes from one value to another; None if it is not for us to write.

        The author is this device, and replaced all it found at the fields that stand.
        """
        if before.keys() != after.keys() or not (is_plain(before) and is_plain(after)):
            return None
        changed = self.changed(before, after)
        if not changed or any(key[:1] == "_" or key not in self.stands or type(item) not in FLAT
                              or type(before[key]) not in FLAT for key, item in changed.items()):
            return None
        return encode_again(self.actor, self.sequence + 1, self.last + 1, self.hash, changed,
                            [self.stands[key] for key in changed])

    def changed(self, before: dict[str, Value], after: dict[str, Value]) -> dict[str, Value]:
        """The fields of `after` that `before` has otherwise, in their order."""
        return {key: item for key, item in after.items() if not same(before[key], item)}

    def told(self, change: RawChange) -> dict[str, Value] | None:
        """What a change of the author's sets that goes on from here; None where the document is to be asked."""
        if (change.actor != self.actor or change.dependencies != (self.hash,)
                or change.sequence != self.sequence + 1 or change.first != self.last + 1):
            return None
        fields = sets_again(change)
        if fields is None or any(name[:1] == "_" or kind not in _SCALARS or self.stands.get(name) != number
                                 for name, kind, _, _, number in fields):
            return None
        try:
            value = {name: read_scalar(kind, raw) for name, kind, _, raw, _ in fields}
        except (IndexError, OverflowError, ValueError):
            return None
        if len(value) < len(fields) or any(
                type(item) is int and not -(1 << 63) <= item < 1 << 63 for item in value.values()):
            return None
        again = encode_again(self.actor, change.sequence, change.first, self.hash, value,
                             [self.stands[name] for name in value])
        return value if again.bytes == change.bytes else None

    def after(self, change: RawChange, fields: dict[str, Value]) -> "Trail":
        """Where it leads with one more change, which sets these fields in this order."""
        numbers = dict(zip(fields, range(change.first, change.last + 1), strict=True))
        return Trail(self.actor, change.hash, change.sequence, change.last, self.stands | numbers)


def begun(change: RawChange, before: Trail | None) -> Trail | None:
    """The trail from a change of a device on that a record's whole history leads to; `before` is the one until then."""
    if len(change.bytes) > _SHORT or len(change.actor) != DEVICE_ID:
        return None
    goes_on = before is not None and before.actor == change.actor and change.dependencies == (before.hash,)
    stands = dict(before.stands) if goes_on and before is not None else {}
    for one in decode(change):
        if one.obj is None and isinstance(one.key, str):
            if one.action == SET:
                stands[one.key] = one.id[0]
            else:
                stands.pop(one.key, None)
    return Trail(change.actor, change.hash, change.sequence, change.last, stands)

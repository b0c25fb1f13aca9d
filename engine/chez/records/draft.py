"""A record as an edit of it began."""

from dataclasses import dataclass, field

from chez.records import automerge
from chez.records.automerge import Document, RawChange
from chez.records.derived import derive
from chez.records.values import Value

__all__ = ("Draft",)


@dataclass(frozen=True, slots=True)
class Draft:
    """A copy of a record as an edit began: its document, that one's heads, and its value.

    `first` are the changes of a migration that the edit builds on, `partless` the maps of the document without a
    part of a counter.
    """

    collection: str
    id: str
    document: Document
    heads: list[bytes]
    value: dict[str, Value]
    first: tuple[RawChange, ...] = ()
    partless: set[bytes] = field(default_factory=set)

    def migrated(self, value: dict[str, Value]) -> "Draft":
        """The same upon a migration to `value`."""
        document, first = derive(self.document, self.value, value)
        return Draft(self.collection, self.id, document, document.get_heads(), automerge.extract(document),
                     tuple(first))

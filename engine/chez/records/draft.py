"""A record as an edit of it began."""

from dataclasses import dataclass, field

from chez.records import automerge
from chez.records.automerge import Document, RawChange
from chez.records.derived import derive
from chez.records.diff import write_difference
from chez.records.rows import Row
from chez.records.trail import Trail
from chez.records.values import Value

__all__ = ("Draft",)


@dataclass(slots=True)
class Draft:
    """A copy of a record as an edit began: its row, its heads, and its document, which may lack what is `pending`.

    `trail` is this device's, if all that the record has leads to it. `first` are the changes of a migration that the
    edit builds on, `partless` the maps of the document without a part of a counter. `follows`: the edit was written on
    the trail, and the document does not have it.
    """

    row: Row
    heads: list[bytes]
    value: dict[str, Value]
    _document: Document = field(repr=False)
    _pending: tuple[RawChange, ...] = ()
    trail: Trail | None = None
    first: tuple[RawChange, ...] = ()
    partless: set[bytes] = field(default_factory=set)
    follows: bool = False

    @property
    def collection(self) -> str:
        """The record's collection,"""
        return self.row.collection

    @property
    def id(self) -> str:
        """and its id."""
        return self.row.id

    @property
    def document(self) -> Document:
        """The record's document, as the edit began or as it left it."""
        if self._pending:
            self._document = automerge.applied(self._document, self._pending)
            self._pending = ()
        return self._document

    def migrated(self, value: dict[str, Value]) -> "Draft":
        """The same upon a migration to `value`."""
        document, first = derive(self.document, self.value, value)
        return Draft(self.row, document.get_heads(), automerge.extract(document), document,
                     first=tuple(first))

    def written(self, after: dict[str, Value]) -> RawChange | None:
        """The change that makes it `after`; None if it is so already. Raises `InvalidValue` as `write_difference`."""
        if self.trail is not None and (change := self.trail.written(self.value, after)) is not None:
            self.follows = True
            return change
        written = write_difference(self.document, self.value, after, partless=self.partless)
        return None if written is None else automerge.read_change(written)

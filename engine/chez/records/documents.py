"""The documents of records that are kept loaded, and what is known of them besides.

Every method runs inside a transaction of the writer's thread. A record's document is loaded from its snapshot and the
changes since; the ones used last stay in a bounded cache, which is dropped whenever some work is undone.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.errors import Damaged
from chez.records import automerge
from chez.records.automerge import BadChange, Document, RawChange
from chez.records.ground import Ground
from chez.records.trail import Trail
from chez.store.database import Connection

__all__ = ("WARM", "Documents", "Loaded", "Tip", "unreadable")

WARM: Final = 512
"""Documents kept loaded: about 10 KB each."""

_PENDING: Final = 64
"""Changes on a trail that wait for the document to take them in: bounds how long it then takes, and what is kept."""

_FAR: Final = 2048
"""The same of the record that is put again and again just now: each time costs the document a walk through its history
and a look for each field, a few tens of milliseconds in all."""


@dataclass(slots=True)
class Tip:
    """How far an author's changes of one record came: the last one's number and hash, and the first number refused."""

    sequence: int = 0
    hash: bytes = b""
    broken: int | None = None

    def refuses(self, sequence: int) -> bool:
        """Whether a change of this number comes after one that was refused; what came before may still wait."""
        return self.broken is not None and sequence > self.broken


@dataclass(slots=True)
class Loaded:
    """A record's document, and what was asked of its rows since it was loaded."""

    document: Document
    tips: dict[bytes, Tip] | None = None
    ground: Ground | None = None
    own: tuple[int, bytes] | None = None
    """The number and hash of this device's last change, once they were asked for."""
    partless: set[bytes] = field(default_factory=set)
    """The maps of the document that are known to hold no part of a counter."""
    trail: Trail | None = None
    """The change that the whole history leads to, as long as nothing else came; see `Documents.trail`."""
    pending: list[RawChange] = field(default_factory=list)
    """What follows the document on that trail, and is to be taken in before the document is looked at."""
    refused: bool | None = None
    """Whether the log has changes that were refused, once that was asked for."""
    shown: tuple[str, str | None, int] | None = field(default=None, repr=False)
    """The value as the row has it, and its tail, of a record that is here and was shown since it was loaded."""


@dataclass(slots=True)
class Documents:
    """The documents that one device, `actor`, keeps loaded, by their records' rows."""

    actor: bytes
    _warm: "OrderedDict[int, Loaded]" = field(default_factory=OrderedDict, init=False)
    _far: int = field(default=0, init=False)
    """The record whose document many changes may wait for."""

    def base(self, db: Connection, n: int) -> bytes:
        """A record's loadable bytes: its snapshot and the changes since, in causal order."""
        doc, upto = db.execute("SELECT doc, upto FROM snapshot WHERE record = ?", (n,)).fetchone() or (b"", 0)
        rows = db.execute("SELECT bytes FROM change WHERE record = ? AND n > ? AND state < 2 AND bytes IS NOT NULL "
                          "ORDER BY n", (n, upto))
        return b"".join([doc, *[data for (data,) in rows]])

    def is_warm(self, n: int) -> bool:
        """Whether a record's document is loaded."""
        return n in self._warm

    def warm(self, n: int) -> Document | None:
        """A record's document, if it is loaded."""
        warm = self._warm.get(n)
        if warm is not None and warm.pending:
            try:
                self._take_in(warm)
            except BadChange:  # no trail leads there: the log has what is true
                del self._warm[n]
                return None
        return None if warm is None else warm.document

    def load(self, db: Connection, n: int) -> Document:
        """A record's document. Raises `Damaged`."""
        document = self.warm(n)
        if document is None:
            try:
                document = automerge.load(self.base(db, n), self.actor)
            except BadChange as error:
                ((collection, id),) = db.execute("SELECT collection, id FROM record WHERE n = ?", (n,)).fetchall()
                raise unreadable(collection, id, error) from None
        self.keep(n, document)
        return document

    def apart(self, db: Connection, n: int) -> tuple[Document, tuple[RawChange, ...]]:
        """A record's document as it was a while ago, not to be changed, and what follows on it."""
        if n not in self._warm:
            return self.load(db, n), ()
        return self._warm[n].document, tuple(self._warm[n].pending)

    def behind(self, n: int) -> Document | None:
        """A record's document, if it is loaded, which may lack what the trail of the record tells."""
        warm = self._warm.get(n)
        return None if warm is None else warm.document

    def refused(self, db: Connection, n: int) -> bool:
        """Whether the log of a record that is loaded has changes that were refused."""
        warm = self._warm[n]
        if warm.refused is None:
            warm.refused = db.execute("SELECT 1 FROM change WHERE record = ? AND state = 3 LIMIT 1",
                                      (n,)).fetchone() is not None
        return warm.refused

    def ground(self, n: int) -> Ground | None:
        """What is known of the operations of a record that is loaded."""
        warm = self._warm.get(n)
        return None if warm is None else warm.ground

    def partless(self, n: int) -> set[bytes]:
        """The maps of a record's document, which is loaded, that are known to hold no part of a counter."""
        return self._warm[n].partless

    def trail(self, n: int) -> Trail | None:
        """The change that the whole history of a record leads to, if it is loaded and that is known."""
        warm = self._warm.get(n)
        if warm is None or warm.trail is None or not (warm.pending or warm.document.get_heads() == [warm.trail.hash]):
            return None
        return warm.trail

    def lead(self, n: int, trail: Trail | None) -> None:
        """Keep that, of a record that is loaded."""
        self._warm[n].trail = trail

    def follow(self, n: int, change: RawChange, trail: Trail) -> None:
        """A change goes on from where the trail of a record led, which is `trail` now."""
        warm = self._warm[n]
        warm.pending.append(change)
        warm.trail = trail
        self._warm.move_to_end(n)
        if len(warm.pending) >= (_FAR if n == self._far else _PENDING):
            self.warm(n)

    def go_on(self, n: int, changes: Sequence[RawChange], trail: Trail) -> None:
        """As `follow`, of what was put together; of one record at a time many may wait. Raises `BadChange`."""
        warm = self._warm[n]
        if self._far != n:
            self.warm(self._far)
            self._far = n
        warm.pending += changes
        warm.trail = trail
        self._warm.move_to_end(n)
        if len(warm.pending) >= _FAR:
            self._take_in(warm)

    @staticmethod
    def _take_in(warm: Loaded) -> None:
        warm.document, warm.pending = automerge.applied(warm.document, warm.pending), []

    def drop(self, n: int) -> None:
        """Keep nothing of a record loaded: its log was written anew."""
        self._warm.pop(n, None)

    def keep(self, n: int, document: Document, tips: dict[bytes, Tip] | None = None,
             ground: Ground | None = None, partless: set[bytes] | None = None) -> None:
        """Keep a document loaded as the record's present one."""
        warm = self._warm.get(n)
        if warm is None:
            self._warm[n] = Loaded(document, tips, ground)
        else:
            if document is not warm.document:
                warm.document, warm.partless, warm.pending = document, partless or set(), []
            warm.tips = tips if tips is not None else warm.tips
            warm.ground = ground if ground is not None else warm.ground
        self._warm.move_to_end(n)
        if len(self._warm) > WARM:
            self._warm.popitem(last=False)


def unreadable(collection: str, id: str, error: BadChange) -> Damaged:
    """What is said of a record whose changes are damaged here."""
    return Damaged(f"the history of record {id!r} in {collection!r} can't be read: {error.message}",
                   "`chez doctor` tells of all of them, `chez doctor --repair` makes them again.")

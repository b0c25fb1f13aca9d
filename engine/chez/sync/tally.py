"""Changes of accepted entries on their way into records: those that count are merged, the others kept aside.

Nearly always everything counts. What a page leads to is looked into once for all of it
(`sync.standing`), and only where an author, or a statement that came, gives cause to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chez.records.counting import BEYOND, COUNTS
from chez.records.merge import set_aside
from chez.records.store import Incoming, RecordStore
from chez.records.waiting import Budget
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync import recount, standing
from chez.sync.entry import CHANGES
from chez.sync.outstanding import Outstanding
from chez_wire.limits import MIB

__all__ = ("Notice", "Tally", "reconsider")

_AT_ONCE: Final = 16 * MIB
"""Bytes of changes merged at once: a page of small envelopes may unfold to gigabytes."""

Notice = tuple[str, dict[str, Any]]
"""What a person should know: kind and body of a receipt."""


@dataclass(slots=True)
class Tally:
    """The changes of one page, in one open transaction; `device` is this one."""

    db: Connection
    space: SpaceKeys
    device: bytes
    records: RecordStore
    budget: Budget | None
    found: Outstanding
    """What there was of the space when the transaction began."""
    refused: int = 0
    """How many changes were refused, and are in quarantine."""
    notices: list[Notice] = field(default_factory=list)
    _ready: list[Incoming] = field(default_factory=list)
    _doubted: list[tuple[bytes, Incoming]] = field(default_factory=list)
    _size: int = 0
    """Bytes of the changes that are ready."""
    _doubtful: set[bytes] | None = None
    _anew: set[bytes] = field(default_factory=set)
    """The authors to look into."""
    _asides: bool = field(init=False)
    """Whether there are changes that count in no record."""
    _again: bool = field(init=False)
    """Whether records may be owed that they are made again."""
    _upto: int = field(init=False)
    """How many statements are in what is written down of which entries count."""

    def __post_init__(self) -> None:
        self._asides, self._again, self._upto = bool(self.found.aside), bool(self.found.recount), self.found.decided
        if not (self.found.broken or self.found.forked):
            self._doubtful = set()

    def doubtful(self, author: bytes) -> bool:
        """Whether not everything of an author counts, or that must be seen."""
        if self._doubtful is None:
            self._doubtful = standing.doubtful(self.db, self.space.n)
        return author in self._doubtful

    def doubt(self, author: bytes) -> None:
        """Look into which entries of an author count."""
        if not self.doubtful(author) and self._doubtful is not None:
            self._doubtful.add(author)
        self._anew.add(author)

    def add(self, author: bytes, items: Sequence[Incoming]) -> None:
        """The changes of an entry that is to be shown."""
        if self.doubtful(author):
            self._anew.add(author)
            self._doubted += [(author, item) for item in items]
        else:
            self._ready += items
        self._size += sum(len(item.change.bytes) for item in items)
        if self._size > _AT_ONCE:
            self.merge()

    @property
    def plain(self) -> bool:
        """Whether everything of everybody counted so far."""
        return self._doubtful == set() and not self._asides

    def merge(self) -> None:
        """Merge what counts, keep the rest aside, and note which records are to be made again."""
        ready, self._ready, self._size = self._ready, [], 0
        doubted, self._doubted = self._doubted, []
        self._merge(ready)
        decided = self._decided()
        if not self._anew and decided:
            return
        authors = self._anew if decided else standing.writers(self.db, self.space.n)
        self._anew = set()
        flipped = reconsider(self.db, self.space, self.device, authors, self.notices)
        moved = {one.author for one in flipped}
        self._doubtful, self._again, self._upto = None, True, self.space.membership.decisions
        self.db.execute("UPDATE space SET decided = ? WHERE n = ?", (self._upto, self.space.n))
        self._merge([item for author, item in doubted if author not in moved and self._standing(item) == COUNTS])
        aside = [item for author, item in doubted if author in moved or self._standing(item) != COUNTS]
        if aside:
            self._asides = True
            recount.hold(self.db, self.space.n, aside)
            standings = [(item, self._standing(item)) for item in aside]
            recount.owe(self.db, self.space.n, {
                *recount.needed(self.db, self.space.n, [item for item, now in standings if now == BEYOND]),
                *((item.collection, item.id) for item, now in standings if now == COUNTS)})
        if flipped:
            self._asides = True

    def end(self) -> list[Notice]:
        """Merge what counts, and make records again as far as the budget goes; what a person should know."""
        self.merge()
        self._work_off()
        return self.notices

    def owed(self) -> bool:
        """Whether it is to be found out what counts, or some records are to be made again."""
        return not self._decided() or (self._again and recount.owed(self.db, self.space.n))

    def _decided(self) -> bool:
        """Whether all statements that are here are in what is written down of which entries count."""
        return self._upto == self.space.membership.decisions

    def _work_off(self) -> None:
        """Make records again that are owed it, as far as the budget goes."""
        if not self._again:
            return
        refused = recount.work_off(self.records.rows, self.db, self.space.n, self.budget)
        set_aside(self.db, self.space.n, refused)
        self.refused += len(refused)

    def _merge(self, items: list[Incoming]) -> None:
        self.refused += len(self.records.merge(self.db, self.space.n, items, self.budget))
        if self._asides:
            self._again = True
            recount.owe(self.db, self.space.n, recount.brings(self.db, self.space.n, items))

    def _standing(self, item: Incoming) -> int:
        found: int = self.db.execute("SELECT standing FROM entry WHERE n = ?", (item.entry,)).fetchone()[0]
        return found


def reconsider(db: Connection, space: SpaceKeys, device: bytes, authors: set[bytes], notices: list[Notice]) -> list[
        standing.Flipped]:
    """Decide anew which entries of some authors count; the records that this touches are to be made again.

    What a person should know of it is added to `notices`: once for each author, however often it breaks the rule.
    """
    before = {author: _told(db, space.n, author) for author in authors}
    flipped = standing.reconsider(db, space, device, authors)
    recount.owe(db, space.n, recount.touched(db, [one.row for one in flipped]))
    for author in sorted({one.author for one in flipped}):
        beyond, forked = _told(db, space.n, author)
        known = space.membership.state.device(author)
        name = "" if known is None else known.name
        if beyond and not before[author][0]:
            notices.append(("entries-beyond-removal", {"device": author.hex(), "name": name, "from": beyond}))
        if forked and not before[author][1]:
            notices.append(("equivocation", {"device": author.hex(), "name": name, "from": forked}))
    return flipped


def _told(db: Connection, space: int, author: bytes) -> tuple[int, int]:
    """The numbers of an author's first entries beyond a cut, and on a fork; 0 for none.

    Of those beyond a cut only what holds changes: statements are no matter of it.
    """
    row = db.execute("SELECT coalesce(min(CASE WHEN standing = 1 AND kind = ? THEN sequence END), 0), "
                     "coalesce(min(CASE standing WHEN 2 THEN sequence END), 0) FROM entry "
                     "WHERE space = ? AND author = ? AND standing > 0", (CHANGES, space, author)).fetchone()
    return row[0], row[1]

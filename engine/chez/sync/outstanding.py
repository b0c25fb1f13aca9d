"""Whether there is anything in a space that is not as it nearly always is: asked at once, for all of a turn.

Entries that wait, chains that fork, records that are owed: mostly none. Each is asked for again
and again while a page is taken in, and finding nothing takes as long as finding something; for a
single small change that was a third of all statements.
"""

from typing import Final

import msgspec

from chez.store.database import Connection

__all__ = ("Outstanding", "outstanding")

_ASKED: Final = (
    "SELECT EXISTS (SELECT 1 FROM parked WHERE space = ?1), "
    "EXISTS (SELECT 1 FROM fetching WHERE space = ?1 AND purpose = 0) OR "
    "EXISTS (SELECT 1 FROM gap WHERE space = ?1 AND settled = 0), "
    "EXISTS (SELECT 1 FROM locked WHERE space = ?1), "
    "EXISTS (SELECT 1 FROM set_aside WHERE space = ?1), "
    "EXISTS (SELECT 1 FROM branch WHERE space = ?1) OR "
    "EXISTS (SELECT 1 FROM entry WHERE space = ?1 AND standing > 0), "
    "EXISTS (SELECT 1 FROM aside WHERE space = ?1), "
    "EXISTS (SELECT 1 FROM recount WHERE space = ?1), "
    "EXISTS (SELECT 1 FROM waiting WHERE missing = 0), "
    "(SELECT decided FROM space WHERE n = ?1)")


class Outstanding(msgspec.Struct, frozen=True):
    """What there is of a space, as the transaction that is open finds it."""

    parked: int
    """Entries that wait for others."""
    held: int
    """A checkpoint is to be taken in first."""
    locked: int
    """Entries whose key was not here."""
    broken: int
    """Entries from which on a chain is set aside."""
    forked: int
    """Chains that fork, or entries that do not count."""
    aside: int
    """Changes that count in no record."""
    recount: int
    """Records that are to be made again."""
    due: int
    """Changes whose turn has not come, here or in another space."""
    decided: int
    """How many statements are in what is written down of which entries count."""

    @property
    def nothing(self) -> bool:
        """Whether there is nothing of all this, as nearly always."""
        return not (self.parked or self.held or self.locked or self.broken or self.forked or self.aside
                    or self.recount or self.due)


def outstanding(db: Connection, space: int) -> Outstanding:
    """Ask for all of it."""
    return Outstanding(*db.execute(_ASKED, (space,)).fetchone())

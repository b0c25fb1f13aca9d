"""What the parts of a home's attachments share: the store, the files, the space, and who uses what."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from chez.blobs.files import PieceFiles
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection, Database

__all__ = ("Shared",)


@dataclass(slots=True)
class Shared:
    """The attachments of one space of a home; `space` gives it as it is now, `entropy` fresh random bytes."""

    database: Database
    files: PieceFiles
    space: Callable[[], SpaceKeys]
    entropy: Callable[[int], bytes]
    permit: Callable[[], None] = lambda: None
    """Raises `NotAllowed` where this device may add nothing."""
    adding: set[int] = field(default_factory=set)
    """Rows of additions under way. Changed in the writer's thread alone, as `fresh` is."""
    fresh: set[str] = field(default_factory=set)
    """Blobs added in this session that no record has held yet: a record is about to."""
    _reading: "Counter[str]" = field(default_factory=Counter)

    def elsewhere(self, space: Callable[[], SpaceKeys], permit: Callable[[], None]) -> "Shared":
        """The same for another space of the home: the files and who uses what are one."""
        return Shared(self.database, self.files, space, self.entropy, permit, self.adding, self.fresh, self._reading)

    def in_use(self, db: Connection) -> set[str]:
        """The blobs that must not be freed now; in the writer's thread."""
        for id in list(self.fresh):
            if db.execute("SELECT 1 FROM blob_reference WHERE blob = ?", (id,)).fetchone():
                self.fresh.discard(id)
        return self.fresh | {id for id, readers in list(self._reading.items()) if readers}

    def is_read(self, id: str) -> bool:
        """Whether a blob is being read or sent."""
        return self._reading[id] > 0

    @contextmanager
    def reading(self, id: str) -> Iterator[None]:
        """Keep a blob from being freed while the block lasts."""
        self._reading[id] += 1
        try:
            yield
        finally:
            self._reading[id] -= 1

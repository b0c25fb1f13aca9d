"""How far a file was read, so that an import that was cut off goes on there.

What is skipped then must be as this file has it. So a mark says how many of its records are written, and which write
was the last then: it counts for nothing once another source changed one of the records that were there.
"""

import hashlib
from typing import Any, Final

from chez.connectors import Connector, Source
from chez.connectors.frames import configuration_of
from chez.connectors.zipped import Zipped
from chez.store.database import Connection

__all__ = ("ImportMark", "forget_marks")

_ELSEWHERE: Final = """
SELECT 1 FROM record INDEXED BY record_by_change WHERE changed > ? AND born <= ? AND space = ?
AND editor IS NOT NULL AND json ->> '$._source' IS NOT NULL AND instr(json ->> '$._source', ?) = 0 LIMIT 1
"""
"""Whether a record that was there was changed elsewhere, and is of another file: perhaps by an import there. Those on
this device take marks away."""


def forget_marks(db: Connection, space: int, *, but: str = "") -> None:
    """Another file changed records of a space: whatever was cut off there begins at its first record again.

    `but` is the setting of an import that stays.
    """
    db.execute("DELETE FROM meta WHERE key GLOB ? AND key != ?", (f"import.{space}.*", but))


class ImportMark:
    """The setting that says how many records of a file, read in one very way, are written; of one import."""

    def __init__(self, space: int, connector: Connector, source: Source) -> None:
        plan = connector.plan.items() if isinstance(connector, Zipped) else ()
        way = repr([(connector.name, connector.version, configuration_of(connector)),
                    *sorted((member, c.name, c.version) for member, c in plan)])
        self.digits = source.sha256.hex()[:16]
        """By which a record's source names the file."""
        self._space = space
        self._setting = f"import.{space}.{hashlib.sha256(source.sha256 + way.encode()).hexdigest()[:32]}"
        self._begun = False

    def begin(self, db: Connection) -> int:
        """How many records are written, and as this file has them."""
        position, written = self._read(db) or (0, 0)
        self._begun = position > 0 and not self._changed_elsewhere(db, written)
        return position if self._begun else 0

    def set(self, db: Connection, *, position: int, updated: bool) -> None:
        """So many records are written with this transaction, some of which were `updated`.

        Only ever further: another import of this file may go on at the same time. When this import's mark was taken
        away meanwhile, it sets none any more.
        """
        if updated:  # what other imports, also of this file by other means, wrote of these is no more
            forget_marks(db, self._space, but=self._setting)
        if not position:
            return
        if self._begun:
            before = self._read(db)
            if before is None or self._changed_elsewhere(db, before[1]):
                self.forget(db)
                return
            position = max(position, before[0])
        self._begun = True
        written: int = db.execute("SELECT max(changed) FROM record").fetchone()[0] or 0
        db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                   (self._setting, f"{position} {written}".encode()))

    def forget(self, db: Connection) -> None:
        """Begin at the first record again, when this file is imported again."""
        db.execute("DELETE FROM meta WHERE key = ?", (self._setting,))

    def _read(self, db: Connection) -> tuple[int, int] | None:
        row: Any = db.execute("SELECT value FROM meta WHERE key = ?", (self._setting,)).fetchone()
        if row is None:
            return None
        position, _, written = row[0].partition(b" ")
        return int(position), int(written or 0)

    def _changed_elsewhere(self, db: Connection, written: int) -> bool:
        return db.execute(_ELSEWHERE, (written, written, self._space, self.digits)).fetchone() is not None

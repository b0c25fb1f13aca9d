"""Writes that wait together and share one transaction, each undone alone when it fails.

Each runs inside a savepoint of its own, but for one that is alone: with a savepoint SQLite keeps a
copy in memory of each page that is written to, and what takes in many records writes to many. *Parts* of the same
work that follow each other, such as the puts of many tasks, run inside one, by one call,
which costs a fraction; when that fails, they are undone together and done again one by one, so
that one part fails alone.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final

import msgspec
import sqlcipher3

from chez.store.disk import storage_error

__all__ = ("FROM_SQLITE", "Joint", "Write", "carry_out", "part_of")

FROM_SQLITE: Final = (sqlcipher3.Error, MemoryError)

Joint = Callable[[Any, Sequence[Any]], Sequence[Any]]
"""Work that is done for several parts at once, over a connection; the result of each in order."""


class Write(msgspec.Struct, eq=False):
    """One that waits, and what became of it; `joint` and `part`, of one that is a part."""

    work: Callable[[Any], Any] | None
    done: "asyncio.Future[Any]"
    shown_first: bool = False
    joint: Joint | None = None
    part: Any = None
    error: BaseException | None = None
    result: Any = None

    def alone(self, db: Any) -> Any:
        """Do it by itself; what it answers. Raises as its work does."""
        if self.joint is not None:
            return self.joint(db, (self.part,))[0]
        assert self.work is not None
        return self.work(db)


def part_of(joint: Joint, part: Any, done: "asyncio.Future[Any]") -> Write:
    """A part of some work, which can be done alone too."""
    return Write(None, done, joint=joint, part=part)


def carry_out(db: Any, group: Sequence[Write], undone: Callable[[], None]) -> None:
    """Do writes in their order, in an open transaction; each keeps its result or error.

    `undone` is called whenever some of it was taken back. Raises what ended the whole transaction.
    """
    if len(group) == 1:
        _only(db, group[0], undone)
        return
    for joint, same in groupby(group, lambda write: write.joint):
        writes = list(same)
        if joint is None or len(writes) == 1 or not _together(db, joint, writes, undone):
            for write in writes:
                _one(db, write, undone)


def _together(db: Any, joint: Joint, writes: list[Write], undone: Callable[[], None]) -> bool:
    """Do parts by one call; False if that failed, and left no trace."""
    db.execute("SAVEPOINT work")
    try:
        results = joint(db, [write.part for write in writes])
        db.execute("RELEASE work")
    except BaseException:
        if not db.in_transaction:  # as below
            raise
        _take_back(db, undone)
        return False
    for write, result in zip(writes, results, strict=True):
        write.result = result
    return True


def _only(db: Any, write: Write, undone: Callable[[], None]) -> None:
    """Do what is the whole of the transaction: it is undone with that, and another one begun."""
    try:
        write.result = write.alone(db)
    except BaseException as error:
        write.error = storage_error(error) if isinstance(error, FROM_SQLITE) else error
        if not db.in_transaction:  # as below
            raise
        db.execute("ROLLBACK")
        db.execute("BEGIN IMMEDIATE")
        undone()


def _one(db: Any, write: Write, undone: Callable[[], None]) -> None:
    db.execute("SAVEPOINT work")
    try:
        write.result = write.alone(db)
        db.execute("RELEASE work")
    except BaseException as error:
        write.error = storage_error(error) if isinstance(error, FROM_SQLITE) else error
        if not db.in_transaction:  # on a full disk SQLite may undo the whole group by itself
            raise
        _take_back(db, undone)


def _take_back(db: Any, undone: Callable[[], None]) -> None:
    db.execute("ROLLBACK TO work")
    db.execute("RELEASE work")
    undone()

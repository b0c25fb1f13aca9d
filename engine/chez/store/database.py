"""One SQLCipher file under aiosqlite: grouped durable writes, concurrent reads.

Work is a plain function over a connection. `write` runs it inside a transaction on the
writer's thread; functions that wait together share one commit, each inside a savepoint
of its own, so that one failing leaves the others alone. A `write` that returned has
survived `kill -9` and power loss (WAL, `synchronous=FULL`). `read` runs beside it on a
second connection and sees the last commit.

What is held durably elsewhere (entries that a relay handed out, or is storing for their author)
may be *shown first*: it can be read once it is committed, and is made durable a moment later,
before its write returns. A power cut in between loses nothing: the cursor goes back with it, and
the relay hands it out again, or is given it again by its author before. A group with any other
write in it is durable before it shows.
Of what is even told *ahead*, before its write begins, whoever reads from then on waits for that write.

The same functions run on a bare connection (`store.file.connect`) in the simulation tests.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import sqlcipher3

from chez.errors import ChezError, NotAllowed, StorageFailed
from chez.store.disk import is_of_the_file, storage_error
from chez.store.file import Connection, check_schema, connect, migrate
from chez.store.log import Log
from chez.store.writes import FROM_SQLITE, Write, carry_out, part_of
from chez.tasks import finished

__all__ = ("Connection", "Database", "home_closed")

T = TypeVar("T")
P = TypeVar("P")

GROUP: Final = 512
"""Writes in one commit: more saves no fsync worth having and delays the first. What is the same for each commit (the
value of a wide record written anew, its entry, the pages) was an eighth of what half as many took."""

BACKLOG: Final = 4
"""Of parts of the same work that wait, one in so many shares the next commit, if that is more: each commit writes the
pages anew that an index of hashes spreads its rows over. The first ones come in small groups, and so do the last,
so that who receives them begins soon, and has little left to do after the last."""

PARTS: Final = 1024
"""But no more than these, nor than twice as many as the last time."""


@dataclass(slots=True, eq=False)
class Database:
    """An open store. Made by `Database.open`; `close` ends it, waiting for what was begun."""

    path: Path
    _writer: aiosqlite.Connection
    _reader: aiosqlite.Connection
    key: bytearray = field(repr=False)  # zeros once it is closed
    read_only: bool = False
    before_commit: Callable[[Connection], None] | None = None
    """Called inside every transaction, just before it commits."""
    after_commit: Callable[[], None] | None = None
    """Called in the writer's thread once a transaction is committed (and durable, unless it is shown first)."""
    after_rollback: Callable[[], None] | None = None
    """Called in the writer's thread when some work was undone (caches are stale then)."""
    alone: bool = False
    """In the writer's thread: whether a write is all that its transaction does before `before_commit`."""
    _queue: list[Write] = field(default_factory=list)
    _count: int = 0
    """How many writes are in the group that was begun last; none while there is nothing to write."""
    _writing: bool = False
    """Whether a group is being written, or about to be."""
    _rested: "asyncio.Future[None] | None" = None
    """For who closes: done once nothing is to be written any more."""
    _closed: bool = False
    _asker: aiosqlite.Connection | None = None
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock)
    _looks: int = 0
    """How many looks the writer's thread was asked for, counted by the loop,"""
    _looked: int = 0
    """and how many it took, counted by that thread."""
    _calls: list[Callable[[], None]] = field(default_factory=list)
    _aside: dict[threading.Event, asyncio.Event] = field(default_factory=dict)
    """Of the work that runs on threads of its own: what says that it is unwanted, and that it ended."""
    _ahead: "asyncio.Future[Any] | None" = None
    """The last write of which it was told before it began what it would show."""
    _held: Callable[[], None] | None = None
    """Begins a write of which it was told what it will show, and which nobody needs yet."""
    _log: Log = field(init=False)

    def __post_init__(self) -> None:
        self._log = Log(self.path)

    @classmethod
    async def open(cls, path: Path, key: bytes, *, read_only: bool = False) -> "Database":
        """Open, and migrate if needed. Raises `Damaged`, `StorageFailed`.

        `read_only` opens beside whoever writes: every write raises `NotAllowed`. Who writes has it alone.
        """
        writer = await _connected(path, key, read_only, first=True)
        try:
            await _run(writer, partial(_prepare, read_only))
            reader = await _connected(path, key, read_only)
        except BaseException:
            await writer.close()
            raise
        return cls(path, writer, reader, bytearray(key), read_only)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction; returns its result once that is durable.

        What `work` raises undoes `work` alone and is raised here. Raises
        `StorageFailed` when the commit itself fails: then nothing of the group is kept.
        """
        # A caller that is cancelled leaves its write to finish with its group: only its future is cancelled.
        return await self.submit(work)

    def submit(self, work: Callable[[Connection], T], *, shown_first: bool = False,
               ahead: bool = False) -> "asyncio.Future[T]":
        """As `write`, at once: writes are done in the order of these calls.

        `ahead`: it is told at once what this will show, so reads wait for it.
        """
        done = self._enqueue(Write(work, asyncio.get_running_loop().create_future(), shown_first))
        self._ahead = done if ahead else self._ahead
        return done

    def submit_part(self, work: Callable[[Connection, Sequence[P]], Sequence[T]], part: P) -> "asyncio.Future[T]":
        """As `submit`, of work that is done at once for several such parts that wait one after the other.

        It answers for each in order. If it raises, all is undone and done again for each part alone.
        """
        return self._enqueue(part_of(work, part, asyncio.get_running_loop().create_future()))

    def check_writable(self, hint: str = "Open it without read_only=True to write.") -> None:
        """Raises `NotAllowed`, with this hint, where it was opened for reading only."""
        if self.read_only and not os.access(self.path.parent, os.W_OK):
            raise NotAllowed(f"the home at {self.path.parent} is only read: nothing can be written there",
                             "Its disk is read-only, or its folder is not yours: change that, or copy all of it.")
        if self.read_only:
            raise NotAllowed("this home was opened for reading only", hint)

    def check_open(self) -> None:
        """Raises `StorageFailed` once it is closed."""
        if self._closed:
            raise home_closed()

    def hold(self, begin: Callable[[], None]) -> None:
        """It was told what a write will show that is not begun yet: `begin` does that, and is called at once, once,
        when anybody reads, looks or writes. None of these is begun meanwhile, so there is one at a time.
        """
        self._held = begin

    def let_go(self) -> bool:
        """What is held is done otherwise, by the next write; whether it was held still."""
        held, self._held = self._held, None
        return held is not None

    def begin_held(self) -> None:
        """Begin what is held, if anything is."""
        held, self._held = self._held, None
        if held is not None:
            held()

    def _enqueue(self, entry: Write) -> "asyncio.Future[Any]":
        self.check_open()
        self.check_writable()
        self.begin_held()
        self._queue.append(entry)
        if not self._writing:
            self._writing = True
            entry.done.get_loop().call_soon(self._begin)  # who writes at the same time is in the same group
        return entry.done

    async def look(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which writes nothing, on the writer's thread, after the writes that were asked for before.

        For what needs the writer's caches; where nothing else waits it costs no transaction. Raises as `write`.
        """
        self.begin_held()
        if self._closed or self.read_only or self._writing:
            return await self.write(work)
        self._looks += 1
        return await _run(self._writer, partial(self._looking, work))

    def glance(self, work: Callable[[Connection], T | None]) -> T | None:
        """As `look`, of what takes no longer than the way to the writer's thread, at once: on the loop's own.

        None while that thread has something to do, for what it works with is its own then; whoever gets None looks.
        """
        if self._closed or self.read_only or self._writing or self._held or self._looks != self._looked:
            return None
        return _reading(work, self._writer._conn)

    def _looking(self, work: Callable[[Connection], T], db: Connection) -> T:
        try:
            return _reading(work, db)
        finally:
            self._looked += 1  # not where it was asked for: whoever asked may be cancelled meanwhile

    async def _told(self) -> None:
        """Wait until the store has, or will not have, what was told ahead of it. Raises `StorageFailed` when closed."""
        self.begin_held()
        while self._ahead is not None and not self._ahead.done():
            await asyncio.wait((self._ahead,))
            self.begin_held()  # it was told meanwhile
        self._ahead = None
        self.check_open()

    async def make_room(self) -> None:
        """Somebody is about to write many small transactions: have each of them synced sooner (`store.log`)."""
        if not (self._closed or self.read_only):
            await _run(self._writer, lambda _: self._log.make_room())

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the reading connection; it sees everything committed, and told, before."""
        await self._told()
        return await _run(self._reader, partial(_reading, work))

    async def ask(self, work: Callable[[Connection], T]) -> T:
        """As `read`, for statements that others wrote: on a bounded connection that nothing else waits for.

        Raises `StorageFailed` if nothing can be bounded here.
        """
        async with self._asking:
            await self._told()
            if self._asker is None:
                self._asker = await _connected(self.path, self.key, self.read_only, bounded=True)
        return await _run(self._asker, work)

    async def aside(self, work: Callable[[Connection, Callable[[], None]], T]) -> T:
        """Run long `work` on a connection and a thread of its own: nothing else waits for it.

        A caller that is cancelled waits until `work` has ended, and so does who closes the store: from then on its
        statements fail, and so does the second argument, which `work` calls between them.
        """
        await self._told()
        unwanted = threading.Event()

        def check() -> None:
            self.check_open()
            if unwanted.is_set():
                raise StorageFailed("this was cancelled")

        def run() -> T:
            db = connect(self.path, self.key, read_only=self.read_only)
            db.set_progress_handler(unwanted.is_set, 10_000)  # ends the statement when it says yes
            try:
                check()
                return work(db, check)
            except sqlcipher3.Error as error:
                check()
                raise storage_error(error) from None
            finally:
                db.close()

        self._aside[unwanted] = ended = asyncio.Event()
        try:
            return await finished(asyncio.to_thread(run), unwanted.set)
        finally:
            del self._aside[unwanted]
            ended.set()

    async def close(self) -> None:
        """Finish what is queued, then close both connections; also where who closes is cancelled meanwhile."""
        self._closed = True
        await finished(self._close())

    async def _close(self) -> None:
        if self._writing:
            self._rested = asyncio.get_running_loop().create_future()
            await self._rested
        for unwanted, ended in list(self._aside.items()):
            unwanted.set()
            await ended.wait()  # it works under the key
        async with self._asking:
            if self._asker is not None:
                await self._asker.close()
        await self._reader.close()
        await self._writer.close()
        self.key[:] = bytes(len(self.key))

    def _begin(self) -> None:
        """Give the writer's thread the next group, if anything waits."""
        if not self._queue:
            self._writing, self._count = False, 0
            if self._rested is not None and not self._rested.done():  # who closes may have given up
                self._rested.set_result(None)
            return
        self._count = self._next_count()
        group, self._queue = self._queue[:self._count], self._queue[self._count:]
        # As in `_run`; with no future, for what one would cost in turns of the loop.
        self._writer._tx.put_nowait((None, partial(self._write_group, group)))

    def _write_group(self, group: list[Write]) -> None:
        """In the writer's thread: write a group, and wake the loop once, for all that follows from it."""
        loop, self._calls = group[0].done.get_loop(), []
        try:
            self._commit(self._writer._conn, group=group)
        except BaseException as error:
            for entry in group:
                entry.error = error if entry.error is None else entry.error
        loop.call_soon_threadsafe(self._written, group, self._calls)

    def _written(self, group: list[Write], calls: list[Callable[[], None]]) -> None:
        """A group was written, or was not: tell who waits for it, after what is to be sent of it."""
        try:
            for call in calls:
                call()
        finally:
            for entry in group:
                if entry.done.cancelled():
                    continue
                if entry.error is not None:
                    entry.done.set_exception(entry.error)
                    entry.done.exception()  # a cancelled caller no longer looks; that is no leak
                else:
                    entry.done.set_result(entry.result)
            self._begin()

    def _next_count(self) -> int:
        """How many of the writes that wait are in the next commit; `_count` is how many were in the last one."""
        joint, count = self._queue[0].joint, min(len(self._queue) // BACKLOG, PARTS, 2 * self._count)
        if joint is None or count <= GROUP or any(write.joint != joint for write in self._queue[:count]):
            return GROUP
        return count

    def in_loop(self, call: Callable[[], None]) -> None:
        """For `after_commit`: `call` comes in the loop, before anybody hears there that it is committed."""
        self._calls.append(call)

    def _commit(self, db: Connection, *, group: list[Write]) -> None:
        shown_first, log = all(entry.shown_first for entry in group), self._log
        try:
            if log.unsynced:  # what failed to become durable before comes first: this may send it
                log.sync()
            log.commits(db, synced=not shown_first)
            db.execute("BEGIN IMMEDIATE")
            before, self.alone = db.total_changes, len(group) == 1
            carry_out(db, group, self._undone)
            worked = db.total_changes
            if self.before_commit is not None and worked != before:
                self.before_commit(db)
            sealed = db.total_changes != worked
            db.execute("COMMIT")
            if shown_first and sealed:  # what leaves after this commit has to be durable before
                log.sync()
            if self.after_commit is not None:
                self.after_commit()
            if shown_first and not sealed:
                log.sync()
            if shown_first:
                log.write_back(db)
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._undone()
            if isinstance(error, FROM_SQLITE):
                raise storage_error(error) from None
            raise

    def _undone(self) -> None:
        if self.after_rollback is not None:
            self.after_rollback()


def home_closed() -> StorageFailed:
    """What a closed home answers."""
    return StorageFailed("this home is closed", "Open it again.")


def _reading(work: Callable[[Connection], T], db: Connection) -> T:
    try:
        return work(db)
    except sqlcipher3.Error as error:
        if is_of_the_file(error):  # others are about the statement
            raise storage_error(error) from None
        raise


def _prepare(read_only: bool, db: Connection) -> None:
    try:
        check_schema(db) if read_only else migrate(db)
    except sqlcipher3.Error as error:
        raise storage_error(error) from None


async def _connected(path: Path, key: bytes | bytearray, read_only: bool, *, bounded: bool = False,
                     first: bool = False) -> aiosqlite.Connection:
    failures: list[ChezError] = []

    def connector() -> Connection:
        try:
            if first and not read_only:
                Log(path).make_sure()
            return connect(path, key, read_only=read_only, bounded=bounded)
        except ChezError as error:
            failures.append(error)
            return sqlcipher3.connect(":memory:")

    # A connector that raises leaves aiosqlite's thread unjoined, to fail later on a loop
    # that may be closed: so a failure opens something that can be closed in order.
    connection = aiosqlite.Connection(connector, iter_chunk_size=256)
    try:
        await finished(_begun(connection))
        if failures:
            raise failures[0]
    except BaseException:
        await connection.close()
        raise
    return connection


async def _begun(connection: aiosqlite.Connection) -> None:
    await connection


async def _run(connection: aiosqlite.Connection, work: Callable[[Connection], T]) -> T:
    # aiosqlite has no public call that runs a function on its thread, and a hop for each
    # statement would cost more than the statements (recipes: one hop per commit).
    result: T = await connection._execute(work, connection._conn)  # type: ignore[no-untyped-call]
    return result

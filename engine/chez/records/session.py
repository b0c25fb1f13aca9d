"""`Typing`: a text open for an editor's keystrokes.

The core is `records.sheet`; here are the tasks around it: one visits the record when
enough was typed or somebody else wrote, one listens for the latter.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from chez.errors import InvalidValue, Misuse
from chez.records.cursors import FieldPath
from chez.records.engine import Engine
from chez.records.sheet import BATCH, Sheet
from chez.records.text import Splice

__all__ = ("WITHIN", "Typing", "typing")

WITHIN: Final = 0.2
"""Seconds after which what was typed is being written: strokes share a commit, and while the home is connected an
entry, which takes 1 KiB at least."""


@asynccontextmanager
async def typing(engine: Engine, collection: str, id: str, path: FieldPath, within: float) -> "AsyncIterator[Typing]":
    """Open a text (see `Collection.typing`)."""
    if isinstance(within, bool) or not isinstance(within, int | float) or not 0 <= within <= 60:
        raise InvalidValue(f"what is typed is written within 0 to 60 seconds, not {within!r}")
    steps: tuple[str | int, ...] = (path,) if isinstance(path, str) else tuple(path)
    known = await engine.database.write(
        lambda db: engine.records.begin_typing(db, engine.space, collection, id, steps))
    text = Typing(engine, collection, id, steps, Sheet(known, engine.records.now), within)
    text.start()
    try:
        yield text
    finally:
        await text.end()


@dataclass(slots=True, eq=False)
class _Flush:
    """Somebody waits until so many strokes are written, by a visit that begins after the ask."""

    total: int
    visit: int
    done: "asyncio.Future[None]"


@dataclass(slots=True, eq=False, repr=False)
class Typing:
    """A text being typed in; made by `Collection.typing`.

    It reads as what is in front of the person who types: what they typed, at once, and what
    others wrote up to the last `take` (or step of `arrivals`). Positions count code points of
    that.
    """

    _engine: Engine
    _collection: str
    _id: str
    _path: Sequence[str | int]
    _sheet: Sheet
    _within: float
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)
    _timer: asyncio.TimerHandle | None = None
    _tasks: "list[asyncio.Task[None]]" = field(default_factory=list)
    _flushes: list[_Flush] = field(default_factory=list)
    _visits: int = 0
    _error: Exception | None = None
    _ending: bool = False

    def __repr__(self) -> str:
        return f"<Typing in a text of {len(self):,} characters, {self.pending:,} strokes not durable yet>"

    # --- reading --------------------------------------------------------------------------

    def __str__(self) -> str:
        return str(self._sheet)

    def __len__(self) -> int:
        return len(self._sheet)

    @property
    def content(self) -> str:
        """What the text reads."""
        return str(self._sheet)

    @property
    def pending(self) -> int:
        """How many strokes are not durable yet: a crash now would lose these, the last ones."""
        return self._sheet.pending

    @property
    def error(self) -> Exception | None:
        """Why the last attempt to write failed; None when it did not.

        What was typed stays in the session; typing goes on, and each `flush` and each stroke
        that follows lead to another attempt.
        """
        return self._error

    # --- typing ---------------------------------------------------------------------------

    def splice(self, at: int, delete: int = 0, insert: str = "") -> None:
        """Take out `delete` characters at a position and put in others: shown at once, durable soon.

        Each call is a change of the record by itself; one of more than 32,768 characters is several.
        Raises `InvalidValue` for a position outside the text, and `Misuse` once the block has ended;
        then nothing has changed.
        """
        self._check_open()
        self._sheet.splice(at, delete, insert)
        self._due()

    def insert(self, at: int, text: str) -> None:
        """Put characters in at a position. Raises as `splice` does."""
        self.splice(at, 0, text)

    def delete(self, at: int, count: int = 1) -> None:
        """Take characters out at a position. Raises as `splice` does."""
        self.splice(at, count)

    def append(self, text: str) -> None:
        """Put characters in at the end. Raises as `splice` does."""
        self.splice(len(self._sheet), 0, text)

    def undo(self) -> tuple[Splice, ...]:
        """Take back what was last typed here in one go, leaving alone what others wrote.

        In one go is what was typed on at one place, without a pause of over a second. It is an edit as any
        other, a change more. Returns what it did to the text, to be applied one step after the other; nothing when
        nothing is left to undo. Up to 1,000 steps of this session can be undone. Raises `Misuse`
        once the block has ended.
        """
        self._check_open()
        return self._moved(self._sheet.undo())

    def redo(self) -> tuple[Splice, ...]:
        """Take back the last undo, if nothing was typed since. Returns, and raises, as `undo` does."""
        self._check_open()
        return self._moved(self._sheet.redo())

    def _moved(self, steps: tuple[Splice, ...]) -> tuple[Splice, ...]:
        if steps:
            self._due()
        return steps

    async def flush(self) -> None:
        """Return once all that was typed before is durable, and what others wrote until now can be taken.

        Raises `StorageFailed` when the disk refuses, `NotFound` while the record is deleted or when the text is
        gone, `RecordPurged`; what was typed stays in the session. Raises `Misuse` once the block has ended.
        """
        self._check_open()
        flush = _Flush(self._sheet.total, self._visits + 1, asyncio.get_running_loop().create_future())
        self._flushes.append(flush)
        self._wake.set()
        await flush.done

    # --- what others write ------------------------------------------------------------------

    def take(self) -> tuple[Splice, ...]:
        """Show what others wrote, as far as it has arrived in the session.

        Returns what that did to the text: to be applied, one step after the other, to whatever shows it.
        """
        return self._sheet.take()

    async def arrivals(self) -> AsyncIterator[tuple[Splice, ...]]:
        """What others write (on other devices, and elsewhere on this one), as it arrives: `take`, again and again.

            async for steps in text.arrivals():
                for step in steps:                  # one after the other, before anything else is typed
                    view.replace(step.at, step.at + step.delete, step.insert)

        Ends when the home closes, or the block ends.
        """
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            if steps := self.take():
                yield steps
            if self._ending or self._tasks[1].done():
                return

    # --- for the engine -----------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write what is typed, and to listen."""
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._listen())]

    async def end(self) -> None:
        """Write what is left. Raises what `flush` does."""
        self._ending = True
        self._wake.set()
        self._arrived.set()
        if self._timer is not None:
            self._timer.cancel()
        self._tasks[1].cancel()
        await asyncio.wait(self._tasks)  # whoever is cancelled here leaves them to finish
        self._tasks[0].result()
        if self._sheet.pending and self._error is not None:
            raise self._error

    def _check_open(self) -> None:
        if self._ending:
            raise Misuse("this text is not being typed in any more", "async with notes.typing(id, field) as text: ...")

    def _due(self) -> None:
        if self._sheet.waiting >= BATCH:
            self._wake.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._within, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake.set()

    async def _listen(self) -> None:
        try:
            with self._engine.news.follow(self._collection, frozenset((self._id,))) as follower:
                self._wake.set()  # what came before this is looked for, too
                while await follower.news():
                    self._wake.set()
        finally:
            self._arrived.set()

    async def _write(self) -> None:
        """Visit the record whenever there is reason to; the last time when the block ends."""
        while not self._ending or self._sheet.pending or self._flushes:
            await self._wake.wait()
            self._wake.clear()
            went_well = await self._visit()
            if self._ending and not went_well:
                break
            if self._ending or (went_well and (self._flushes or self._sheet.waiting >= BATCH)):
                self._wake.set()

    async def _visit(self) -> bool:
        """Write a batch, and learn what others wrote; whether that went well."""
        engine = self._engine
        self._visits += 1
        known, strokes = self._sheet.batch()
        try:
            taken = await engine.database.write(lambda db: engine.records.take_down(
                db, engine.space, self._collection, self._id, self._path, known, strokes))
        except Exception as error:  # told to whoever waits, by `error`, and when the block ends
            self._sheet.failed()
            self._error = error
            self._answer(error)
            return False
        self._error = None
        if self._sheet.written(taken):
            self._arrived.set()
        self._answer(None)
        return True

    def _answer(self, error: Exception | None) -> None:
        """Tell those who wait for what is written now, or why it is not."""
        written = self._sheet.total - self._sheet.pending
        waiting, self._flushes = self._flushes, []
        for one in waiting:
            if one.done.done():
                continue
            if error is None and (one.total > written or one.visit > self._visits):
                self._flushes.append(one)
            elif error is None:
                one.done.set_result(None)
            else:
                one.done.set_exception(error)

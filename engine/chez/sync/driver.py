"""Drives the `Lanes` of one connection: what the websocket brings, what the store is given to do, what is sent.

One task goes round: it sends what is ready, waits for news, lets the machines react to what came, and commits a pass of
the work there is in one group. A second task only reads the socket into a queue, which the subscriptions' credit
bounds, and the `Inbox` where a relay keeps to none. What is in a hurry goes past the task, at once: what was sealed, as
soon as it is durable, and what comes alone while the task rests. A connection that ends is not begun again here
(`sync.link`).
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from chez.errors import ChezError, HomeCopied, SpaceFull
from chez.store.database import Database
from chez.sync.copied import note_copy
from chez.sync.flow import LEAST_WINDOW
from chez.sync.inbox import Inbox
from chez.sync.keeping import Keeping
from chez.sync.lane import Job, Lane, State
from chez.sync.lanes import Lanes
from chez.sync.patience import FIRST_PAUSE, LONGEST_PAUSE
from chez.sync.replica import Replica
from chez.sync.sealer import ForLane
from chez.sync.work import Work

if TYPE_CHECKING:
    from chez.sync.socket import Socket

__all__ = ("Driver", "Found", "Said")

GATHER: Final = 0.004
"""Seconds for which acknowledgements wait to be noted together, while nobody waits for them. What was sent is on its
way to other devices then, which may share this one's processors: it took a core from them, and the disk."""

HOLD: Final = 0.05
"""Seconds for which an entry that the relay is storing waits for its place, if nobody reads or writes: a disk takes
some milliseconds, a busy one some tens. It is two transactions where it does not wait."""

Found = Callable[[int], Awaitable[None]]
"""Hears of a space that another device told of, by its row: it is to be opened, or read again."""

Said = Callable[[Replica, bytes, Callable[[bytes], bool]], None]
"""Hears of an ephemeral message that came just now, sealed, and what sends one back to its sender alone."""


class Driver:
    """One connection, from its open websocket to its end; the socket is read inside `async with`.

    Whoever drives it calls `send`, `wait` and `round` in turn. `keeping` is what the relay is to keep of it.
    """

    def __init__(self, database: Database, lanes: Lanes, socket: "Socket", found: Found, said: Said,
                 keeping: Keeping | None) -> None:
        self.lanes = lanes
        """Its spaces; who tells them something calls `stir` after that."""
        self._database = database
        self._socket = socket
        self._found = found
        self._said = said
        self._keeping = keeping
        self._sealed: list[ForLane] = []  # durable, to be sent
        self._frames: deque[bytes] = deque()  # to be sent, in order
        self._inbox = Inbox()
        self._begun: list[tuple[Job, asyncio.Future[Any]]] = []  # work that the store was given
        self._held: tuple[Job, asyncio.TimerHandle] | None = None  # work of which it was told, and that waits
        self._rests = False  # whether its task has nothing to do, and waits for news
        self._gone: BaseException | None = None
        self._ended = False
        self._silent = False  # whether that is because the relay did not answer
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.Task[None] | None = None
        self._checks: set[asyncio.Task[None]] = set()
        self._gathering: asyncio.TimerHandle | None = None
        self._pauses: dict[Lane, asyncio.TimerHandle] = {}  # of the spaces that rest, or did when it was set

    async def __aenter__(self) -> Self:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        self._rests = False
        self._gone = self._gone or ConnectionError("closed")
        if self._held is not None:  # it was told what it shows
            self._database.begin_held()
        self._socket.take(None)
        if self._gathering is not None:
            self._gathering.cancel()
        if self._reader is not None:
            self._reader.cancel()
        await self._socket.close()

    @property
    def idle(self) -> bool:
        """Whether everything known of either side has reached the other."""
        return self.lanes.settled and not (self._sealed or self._inbox or self._silent)

    def reached(self, space: bytes, *, said: bool = False) -> bool:
        """The same of one space, by its id, and of what is here of it; `said`: of all but what waits for room."""
        lane = self.lanes.of.get(space)
        return lane is not None and (lane.idle or (said and lane.stuck and not lane.machine.unsaid)) and not any(
            sealed is lane for sealed, _, _ in self._sealed)

    def full(self, space: bytes) -> bool:
        """Whether a space, by its id, goes on but for changes that the relay has no room for."""
        lane = self.lanes.of.get(space)
        return lane is not None and lane.state is State.LIVE and lane.machine.outgoing.full is not None and (
            not lane.machine.unsaid)

    def stir(self) -> None:
        """There may be something to do."""
        self._news.set()

    def end(self, reason: OSError) -> None:
        """End the connection, once what was begun is done. Nothing more is sent."""
        self._gone, self._ended = reason, True
        if self._socket.waits:  # perhaps for very long, for who takes nothing, or little
            self._socket.abort()
        self._news.set()

    def greeted(self) -> None:
        """The relay had its time to answer the greeting: what takes connections and says nothing is given up."""
        if not self.lanes.welcomed:
            self.end(ConnectionError("what answers there does not greet"))

    def listen(self) -> None:
        """Look whether the relay answers what it was asked: to be called now and then."""
        if self._inbox:  # it may be among what was not looked at yet: the store has much to do
            return
        try:
            self.lanes.listen(self._loop.time(), self._socket.carried)
        except ChezError as error:  # as in `durable`
            self._gone = self._gone or error
        self._news.set()

    def check(self, seconds: float) -> asyncio.Task[None]:
        """Ask whether the relay is there still; a connection on which it does not answer in time is given up.

        The task ends with the answer, or in time.
        """
        check = asyncio.create_task(self._ask(seconds))
        self._checks.add(check)
        check.add_done_callback(self._checks.discard)
        return check

    async def _ask(self, seconds: float) -> None:
        if self._gone is None and not await self._socket.alive(seconds) and self._gone is None and (
                not self._socket.closed):  # else who reads hears why
            self._silent = True
            self.end(ConnectionError("the relay does not answer"))

    def gathered(self) -> None:
        """Acknowledgements have waited long enough."""
        self._gathering = None
        if self.lanes.gathering:
            self.lanes.gathered()
            self._news.set()

    def durable(self, sealed: list[ForLane]) -> None:
        """What was sealed is durable: it is sent now, as far as the socket takes it."""
        self._sealed += sealed
        self._news.set()
        if self._gone is not None:
            return
        try:  # before all else that the loop has to do, the task's next turn among it
            self._collect()
            while self._frames and self._socket.send_now(self._frames[0]):
                self._frames.popleft()
        except Exception as error:  # whoever is told of it, it is the task that ends with it
            self._gone = error

    # --- the task's turn ----------------------------------------------------------------

    async def send(self) -> None:
        """Send what is ready. Raises `OSError`."""
        self._collect()
        while self._frames and not self._ended:
            await self._socket.send(self._frames.popleft())

    async def wait(self) -> None:
        """Wait until there is something to do. Raises what ended the connection, once there is nothing left."""
        if not (self._inbox or self._sealed or self._begun or self.lanes.busy):
            if self._gone is not None:
                raise self._gone
            self._rests = True
            await self._news.wait()
        self._rests = False
        self._news.clear()

    async def round(self, *, awaited: bool) -> None:
        """React to everything that happened since the last round; commit a pass of the work in one group.

        `awaited`: somebody waits for the relay to be in step. Raises `OSError`, and what `Lanes` raises.
        """
        lanes = self.lanes
        await self._send_first()
        self._hear()
        if awaited:
            lanes.gathered()
        elif lanes.gathering and self._gathering is None:
            self._gathering = self._loop.call_later(GATHER, self.gathered)
        self._begin()
        failed = await self._finish_all()
        for n in tuple(lanes.found):
            await self._found(n)
            lanes.found.discard(n)
        if failed is not None:
            raise failed
        while lanes.resting:
            self._rest(lanes.resting.pop())
        if self._keeping is not None and self._keeping.unsaved:
            await self._database.write(self._keeping.save)

    def _collect(self) -> None:
        """Put what is to be sent behind what waits for that already."""
        while self._sealed:  # until the lane has it, it is what keeps the connection from being in step
            self.lanes.sealed(*self._sealed[0])
            del self._sealed[0]
        self._frames += self.lanes.data_to_send()

    async def _send_first(self) -> None:
        """Send what waits for that, before what else there is to do."""
        if (self._sealed or self._frames) and self._gone is None:
            try:
                await self.send()
            except OSError as error:  # what the store was given to do is to be heard of all the same
                self._gone = error

    def _begin(self) -> None:
        """Give the store the work that there is, and tell at once what is known of what it will show."""
        for job in self.lanes.take():
            told = self._taken_over(job.work) or self._told(job.work)
            if not job.work.early:
                self._submit(job, told)
            elif told:
                self._hold(job)
            else:
                self.lanes.done(job, None)

    def _told(self, work: Work) -> bool:
        """Tell what is known of what work will show; whether there was anything to tell."""
        tell = self._ahead(work)
        # Before the store's own turn: whoever is told reads no sooner than the loop is left.
        return tell is not None and (tell() or not work.early)

    def _submit(self, job: Job, told: bool) -> None:
        done = self._database.submit(job.run, shown_first=job.work.shown_first, ahead=told)
        self._begun.append((job, done))

    def _hold(self, job: Job) -> None:
        """Give the store an entry that the relay is storing when the relay is late, or somebody needs the store: else
        it is given it once, with its place.
        """
        timer = self._loop.call_later(HOLD, self._database.begin_held)
        self._held = job, timer
        self._database.hold(self._begin_held)

    def _begin_held(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held[1].cancel()
            self._submit(held[0], True)
            self._news.set()

    def _taken_over(self, work: Work) -> bool:
        """Whether work is that of an entry of which it was told already what it shows, and which is held."""
        held = self._held
        if held is None or held[0].work is not work.instead or not self._database.let_go():
            return False
        held[1].cancel()
        self._held = None
        self.lanes.done(held[0], None)
        return True

    def _ahead(self, work: Work) -> Callable[[], bool] | None:
        try:
            return None if work.ahead is None else self._database.glance(work.ahead)
        except Exception:  # it is for the work itself to find what is wrong: then its space alone stops
            return None

    async def _finish_all(self) -> Exception | None:
        """Let lanes hear what came of all that was begun; what the first raised that ends the connection.

        The others are committed, and what they led to is told by no other connection.
        """
        begun, self._begun = self._begun, []
        failed: Exception | None = None
        for job, done in begun:
            try:
                await self._finish(job, done)
            except Exception as error:
                failed = failed or error
        return failed

    async def _finish(self, job: Job, done: "asyncio.Future[Any]") -> None:
        """Let a lane hear what came of its work."""
        try:
            result = await self._committed(done)
        except ChezError as error:
            if isinstance(error, SpaceFull):
                await self._database.write(job.lane.replica.stand)
            if isinstance(error, HomeCopied):  # `chez doctor` tells it, long after this
                await self._database.write(note_copy)
            self.lanes.failed(job, error)
        else:
            self.lanes.done(job, result)

    async def _committed(self, done: "asyncio.Future[Any]") -> Any:
        """The result of work. The store may have much to do before it, and what that seals is sent meanwhile."""
        heard = False

        def woken(_: "asyncio.Future[Any]") -> None:
            if not heard:  # what the same commit sealed may have woken the task before
                self._news.set()

        done.add_done_callback(woken)
        while not done.done():
            await self._news.wait()
            self._news.clear()
            await self._send_first()
        heard = True
        return done.result()

    def _rest(self, lane: Lane) -> None:
        """Let a space that could not go on be begun anew after a pause, the longer the oftener that was."""
        pause = LONGEST_PAUSE if lane.turned_away else min(FIRST_PAUSE * 2 ** min(lane.rests - 1, 10), LONGEST_PAUSE)
        if lane in self._pauses:  # it was begun anew before its time
            self._pauses[lane].cancel()
        self._pauses[lane] = self._loop.call_later(pause * random.uniform(0.5, 1.0), self._again, lane)

    def _again(self, lane: Lane) -> None:
        del self._pauses[lane]
        if self._gone is None:
            self.lanes.again(lane)
            self._news.set()

    # --- what comes ---------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            self._socket.take(self._came)
            async for message in self._socket.messages():
                self._came(message)
                await self._inbox.room.wait()
            self._gone = self._gone or ConnectionError("closed by the relay")
        except OSError as error:
            self._gone = self._gone or error
        finally:
            self._news.set()

    def _came(self, message: bytes) -> None:
        if not self._inbox.put(message, 2 * LEAST_WINDOW * len(self.lanes.all)):
            self._socket.take(None)  # a few wait in the socket then, and the others at the relay
        if self._rests and self._gone is None:
            try:  # what comes alone is live: the task's turn takes longer than all that is done here
                self._hear()
                self._begin()
            except Exception as error:  # as in `durable`
                self._gone = error
        self._news.set()

    def _hear(self) -> None:
        """React to the messages that came."""
        lanes = self.lanes
        if not self._inbox.room.is_set():
            self._socket.take(self._came)
        for message in self._inbox.empty():
            lanes.receive(message)
        while lanes.said:
            replica, said, sender = lanes.said.pop(0)
            self._said(replica, said, partial(self.broadcast, replica.space.id, to=sender))

    def broadcast(self, space: bytes, message: bytes, to: bytes = b"") -> bool:
        """As `Link.broadcast`."""
        sent = self.lanes.broadcast(space, message, to)
        if sent:
            self._news.set()
        return sent

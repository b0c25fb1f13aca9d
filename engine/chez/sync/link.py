"""The shell around the `Lanes` of a connection: a websocket, the store, and reconnecting.

One task drives everything: it takes what arrived and what was written since it last
looked, lets the machines react, commits a pass of the work there is in one group, and
sends. A second task only reads the socket into a queue, which the subscriptions' credit
bounds, and the `Inbox` where a relay keeps to none.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from chez import crypto
from chez.errors import ChezError, HomeCopied, RelayMisbehaved, RelayRefused, RelayUnreachable, SpaceFull
from chez.store.database import Connection, Database
from chez.sync.connection import open_socket, relay_name
from chez.sync.copied import note_copy
from chez.sync.inbox import Inbox
from chez.sync.keeping import Keeping
from chez.sync.lanes import Job, Lane, Lanes, State
from chez.sync.lookout import look_out
from chez.sync.machine import LEAST_WINDOW
from chez.sync.meeting import Acquaintances
from chez.sync.patience import FIRST_PAUSE, LONGEST_PAUSE, Backoff
from chez.sync.pulse import Pulse
from chez.sync.replica import Replica
from chez.sync.sealer import ForLane, Sealer
from chez.sync.session import ClientSession
from chez.sync.waiting import turns_until
from chez.sync.work import Progress

if TYPE_CHECKING:
    from chez.sync.socket import Socket

__all__ = ("Link", "Said")

GATHER: Final = 0.004
"""Seconds for which acknowledgements wait to be noted together, while nobody waits for them. What was sent is on its
way to other devices then, which may share this one's processors: it took a core from them, and the disk."""

Found = Callable[[int], Awaitable[None]]
"""Hears of a space that another device told of, by its row: it is to be opened, or read again."""

Said = Callable[[Replica, bytes, Callable[[bytes], bool]], None]
"""Hears of an ephemeral message that came just now, sealed, and what sends one back to its sender alone."""


class Link:
    """Spaces kept in step with one relay; made by `Home.connect`.

    `status` is "connecting", "syncing", "synced" or "failed", `since` when; `error` tells why it is
    not connected, `next_try` when it is tried next; `problems` which spaces alone are not in step, and why.
    With `known` the relay is another device's, on this network: only what both prove to keep is kept in step.
    """

    def __init__(self, database: Database, device: bytes, replicas: Iterable[Replica], relay: int, url: str, *,
                 retry: bool, found: Found, keeping: Keeping | None = None,
                 known: Acquaintances | None = None, address: str | None = None,
                 said: Said = lambda replica, message, back: None) -> None:
        self.url = url
        """The relay's address."""
        self.address: str = url if address is None else address
        """The same with the pins of its key, if there are any: what is dialled."""
        self.error: ChezError | None = None
        """Why it is not connected, or why something can't be sent."""
        self.connections = 0
        """How many connections were begun: with each, `progress` begins anew."""
        self.since: float = time.time()
        """Unix seconds of when the status became what it is."""
        self.next_try: float | None = None
        """Unix seconds of when it is connected to next, while that is waited for."""
        self._database = database
        self._replicas: list[Replica] = []
        self._relay = relay
        self._retry = retry
        self._found = found
        self._said = said
        self._backoff = Backoff()
        self._pulse = Pulse()
        self._hurry = asyncio.Event()
        self._socket: Socket | None = None
        self._checks: set[asyncio.Task[bool]] = set()
        self._keeping = keeping
        self._known = known
        self._lanes: Lanes | None = None
        self._before = Progress()
        self._renewed = 0
        self._problems: dict[bytes, ChezError] = {}
        self._sealer = Sealer(device, relay, self._unsealed)
        self._sealed: list[ForLane] = []  # durable, to be sent
        self._awaited = 0  # how many wait for this link
        self._gathering: asyncio.TimerHandle | None = None
        self._frames: deque[bytes] = deque()  # to be sent, in order
        self._inbox = Inbox()
        self._begun: list[tuple[Job, asyncio.Future[Any]]] = []  # work that the store was given
        self._rests = False  # whether its task has nothing to do, and waits for news
        self._gone: BaseException | None = None
        self._news = asyncio.Event()
        self._turn = asyncio.Condition()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._told, self._ended = "", False
        for replica in replicas:
            self.add(replica)

    def __repr__(self) -> str:
        return f"<Link to {self.url}: {self.status}>"

    @property
    def status(self) -> str:
        """In one word, how this link stands."""
        if self._lanes is not None:
            return "synced" if self._idle else "syncing"
        return "failed" if self._ended else "connecting"

    def status_of(self, space: bytes) -> str:
        """The same of one space, by its id."""
        lane = None if self._lanes is None else self._lanes.of.get(space)
        if lane is None or lane.idle:
            return self.status if lane is None else "synced"
        return "syncing" if lane.state is State.LIVE else "failed"

    @property
    def progress(self) -> Progress:
        """What was done since the last connection began, for all spaces together."""
        return self._before if self._lanes is None else self._lanes.progress

    @property
    def renewed(self) -> int:
        """How often the relay's store was another one than before, so that it was given everything again."""
        return self._renewed + (self._lanes is not None and self._lanes.progress.reset)

    @property
    def problems(self) -> dict[bytes, ChezError]:
        """The spaces, by id, that are not in step although the relay can be reached, and why."""
        return self._problems if self._lanes is None else self._lanes.problems

    @property
    def ended(self) -> bool:
        """Whether it ended by itself, and begins no connection any more."""
        return self._ended

    @property
    def relay(self) -> int:
        """The relay's row in the store."""
        return self._relay

    @property
    def _idle(self) -> bool:
        return self._lanes is not None and self._lanes.settled and not (self._sealed or self._inbox)

    def add(self, replica: Replica) -> None:
        """Keep one more space in step, from now on; again is fine."""
        if replica in self._replicas:
            return
        self._replicas.append(replica)
        replica.relays.kept.add(self._relay)
        if self._lanes is not None:
            self._lanes.add(replica)
            self._news.set()

    def keeps(self, replica: Replica) -> bool:
        """Whether a space is kept in step over this link."""
        return replica in self._replicas

    def wake(self, space: bytes) -> None:
        """Something of a space, by its id, is left to do that did not come over this link (`Replica.hear`)."""
        if self._lanes is not None:
            self._lanes.wake(space)
            self._news.set()

    def broadcast(self, space: bytes, message: bytes, to: bytes = b"") -> bool:
        """Have a sealed ephemeral message of a space, by its id, passed on, to all or to who sent one; False while that
        is not followed.
        """
        sent = self._lanes is not None and self._lanes.broadcast(space, message, to)
        if sent:
            self._news.set()
        return sent

    def drop(self, replica: Replica) -> None:
        """Keep a space in step no more."""
        if replica in self._replicas:
            self._replicas.remove(replica)
            self._forget(replica)
        if self._lanes is not None:
            self._lanes.drop(replica)
            self._news.set()

    @property
    def met(self) -> frozenset[bytes]:
        """The handles of the spaces that both proved to keep, on a connection to a device on this network."""
        return frozenset() if self._lanes is None else self._lanes.met

    @property
    def near(self) -> bool:
        """Whether the relay is another device's, on this network."""
        return self._known is not None

    def _forget(self, replica: Replica) -> None:
        if not self.near:  # a device is met again: what it lacks meanwhile is to be known then
            replica.relays.kept.discard(self._relay)
        replica.relays.end(self._relay)

    def start(self) -> None:
        """Begin, in a task of its own."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End; what was not sent stays in the outbox."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for replica in self._replicas:
            self._forget(replica)

    def begin_anew(self) -> None:
        """End the connection; the next one begins from what the store says."""
        self._disconnected()
        self._gone = ConnectionError("begun anew")
        self._news.set()

    def check(self, seconds: float = 5.0) -> None:
        """The network may be another, or the device slept: look at the connection now, or try to connect now.

        Called by itself where that can be noticed; for an app that is told of it by the operating
        system. A connection whose relay does not answer within `seconds` is given up.
        """
        self._backoff.begin_anew()
        self._pulse.begin_anew()
        self._hurry.set()
        if self._socket is not None:
            check = asyncio.create_task(self._socket.alive(seconds))
            self._checks.add(check)
            check.add_done_callback(self._checks.discard)

    async def turn(self) -> None:
        """Wait until something was done, or how this link stands changed; that may be nothing of interest."""
        async with self._turn:
            await self._turn.wait()

    async def synced(self, timeout: float | None = None) -> None:
        """Wait until everything here is durable at the relay and everything there is here.

        Spaces that the relay alone refuses are not waited for (`problems`). Raises what ended
        the link, or the first of its spaces, and `RelayUnreachable` once nothing got on for `timeout` seconds:
        while entries come and go it waits on.
        """
        def reached() -> bool:
            if not self._idle and (self._task is None or self._ended):
                raise self.error or RelayUnreachable(f"the link to {self.url} is closed")
            return self._idle

        await self._until(reached, timeout)
        if self._replicas and (error := self.problems.get(self._replicas[0].space.id)) is not None:
            raise error

    async def reached(self, space: bytes, timeout: float) -> None:
        """Wait until everything here of one space, by its id, is durable at the relay.

        Raises what keeps it from that, and `RelayUnreachable` as `synced`.
        """
        def reached() -> bool:
            there = self._reached(space)
            error = self.problems.get(space)
            if not there and (error is not None or self._ended or self._task is None):
                raise error or self.error or RelayUnreachable(f"the link to {self.url} is closed")
            return there

        await self._until(reached, timeout)

    async def _until(self, reached: Callable[[], bool], timeout: float | None) -> None:
        self._awaited += 1
        self._gathered()
        try:
            await turns_until(reached, self._turn, lambda: self.progress, timeout)
        except TimeoutError:
            raise RelayUnreachable(f"nothing came of the exchange with {self.url} for {timeout:g} seconds",
                                   str(self.error) if self.error else "It goes on in the background.") from None
        finally:
            self._awaited -= 1

    def _gathered(self) -> None:
        """Acknowledgements have waited long enough."""
        self._gathering = None
        if self._lanes is not None and self._lanes.gathering:
            self._lanes.gathered()
            self._news.set()

    def _reached(self, space: bytes) -> bool:
        lane = None if self._lanes is None else self._lanes.of.get(space)
        return lane is not None and lane.idle and not any(sealed is lane for sealed, _, _ in self._sealed)

    # --- called in the writer's thread --------------------------------------------------

    def before_commit(self, db: Connection) -> None:
        """Seal what waits in the very transaction that wrote it: one commit, not two."""
        self._sealer.before_commit(db, self._lanes)

    def after_commit(self) -> None:
        """What was sealed is durable: it may be sent."""
        if sealed := self._sealer.after_commit():
            self._database.in_loop(partial(self._ready, sealed))

    def after_rollback(self) -> None:
        """The transaction was undone, and with it what it sealed."""
        self._sealer.after_rollback()

    def _unsealed(self, error: ChezError) -> None:
        self.error = error

    # --- the loop -----------------------------------------------------------------------

    def _ready(self, sealed: list[ForLane]) -> None:
        self._sealed += sealed
        self._news.set()
        lanes, socket = self._lanes, self._socket
        if lanes is None or socket is None or self._gone is not None:
            return
        try:  # before all else that the loop has to do, this task's next turn among it
            self._collect(lanes)
            while self._frames and socket.send_now(self._frames[0]):
                self._frames.popleft()
        except Exception as error:  # whoever is told of it, it is this link's task that ends with it
            self._gone = error

    async def _run(self) -> None:
        looking = asyncio.create_task(look_out(self._tick)) if self._retry else None
        try:
            if self._retry:
                await self._database.make_room()
            while True:
                began, stood = self._loop.time(), 0.0
                try:
                    await self._connection()
                except (RelayRefused, RelayMisbehaved) as error:
                    self.error = error
                    return
                except RelayUnreachable as error:
                    if self._lanes is not None and self._lanes.following:
                        stood = self._loop.time() - began
                    self.error = error
                finally:
                    self._disconnected()
                if not self._retry:
                    return
                await self._wait(self._backoff.pause(stood, random.random()))
        except ChezError as error:  # the store failed: nothing to retry
            self.error = error
        except Exception as error:  # a defect of ours must not pass for the end of a connection
            self.error = RelayMisbehaved(f"syncing stopped on something unexpected ({type(error).__name__})",
                                         "Your data is still here. Please report it.")
        finally:
            if looking is not None:
                looking.cancel()
            self._disconnected()
            # Not `task.done()`: those who are told here look while this task still runs.
            self._ended = True
            await asyncio.shield(self._tell())

    async def _wait(self, seconds: float) -> None:
        """Wait before the next attempt, unless there is a reason to `check`."""
        self.next_try = time.time() + seconds
        self._hurry.clear()
        await self._tell()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        self.next_try = None

    def _tick(self, changed: bool) -> None:
        """Now and then; `changed`: the device slept, or is in another network."""
        if changed:
            self.check()
        self.forward(at_once=False)

    def forward(self, *, at_once: bool) -> None:
        """Give the relay what others brought, and it does not show: a while ago, or `at_once` at any time."""
        if self._lanes is not None:
            self._lanes.forward(at_once=at_once)
            self._news.set()

    def _disconnected(self) -> None:
        if self._lanes is not None:
            self._before, self._problems = self._lanes.progress, self._lanes.problems
            self._renewed += self._before.reset
            for replica in self._replicas:
                replica.relays.end(self._relay)
            self._lanes = None

    async def _connection(self) -> None:
        socket = await open_socket(self.address, near=self._known is not None, pulse=self._pulse)
        self._inbox, self._sealed, self._begun, self._gone = Inbox(), [], [], None
        self._frames.clear()
        approach = None if self._known is None else self._known.approach(socket.certificate)
        session = ClientSession(relay_name(self.url), crypto.random_bytes(32), approach)
        lanes = Lanes(session, self._relay, rests=self._retry, keeping=self._keeping, gathers=True)
        for replica in self._replicas:
            lanes.add(replica)
        self._lanes, self.connections, self._socket = lanes, self.connections + 1, socket
        reader = asyncio.create_task(self._read(socket))
        try:
            while True:
                await self._send(lanes, socket)
                await self._tell()
                if not (self._inbox or self._sealed or self._begun or lanes.busy):
                    if isinstance(self._gone, OSError):
                        raise RelayUnreachable(f"the connection to {self.url} ended ({self._gone})",
                                               "It is tried again.")
                    if self._gone is not None:  # no cut: found in `_ready`
                        raise self._gone
                    self._rests = True
                    await self._news.wait()
                self._rests = False
                self._news.clear()
                await self._send_first(lanes, socket)
                await self._round(lanes, socket)
        except OSError as error:
            raise RelayUnreachable(f"the connection to {self.url} broke ({error})", "It is tried again.") from None
        finally:
            self._socket, self._rests = None, False
            socket.take(None)
            reader.cancel()
            await socket.close()

    def _collect(self, lanes: Lanes) -> None:
        """Put what is to be sent behind what waits for that already."""
        while self._sealed:  # until the lane has it, it is what keeps this link from being in step
            lanes.sealed(*self._sealed[0])
            del self._sealed[0]
        self._frames += lanes.data_to_send()

    async def _send(self, lanes: Lanes, socket: "Socket") -> None:
        self._collect(lanes)
        while self._frames:
            await socket.send(self._frames.popleft())

    async def _send_first(self, lanes: Lanes, socket: "Socket") -> None:
        """Send what waits for that, before what else there is to do."""
        if (self._sealed or self._frames) and self._gone is None:
            try:
                await self._send(lanes, socket)
            except OSError as error:  # what the store was given to do is to be heard of all the same
                self._gone = error

    async def _committed(self, done: "asyncio.Future[Any]", lanes: Lanes, socket: "Socket") -> Any:
        """The result of work. The store may have much to do before it, and what that seals is sent meanwhile."""
        done.add_done_callback(lambda _: self._news.set())
        while not done.done():
            await self._news.wait()
            self._news.clear()
            await self._send_first(lanes, socket)
        return done.result()

    async def _round(self, lanes: Lanes, socket: "Socket") -> None:
        """React to everything that happened since the last round; commit a pass of the work in one group."""
        self._hear(lanes, socket)
        if self._awaited:
            lanes.gathered()
        elif lanes.gathering and self._gathering is None:
            self._gathering = self._loop.call_later(GATHER, self._gathered)
        self._begin(lanes)
        begun, self._begun = self._begun, []
        for job, done in begun:
            try:
                result = await self._committed(done, lanes, socket)
            except ChezError as error:
                if isinstance(error, SpaceFull):
                    await self._database.write(job.lane.replica.stand)
                if isinstance(error, HomeCopied):  # `chez doctor` tells it, long after this
                    await self._database.write(note_copy)
                lanes.failed(job, error)
            else:
                lanes.done(job, result)
        for n in tuple(lanes.found):
            await self._found(n)
            lanes.found.discard(n)
        while lanes.resting:
            self._rest(lanes, lanes.resting.pop())
        if self._keeping is not None and self._keeping.unsaved:
            await self._database.write(self._keeping.save)
        self.error = None

    def _hear(self, lanes: Lanes, socket: "Socket") -> None:
        """React to the messages that came."""
        if not self._inbox.room.is_set():
            socket.take(self._came)
        for message in self._inbox.empty():
            lanes.receive(message)
        while lanes.said:
            replica, said, sender = lanes.said.pop(0)
            self._said(replica, said, partial(self.broadcast, replica.space.id, to=sender))

    def _begin(self, lanes: Lanes) -> None:
        """Give the store the work that there is, and tell at once what is known of what it will show."""
        for job in lanes.take():
            work, tell = job.work, None
            with suppress(Exception):  # it is for the work itself to find what is wrong: then its space alone stops
                tell = None if work.ahead is None else self._database.glance(work.ahead)
            done = self._database.submit(work.run, shown_first=work.shown_first, ahead=tell is not None)
            self._begun.append((job, done))
            if tell is not None:
                tell()

    def _rest(self, lanes: Lanes, lane: Lane) -> None:
        """Let a space that could not go on be begun anew after a pause, the longer the oftener that was."""
        pause = min(FIRST_PAUSE * 2 ** min(lane.rests - 1, 10), LONGEST_PAUSE)
        self._loop.call_later(pause * random.uniform(0.5, 1.0), self._again, lanes, lane)

    def _again(self, lanes: Lanes, lane: Lane) -> None:
        if self._lanes is lanes:
            lanes.again(lane)
            self._news.set()

    def _came(self, message: bytes) -> None:
        room = self._inbox.put(message, 2 * LEAST_WINDOW * len(self._replicas))
        if not room and self._socket is not None:
            self._socket.take(None)  # a few wait in the socket then, and the others at the relay
        self._news.set()
        if self._rests and self._lanes is not None and self._socket is not None and self._gone is None:
            try:  # what comes alone is live: this task's turn takes longer than all that is done here
                self._hear(self._lanes, self._socket)
                self._begin(self._lanes)
            except Exception as error:  # as in `_ready`
                self._gone = error

    async def _read(self, socket: "Socket") -> None:
        try:
            socket.take(self._came)
            async for message in socket.messages():
                self._came(message)
                await self._inbox.room.wait()
            self._gone = self._gone or ConnectionError("closed by the relay")
        except OSError as error:
            self._gone = self._gone or error
        finally:
            self._news.set()

    async def _tell(self) -> None:
        if self.status != self._told:
            self._told, self.since = self.status, time.time()
        async with self._turn:
            self._turn.notify_all()

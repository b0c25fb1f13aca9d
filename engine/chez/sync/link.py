"""Spaces kept in step with one relay, over one connection after another.

A link dials, has a `Driver` go round until the connection ends, and waits before it dials again. It tells how it stands
meanwhile, and hands on to the connection that there is what the home has for it, and what transactions seal.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from chez import crypto
from chez.errors import ChezError, HomeCopied, RelayMisbehaved, RelayRefused, RelayUnreachable, StorageFailed
from chez.store.database import Connection, Database
from chez.sync import connection, lookout
from chez.sync.beside import Beside
from chez.sync.connection import open_socket, relay_name
from chez.sync.connections import Connections
from chez.sync.driver import Driver, Found, Said
from chez.sync.keeping import Keeping
from chez.sync.kept import Kept
from chez.sync.lane import State
from chez.sync.lanes import Lanes
from chez.sync.meeting import Acquaintances
from chez.sync.pauses import Pauses
from chez.sync.pulse import Pulse
from chez.sync.replica import Replica
from chez.sync.sealer import ForLane, Sealer
from chez.sync.session import ClientSession
from chez.sync.waiting import Turns
from chez.tasks import stop

if TYPE_CHECKING:
    from chez.sync.socket import Socket
    from chez.sync.work import Progress

__all__ = ("Link",)

T = TypeVar("T")

HAND_ON: Final = 0.3
"""Seconds after which one exchange gives a relay what it has to hear before its keys are replaced. A connection that
lasts leaves that to who said it for a while."""


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
        self.since: float = time.time()
        """Unix seconds of when the status became what it is."""
        self._database = database
        self._kept = Kept(relay, near=known is not None)
        self._relay = relay
        self._retry = retry
        self._found = found
        self._said = said
        self._pauses = Pauses(self._tell)
        self._pulse = Pulse()
        self._keeping = keeping
        self._known = known
        self._connections = Connections()
        self._sealer = Sealer(device, relay, self._unsealed)
        self._awaited = 0  # how many wait for this link
        self._turns = Turns()
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._told, self._ended = "", False
        self._anew = False  # whether its connection was ended to begin another one
        self._closed = False
        self._beside = Beside(url, self._kept.has)
        for replica in replicas:
            self.add(replica)

    def __repr__(self) -> str:
        return f"<Link to {self.url}: {self.status}>"

    @property
    def status(self) -> str:
        """In one word, how this link stands."""
        if self._connections.greeted is not None:
            return "synced" if self._idle else "syncing"
        return "failed" if self._ended else "connecting"

    def status_of(self, space: bytes) -> str:
        """The same of one space, by its id."""
        lanes = self._connections.greeted
        lane = None if lanes is None else lanes.of.get(space)
        if lane is None or lane.idle:
            return self.status if lane is None else "synced"
        return "syncing" if lane.state is State.LIVE and not lane.stuck else "failed"

    @property
    def next_try(self) -> float | None:
        """Unix seconds of when it is connected to next, while that is waited for."""
        return self._pauses.until

    @property
    def connections(self) -> int:
        """How many connections were begun: with each, `progress` begins anew."""
        return self._connections.begun

    @property
    def progress(self) -> "Progress":
        """What was done since the last connection began, for all spaces together."""
        return self._connections.progress

    @property
    def done(self) -> "Progress":
        """What was done since the link began, over all its connections."""
        return self._connections.done

    @property
    def renewed(self) -> int:
        """How often the relay's store was another one than before, so that it was given everything again."""
        return self._connections.renewed

    @property
    def problems(self) -> dict[bytes, ChezError]:
        """The spaces, by id, that are not in step although the relay can be reached, and why."""
        return self._connections.problems

    @property
    def turns(self) -> int:
        """How many there were (`turn`)."""
        return self._turns.count

    @property
    def ended(self) -> bool:
        """Whether it ended by itself: for good, or until `next_try`."""
        return self._ended

    @property
    def incarnation(self) -> bytes:
        """What the relay calls its store (32 bytes); empty while it is not connected."""
        return self._connections.incarnation

    @property
    def relay(self) -> int:
        """The relay's row in the store."""
        return self._relay

    @property
    def _driver(self) -> Driver | None:
        return self._connections.driver

    @property
    def _idle(self) -> bool:
        driver = self._driver
        return driver is not None and driver.idle

    def add(self, replica: Replica) -> None:
        """Keep one more space in step, from now on; again is fine."""
        if replica in self._kept:
            return
        self._kept.add(replica, partial(self.wake, replica.space.id),
                       reached=not self._ended and self.next_try is None)
        if self._driver is not None:
            self._driver.lanes.add(replica)
            self._driver.stir()

    def keeps(self, replica: Replica) -> bool:
        """Whether a space is kept in step over this link."""
        return replica in self._kept

    async def beside(self, space: bytes, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something of a space, by its id, at the relay over another connection, as long as it is kept in step here.

        Raises what that raises, and `EndedHere` once the space, or the relay, is let go of.
        """
        return await self._beside.do(space, work)

    async def end_beside(self) -> None:
        """End what is done over other connections; where the relay is dialled anew, whoever does it tries again."""
        await self._beside.end()

    def wake(self, space: bytes) -> None:
        """Something of a space, by its id, is left to do that did not come over this link (`Replica.hear`)."""
        if self._driver is not None:
            self._driver.lanes.wake(space)
            self._driver.stir()

    def broadcast(self, space: bytes, message: bytes, to: bytes = b"") -> bool:
        """Have a sealed ephemeral message of a space, by its id, passed on, to all or to who sent one; False while that
        is not followed.
        """
        return self._driver is not None and self._driver.broadcast(space, message, to)

    def drop(self, replica: Replica) -> None:
        """Keep a space in step no more."""
        if replica in self._kept:
            self._kept.drop(replica)
            self._beside.drop(replica.space.id)
        if self._driver is not None:
            self._driver.lanes.drop(replica)
            self._driver.stir()

    @property
    def met(self) -> frozenset[bytes]:
        """The handles of the spaces that both proved to keep, on a connection to a device on this network."""
        return frozenset() if self._driver is None else self._driver.lanes.met

    @property
    def near(self) -> bool:
        """Whether the relay is another device's, on this network."""
        return self._known is not None

    def start(self) -> None:
        """Begin, in a task of its own."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End, for good; what was not sent stays in the outbox."""
        self._closed = True
        try:
            if self._task is not None:
                await stop(self._task)
        finally:
            await self._beside.close()
            self._kept.close()

    def begin_anew(self) -> None:
        """End the connection; the next one begins from what the store says. One that `ended` is begun again."""
        driver = self._driver
        self._disconnected()
        if driver is not None:
            self._anew = True
            driver.end(ConnectionError("begun anew"))
        elif self._ended and self._retry and not self._closed:  # who looks at several may come after its end
            self._ended, self.error = False, None
            self._pauses.hurry()
            if self.next_try is None:
                self.start()

    def check(self, seconds: float = 5.0) -> None:
        """The network may be another, or the device slept: look at the connection now, or try to connect now.

        Called by itself where that can be noticed; for an app that is told of it by the operating
        system. A connection whose relay does not answer within `seconds` is given up.
        """
        self._pauses.hurry()
        self._pulse.begin_anew()
        if self._driver is not None:
            self._driver.check(seconds)

    async def asked(self, seconds: float) -> None:
        """Ask a relay with which all is in step whether it is there still, and wait for the answer.

        A connection on which it does not come within `seconds` is given up, whoever waits no longer. Where something is
        under way, that tells.
        """
        if self._driver is not None and self._idle:
            await asyncio.shield(self._driver.check(seconds))

    def try_now(self) -> None:
        """Somebody asks: try now what would be tried later, the connection or spaces that alone are not in step."""
        if self._driver is not None:
            self._driver.lanes.try_now()
            self._driver.stir()
        elif self._ended:  # what it ended with may be over
            self.begin_anew()
        elif self.next_try is not None:
            self.error = None
            self._pauses.hurry()

    async def turn(self, after: int | None = None) -> None:
        """Wait until something was done, or how this link stands changed; that may be nothing of interest.

        Who looks at what takes a while, and is to miss nothing meanwhile, says `after` how many `turns`.
        """
        await self._turns.wait(after)

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
        first = self._kept.first
        if first is not None and (error := self.problems.get(first.space.id)) is not None:
            raise error

    async def reached(self, space: bytes, timeout: float, *, said: bool = False) -> None:
        """Wait until everything here of one space, by its id, is durable at the relay.

        `said`: what is said of the space is enough, which has room where changes have none.
        Raises what keeps it from that, and `RelayUnreachable` as `synced`.
        """
        def reached() -> bool:
            there = self._driver is not None and self._driver.reached(space, said=said)
            error = None if said and self._driver is not None and self._driver.full(space) else (
                self.problems.get(space))
            if not there and (error is not None or self._ended or self._task is None):
                raise error or self.error or RelayUnreachable(f"the link to {self.url} is closed")
            return there

        await self._until(reached, timeout)

    async def _until(self, reached: Callable[[], bool], timeout: float | None) -> None:
        self._awaited += 1
        if self._driver is not None:
            self._driver.gathered()
        late = None if timeout is None else self._loop.call_later(timeout / 2, self._kept.wait_no_more)
        try:
            await self._turns.until(reached, lambda: self.progress, timeout)
        except TimeoutError:
            raise RelayUnreachable(f"nothing came of the exchange with {self.url} for {timeout:g} seconds",
                                   str(self.error) if self.error else "It goes on in the background.") from None
        finally:
            self._awaited -= 1
            if late is not None:
                late.cancel()

    # --- called in the writer's thread --------------------------------------------------

    def before_commit(self, db: Connection) -> None:
        """Seal what waits in the very transaction that wrote it: one commit, not two."""
        self._sealer.before_commit(db, self._connections.lanes)

    def after_commit(self) -> None:
        """What was sealed is durable: it may be sent."""
        if sealed := self._sealer.after_commit():
            self._database.in_loop(partial(self._ready, sealed))
        elif self._awaited or self._told == "syncing":
            # What waited for its turn may have had it over another link, which is all that was left to do here.
            self._database.in_loop(self._stir)

    def after_rollback(self) -> None:
        """The transaction was undone, and with it what it sealed."""
        self._sealer.after_rollback()

    def _unsealed(self, error: ChezError) -> None:
        self.error = error
        if isinstance(error, HomeCopied):  # another link heard of it: this one ends as that did
            self._database.in_loop(self.begin_anew)

    # --- the loop -----------------------------------------------------------------------

    def _stir(self) -> None:
        if self._driver is not None:
            self._driver.stir()

    def _ready(self, sealed: list[ForLane]) -> None:
        if self._driver is not None:  # else the next connection finds it in the store
            self._driver.durable(sealed)

    async def _run(self) -> None:
        looking = asyncio.create_task(lookout.look_out(self._tick) if self._retry else self._hand_on())
        try:
            if self._retry:
                await self._database.make_room()
            while True:
                began, stood, refused = self._loop.time(), 0.0, False
                try:
                    await self._connection()
                except (RelayRefused, RelayMisbehaved) as error:
                    self.error = error
                    lanes = self._connections.lanes
                    refused = not (isinstance(error, RelayMisbehaved) and error.hearsay)
                    if refused and (self.near or lanes is None or lanes.over):
                        return
                except RelayUnreachable as error:
                    lanes = self._connections.lanes
                    if lanes is not None and lanes.following:
                        stood = self._loop.time() - began
                    self.error = error
                except StorageFailed as error:  # a full disk: there may be room again
                    if not self._retry:
                        raise
                    self.error = error
                except ChezError:  # of this home: nothing to retry
                    raise
                except Exception as error:  # a defect of ours must not pass for the end of a connection
                    self.error = RelayMisbehaved(f"syncing stopped on something unexpected ({type(error).__name__})",
                                                 "Your data is still here. Please report it.")
                    refused = True
                finally:
                    self._disconnected()
                    self._kept.unreached()
                if not self._retry and (refused or not self._anew):
                    return
                await self._rest(stood, refused=refused)
        except ChezError as error:
            self.error = error
        finally:
            looking.cancel()
            self._disconnected()
            # Not `task.done()`: those who are told here look while this task still runs.
            self._ended = True
            self._tell()

    async def _rest(self, stood: float, *, refused: bool) -> None:
        """Wait after a connection that `stood` so long; not after one that was to be begun anew: that is no failure."""
        anew, self._anew = self._anew, False
        if refused:
            self._ended = True
            await self._pauses.refused()
            self._ended = False
        elif anew:
            self.error = None
            self._tell()
        else:
            await self._pauses.lost(stood)

    def _tick(self, changed: bool) -> None:
        """Now and then; `changed`: the device slept, or is in another network."""
        if changed:
            self.check(lookout.ANSWER)
        elif self._driver is not None:  # what came while the program was held is still to be read
            self._driver.listen()
        self.forward(at_once=False)

    async def _hand_on(self) -> None:
        """In one exchange, which would wait for keys that wait for what another relay brought: that is given now."""
        while True:
            await asyncio.sleep(HAND_ON)
            if self._driver is not None and self._driver.lanes.hand_on():
                self._driver.stir()

    def forward(self, *, at_once: bool) -> None:
        """Give the relay what others brought, and it does not show: a while ago, or `at_once` at any time."""
        if self._driver is not None:
            self._driver.lanes.forward(at_once=at_once)
            self._driver.stir()

    def _disconnected(self) -> None:
        if self._connections.end():
            self._kept.disconnected()

    async def _dial(self) -> "Socket":
        while True:
            address = self.address
            try:
                socket = await open_socket(address, near=self.near, pulse=self._pulse)
            except RelayUnreachable:
                if address == self.address:
                    raise
                continue  # other pins came meanwhile, which it may have
            if address == self.address:
                return socket
            await socket.close()  # nothing was said yet to who answered without the pins that came

    async def _connection(self) -> None:
        socket = await self._dial()
        approach = None if self._known is None else self._known.approach(socket.certificate)
        session = ClientSession(relay_name(self.url), crypto.random_bytes(32), approach)
        lanes = Lanes(session, self._relay, rests=self._retry, keeping=self._keeping, gathers=True)
        for replica in self._kept:
            lanes.add(replica)
        driver = Driver(self._database, lanes, socket, self._found, self._said, self._keeping)
        self._connections.begin(driver)
        late = self._loop.call_later(connection.OPEN_SECONDS, driver.greeted)
        try:
            async with driver:
                while True:
                    await driver.send()
                    self._tell()
                    try:
                        await driver.wait()
                    except OSError as error:
                        raise RelayUnreachable(f"the connection to {self.url} ended ({error})",
                                               "It is tried again.") from None
                    await driver.round(awaited=self._awaited > 0)
                    self.error = None
        except OSError as error:
            raise RelayUnreachable(f"the connection to {self.url} broke ({error})", "It is tried again.") from None
        except (RelayRefused, RelayMisbehaved):
            if self._driver is driver:
                raise
            # What it came to is over: whoever had it begun anew was told, or wants it asked again.
            raise RelayUnreachable(f"the connection to {self.url} is begun anew", "It is tried again.") from None
        finally:
            late.cancel()

    def _tell(self) -> None:
        if (status := self.status) != self._told:
            self._told, self.since = status, time.time()
        self._turns.tell()

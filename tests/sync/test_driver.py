"""One connection's round, without a network and without a store: what is sent, what is heard, and in which order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chez.errors import NotFound, SpaceFull, StorageFailed
from chez.store.database import Database
from chez.sync.driver import Driver
from chez.sync.lane import Job
from chez.sync.lanes import Lanes
from chez.sync.replica import Replica
from chez.sync.socket import Socket
from chez.sync.work import Work


class _Socket:
    """What a driver asks of a websocket; `blocked` holds up what is sent, `stuck` for good, `broken` ends that; of what
    was sent something `waits`."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.blocked, self.broken, self.closed, self.stuck, self.waits = False, False, False, False, False
        self.take_one: Callable[[bytes], None] | None = None
        self._over, self._aborted = asyncio.Event(), asyncio.Event()

    def take(self, handle: Callable[[bytes], None] | None) -> None:
        self.take_one = handle

    def send_now(self, data: bytes) -> bool:
        if not self.blocked:
            self.sent.append(data)
        return not self.blocked

    async def send(self, data: bytes) -> None:
        if self.broken:
            raise ConnectionResetError("gone")
        self.sent.append(data)
        if self.stuck:
            self.waits = True
            await self._aborted.wait()
            raise ConnectionResetError("aborted")

    async def messages(self) -> AsyncIterator[bytes]:
        await self._over.wait()
        for none in ():
            yield none

    def ends(self) -> None:
        """The other side closes."""
        self._over.set()

    def abort(self) -> None:
        self._aborted.set()

    @property
    def aborted(self) -> bool:
        return self._aborted.is_set()

    async def close(self) -> None:
        self.closed = True


class _Lane(SimpleNamespace):
    """A space on the connection: itself, and none that is alike."""

    __hash__ = object.__hash__


class _Lanes:
    """What a driver asks of lanes; what it tells them is in `told`, in order."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.works: list[Work] = []
        self.frames: list[bytes] = []
        self.all: tuple[Any, ...] = ()
        self.of: dict[bytes, Any] = {}
        self.found: set[int] = set()
        self.said: list[Any] = []
        self.resting: list[Any] = []
        self.settled = self.gathering = False
        self.lane = _Lane(replica=SimpleNamespace(stand="stand"), rests=1, turned_away=False, idle=True)

    @property
    def busy(self) -> bool:
        return bool(self.works)

    def receive(self, message: bytes) -> None:
        self.told.append(message)

    def sealed(self, lane: Any, machine: Any, sealed: Any) -> None:
        self.frames += sealed

    def data_to_send(self) -> list[bytes]:
        frames, self.frames = self.frames, []
        return frames

    def take(self) -> list[Job]:
        works, self.works = self.works, []
        return [Job(cast("Any", self.lane), cast("Any", None), work, met=False) for work in works]

    def done(self, job: Job, result: Any) -> None:
        self.told.append(("done", result))

    def failed(self, job: Job, error: Exception) -> None:
        self.told.append(("failed", error))

    def gathered(self) -> None:
        self.told.append("gathered")

    def again(self, lane: Any) -> None:
        self.told.append("again")


class _Store:
    """What a driver asks of the store: work is done when the test says."""

    def __init__(self) -> None:
        self.given: list[asyncio.Future[Any]] = []
        self.wrote: list[Any] = []

    def submit(self, work: Any, **_: Any) -> "asyncio.Future[Any]":
        self.given.append(asyncio.get_running_loop().create_future())
        return self.given[-1]

    async def write(self, work: Any) -> None:
        self.wrote.append(work)


class Played:
    """A driver, and all that is around it."""

    def __init__(self) -> None:
        self.socket, self.lanes, self.store, self.found = _Socket(), _Lanes(), _Store(), list[int]()
        self.driver = Driver(cast("Database", self.store), cast("Lanes", self.lanes), cast("Socket", self.socket),
                             self._found, self._said, None)

    async def _found(self, row: int) -> None:
        self.found.append(row)

    def _said(self, replica: Replica, message: bytes, back: Callable[[bytes], bool]) -> None:
        pass

    def durable(self, *frames: bytes) -> None:
        """These are sealed and durable, for the one lane."""
        self.driver.durable([(cast("Any", self.lanes.lane), cast("Any", None), cast("Any", list(frames)))])

    async def resting(self) -> "asyncio.Task[None]":
        """The task waits for news."""
        task = asyncio.create_task(self.driver.wait())
        await asyncio.sleep(0)
        assert not task.done()
        return task

    def work(self) -> None:
        """A lane has something for the store to do."""
        self.lanes.works.append(Work(lambda db: None, lambda _: []))


async def test_what_is_durable_leaves_before_the_task_has_its_turn() -> None:
    """Without a step of the loop in between."""
    played = Played()
    async with played.driver:
        played.durable(b"1", b"2")
        assert played.socket.sent == [b"1", b"2"]


async def test_what_the_socket_does_not_take_at_once_leaves_in_its_order() -> None:
    """Behind what waited before, with the task's turn."""
    played = Played()
    async with played.driver:
        played.socket.blocked = True
        played.durable(b"1")
        played.durable(b"2")
        assert played.socket.sent == []
        played.lanes.frames.append(b"3")
        await played.driver.send()
    assert played.socket.sent == [b"1", b"2", b"3"]
    assert played.socket.closed


@pytest.mark.parametrize("waits", [False, True])
async def test_what_waits_in_the_socket_goes_with_a_connection_that_is_to_end(waits: bool) -> None:
    """It was sent and taken by nobody yet: who was there before would get it. Else the connection ends in order."""
    played = Played()
    async with played.driver:
        played.durable(b"1")
        played.socket.waits = waits
        played.driver.end(ConnectionError("begun anew"))
        assert played.socket.sent and played.socket.aborted == waits


async def test_nothing_is_sent_any_more_on_a_connection_that_is_to_end() -> None:
    """As when its relay's pins are others: all that waited went to who was there, in minutes if it took so little."""
    played = Played()
    async with played.driver:
        played.socket.blocked = played.socket.stuck = True
        played.durable(b"1", b"2")
        sending = asyncio.create_task(played.driver.send())
        await asyncio.sleep(0)
        played.driver.end(ConnectionError("begun anew"))
        async with asyncio.timeout(10):
            with pytest.raises(ConnectionResetError, match="aborted"):
                await sending
        await played.driver.send()
        with pytest.raises(ConnectionError, match="begun anew"):
            await played.driver.wait()
    assert played.socket.sent == [b"1"]


async def test_what_comes_alone_is_begun_before_the_task_has_its_turn() -> None:
    """While the task rests; else it waits for the round, in order."""
    played = Played()
    async with played.driver:
        await asyncio.sleep(0)
        came = played.socket.take_one
        assert came is not None
        came(b"1")
        assert played.lanes.told == []
        await played.driver.wait()
        await played.driver.round(awaited=False)
        assert played.lanes.told == [b"1"]
        task = await played.resting()
        played.work()
        came(b"2")
        assert played.lanes.told == [b"1", b"2"] and len(played.store.given) == 1
        await task


async def test_work_is_heard_of_in_its_order_though_nothing_can_be_sent() -> None:
    """The connection breaks while the store works; what ended it is raised after that."""
    played = Played()
    async with played.driver:
        played.work()
        played.work()
        played.socket.blocked = played.socket.broken = True
        turn = asyncio.create_task(played.driver.round(awaited=False))
        await asyncio.sleep(0)
        first, second = played.store.given
        second.set_result("second")
        played.durable(b"1")
        first.set_result("first")
        await turn
        assert played.lanes.told == [("done", "first"), ("done", "second")]
        with pytest.raises(ConnectionResetError):
            await played.driver.wait()


async def test_what_is_begun_is_done_before_the_end_is_raised() -> None:
    """The relay closes, or the connection is to begin anew, while a lane has work."""
    played = Played()
    async with played.driver:
        played.socket.ends()
        await asyncio.sleep(0.01)
        played.work()
        await played.driver.wait()
        turn = asyncio.create_task(played.driver.round(awaited=False))
        await asyncio.sleep(0)
        played.store.given[0].set_result(7)
        await turn
        assert played.lanes.told == [("done", 7)]
        with pytest.raises(ConnectionError, match="closed by the relay"):
            await played.driver.wait()


@pytest.mark.parametrize(("error", "wrote"), [(SpaceFull("full"), ["stand"]), (NotFound("no"), [])])
async def test_a_lane_hears_that_its_work_failed(error: Exception, wrote: list[str]) -> None:
    """A space without room is noted as such first."""
    played = Played()
    async with played.driver:
        played.work()
        turn = asyncio.create_task(played.driver.round(awaited=False))
        await asyncio.sleep(0)
        played.store.given[0].set_exception(error)
        await turn
    assert played.lanes.told == [("failed", error)]
    assert played.store.wrote == wrote


async def test_what_other_work_led_to_is_heard_of_though_one_ends_the_connection(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full for one of them: a space that another one told of is opened all the same."""
    played = Played()

    def failed(job: Job, error: Exception) -> None:
        raise error

    def done(job: Job, result: Any) -> None:
        played.lanes.found.add(result)

    monkeypatch.setattr(played.lanes, "failed", failed)
    monkeypatch.setattr(played.lanes, "done", done)
    async with played.driver:
        played.work()
        played.work()
        turn = asyncio.create_task(played.driver.round(awaited=False))
        await asyncio.sleep(0)
        played.store.given[0].set_exception(StorageFailed("the disk is full"))
        played.store.given[1].set_result(5)
        with pytest.raises(StorageFailed):
            await turn
    assert played.found == [5]


async def test_acknowledgements_wait_for_each_other_unless_somebody_waits_for_them() -> None:
    """A moment, and not longer; what is over notes nothing any more."""
    played = Played()
    async with played.driver:
        played.lanes.gathering = True
        await played.driver.round(awaited=False)
        assert played.lanes.told == []
        await asyncio.sleep(0.05)
        assert played.lanes.told == ["gathered"]
        await played.driver.round(awaited=True)
        assert played.lanes.told == ["gathered"] * 2
        await played.driver.round(awaited=False)
    await asyncio.sleep(0.05)
    assert played.lanes.told == ["gathered"] * 2


async def test_a_lane_that_rests_is_begun_again_while_the_connection_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """And spaces that were told of are opened, each once. One that the relay turned away rests for longer."""
    monkeypatch.setattr("chez.sync.driver.FIRST_PAUSE", 0.02)
    monkeypatch.setattr("chez.sync.driver.LONGEST_PAUSE", 600.0)
    played = Played()
    async with played.driver:
        played.lanes.resting.append(played.lanes.lane)
        played.lanes.found = {5}
        await played.driver.round(awaited=False)
        assert played.found == [5] and played.lanes.found == set() and played.lanes.told == []
        await asyncio.sleep(0.05)
        assert played.lanes.told == ["again"]
        played.lanes.lane.turned_away = True
        played.lanes.resting.append(played.lanes.lane)
        await played.driver.round(awaited=False)
        await asyncio.sleep(0.05)
        assert played.lanes.told == ["again"]
        monkeypatch.setattr("chez.sync.driver.FIRST_PAUSE", 600.0)
        monkeypatch.setattr("chez.sync.driver.LONGEST_PAUSE", 0.02)
        played.lanes.resting.append(played.lanes.lane)
        await played.driver.round(awaited=False)
        await asyncio.sleep(0.05)
        assert played.lanes.told == ["again"] * 2
        played.lanes.resting.append(played.lanes.lane)
        await played.driver.round(awaited=False)
    await asyncio.sleep(0.05)
    assert played.lanes.told == ["again"] * 2


async def test_a_lane_that_was_begun_anew_before_its_time_rests_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often news, or somebody who asks, had it tried meanwhile: each pause would be followed by more."""
    monkeypatch.setattr("chez.sync.driver.FIRST_PAUSE", 0.02)
    played = Played()
    async with played.driver:
        for _ in range(20):
            played.lanes.resting.append(played.lanes.lane)
            await played.driver.round(awaited=False)
        await asyncio.sleep(0.05)
        assert played.lanes.told == ["again"]
        played.lanes.resting.append(played.lanes.lane)
        await played.driver.round(awaited=False)
        await asyncio.sleep(0.05)
        assert played.lanes.told == ["again"] * 2

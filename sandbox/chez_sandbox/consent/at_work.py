"""What goes on by itself for jobs while a home is open: messages leave at their times, and due jobs run.

The owner of a home enters `at_work` when it serves one (the hook of `chez.agent.verbs`); an app that embeds the SDK
may do the same. Jobs begin only while the home is in step with its relay, so that a grant that was revoked on
another device is known to be; a home that has no relay has no other device that could say so.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from chez.agent.idle import awake_clock
from chez.agent.reports import write
from chez.errors import ChezError
from chez.tasks import happened, stop
from chez_sandbox.consent.clocks import Kept, WallClock
from chez_sandbox.consent.grants import COLLECTION
from chez_sandbox.consent.pace import Pace
from chez_sandbox.consent.scheduler import Look, Pending, look
from chez_sandbox.runtime.host import Runtime
from chez_sandbox.runtime.walls import REQUIRED

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("MOST", "OUT_OF_STEP", "Scheduler", "Standing", "Time", "going_on", "runtime_of", "scheduler", "standing_of",
           "start_of_machine", "time_of", "wait")

MOST: Final = 600.0
"""Seconds between two looks, at most: clocks are set, machines sleep, and new data comes."""

OUT_OF_STEP: Final = 15.0
"""Seconds until it is looked again whether the home is in step."""


async def runtime_of(home: "Home") -> Runtime:
    """The home's one sandbox: made for its first job, ended when the home closes."""
    cache = home.path / "jobs" / "compiled"
    key = home.derive_key("compiled code")
    return await home.shared("sandbox", lambda: Runtime(cache, key, required=REQUIRED, spares=1))


CLOCK: Final = "wall-clock"
"""Under which a device keeps what is known of its clock."""


class Time:
    """What time it is for what waits until it may leave: a clock that is set ahead shortens nobody's hours to think."""

    def __init__(self, home: "Home", kept: Kept | None) -> None:
        self._home, self._kept = home, kept
        self._clock = WallClock.gone_on(kept, start_of_machine())

    def __call__(self) -> datetime:
        """The time."""
        return datetime.fromtimestamp(self._clock.time(datetime.now(UTC).timestamp(), awake_clock()), UTC)

    async def told(self) -> datetime:
        """The time, by which something is done: what is known of the clock is kept first."""
        now, known = self(), self._clock.keep(start_of_machine())
        if known is not None and known.is_news(self._kept):
            encoded = msgspec.msgpack.encode(known)
            await self._home.transaction(lambda transaction: transaction.keep(CLOCK, encoded))
            self._kept = known
        return now


async def time_of(home: "Home") -> Time:
    """The home's one `Time`; it goes on with what processes before this one knew of the clock."""
    return await home.shared("time", lambda: _time(home))


@asynccontextmanager
async def _time(home: "Home") -> AsyncIterator[Time]:
    yield Time(home, await _kept_clock(home))


async def _kept_clock(home: "Home") -> Kept | None:
    encoded = await home.transaction(lambda transaction: transaction.kept(CLOCK))
    return None if encoded is None else msgspec.msgpack.decode(encoded, type=Kept)


def start_of_machine() -> str:
    """What tells this start of the machine from others; "" where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def wait(last: Look | None, now: datetime) -> float:
    """Seconds until the next look; `last` is None when the home was not in step."""
    if last is None:
        return OUT_OF_STEP
    return MOST if last.next is None else min(MOST, max(0.0, (last.next - now).total_seconds()))


class Standing(msgspec.Struct, frozen=True):
    """What the last look of a home's scheduler came to, by grant; empty where none is at work."""

    pending: dict[str, Pending] = msgspec.field(default_factory=dict)
    problems: dict[str, str] = msgspec.field(default_factory=dict)

    def take(self, found: Look) -> None:
        """Stand as after this look."""
        self.pending.clear()
        self.pending.update({one.granted.grant.id: one for one in found.pending})
        self.problems.clear()
        self.problems.update(found.problems)


async def standing_of(home: "Home") -> Standing:
    """How the jobs that a home runs by itself stand."""
    return await home.shared("scheduled", _standing)


@asynccontextmanager
async def _standing() -> AsyncIterator[Standing]:
    yield Standing()


class Scheduler:
    """The looks of one home."""

    def __init__(self, home: "Home", runtime: Callable[[], Awaitable[Runtime]], sent: Callable[[], Awaitable[object]],
                 now: Callable[[], datetime], boot: Callable[[], float] = awake_clock,
                 clock: WallClock | None = None) -> None:  # fmt: skip
        self._home, self._runtime, self._sent, self._now, self._boot = home, runtime, sent, now, boot
        self._clock, self._pace = clock or WallClock(), Pace()
        self._grants = asyncio.Event()

    async def look(self) -> Look | None:
        """Run what is due, and have it sent at its time; None when the home is not in step. Raises no error."""
        try:
            now = self._now()
            believed = self._clock.believed(now.timestamp(), self._boot())
            if not await _in_step(self._home):
                return None
            standing = await standing_of(self._home)
            known = list(standing.pending.values())
            found = await look(self._home, self._runtime, now, known, believed=believed, again=self._again,
                               begin=self._begin, never=self._pace.never)  # fmt: skip
            standing.take(found)
            if found.departed:
                await self._sent()
        except ChezError:  # a full disk, say: what is due is due at the next look
            return Look()
        except Exception as problem:  # a home must not stop looking for what nobody foresaw
            write(self._home.path, problem, self._now().isoformat())
            return Look()
        return found

    def _begin(self, seconds: float) -> float:
        return self._pace.begin(self._boot(), seconds)

    async def _again(self) -> datetime | None:
        """The time, while turns may begin: in step, and by a clock that is believed.

        What was made leaves at its time, whatever is still to be run: else it would tell how long that took.
        """
        since = self._boot()
        with going_on(self._home):
            await self._sent()
        self._pace.passed(since, self._boot())
        now = self._now()
        believed = self._clock.believed(now.timestamp(), self._boot())
        return now if believed and await _in_step(self._home) else None

    async def go_on(self) -> None:
        """Look, whenever it is time or a grant changed, until cancelled."""
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                self._grants.clear()
                seconds = wait(await self.look(), self._now())
                await happened(self._grants, seconds)
        finally:
            await stop(watching)

    async def _watch(self) -> None:
        try:
            async for _ in self._home.collection(COLLECTION).changes():
                self._grants.set()
        except Exception as problem:  # a look comes in its time all the same
            write(self._home.path, problem, self._now().isoformat())


@contextlib.contextmanager
def going_on(home: "Home") -> Iterator[None]:
    """Around sending: turns, and what is to be sent next, go on, whatever nobody foresaw in it."""
    try:
        yield
    except ChezError:  # a full disk, say: nothing is lost, it is all in the journal, and due the next time
        pass
    except Exception as problem:
        write(home.path, problem, datetime.now(UTC).isoformat(timespec="seconds"))


@asynccontextmanager
async def scheduler(home: "Home", runtime: Callable[[], Awaitable[Runtime]], sent: Callable[[], Awaitable[object]],
                    now: Callable[[], datetime] = datetime.now) -> AsyncIterator[Scheduler]:  # fmt: skip
    """Run what is due while the block lasts. `sent` is called to have messages leave at their times."""
    clock = WallClock.gone_on(await _kept_clock(home), start_of_machine())
    made = Scheduler(home, runtime, sent, now, clock=clock)
    task = asyncio.create_task(made.go_on())
    try:
        yield made
    finally:
        await stop(task)


async def _in_step(home: "Home") -> bool:
    return home.relay is None or (await home.status()).link == "synced"

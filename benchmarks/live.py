"""query.live*: how soon a loop over a live answer hears of a commit among 100,000 records.

The home is a copy of the one that `benchmarks.queries` makes.
"""

import asyncio
import shutil
import threading
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import chez
from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.queries import RECORDS, filled_home, statement, timed
from benchmarks.query_once import PASSPHRASE

__all__ = ("benchmarks",)

NOTICES: Final = 200
"""Commits in one run of a figure, whose median it is."""
ASKED: Final = 30
ENOUGH: Final = 0.1
"""Seconds of asking after which a statement is not timed again."""
CITY: Final = {"city": "city 77"}
ONE: Final = {"note": "seen by the live query"}

PUT: Final = f"one of {NOTICES} puts of a record that is in the answer, each with another number, among {RECORDS}"
PEERS: Final = {
    "put": "the same calls until they return, durable: the notice does not wait for the return",
    "sqlcipher": "the same statement asked in full and its rows, in the database's thread, nothing decoded",
    "wakeup": "a task that awaits an asyncio queue, from the call of another thread that puts into it: no database",
}


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((
        Figure("query.live", "ms", "less", f"Median from the call until the loop over a live query (`city = …`, 21 "
               f"records) has the answer: {PUT}. The durable commit is in it.", 5.0, PEERS),
        Figure("query.live_unindexed", "ms", "less", f"Median from the call, as `query.live`, where no index serves "
               f"the query (`note = …`, 1 record): {PUT}.", 5.0, PEERS),
    ), _live),)


@dataclass(slots=True)
class Loop:
    """A loop over a live query, which notes when it sees which number."""

    query: Any
    seen: asyncio.Queue[tuple[int, float]] = field(default_factory=asyncio.Queue)

    async def run(self) -> None:
        """Until it is cancelled."""
        async with aclosing(self.query.live()) as answers:
            async for records in answers:
                at = time.perf_counter()
                self.seen.put_nowait((max((r.value["number"] for r in records if r.id == "live"), default=-1), at))

    async def notice(self, number: int) -> float:
        """When it saw this number. Raises `BenchmarkFailed` when it sees another."""
        found, at = await self.seen.get()
        if found != number:
            raise BenchmarkFailed(f"the live answer has number {found}, not {number}")
        return at


async def _live(bench: Bench) -> dict[str, Runs]:
    runs = {name: Runs() for name in ("query.live", "query.live_unindexed")}
    path = bench.folder("live") / "home"
    shutil.copytree(await filled_home(bench), path)
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        people = home.collection("people")
        value = {"name": "a live one", "amount": 0.5, "done": True, "number": 0, **CITY, **ONE}
        await people.put(value, id="live")
        for run in range(bench.runs + 1):
            indexed, unindexed = people.where(**CITY), people.where(**ONE)
            for name, query in (("query.live", indexed), ("query.live_unindexed", unindexed)):
                noticed, put = await _noticed(people, query, value)
                if run:  # the first round warms
                    asked, wakeup = await _asked(home, query), await _wakeup()
                    runs[name].add(noticed, put=put, sqlcipher=asked, wakeup=wakeup)
    return runs


async def _noticed(people: Any, query: Any, value: dict[str, Any]) -> tuple[float, float]:
    """Median milliseconds from the puts' calls until the notice, and until their returns."""
    loop = Loop(query)
    noticed, put = [], []
    task = asyncio.create_task(loop.run())
    try:
        await loop.seen.get()
        for _ in range(NOTICES):
            value["number"] += 1
            began = time.perf_counter()
            await people.put(value, id="live")
            done = time.perf_counter()
            noticed.append((await loop.notice(value["number"]) - began) * 1e3)
            put.append((done - began) * 1e3)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return median(noticed), median(put)


async def _asked(home: Any, query: Any) -> float:
    """Median milliseconds of the query's statement alone; one that walks through all is timed once."""
    sql = await statement(home, query.all)
    taken = [await timed(home, sql)]
    while len(taken) < ASKED and sum(taken) < ENOUGH:
        taken.append(await timed(home, sql))
    return median(taken) * 1e3


async def _wakeup() -> float:
    """Median milliseconds from a thread's call until a task has what it was given."""
    queue: asyncio.Queue[float] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    taken: list[float] = []

    def give() -> None:
        while go.acquire() and not ended.is_set():
            loop.call_soon_threadsafe(queue.put_nowait, time.perf_counter())

    go, ended = threading.Semaphore(1), threading.Event()
    thread = threading.Thread(target=give)
    thread.start()
    try:
        for _ in range(NOTICES):
            began = await queue.get()
            taken.append((time.perf_counter() - began) * 1e3)
            go.release()
    finally:
        ended.set()
        go.release()
        thread.join()
    return median(taken)

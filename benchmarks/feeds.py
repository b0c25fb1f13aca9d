"""feed.rate: the change feed, read from its beginning by an app that has catching up to do.

Beside: the same rows read by a bare SELECT in the same session, their JSON decoded.
"""

import time
from typing import Final

import msgspec

from benchmarks.harness import Bench, Benchmark, Figure, Runs
from benchmarks.store import fresh_home, six_fields
from chez.store.database import Connection

__all__ = ("benchmarks",)

RECORDS: Final = 50_000


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((Figure(
        "feed.rate", "changes/s", "more", f"{RECORDS:,} records of six fields read from a change feed from its start, "
        "in pages, each with its value, author and kind.", 50_000,
        {"select": "the same rows by one SELECT, each JSON decoded, in the same open database"}),), _rate),)


async def _rate(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    decode = msgspec.json.Decoder().decode
    async with fresh_home(bench.folder("feed")) as home:
        items = home.collection("items")
        for start in range(0, RECORDS, 5000):
            await items.put_many([six_fields(number) for number in range(start, start + 5000)])

        def select(db: Connection) -> int:
            rows = db.execute("SELECT id, json FROM record WHERE collection = 'items' ORDER BY changed").fetchall()
            return len([decode(json) for _, json in rows])

        for _ in range(bench.runs):
            began = time.perf_counter()
            seen = 0
            async for page in items.changes(live=False):
                seen += len(page.changes)
            ours = seen / (time.perf_counter() - began)
            began = time.perf_counter()
            count = await home._database.read(select)
            runs.add(ours, select=count / (time.perf_counter() - began))
    return {"feed.rate": runs}

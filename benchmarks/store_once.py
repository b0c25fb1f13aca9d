"""Chez at the work of `store.peers`: `python -m benchmarks.store_once fill|open FOLDER`, as stores.py says."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.stores.stores import CITIES, COUNT, QUERIES, READS, UPDATES, asked, check, name, record

PASSPHRASE = "benchmark only"


async def _timed(work: Callable[[int], Awaitable[Any]], numbers: Iterator[int]) -> float:
    """Median milliseconds of a call."""
    taken = []
    for number in numbers:
        began = time.perf_counter()
        await work(number)
        taken.append((time.perf_counter() - began) * 1e3)
    return median(taken)


async def fill(folder: Path) -> dict[str, float]:
    """All the work in a new home; its figures."""
    import chez
    from chez.crypto import Kdf

    records = [record(number) for number in range(COUNT)]
    ids = [name(number) for number in range(COUNT)]
    await chez.create(folder / "home", passphrase=PASSPHRASE, name="bench", kdf=Kdf.minimum())
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        people = home.collection("people", indexes=("city",))
        await people.count()  # what is declared is made by then, as it is for the others

        async def query(number: int) -> None:
            found = await people.where(city=f"city {number % CITIES}").all()
            check([one.value for one in found], number % CITIES)

        async def update(number: int) -> None:
            async with people.edit(name(number)) as draft:
                draft["number"] = -number - 1

        began = time.perf_counter()
        await people.put_many(records, ids=ids)
        measured = {"create": COUNT / (time.perf_counter() - began)}
        measured["read"] = await _timed(lambda number: people.get(name(number)), asked(READS))
        measured["query"] = await _timed(query, asked(QUERIES))
        measured["update"] = await _timed(update, asked(UPDATES))
        for number in asked(UPDATES):
            if (await people.get(name(number))).value != record(number) | {"number": -number - 1}:
                raise SystemExit(f"record {number} is not what it was updated to")
    return measured


async def first(folder: Path, began: float) -> dict[str, float]:
    """Open the home and ask once."""
    import chez

    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        found = await home.collection("people", indexes=("city",)).where(city="city 77").all()
        taken = (time.perf_counter() - began) * 1e3
    check([one.value for one in found], 77)
    return {"open": taken}


if __name__ == "__main__":
    started = time.perf_counter()
    where = Path(sys.argv[2])
    print(json.dumps(asyncio.run(fill(where) if sys.argv[1] == "fill" else first(where, started))))

"""One look at a home in a process that has done nothing before: `python -m benchmarks.query_once VERB HOME`.

`first` prints the milliseconds from before anything of Chez is imported until a home is
open and a query has answered; `scan` goes through every record one by one, `nothing`
does nothing, and both print the most memory the process ever had, in megabytes.
"""

import asyncio
import sys
import time
from pathlib import Path

from benchmarks.memory import peak

PASSPHRASE = "benchmark only"


async def first(path: Path) -> None:
    """Open the home and ask one indexed query."""
    import chez

    async with chez.open(path, passphrase=PASSPHRASE) as home:
        found = await home.collection("people").where(city="city 77").all()
        answered = time.perf_counter()
    if len(found) != 20:
        raise SystemExit(f"the query found {len(found)} records")
    print((answered - began) * 1e3)


async def scan(path: Path) -> None:
    """Look at every record."""
    import chez

    async with chez.open(path, passphrase=PASSPHRASE) as home:
        seen = 0
        async for record in home.collection("people"):
            seen += len(record.value) == 6
    if seen != 100_000:
        raise SystemExit(f"the scan saw {seen} records")
    print(peak())


async def nothing(path: Path) -> None:
    """What Python and its event loop take."""
    print(peak())


if __name__ == "__main__":
    began = time.perf_counter()
    asyncio.run({"first": first, "scan": scan, "nothing": nothing}[sys.argv[1]](Path(sys.argv[2])))

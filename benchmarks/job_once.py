"""One run of a trivial job in a process that has done nothing before: `python -m benchmarks.job_once CACHE BUILT`.

Prints the milliseconds from before the sandbox is imported until the result is there.
The compiled code is on disk, in one of the two folders, but its pages are dropped from the system's cache first.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

KEY = b"a key for benchmarks, of no value"
TRIVIAL = "def run(data, params):\n    return {'answer': 42}\n"


def drop(folder: Path) -> None:
    """Let the system forget the pages of the files in a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


async def once(cache: Path) -> None:
    """Run the job; raises when it gives another result."""
    from chez_sandbox.runtime.host import Limits, Runtime

    async with Runtime(cache, KEY) as runtime:
        result = await runtime.run_python(TRIVIAL, b"{}", (), Limits(), bytes(32), "2026-11-24")
    if result.value != b'{"answer":42}':
        raise SystemExit(f"the job ended with {result.outcome}: {result.log}")


if __name__ == "__main__":
    folder, built = map(Path, sys.argv[1:])
    drop(folder)
    drop(built)
    began = time.perf_counter()
    asyncio.run(once(folder))
    print((time.perf_counter() - began) * 1e3)

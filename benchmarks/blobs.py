"""blob.*: one large file from a device to another through a relay, each a process, durable at all three."""

import asyncio
import os
import time
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.harness import Bench, Benchmark, Figure, Runs
from benchmarks.sync import trio

__all__ = ("benchmarks",)

MIB: Final = 1024 * 1024
SMALL: Final = 16
LARGE: Final = 256


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((
        Figure("blob.rate", "MB/s", "more", f"A file of {LARGE} MiB, from the call that attaches it on A until B has "
               "read it to its end, through the relay: sealed, hashed and fsynced at all three.", None,
               {"copies": "the same file copied three times, one after the other, each fsynced: the bytes alone"}),
        Figure("blob.rss", "MB", "less", f"How far the peak memory of A or of B rises above what a file of {SMALL} MiB "
               f"took when one of {LARGE} MiB goes the same way, whichever rises more.", 24,
               {"content": "the size of the content"}),
    ), _carried),)


async def _carried(bench: Bench) -> dict[str, Runs]:
    rate, rss = Runs(), Runs()
    size = LARGE * MIB / 1e6
    for _ in range(bench.runs):
        folder = bench.folder("blobs")
        files = {mib: folder / f"{mib}" for mib in (SMALL, LARGE)}
        for mib, path in files.items():
            await asyncio.to_thread(_write, path, mib)
        async with trio(bench) as three:
            peaks = []
            for mib, path in files.items():
                await three.b.send("fetch", id=str(mib))
                began = (await three.a.ask("attach", path=str(path), id=str(mib)))["began"]
                seconds = ((await three.b.answer())["at"] - began) / 1e9
                peaks.append([(await device.ask("peak"))["megabytes"] for device in (three.a, three.b)])
            rate.add(size / seconds, copies=size / await asyncio.to_thread(_copies, files[LARGE], folder))
            rss.add(max(after - before for before, after in zip(*peaks, strict=True)), content=size)
        await asyncio.to_thread(_emptied, bench.work)
    return {"blob.rate": rate, "blob.rss": rss}


def _write(path: Path, mib: int) -> None:
    random = Random(mib)
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(random.randbytes(MIB))


def _copies(path: Path, folder: Path) -> float:
    """Seconds that three copies take."""
    began = time.monotonic()
    for number in range(3):
        with path.open("rb") as source, (folder / f"copy{number}").open("wb") as target:
            while part := source.read(MIB):
                target.write(part)
            target.flush()
            os.fsync(target.fileno())
    return time.monotonic() - began


def _emptied(work: Path) -> None:
    """Free the space of a run: five times the file."""
    for path in work.rglob("*"):
        if path.is_file() and path.stat().st_size > MIB // 4:
            path.unlink()

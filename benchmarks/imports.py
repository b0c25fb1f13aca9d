"""import.linky: a year of a real meter's half-hours, from the file into the encrypted store."""

import time
from pathlib import Path
from typing import Final

from benchmarks.harness import ROOT, Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.processes import command, start
from benchmarks.store import PASSPHRASE
from chez.connectors import Found, read

__all__ = ("LINKY", "benchmarks")

LINKY: Final = ROOT / "tests" / "data" / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv"
ROWS: Final = 17_520


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((Figure(
        "import.linky", "s", "less", f"`chez import` of {ROWS:,} half-hours into a new home with no owner "
        "running: the whole command, unlocking with the default cost included, until its process has ended.",
        6, {"parsing": "reading the same file into typed readings, nothing stored or started"}),), _linky),)


async def _linky(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        folder = bench.folder("import")
        home, passphrase = folder / "home", folder / "passphrase"
        passphrase.write_text(PASSPHRASE + "\n")
        common = ("--home", str(home), "--passphrase-file", str(passphrase))
        await _chez(folder, *common, "init", "--words-file", str(folder / "words"))
        began = time.perf_counter()
        await _chez(folder, *common, "import", str(LINKY))
        ours = time.perf_counter() - began
        began = time.perf_counter()
        found = sum(isinstance(item, Found) for item in read(LINKY))
        theirs = time.perf_counter() - began
        if found != ROWS:
            raise BenchmarkFailed(f"the file gave {found} readings instead of {ROWS}")
        runs.add(ours, parsing=theirs)
    return {"import.linky": runs}


async def _chez(folder: Path, *arguments: str) -> None:
    """Run one command of the CLI; raises `BenchmarkFailed` with its words."""
    log = folder / "chez.log"
    async with start(command("chez"), *arguments, log=log) as process:
        code = await process.wait()
    if code:
        raise BenchmarkFailed(f"chez {arguments[-1]} ended with {code}: {log.read_text()[-2000:]}")

"""A live change by this checkout and by another one, in turns: `python -m benchmarks.in_turns OTHER`.

For what a change of the code is worth, which is less than a machine's minutes differ by, and than one start of the
very same code differs from the next. Two devices and a relay of each checkout stand side by side, and those of one rest
while those of the other make some changes (as `sync.latency_p50` has them made); all are started anew so many times.
What is told is the mean of the differences, and its standard error. OTHER has an environment of its own (`.venv`).
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Final

import click

from benchmarks.harness import ROOT
from benchmarks.sync import GAP, Trio, edited, started

__all__ = ("main",)

CHANGES: Final = 25
"""In one turn."""

FIRST: Final = 3
"""Of these that are not looked at: those who make them were at rest."""


async def side(stack: AsyncExitStack, checkout: Path, folder: Path) -> Trio:
    """Start a checkout's relay and two devices, which have the record that is to be changed."""
    folder.mkdir()
    programs = checkout / ".venv/bin"
    three = await started(stack, folder, str(programs / "chez-relay"), str(programs / "python"))
    await three.a.ask("one")
    await three.b.ask("has")
    return three


async def launched(checkouts: tuple[Path, Path], turns: int, *, turned: bool) -> tuple[list[float], list[float]]:
    """What each turn of both took, in ms (medians), from one start; `turned`: the second is started first."""
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            order = (1, 0) if turned else (0, 1)
            sides = {n: await side(stack, checkouts[n], Path(folder) / str(n)) for n in order}
            taken: tuple[list[float], list[float]] = [], []
            for turn in range(turns):
                for n in order if turn % 2 else order[::-1]:
                    changes = await edited(sides[n], CHANGES, GAP, 1 + turn * CHANGES)
                    taken[n].append(median(changes[FIRST:]))
    return taken


@click.command()
@click.argument("other", type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path))
@click.option("--launches", type=click.IntRange(min=2), default=12, show_default=True, help="How often all start anew.")
@click.option("--turns", type=click.IntRange(min=2), default=10, show_default=True, help="Of each, from one start.")
def main(other: Path, launches: int, turns: int) -> None:
    """Say how long a live change takes with the checkout OTHER, and with this one."""
    found = [asyncio.run(launched((other, ROOT), turns, turned=bool(n % 2))) for n in range(launches)]
    before, after = (median(one for taken in found for one in taken[n]) for n in (0, 1))
    differences = [fmean(now - then for then, now in zip(*taken, strict=True)) for taken in found]
    click.echo(f"{before:.2f} ms there, {after:.2f} here; difference {fmean(differences):+.3f} ms, "
               f"give or take {stdev(differences) / launches ** 0.5:.3f} ({launches} launches)")


if __name__ == "__main__":
    main()

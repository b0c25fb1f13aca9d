"""`python -m examples.pilot [--people N]`: play the pilot, say what each party saw, and clean up."""

import asyncio
import shutil
import signal
import socket
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Final

import click
from examples.pilot import report
from examples.pilot.plan import MOST_PEOPLE, PilotFailed, Places, Plan, open_plan
from examples.pilot.story import Told, play, words_of

from chez.errors import ChezError
from chez_sandbox.errors import SandboxError

EACH: Final = 6_000_000
"""Bytes on the disk of each person: the home, what lies at the relay, what organisations keep of it."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--people", type=click.IntRange(1, MOST_PEOPLE), default=20, show_default=True, help="How many.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed makes the same data.")
@click.option("--workers", type=click.IntRange(1, 64), default=2, show_default=True,
              help="Processes that play the people's devices.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path),
              help="Where everything lies; one that was interrupted is gone on with. Default: a new one.")
@click.option("--keep", is_flag=True, help="Leave the folder as it is in the end.")
def main(people: int, seed: int, workers: int, folder: Path | None, keep: bool) -> None:
    """Play a whole pilot on this machine: a city, four organisations, four services, a relay, and people at home."""
    # As interrupts, a closed terminal and `kill` end the processes too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    places = Places((folder or Path(tempfile.mkdtemp(prefix="chez-pilot-"))).absolute())
    try:
        _room(places, people)
        plan = open_plan(places, Plan(people, seed, date.today(), _free_port(), _free_port()))
        asyncio.run(_pilot(places, plan, workers))
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. To go on: --people {people} --seed {seed} --folder {places.folder}", err=True)
        sys.exit(130)
    except Exception as error:
        known = _known(error)
        if known is None:
            raise
        click.secho(f"\nThe pilot failed: {known}\nWhat there is of it is in {places.folder}.", fg="red", err=True)
        sys.exit(1)
    if keep:
        click.echo(f"\nEverything is in {places.folder}. The passphrase of every home is in the file passphrase.")
    else:
        shutil.rmtree(places.folder)


async def _pilot(places: Places, plan: Plan, workers: int) -> None:
    outcome = await play(places, plan, workers, Told(_title, _Progress()))
    report.check(outcome)
    _title("What each party saw")
    for line in report.lines(outcome):
        click.echo(line)
    left, journal = await words_of(places, 0)
    _title("What one person reads at home: `chez left` and `chez journal`")
    click.echo(left + "\n" + journal)
    cost = report.figures(outcome)
    click.secho(f"{plan.people:,} people: {cost['seconds']:.2f} s and {cost['wire'] / 1e3:.0f} KB of each.", bold=True)


def _title(text: str) -> None:
    click.secho(f"\n== {text}", bold=True)


class _Progress:
    """How many people are through, and how long the others take if they take as long."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last = 0

    def __call__(self, done: int, total: int) -> None:
        """One more of a step's people is through."""
        if done <= self._last:
            self._began = time.monotonic()  # the next step, from its first person on
        self._last = done
        if done == total or done % max(1, total // 20) == 0:
            left = (time.monotonic() - self._began) * (total - done) / max(1, done - 1)
            about = f", about {left / 60:.0f} minutes left of this step" if left > 90 else ""
            click.echo(f"   {done:,} of {total:,} people{about}")


def _room(places: Places, people: int) -> None:
    """That a disk has room for those who have no home yet. Raises `PilotFailed`."""
    folder = next(path for path in (places.folder, *places.folder.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    begun = sum(1 for _ in places.homes_folder.iterdir()) if places.homes_folder.exists() else 0
    if (needed := (people - begun) * EACH) > free:
        raise PilotFailed(f"{people - begun:,} people need {needed / 1e9:.1f} GB, and the disk of {folder} has "
                          f"{free / 1e9:.1f} GB: choose another --folder, or fewer people")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _known(error: BaseException) -> BaseException | None:
    """What went wrong, where the pilot can say it in words; a group is told by its first one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, PilotFailed | ChezError | SandboxError | OSError) else None


if __name__ == "__main__":
    main()

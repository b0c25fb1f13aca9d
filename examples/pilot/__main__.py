"""`python -m examples.pilot [--people N]`: play the pilot, say what each party saw, and clean up."""

import asyncio
import shutil
import signal
import socket
import sys
import tempfile
from datetime import date
from pathlib import Path

import click
from examples.pilot import report
from examples.pilot.plan import MOST_PEOPLE, PilotFailed, Places, Plan, open_plan
from examples.pilot.story import Told, play, words_of

from chez.errors import ChezError
from chez_sandbox.errors import SandboxError


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
    outcome = await play(places, plan, workers, Told(_title, _progress))
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


def _progress(done: int, total: int) -> None:
    if done == total or done % max(1, total // 20) == 0:
        click.echo(f"   {done:,} of {total:,} people")


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

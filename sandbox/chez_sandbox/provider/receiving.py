"""`chez-job results`: take results from the inbox, and hand them on."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import click

from chez import inboxes
from chez.cli.asking import Seconds
from chez.cli.context import add_common
from chez.cli.stopping import standing
from chez.cli.terminal import json_line, say, say_lines
from chez.errors import ChezError
from chez_sandbox.bundle import open_bundle
from chez_sandbox.provider.acknowledging import Acknowledging
from chez_sandbox.provider.following import Items, Sink, Taking, take_results
from chez_sandbox.provider.hook import Hook, HookAddress, hook_address, post
from chez_sandbox.provider.keys import ProviderKeys, load_keys
from chez_sandbox.provider.publishing import SPACE, tell
from chez_sandbox.provider.results import Kept, ResultBook
from chez_sandbox.provider.tables import ROWS, Tables
from chez_sandbox.provider.trying import JSON, read_file
from chez_wire.limits import MAX_INBOX_TTL

__all__ = ("KEY", "results")

KEY: Final = click.option(
    "--key", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The provider's key file."
)

ATTEMPTS: Final = 5
"""How often one result is offered to a hook, unless results are followed: then for ever."""


@add_common
@click.command()
@KEY
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where results are kept (default: results.jsonl beside the key).",
)
@click.option(
    "--bundle",
    "bundles",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="A bundle to hold results against; any number of times.",
)
@click.option("--follow", is_flag=True, help="Go on waiting for more, through losses of the relay.")
@click.option(
    "--wait",
    type=Seconds(0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the first message.",
)
@click.option("--hook", metavar="URL", help="POST each result to this program too, until it answers 2xx.")
@click.option("--hook-anywhere", is_flag=True, help="Let the hook be on another machine, by https.")
@click.option(
    "--parquet",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write Parquet files into this folder too: each hour, or full.",
)
@click.option(
    "--rows", type=click.IntRange(1, 1_000_000), default=ROWS, show_default=True, help="Results of a full Parquet file."
)
@click.option("--acknowledge", is_flag=True, help="Tell people that you have them: 64 at once, each hour, at the end.")
@SPACE
@JSON
@click.pass_context
def results(
    ctx: click.Context,
    key: Path,
    out: Path | None,
    bundles: tuple[Path, ...],
    follow: bool,
    wait: float,
    hook: str | None,
    hook_anywhere: bool,
    parquet: Path | None,
    rows: int,
    acknowledge: bool,
    space: str,
    as_json: bool,
) -> None:
    """Take results from the inbox, open and check them, keep them, print the new ones.

    The relay forgets a result when it is in the file, and with the hook.
    """
    address = None if hook is None else hook_address(hook, anywhere=hook_anywhere)
    loaded = load_keys(key)
    known = [open_bundle(read_file(path)) for path in bundles]
    with ResultBook(out or key.with_name("results.jsonl"), loaded, known) as book:
        sinks: list[Sink] = [] if parquet is None else [Tables(book, parquet, _now, rows=rows)]
        sinks += [] if address is None else [_hook(book, address, follow)]
        if acknowledge:
            told = partial(_tell, ctx, loaded, space)
            sinks.append(Acknowledging(book, told, _say_problem, time.monotonic))
        taking = Taking(book, sinks, _now, partial(_print_result, as_json=as_json), _say_problem)
        with standing("what came is kept; the same command goes on"):
            count = asyncio.run(take_results(partial(_inbox, loaded), taking, None if follow else wait))
    if not as_json:
        say(f"{count} new" if count else "nothing new", err=True)


def _tell(ctx: click.Context, keys: ProviderKeys, space: str, tokens: Sequence[bytes]) -> None:
    """Runs in a thread: a home that no owner has open is opened for it."""
    count, problem = tell(ctx, keys, space, tokens)
    if count:
        say(f"{count} acknowledged" + (f", not at the relay yet: {problem}" if problem else ""), err=True)


def _hook(book: ResultBook, address: HookAddress, follow: bool) -> Sink:
    return Hook(book, partial(post, address), attempts=None if follow else ATTEMPTS, said=_say_problem)


def _now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def _inbox(keys: ProviderKeys) -> AsyncIterator[Items]:
    await inboxes.create(keys.relay, keys.inbox_owner, keys.inbox_writer.public, ttl=MAX_INBOX_TTL)
    async with inboxes.watch(keys.relay, keys.inbox_owner) as items:
        yield items


def _say_problem(error: ChezError) -> None:
    say(f"{error.message}; it is tried again", err=True)


def _print_result(kept: Kept, *, as_json: bool) -> None:
    line = kept.line
    if as_json:
        json_line(line)
    elif line["outcome"] == "invalid":
        say_lines([f"not a result: {line['problem']}"])
    else:
        what = line["result"] if line["outcome"] == "result" else "none"
        told = f"{line['run_date']}  {line['job'] or line['bundle'][:16]}  run {line['sequence']} of "
        say_lines([f"{told}{line['grant'][:8]}: {what}"])

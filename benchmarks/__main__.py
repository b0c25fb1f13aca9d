"""`python -m benchmarks [ID…] [--json FILE] [--without-peers]`: see benchmarks/__init__.py."""

import os
import signal
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from benchmarks import (
    blobs,
    checkpoints,
    cluster,
    connectors,
    deposits,
    feeds,
    gigabyte,
    imports,
    jobs,
    keys,
    live,
    membership,
    opendata,
    pilot,
    queries,
    reconnect,
    relay,
    sandbox,
    store,
    stores,
    sync,
    texts,
)
from benchmarks.harness import (
    LEAST_RUNS,
    ROOT,
    Benchmark,
    BenchmarkFailed,
    Results,
    added_to,
    machine,
    measure,
    say,
    select,
    versions,
    workplace,
    write,
)
from benchmarks.report import table, write_page

__all__ = ("every", "main", "run")


def every() -> tuple[Benchmark, ...]:
    """All there is to measure, in the order of the page."""
    themes = (store, stores, queries, live, sync, checkpoints, reconnect, relay, cluster, imports, gigabyte, connectors,
              deposits, jobs, sandbox, feeds, membership, keys, texts, blobs, opendata,
              pilot)
    return tuple([benchmark for theme in themes for benchmark in theme.benchmarks()])


def run(
    benchmarks: tuple[Benchmark, ...], ids: tuple[str, ...], json: Path | None, runs: int, peers: bool,
    cache: Path, *, add: bool = False,
) -> tuple[Results, list[str]]:
    """Measure figures one benchmark after the other; returns the results and what failed.

    The file of results is written after each benchmark, so that an interruption loses one. With `add` what it has of
    this machine and these versions stays, but what is measured anew. Raises `BenchmarkFailed` where it has others.
    """
    failed: list[str] = []
    with workplace(cache, runs, peers) as bench:
        results = Results(machine(bench.work), versions(), {})
        if add and json and json.exists():
            results.figures = added_to(json, results)
        for benchmark, figures in select(benchmarks, ids):
            names = ", ".join(figure.id for figure in figures)
            say(f"measuring {names} …")
            try:
                results.figures.update(measure(benchmark, figures, bench))
            except Exception as error:  # one that fails must not cost the others
                failed.append(names)
                say(f"  failed: {type(error).__name__}: {error}")
            if json:
                write(json, results)
    return results, failed


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False),
              help="Write results here, after each figure.")
@click.option("--add", is_flag=True, help="Keep the other figures that are in --json, of this machine and versions.")
@click.option("--runs", type=click.IntRange(min=LEAST_RUNS), default=LEAST_RUNS, show_default=True)
@click.option("--without-peers", is_flag=True, help="Leave out peers that need an installation.")
@click.option("--list", "only_list", is_flag=True, help="Show what can be measured.")
@click.option("--docs", type=click.Path(path_type=Path, dir_okay=False),
              help="Measure nothing: write this page, and its plot, from the results in --json.")
def main(
    ids: tuple[str, ...], json_file: Path | None, add: bool, runs: int, without_peers: bool, only_list: bool,
    docs: Path | None,
) -> None:
    """Measure figures by ID (all without one), print a table, exit 1 if one can't be measured."""
    # A program that was started before, or was installed, has its bytecode; peers' programs have theirs.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    benchmarks = every()
    figures = {figure.id: figure for benchmark in benchmarks for figure in benchmark.figures}
    console = Console(width=None if sys.stdout.isatty() else 120)
    if only_list:
        for figure in figures.values():
            print(f"{figure.id:22} {figure.unit:12} {figure.what}")
        return
    if docs:
        if not json_file:
            raise click.UsageError("--docs needs the results: --json FILE")
        try:
            write_page(docs, figures, msgspec.json.decode(json_file.read_bytes(), type=Results))
        except BenchmarkFailed as error:
            raise click.ClickException(str(error)) from None
        return
    # Ended from outside, the processes of a figure and its folder must go too. As an interrupt it cancels what
    # runs; an exit raised inside the event loop would leave a home open, whose threads keep the process. A shell
    # that starts it in the background has it ignore interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        cache = ROOT / "benchmarks" / ".cache"
        results, failed = run(benchmarks, ids, json_file, runs, not without_peers, cache, add=add)
    except BenchmarkFailed as error:
        raise click.ClickException(str(error)) from None
    table(figures, results, console)
    if failed:
        raise click.ClickException(f"not measured: {'; '.join(failed)}")


if __name__ == "__main__":
    main()

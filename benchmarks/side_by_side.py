"""The figures of `store.peers` for people: one table, one plot."""

from collections.abc import Mapping
from statistics import median
from typing import Final

from benchmarks.harness import Figure, Results
from benchmarks.numbers import number
from benchmarks.plot import Panel, dots
from benchmarks.stores import CONDITIONS, FAMILY, OURS

__all__ = ("PLOT", "family", "plot", "section")

PLOT: Final = "store-peers.svg"
"""The plot's file, in a folder with the page's name beside it."""

Values = dict[str, dict[str, list[float]]]
"""For each figure, every run of every store."""


def family(id: str) -> bool:
    """Whether a figure is one of these."""
    return id.startswith(f"{FAMILY}.")


def _values(results: Results) -> Values:
    return {id: {OURS: result.runs, **{store: runs for store, runs in result.peers.items() if runs}}
            for id, result in results.figures.items() if family(id)}


def section(figures: Mapping[str, Figure], results: Results, folder: str) -> list[str]:
    """The lines of the page, nothing if it was not measured; `folder` is where the page finds the plot."""
    values = _values(results)
    if not values:
        return []
    stores = [store for store in CONDITIONS if any(store in runs for runs in values.values())]
    lines = [
        "## Stores side by side", "",
        "The same work by each store, in processes of its own, one after the other. A cell has the median of the runs,",
        "with the least and the greatest.", "",
        "| | " + " | ".join(f"{_short(id)}, {figures[id].unit}" for id in values) + " |",
        "|---|" + "---:|" * len(values),
    ]
    for store in stores:
        cells = [f"{number(median(runs[store]))} ({number(min(runs[store]))} to {number(max(runs[store]))})"
                 if store in runs else "not measured" for runs in values.values()]
        lines.append(f"| {f'**{store}**' if store == OURS else store} | {' | '.join(cells)} |")
    lines += ["", f"![The same figures on logarithmic scales]({folder}/{PLOT})", ""]
    lines += ["What each store is, and gives:", ""]
    lines += [f"- **{store}**: {CONDITIONS[store]}." for store in stores]
    lines += ["", "What each column is:", ""]
    lines += [f"- **{_short(id)}** ({figures[id].better} is better): {figures[id].what}" for id in values]
    return [*lines, ""]


def plot(figures: Mapping[str, Figure], results: Results) -> str | None:
    """The SVG; None if it was not measured. Raises `BenchmarkFailed`."""
    panels = [Panel(f"{_short(id)}, {figures[id].unit} ({figures[id].better} is better)", {
        store: (min(runs[store]), median(runs[store]), max(runs[store]), number(median(runs[store])))
        for store in CONDITIONS if store in runs}) for id, runs in _values(results).items()]
    return dots("Stores side by side", panels) if panels else None


def _short(id: str) -> str:
    return id.removeprefix(f"{FAMILY}.")

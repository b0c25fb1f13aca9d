"""Draws how far off noised values are, by epsilon, on a real year of half-hours (tests/data).

    python -m tools.noise_curves > docs/noise.svg

Each point is made of `DRAWS` draws by OpenDP, which has no seed: run again, the lines lie a little elsewhere.
What is drawn is the error that 95 of 100 draws keep, in percent of what is told: of the rows for a count and
for the bins of a histogram, else of the true value. Clamping is part of the error.
"""

import csv
import itertools
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from chez_sandbox.privacy.mechanism import drawer
from chez_sandbox.privacy.statistics import Statistic, contributions, question, values

__all__ = ("EPSILONS", "Declared", "curves", "error", "load", "picture")

LOAD: Final = Path(__file__).parents[1] / "tests/data/energy-linky-fr/linky_courbe_de_charge_30min.csv"
EPSILONS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
DRAWS: Final = 300
FEW, YEAR = 4 * 7 * 48, 365 * 48
FLOOR: Final = 0.001
"""Percent; less is drawn here."""

WIDTH, HEIGHT, LEFT, TOP, COLUMNS = 300, 210, 52, 34, 2
STYLE: Final = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 }
  .tick { font-size: 10px; fill: #59636e }
  .grid { stroke: #d1d9e0 }
  polyline { fill: none; stroke-width: 2 }
  .few { stroke: #0969da } .year { stroke: #bc4c00 }
  text.few { fill: #0969da; stroke: none } text.year { fill: #bc4c00; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .tick { fill: #9198a1 } .grid { stroke: #3d444d }
    .few { stroke: #58a6ff } .year { stroke: #f0883e } text.few { fill: #58a6ff } text.year { fill: #f0883e }
  }
"""


@dataclass(frozen=True, slots=True)
class Declared:
    """A measurement of watts, as a manifest declares it."""

    title: str
    statistic: Statistic
    epsilon: float = 1.0
    lower: float | None = None
    upper: float | None = None
    step: float | None = None
    at: float | None = None
    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    def spending(self, epsilon: float) -> "Declared":
        """The same at another epsilon."""
        return Declared(self.title, self.statistic, epsilon, self.lower, self.upper, self.step, self.at, self.edges)


PANELS: Final = (
    Declared("count of half-hours", "count"),
    Declared("sum of watts, 0 to 6000", "sum", lower=0, upper=6000, step=1),
    Declared("mean of watts, 0 to 6000", "mean", lower=0, upper=6000, step=1),
    Declared("median of watts, by steps of 1", "quantile", lower=0, upper=6000, step=1, at=0.5),
    Declared("histogram of watts, 6 bins", "histogram", edges=(0, 200, 400, 800, 1600, 3200, 6000)),
)


def load() -> list[int]:
    """The newest year of the load curve, in watts, oldest first."""
    with LOAD.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter=";") if len(row) == 2 and row[1].isdigit()]
    return [int(watts) for _, watts in rows][-YEAR:]


def error(declared: Declared, watts: Sequence[int], draws: int) -> float:
    """The error in percent that 95 of 100 draws keep."""
    numbers, answer, truths = contributions(declared, watts), drawer(question(declared)), _truths(declared, watts)
    of = len(watts) if declared.statistic in ("count", "histogram") else truths[0]
    errors = []
    for _ in range(draws):
        told = values(declared, answer(numbers))
        off = statistics.fmean(abs(float(value) - truth) for value, truth in zip(told, truths, strict=True))
        errors.append(off / of * 100)
    return sorted(errors)[math.ceil(0.95 * draws) - 1]


def _truths(declared: Declared, watts: Sequence[int]) -> list[float]:
    """What would be told without noise and without a clamp."""
    match declared.statistic:
        case "count":
            return [float(len(watts))]
        case "histogram":
            bins = itertools.pairwise(declared.edges)
            return [float(sum(low <= one < high for one in watts)) for low, high in bins]
        case "sum":
            return [float(sum(watts))]
        case "mean":
            return [statistics.fmean(watts)]
        case _:
            return [float(statistics.median_low(watts))]


def curves(declared: Declared, watts: Sequence[int], draws: int = DRAWS) -> Mapping[str, list[float]]:
    """The errors at each of `EPSILONS`, of four weeks and of a year."""
    return {
        name: [error(declared.spending(epsilon), watts[-rows:], draws) for epsilon in EPSILONS]
        for name, rows in (("few", FEW), ("year", YEAR))
    }


def picture(panels: Sequence[tuple[str, Mapping[str, Sequence[float]]]]) -> str:
    """The SVG: a panel for each title, both scales logarithmic."""
    rows = math.ceil((len(panels) + 1) / COLUMNS)
    lines = [
        line
        for number, (title, drawn) in enumerate(panels)
        for line in _panel(title, drawn, number % COLUMNS * WIDTH, number // COLUMNS * HEIGHT)
    ]
    left, top = len(panels) % COLUMNS * WIDTH + LEFT, len(panels) // COLUMNS * HEIGHT + TOP
    key = [("few", "four weeks (1,344 rows)"), ("year", "a year (17,520 rows)"), ("", "across: epsilon"),
           ("", "up: error in %, 95 of 100 draws")]  # fmt: skip
    lines += [f'<text class="{kind}" x="{left}" y="{top + 20 * line}">{text}</text>'
              for line, (kind, text) in enumerate(key)]  # fmt: skip
    size = f'viewBox="0 0 {COLUMNS * WIDTH} {rows * HEIGHT}" width="{COLUMNS * WIDTH}" height="{rows * HEIGHT}"'
    label = 'role="img" aria-label="Error of noised values by epsilon"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {label}>'
    return "\n".join([head, f"<style>{STYLE}</style>", *lines, "</svg>"]) + "\n"


def _panel(title: str, drawn: Mapping[str, Sequence[float]], left: float, top: float) -> list[str]:
    most = max(1, math.ceil(math.log10(max(max(line) for line in drawn.values()))))
    low, high, start, end = math.log10(FLOOR), float(most), left + LEFT, left + WIDTH - 14
    bottom = top + HEIGHT - 30

    def across(epsilon: float) -> float:
        return start + (math.log10(epsilon) + 2) / 3 * (end - start)

    def up(percent: float) -> float:
        return bottom - (math.log10(max(percent, FLOOR)) - low) / (high - low) * (bottom - top - TOP)

    lines = [f'<text class="title" x="{start:.0f}" y="{top + 18:.0f}">{escape(title)}</text>']
    for power in range(-3, most + 1):
        y = up(10.0**power)
        lines.append(f'<line class="grid" x1="{start:.1f}" y1="{y:.1f}" x2="{end:.1f}" y2="{y:.1f}"/>')
        lines.append(f'<text class="tick" x="{start - 6:.1f}" y="{y + 3:.1f}" text-anchor="end">{10.0**power:g}</text>')
    lines += [f'<text class="tick" x="{across(epsilon):.1f}" y="{bottom + 14:.1f}" text-anchor="middle">{epsilon:g}'
              "</text>" for epsilon in EPSILONS]  # fmt: skip
    for name, line in drawn.items():
        places = zip(EPSILONS, line, strict=True)
        points = " ".join(f"{across(epsilon):.1f},{up(value):.1f}" for epsilon, value in places)
        lines.append(f'<polyline class="{name}" points="{points}"/>')
    return lines


if __name__ == "__main__":
    year = load()
    sys.stdout.write(picture([(one.title, curves(one, year)) for one in PANELS]))

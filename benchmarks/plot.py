"""Figures of several subjects as an SVG: a panel for each figure, a dot for each subject on a logarithmic scale.

Dots, because the length of a bar means nothing where the scale has no zero. The text is
drawn in the reader's own font and follows a light or dark surrounding.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from benchmarks.harness import BenchmarkFailed

__all__ = ("Panel", "dots")

WIDTH: Final = 380
LABEL: Final = 84
VALUE: Final = 74
ROW: Final = 20
HEAD: Final = 34
FOOT: Final = 30
COLUMNS: Final = 2
MOST_TICKS: Final = 5
"""Powers of ten that are labelled; more would touch each other."""

STYLE: Final = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 }
  .tick { font-size: 10px; fill: #59636e }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .dot, .range { fill: #818b98; stroke: #818b98 }
  .first { fill: #0969da; stroke: #0969da }
  text.first { stroke: none; font-weight: 600 }
  .range { stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .tick { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .dot, .range { fill: #9198a1; stroke: #9198a1 }
    .first { fill: #58a6ff; stroke: #58a6ff }
  }
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure: for each subject its least, median and greatest value, and the median in words."""

    title: str
    subjects: Mapping[str, tuple[float, float, float, str]]


@dataclass(frozen=True, slots=True)
class _Scale:
    """Whole powers of ten between two edges."""

    least: int
    most: int
    left: float
    right: float

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.least) / (self.most - self.least)
        return self.left + share * (self.right - self.left)


def dots(title: str, panels: Sequence[Panel]) -> str:
    """The SVG; the first subject of each panel stands out. Raises `BenchmarkFailed` for a value that is not above 0."""
    lines: list[str] = []
    top = 0.0
    for start in range(0, len(panels), COLUMNS):
        row = panels[start:start + COLUMNS]
        for column, panel in enumerate(row):
            lines += _panel(panel, column * WIDTH, top)
        top += HEAD + FOOT + ROW * max(len(panel.subjects) for panel in row)
    size = f'width="{WIDTH * min(COLUMNS, len(panels))}" height="{top:.0f}"'
    view = f'viewBox="0 0 {WIDTH * min(COLUMNS, len(panels))} {top:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {view} {size} role="img" aria-label={quoteattr(title)}>'
    return "\n".join([head, f"<style>{STYLE}</style>", *lines, "</svg>"]) + "\n"


def _panel(panel: Panel, left: float, top: float) -> list[str]:
    values = [value for least, _, most, _ in panel.subjects.values() for value in (least, most)]
    if not values or min(values) <= 0 or not all(map(math.isfinite, values)):
        raise BenchmarkFailed(f"{panel.title} has a value that no logarithmic scale shows")
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    scale = _Scale(low, max(high, low + 1), left + LABEL, left + WIDTH - VALUE)
    apart = 1 + (scale.most - scale.least) // MOST_TICKS
    bottom = top + HEAD + ROW * len(panel.subjects)
    lines = [f'<text class="title" x="{left:.1f}" y="{top + 16:.1f}">{escape(panel.title)}</text>']
    for power in range(scale.least, scale.most + 1):
        x = scale.at(10.0 ** power)
        lines.append(f'<line class="grid" x1="{x:.1f}" y1="{top + HEAD - 8:.1f}" x2="{x:.1f}" y2="{bottom:.1f}"/>')
        if (power - scale.least) % apart == 0:
            lines.append(f'<text class="tick" x="{x:.1f}" y="{bottom + 12:.1f}" text-anchor="middle">'
                         f"{_power(power)}</text>")
    for number, (name, (least, median, most, words)) in enumerate(panel.subjects.items()):
        y, first = top + HEAD + ROW * number + 4, " first" if not number else ""
        span = f'x1="{scale.at(least):.1f}" y1="{y:.1f}" x2="{scale.at(most):.1f}" y2="{y:.1f}"'
        lines += [
            f'<text class="label{first}" x="{left:.1f}" y="{y + 4:.1f}">{escape(name)}</text>',
            f'<line class="range{first}" {span}/>',
            f'<circle class="dot{first}" cx="{scale.at(median):.1f}" cy="{y:.1f}" r="4.5"/>',
            f'<text class="value{first}" x="{scale.right + 12:.1f}" y="{y + 4:.1f}">{escape(words)}</text>']
    return lines


def _power(power: int) -> str:
    return f"{10 ** power:,}" if power >= 0 else f"{10.0 ** power:.{-power}f}"

"""Two kinds of picture as SVG text, so that an application needs no plotting library: bars, and lanes of time.

Equal arguments give equal text, so that a picture in the repository can be held against one made anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from math import ceil, floor, log10

__all__ = ("COLOURS", "Mark", "Series", "bars", "lanes")

COLOURS = ("#4a7ba6", "#b5473c", "#6a9a58", "#c98f2d", "#7d5a96", "#8a8a8a", "#3c8d8d")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 320, 60, 150, 40, 30


@dataclass(frozen=True, slots=True)
class Series:
    """One colour of stacked bars: a value, not negative, for each label."""

    name: str
    colour: str
    values: Sequence[float] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that lasted, or happened (`begin` is `end`), in a lane; 0 is the picture's begin, 1 its end."""

    begin: float
    end: float
    title: str = field(repr=False)


def bars(title: str, labels: Sequence[str], series: Sequence[Series], unit: str) -> str:
    """Stacked bars, one for each label, with a scale in `unit` and a legend."""
    most = max((sum(column) for column in zip(*(one.values for one in series), strict=True)), default=0) or 1
    step = _step(most)
    top = step * ceil(most / step)
    wide, high = (WIDTH - LEFT - RIGHT) / max(1, len(labels)), HEIGHT - TOP - BOTTOM
    parts = []
    for count in range(round(top / step) + 1):
        y = HEIGHT - BOTTOM - high * count * step / top
        parts += [f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>',
                  _text(LEFT - 6, y + 4, f"{count * step:g}", "end")]
    for number, label in enumerate(labels):
        left, y = LEFT + wide * number, float(HEIGHT - BOTTOM)
        parts.append(_text(left + wide / 2, HEIGHT - BOTTOM + 16, label, "middle"))
        for one in series:
            tall = high * one.values[number] / top
            y -= tall
            parts.append(f'<rect x="{left + wide * 0.15:.1f}" y="{y:.1f}" width="{wide * 0.7:.1f}" height="{tall:.1f}" '
                         f'fill="{one.colour}"><title>{escape(f"{label}: {one.name} {one.values[number]:.1f} {unit}")}'
                         "</title></rect>")
    for number, one in enumerate(series):
        x, y = WIDTH - RIGHT + 12, TOP + 20 * number
        parts += [f'<rect x="{x}" y="{y}" width="12" height="12" fill="{one.colour}"/>',
                  _text(x + 18, y + 10, one.name, "start")]
    return _picture(f"{title}, {unit}", HEIGHT, parts)


def lanes(title: str, ticks: Sequence[tuple[float, str]], rows: Sequence[tuple[str, Sequence[Mark]]]) -> str:
    """One lane of time above the other; a mark's title is shown where a pointer rests on it."""
    height, wide = TOP + BOTTOM + 50 * len(rows), WIDTH - LEFT - 20 - 30
    parts = []
    for at, label in ticks:
        x = LEFT + 30 + wide * at
        parts += [f'<path d="M{x:.1f} {TOP}V{height - BOTTOM}" stroke="#ddd"/>',
                  _text(x + 2, height - BOTTOM + 16, label, "start")]
    for number, (name, marks) in enumerate(rows):
        y, colour = TOP + 50 * number, COLOURS[number % len(COLOURS)]
        parts.append(_text(LEFT + 22, y + 29, name, "end"))
        for mark in marks:
            length = max(3.0, wide * (mark.end - mark.begin))
            parts.append(f'<rect x="{LEFT + 30 + wide * mark.begin:.1f}" y="{y + 10}" width="{length:.1f}" height="30" '
                         f'fill="{colour}" fill-opacity="0.7"><title>{escape(mark.title)}</title></rect>')
    return _picture(title, height, parts)


def _step(most: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that makes at most five of the scale."""
    unit: float = 10.0 ** floor(log10(most / 5))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor * 5 >= most)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _picture(title: str, height: int, parts: Sequence[str]) -> str:
    view = f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11"'
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" {view}>',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>', *parts, "</svg>\n"])

"""`chez-relay top`: what a relay does at this moment, from its page of metrics, in a terminal.

Two pages one after the other give rates; everything is computed from them by functions without I/O.
"""

import re
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

from chez_relay.errors import BadConfiguration
from chez_relay.settings import parse_address

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ("Page", "Row", "fetch", "fitting", "parse", "quantile", "rate", "rates", "rows", "sparks", "watch")

Page = Mapping[str, float]
"""A page of metrics: each sample by its name, with its label as it stands there."""

_PREFIX: Final = "chez_relay_"
_BARS: Final = "▁▂▃▄▅▆▇█"
_LINE: Final = re.compile(r'([a-z_]+)(\{[a-z]+="[^"]*"\})? (\S+)')
QUIET: Final = ("none", "nothing asked")
"""What a line says that has nothing to say."""

NAMES: Final = 15
"""Columns before what a line says: the longest name, and the space on both sides."""

HISTORY: Final = 48
"""Moments that the little graph shows."""


def parse(text: str) -> dict[str, float]:
    """The samples of a page. Raises `BadConfiguration` when it is no relay's."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            match = _LINE.fullmatch(line)
            if match is None or not match[1].startswith(_PREFIX):
                raise BadConfiguration("this is no relay's page of metrics", "give the address of its `status` setting")
            found[match[1].removeprefix(_PREFIX) + (match[2] or "")] = float(match[3])
    if "ready" not in found:
        raise BadConfiguration("this is no relay's page of metrics", "give the address of its `status` setting")
    return found


def fetch(address: str, timeout: float = 5.0) -> dict[str, float]:
    """The page of the relay whose status is at HOST:PORT. Raises `BadConfiguration` when there is none."""
    try:
        parse_address(address)
    except ValueError:
        raise BadConfiguration(f"a status address is HOST:PORT, not {address!r}") from None
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=timeout) as answer:
            return parse(answer.read(1_000_000).decode())
    except urllib.error.HTTPError as error:
        raise BadConfiguration(f"what answers at {address} is no relay's status page",
                               "give the address of its `status` setting") from error
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise BadConfiguration(f"nothing answers at {address}: {getattr(reason, 'strerror', None) or reason}",
                               "start the relay with --set status=127.0.0.1:8788") from error


def rates(before: Page, after: Page, seconds: float, name: str) -> dict[str, float]:
    """How often each of a counter's kinds happened per second between two pages, the most frequent first.

    A relay that was started anew meanwhile counts from nothing: its rates are those since then.
    """
    found = {}
    for sample, value in after.items():
        if sample.startswith(f"{name}{{"):
            label = sample.split('"')[1]
            risen = value - before.get(sample, 0.0)
            found[label] = (risen if risen >= 0 else value) / seconds
    return dict(sorted(((label, rate) for label, rate in found.items() if rate > 0), key=lambda one: (-one[1], one[0])))


def rate(before: Page, after: Page, seconds: float, name: str) -> float:
    """How often a counter rose per second between two pages."""
    risen = after.get(name, 0.0) - before.get(name, 0.0)
    return (risen if risen >= 0 else after.get(name, 0.0)) / seconds


def quantile(before: Page, after: Page, part: float) -> float | None:
    """Within how many seconds this part of the groups between two pages was done; None where there was none.

    It is a bound of the histogram, thus rounded up.
    """
    bounds = sorted((float(sample.split('"')[1].replace("+Inf", "inf")), after[sample] - before.get(sample, 0.0))
                    for sample in after if sample.startswith("group_seconds_bucket{"))
    if not bounds or bounds[-1][1] <= 0:
        return None
    return next(bound for bound, count in bounds if count >= part * bounds[-1][1])


def sparks(values: "deque[float] | list[float]") -> str:
    """A line of bars, the highest for the largest value."""
    top = max(values, default=0.0)
    return "".join(_BARS[min(len(_BARS) - 1, int(value / top * len(_BARS)))] if top else _BARS[0] for value in values)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the display: a name, what it is, and whether that is bad."""

    name: str
    text: str
    bad: bool = False


def rows(before: Page, after: Page, seconds: float, now: float) -> Iterator[Row]:
    """What is shown of two pages that are `seconds` apart; `now` is seconds since 1970."""
    ready = after["ready"] == 1
    yield Row("state", "ready" if ready else "not ready: it can't write, or is about to stop", not ready)
    yield Row("connections", f"{after['connections']:,.0f}, following {after['followed']:,.0f} spaces and inboxes; "
                             f"{rate(before, after, seconds, 'connections_total'):,.1f} new a second")
    yield Row("memory", f"{_bytes(after['resident_bytes'])}, of it {_bytes(after['load_bytes'])} for connections")
    yield Row("entries", f"{rate(before, after, seconds, 'entries_total'):,.0f} a second, "
                         f"{_bytes(rate(before, after, seconds, 'entry_bytes_total'))} a second")
    half, most = quantile(before, after, 0.5), quantile(before, after, 0.99)
    yield Row("storage", QUIET[1] if half is None or most is None else
              f"half of the groups within {_millis(half)}, 99% within {_millis(most)}", (most or 0.0) > 0.2)
    if "disk_free_bytes" in after:
        free = after["disk_free_bytes"]
        yield Row("disk", f"store {_bytes(after['store_bytes'])}, free {_bytes(free)}", free < 2**30)
    if "certificate_expires" in after:
        days = int((after["certificate_expires"] - now) // 86400)
        yield Row("certificate", f"ends in {days} days" if days >= 0 else "is not valid", days < 14)
    for name, sample, bad in (("requests", "requests_total", False), ("refused", "refused_total", False),
                              ("turned away", "turned_away_total", True), ("let go", "let_go_total", True)):
        found = rates(before, after, seconds, sample)
        yield Row(name, ", ".join(f"{label} {value:,.1f}" for label, value in list(found.items())[:6]) or QUIET[0],
                  bad and bool(found))


def watch(
    console: "Console", get: Callable[[], Page], *, interval: float = 1.0, times: int = 0,
    sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.time,
) -> None:
    """Show it until interrupted, or so many times. Raises what `get` raises at its first call."""
    from rich.live import Live

    before, begun = get(), clock()
    history: deque[float] = deque([0.0] * HISTORY, HISTORY)
    shown, lost = 0, ""
    # In a file or a pipe nothing is drawn over: there each moment is a display of its own.
    live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
    with live or nullcontext():
        show = console.print if live is None else partial(live.update, refresh=True)
        while not times or shown < times:
            sleep(interval)
            try:
                after, ended = get(), clock()
            except BadConfiguration as error:
                show(_lost(error.message))
                shown, lost = shown + 1, error.message
                continue
            seconds = max(ended - begun, 0.001)
            history.append(0.0 if lost else rate(before, after, seconds, "entries_total"))
            show(_display(list(rows(before, after, seconds, ended)), history, console))
            before, begun, shown, lost = after, ended, shown + 1, ""


def fitting(lines: list[Row], most: int) -> list[Row]:
    """As many of the lines as there is room for, in their order: first those go that say nothing, the bad ones last."""
    def weight(place: int) -> tuple[bool, bool, int]:
        row = lines[place]
        return not row.bad, row.text in QUIET, place

    kept = sorted(range(len(lines)), key=weight)[:max(most, 1)]
    return [lines[place] for place in sorted(kept)]


def _display(lines: list[Row], history: "deque[float]", console: "Console") -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    room = max(console.width - NAMES, 1)
    cramped = sum(-(-len(line.text) // room) for line in lines) >= console.height
    table = Table.grid(padding=(0, 2))
    for line in fitting(lines, console.height - 2) if cramped else lines:
        table.add_row(Text(line.name, style="bold"), Text(line.text, style="red" if line.bad else "", no_wrap=cramped,
                                                          overflow="ellipsis"))
    table.add_row(Text("entries/s", style="bold"), Text(sparks(list(history)[-room:]), style="cyan", no_wrap=True))
    return table


def _lost(message: str) -> "RenderableType":
    from rich.text import Text

    return Text(message, style="red")


def _bytes(value: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1024
    return f"{value:,.1f} TiB"


def _millis(seconds: float) -> str:
    return "more than 5 s" if seconds == float("inf") else f"{seconds * 1000:g} ms"

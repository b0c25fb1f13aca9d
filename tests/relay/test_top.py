"""The display of a relay in a terminal: what is computed from two pages of metrics, and the command itself."""

import asyncio
import io
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chez_relay.counts import BOUNDS, Counts
from chez_relay.errors import BadConfiguration
from chez_relay.metrics import Moment, metrics
from chez_relay.top import Page, Row, fetch, fitting, parse, quantile, rate, rates, rows, sparks, watch
from tests.relay.support import relay
from tests.relay.test_operating import STATUS, busy, status


def page(entries: int = 0, *, ready: bool = True, seconds: tuple[float, ...] = (), expires: float | None = None,
         folder: Path | None = None) -> Page:
    """The page of a relay that stored so many entries."""
    counts = Counts(entries=entries, entry_bytes=300 * entries)
    counts.turned_away["dials"] = entries // 10
    for one in seconds:
        counts.groups.add(one)
    return parse(metrics(counts, Moment(3, 2048, 5, ready, "0.1.0", folder, expires)))


@given(st.lists(st.floats(0.0001, 4.9), min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_quantile_is_the_bound_that_so_many_are_within(seconds: list[float], part: float) -> None:
    """At least that part of the groups took no longer than what is shown, and it is one of the histogram's bounds."""
    found = quantile(page(), page(seconds=tuple(seconds)), part)
    assert found in BOUNDS
    within = sum(one <= found for one in seconds)
    assert within >= part * len(seconds) - 1e-9
    lower = [bound for bound in BOUNDS if bound < found]
    assert not lower or sum(one <= lower[-1] for one in seconds) < part * len(seconds)


def test_rates_are_between_two_pages_and_survive_a_restart() -> None:
    """A counter that rose by 50 in 2 s is 25 a second; one that begins anew counts from nothing, never below."""
    assert rate(page(100), page(150), 2.0, "entries_total") == 25
    assert rate(page(100), page(10), 2.0, "entries_total") == 5
    assert rates(page(100), page(150), 5.0, "turned_away_total") == {"dials": 1.0}
    assert rates(page(100), page(100), 5.0, "turned_away_total") == {}
    assert quantile(page(), page(), 0.5) is None


def test_what_is_bad_is_marked(tmp_path: Path) -> None:
    """A relay that can't write, one with a slow disk, one that turns clients away, a certificate about to end."""
    now = 1_800_000_000.0
    well = {row.name: row for row in rows(page(), page(seconds=(0.002,), folder=tmp_path), 1.0, now)}
    assert not any(row.bad for name, row in well.items() if name != "disk") and "certificate" not in well
    ill = {row.name: row for row in rows(
        page(), page(100, ready=False, seconds=(3.0,), expires=now + 86400 * 3), 1.0, now)}
    assert all(ill[name].bad for name in ("state", "storage", "certificate", "turned away"))
    assert ill["certificate"].text == "ends in 3 days" and "100 a second" in ill["entries"].text


@given(st.lists(st.floats(0, 1e12), max_size=60))
def test_the_little_graph_has_a_bar_for_each_moment(values: list[float]) -> None:
    """As many bars as values; the largest value has the highest."""
    line = sparks(values)
    assert len(line) == len(values)
    if any(values):
        assert line[values.index(max(values))] == "█"


@pytest.mark.parametrize("text", ["", "<html>", "chez_relay_connections 3\n", "other_thing 3\n", "# only\n"])
def test_a_page_of_something_else_is_refused(text: str) -> None:
    """What is no relay's page of metrics is one typed error."""
    with pytest.raises(BadConfiguration, match="no relay's page"):
        parse(text)


def test_a_relay_that_is_gone_for_a_while_is_told_and_looked_for_again() -> None:
    """While there is no page the display says so, and goes on once there is one."""
    pages: list[Page | None] = [page(0), None, page(20), page(40)]

    def get() -> Page:
        found = pages.pop(0)
        if found is None:
            raise BadConfiguration("there is no status page")
        return found

    out = io.StringIO()
    ticks = iter(range(100))
    watch(Console(file=out, force_terminal=True, width=120), get, times=3, sleep=lambda _: None,
          clock=lambda: float(next(ticks)))
    assert "there is no status page" in out.getvalue() and "20 a second" in out.getvalue()


def test_where_nothing_can_be_drawn_over_each_moment_is_shown_to_its_end() -> None:
    """In a file or a pipe: one display after the other, and what comes next begins on a line of its own."""
    pages = iter([page(), page(20), page(60)])
    out = io.StringIO()
    watch(Console(file=out, width=120), lambda: next(pages), times=2, sleep=lambda _: None,
          clock=iter([1.0, 2.0, 3.0]).__next__)
    assert out.getvalue().count("state ") == 2 and out.getvalue().endswith("\n")
    assert "20 a second" in out.getvalue() and "40 a second" in out.getvalue()


async def test_the_command_shows_a_relay_and_says_when_there_is_none(tmp_path: Path) -> None:
    """`top` of a busy relay prints its figures; without one it ends with 1 and a word on the setting."""
    async with relay(tmp_path, *STATUS) as process:
        url = await status(process)
        await busy(process)
        code, output = await run("top", url, "--times", "1", "--interval", "0.1")
        assert code == 0 and "ready" in output and "connections" in output and "store" in output
        assert fetch(url.removeprefix("http://"))["entries_total"] == 20
    assert (await run("top", url, "--times", "1"))[0] == 1
    assert (await run("top"))[0] == 1


async def run(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_relay", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@given(st.lists(st.builds(Row, st.text("abc", min_size=1), st.sampled_from(("none", "5 a second")), st.booleans()),
                max_size=14), st.integers(-3, 16))
def test_what_does_not_fit_goes_in_order_of_what_it_says(lines: list[Row], most: int) -> None:
    """So many lines at most, in order; nothing that is bad goes while something is left that is not."""
    kept = fitting(lines, most)
    assert len(kept) == min(len(lines), max(most, 1))
    rest = iter(lines)
    assert all(row in rest for row in kept)
    gone = sum(row.bad for row in lines) - sum(row.bad for row in kept)
    assert not gone or all(row.bad for row in kept)


def test_in_a_small_terminal_what_is_bad_is_still_seen() -> None:
    """Forty columns and eight lines: no line is broken in two, and who is turned away is there."""
    pages = iter([page(), page(1000, seconds=(0.002,))])
    out = io.StringIO()
    console = Console(file=out, width=40, height=8, force_terminal=True, color_system=None)
    watch(console, lambda: next(pages), times=1, sleep=lambda _: None, clock=iter([1.0, 2.0]).__next__)
    shown = [line for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines() if line.strip()]
    shown = shown[len(shown) // 2:]  # at the end it is drawn once more
    assert len(shown) <= 8 and all(len(line) <= 40 for line in shown)
    names = [line.split("  ")[0] for line in shown]
    assert "state" in names and "turned away" in names and "entries/s" in names

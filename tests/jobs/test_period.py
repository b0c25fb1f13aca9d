"""Windows lie on their grid, are over, and move by whole steps."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chez.errors import NotAllowed
from chez_sandbox.consent.period import Period, bounds, closed_day, day_of, on_grid, period_of
from chez_sandbox.manifest import Window

GRIDS = st.sampled_from(["day", "week", "month"])
ZONES = st.sampled_from(["UTC", "Europe/Paris", "Asia/Tokyo", "America/New_York", "Pacific/Pago_Pago"])
DAYS = st.dates(date(1990, 1, 1), date(2090, 12, 31))


def window(last: int = 1, grid: str = "day", zone: str = "local") -> Window:
    """A window over the field `at`."""
    return Window(field="at", last=last, grid=grid, zone=zone)  # type: ignore[arg-type]


def test_the_grids() -> None:
    """Days are the last ones before the run's, weeks begin on Monday, months on the first."""
    thursday = date(2026, 11, 26)
    assert period_of(window(3), thursday) == Period(date(2026, 11, 23), thursday)
    assert period_of(window(2, "week"), thursday) == Period(date(2026, 11, 9), date(2026, 11, 23))
    assert period_of(window(12, "month"), thursday) == Period(date(2025, 11, 1), date(2026, 11, 1))
    assert period_of(window(1, "month"), date(2026, 1, 31)) == Period(date(2025, 12, 1), date(2026, 1, 1))


@given(GRIDS, st.integers(1, 60), DAYS, st.integers(0, 40))
def test_two_runs_read_the_same_or_differ_by_whole_steps(grid: str, last: int, day: date, later: int) -> None:
    """A window's ends lie on its grid and before the run, and a later run's is the same or moved by steps."""
    made = window(last, grid)
    first, second = period_of(made, day), period_of(made, day + timedelta(later))
    for period, anchor in ((first, day), (second, day + timedelta(later))):
        assert on_grid(made, period.first) == period.first < period.end == on_grid(made, period.end) <= anchor
    assert first == second or first.end <= second.first or on_grid(made, second.first) > first.first
    if on_grid(made, day) == on_grid(made, day + timedelta(later)):
        assert first == second


@example("Pacific/Pago_Pago", date(2026, 11, 26), 14 * 60, 0)
@given(ZONES, DAYS, st.integers(-12 * 60, 14 * 60), st.integers(0, 24 * 60 - 1))
def test_a_window_is_over_wherever_the_device_is(zone: str, today: date, offset: int, minute: int) -> None:
    """Whatever zone the device's day is of, an instant inside the window lies before the instant of the run."""
    made = window(2, zone=zone)
    run = datetime(today.year, today.month, today.day, tzinfo=UTC) + timedelta(minutes=minute - offset)
    end = bounds(made, period_of(made, closed_day(made, today)))[1]
    assert datetime.fromisoformat(end).replace(tzinfo=UTC) <= run


@given(ZONES, st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)), st.booleans())
def test_an_instant_is_in_the_window_of_its_day(zone: str, instant: datetime, milliseconds: bool) -> None:
    """An instant's text lies between the bounds of its own day in the zone, however finely it is written."""
    text = instant.isoformat(timespec="milliseconds" if milliseconds else "seconds") + "Z"
    day = day_of(window(zone=zone), text)
    first, end = bounds(window(zone=zone), Period(day, day + timedelta(1)))
    assert first <= text < end


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "America/Indiana"])
def test_an_unknown_zone_is_said_so(zone: str) -> None:
    """A zone that this device has no table of, or that is a folder of others, is a typed refusal."""
    with pytest.raises(NotAllowed, match=zone):
        closed_day(window(zone=zone), date(2026, 11, 26))


def test_no_day_is_held_back_longer_than_where_it_still_goes_on() -> None:
    """From Honolulu eastwards a zone's day is over a day later everywhere; further behind, one more is waited for."""
    closed = {zone: closed_day(window(zone=f"Pacific/{zone}"), date(2026, 11, 26)).day
              for zone in ("Kiritimati", "Honolulu", "Pago_Pago")}  # fmt: skip
    assert closed == {"Kiritimati": 25, "Honolulu": 25, "Pago_Pago": 24}

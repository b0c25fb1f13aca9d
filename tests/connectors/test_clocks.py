"""The clock of the wall by ESPI's rules, held against the zones that they describe."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors.clocks import Clock
from tests.tries import tries

PACIFIC = Clock(-28800, 3600, "360E2000", "B40E2000")
"""Second Sunday of March, first of November, at two: as in the real file."""
PARIS = Clock(3600, 3600, "3E0E2000", "AE0E3000")
"""The last Sundays of March and October, at two and at three."""
SYDNEY = Clock(36000, 3600, "A40E2000", "440E3000")
"""The first Sundays of October and April: summer goes over the turn of the year."""


@given(st.sampled_from([(PACIFIC, "America/Los_Angeles"), (PARIS, "Europe/Paris"), (SYDNEY, "Australia/Sydney")]),
       st.datetimes(datetime(2009, 1, 1), datetime(2036, 1, 1)))
@settings(max_examples=tries(200), deadline=None)
def test_the_rules_give_what_the_zone_shows(clock: tuple[Clock, str], at: datetime) -> None:
    """At any instant under these rules the clock shows what that of the zone shows, on both hemispheres."""
    ours, zone = clock
    theirs = at.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    offset = theirs.utcoffset()
    assert offset is not None
    assert ours.wall(at.replace(tzinfo=UTC)) == (theirs.replace(tzinfo=None), offset.total_seconds() // 60)


@pytest.mark.parametrize(("clock", "zone", "year"), [
    (PACIFIC, "America/Los_Angeles", 2011), (PARIS, "Europe/Paris", 2024), (SYDNEY, "Australia/Sydney", 2023)])
def test_each_hour_of_a_year(clock: Clock, zone: str, year: int) -> None:
    """Every hour of a year, those of both changes among them, is the zone's."""
    for hour in range(366 * 24):
        at = datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
        assert clock.wall(at)[0] == at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def test_days_of_rules() -> None:
    """A date, the first weekday on or after one, and the fifth of a month are understood."""
    def begins(rule: str) -> datetime:
        clock, at = Clock(0, 3600, rule, "C1F00000"), datetime(2024, 1, 1, tzinfo=UTC)
        while not clock.wall(at)[1]:
            at += timedelta(hours=1)
        return at.replace(tzinfo=None)
    assert begins("31502000") == datetime(2024, 3, 21, 2)  # 21 March
    assert begins("328E2000") == datetime(2024, 3, 10, 2)  # the first Sunday from 8 March on
    assert begins("3C0E2000") == datetime(2024, 3, 31, 2)  # the fifth Sunday of March


def test_a_clock_without_summer() -> None:
    """Without rules, or with nothing added, the clock is ahead by its offset all year."""
    for clock in (Clock(5400, 3600, "", ""), Clock(5400, 0, "360E2000", "B40E2000")):
        assert {clock.wall(datetime(2024, month, 1, tzinfo=UTC))[1] for month in range(1, 13)} == {90}


@pytest.mark.parametrize("rule", ["00000000", "xyz", "360E20", "F60E2000", "D0100000", "30000000", "-60E2000"])
def test_a_rule_that_is_none(rule: str) -> None:
    """A month or day that is none, and what is no number of 32 bits, is told."""
    with pytest.raises(ValueError, match="summer time"):
        Clock(0, 3600, rule, "B40E2000")
    with pytest.raises(ValueError, match="a day from UTC"):
        Clock(10**6, 0, "", "")

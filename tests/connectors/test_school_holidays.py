"""The school holidays of France: the real file, exactly, and what broken lines give."""

from collections import Counter
from datetime import date

import pytest

from chez.connectors import read
from chez.connectors.school_holidays import SchoolHolidays
from chez.records.types import identity_of
from chez.vocabulary import Day
from tests.connectors.support import HOLIDAYS, read_bytes, records, rejects

HEAD = "date,vacances_zone_a,vacances_zone_b,vacances_zone_c,nom_vacances\n"


def test_the_real_file() -> None:
    """Of 14,245 days 5,731 are holidays somewhere: 14,047 records, no rejects; a day of school is none."""
    items = list(read(HOLIDAYS))
    days = [one for one in records(items) if isinstance(one, Day)]
    assert (len(days), rejects(items), len({identity_of(one) for one in days})) == (14_047, [], 14_047)
    assert Counter(one.area for one in days) == {"A": 4681, "B": 4685, "C": 4681}
    assert len({one.date for one in days}) == 5731
    assert days[0] == Day(
        calendar="school-holidays-fr", area="A", date=date(1990, 10, 27), name="Vacances de la Toussaint")
    assert [one.area for one in days if one.date == date(2024, 2, 12)] == ["C"]


@pytest.mark.parametrize(("bad", "reason"), [
    ("2024-02-12,True,True", "five columns"), ("12/02/2024,True,True,True,x", "not like"),
    ("2024-02-30,True,True,True,x", "no such day"), ("2024-02-12,yes,True,True,x", "neither True nor False"),
    ("2024-02-10,True,True,True,x", "given already on line 2"), ("0001-01-01,True,True,True,x", "the year is not"),
])
def test_a_broken_line_costs_itself(bad: str, reason: str) -> None:
    """A line that can't be, or a day that comes twice, is one reject with its line; the others are read."""
    good = "2024-02-10,False,False,True,a\n", "2024-02-11,True,False,False,b\n"
    items = read_bytes(SchoolHolidays(), f"{HEAD}{good[0]}{bad}\n{good[1]}".encode())
    ((line, told),) = rejects(items)
    assert line == 3 and reason in told
    assert [(one.area, one.name) for one in records(items) if isinstance(one, Day)] == [("C", "a"), ("A", "b")]

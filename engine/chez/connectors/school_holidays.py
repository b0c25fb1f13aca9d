"""The school holidays of France, one day a line, as the package `vacances_scolaires_france` publishes them.

    date,vacances_zone_a,vacances_zone_b,vacances_zone_c,nom_vacances
    2024-02-10,False,False,True,Vacances d'hiver

The file has every day from 1990 on, most of them ordinary. A record is a holiday in one zone: what is no record between
the first and the last is a day with school, a weekend or a public holiday, which this calendar does not tell apart.
So a holiday that a later edition takes back stays until it is removed.

The zones A, B and C are those of the Ministry of Education; which town is in which is not said here.
"""

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import BinaryIO, Final

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Reject, Source, excerpt
from chez.connectors.lines import Line, lines
from chez.vocabulary import Day

__all__ = ("SchoolHolidays",)

HEADER: Final = re.compile(rb"(?:\xef\xbb\xbf)?date,vacances_zone_a,vacances_zone_b,vacances_zone_c,nom_vacances\s")
ZONES: Final = ("A", "B", "C")
ISO_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
CALENDAR: Final = "school-holidays-fr"
MAX_NAME: Final = 128


class SchoolHolidays:
    """Reads the calendar into the days without school, by zone."""

    name = "school-holidays"
    version = 1
    title = "school holidays of France, CSV"
    types = (Day,)

    def recognise(self, head: bytes, name: str) -> bool:
        """The five columns are in its first line."""
        return HEADER.match(head) is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """A `Day` for each zone that has holidays on a line's day. A day given twice is rejected."""
        seen: dict[date, int] = {}  # at most one entry a day between MIN_YEAR and MAX_YEAR
        for line in lines(file):
            if not isinstance(line, Line):
                yield line
                continue
            if line.number == 1:
                continue
            try:
                day, zones, name = _row(line.text)
                if day in seen:
                    raise ValueError(f"the day is given already on line {seen[day]}")
            except ValueError as error:
                yield Reject(line.number, str(error), excerpt(line.text))
                continue
            seen[day] = line.number
            for zone in zones:
                yield Found(Day(calendar=CALENDAR, area=zone, date=day, name=name), line.number)


def _row(text: str) -> tuple[date, tuple[str, ...], str]:
    """The day, the zones that have holidays, and what these are called. Raises `ValueError`."""
    written, comma, rest = text.partition(",")
    if not (comma and ISO_DAY.fullmatch(written)):
        raise ValueError("the date is not like 2024-01-31")
    return (_day(written), *_zones(rest))


def _day(written: str) -> date:
    try:
        day = date.fromisoformat(written)
    except ValueError:
        raise ValueError("there is no such day") from None
    if not MIN_YEAR <= day.year <= MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    return day


@lru_cache(maxsize=256)
def _zones(rest: str) -> tuple[tuple[str, ...], str]:
    """What follows the day, which is the same for weeks."""
    fields = rest.split(",", 3)
    if len(fields) != 4:
        raise ValueError("the line has not five columns")
    if not all(flag in ("True", "False") for flag in fields[:3]):
        raise ValueError("a zone is neither True nor False")
    zones = tuple(zone for zone, flag in zip(ZONES, fields, strict=False) if flag == "True")
    return zones, fields[3].strip().strip('"')[:MAX_NAME]

"""Events, and days that are not like others."""

from datetime import date, datetime
from typing import ClassVar

import msgspec

__all__ = ("Day", "Event")


class Event(msgspec.Struct, kw_only=True):
    """An appointment, or one that recurs, or one changed occurrence of it.

    RFC 5545 `VEVENT`; <https://schema.org/Event>. It has either `start` and `end`, or, when it takes whole days,
    `day` and `last_day`.
    """

    __collection__: ClassVar[str] = "events"
    __identity__: ClassVar[tuple[str, ...]] = ("recurrence", "uid")
    __version__: ClassVar[int] = 2

    uid: str
    """RFC 5545 `UID`; else "row:" with a hash of what the event says."""
    recurrence: str = ""
    """Of a changed occurrence the start it would have had, as in the file (`RECURRENCE-ID`); else empty."""
    title: str = ""
    """`SUMMARY`."""
    start: datetime | None = None
    """When it begins, UTC."""
    end: datetime | None = None
    """When it ends, UTC."""
    day: date | None = None
    """Its first day, when it takes whole days."""
    last_day: date | None = None
    """Its last day, counted in; the file's `DTEND` is the day after."""
    local: str = ""
    """`start` on the clock of the wall: "2024-03-31T09:00"."""
    zone: str = ""
    """The time zone as the file names it, by IANA's names where it can be told; empty for UTC and floating times."""
    rule: str = ""
    """RFC 5545 `RRULE` as text, empty when it does not recur."""
    location: str = ""
    """Where, as written."""
    description: str = ""
    """What else is said."""
    organiser: str = ""
    """Who called it: a mail address where there is one."""
    attendees: list[str] = []
    """Who was asked: mail addresses where there are some."""
    status: str = ""
    """"tentative", "confirmed", "cancelled"."""
    calendar: str = ""
    """The calendar's name."""
    categories: list[str] = []
    """`CATEGORIES`."""
    added: list[str] = []
    """Times at which it recurs beside its rule, as in the file (`RDATE`): "20240131T080000Z", "TZID=...:..."."""
    dropped: list[str] = []
    """Times of its rule at which it does not take place, as in the file (`EXDATE`)."""


class Day(msgspec.Struct, kw_only=True):
    """What one day is in a calendar that many share: a public holiday, a day without school.

    <https://schema.org/PublicHolidays>; ISO 8601 calendar dates, ISO 3166 places.
    """

    __collection__: ClassVar[str] = "days"
    __identity__: ClassVar[tuple[str, ...]] = ("calendar", "area", "date")
    __version__: ClassVar[int] = 1

    calendar: str
    """Which calendar: "school-holidays-fr", "public-holidays"."""
    area: str
    """Where it holds: an ISO 3166 code or the calendar's own ("A", "B", "C"); empty for everywhere."""
    date: date
    """The local calendar day."""
    name: str = ""
    """What it is called, in the calendar's language."""
    free: bool = True
    """Whether work or school rests."""

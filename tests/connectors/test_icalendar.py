"""Calendars: the real files, exactly; times against the library `icalendar`; and what broken or hostile ones give."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.connectors import Item, read, zones
from chez.connectors.icalendar import ICalendar
from chez.connectors.zones import zone_named, zone_tables
from chez.errors import InvalidValue
from chez.vocabulary import Event
from tests.connectors.support import CALENDARS, read_bytes, records, rejects
from tests.tries import tries

OWN = """BEGIN:VTIMEZONE
TZID:Home
BEGIN:STANDARD
DTSTART:20001029T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:20000326T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
END:VTIMEZONE
"""


def calendar(*events: str, head: str = "") -> bytes:
    """A calendar with these events' lines."""
    whole = "".join(f"BEGIN:VEVENT\n{event}\nEND:VEVENT\n" for event in events)
    return f"BEGIN:VCALENDAR\n{head}{whole}END:VCALENDAR\n".encode()


def events(items: list[Item]) -> list[Event]:
    """The events among the items."""
    return [one for one in records(items) if isinstance(one, Event)]


def one(data: bytes) -> Event:
    """The one event of a calendar, which has no rejects."""
    items = read_bytes(ICalendar(), data)
    (found,) = events(items)
    assert rejects(items) == []
    return found


COUNTS = {
    "alarm_etar_future": (1, 0), "alarm_thunderbird_future": (1, 0), "big_bad_calendar": (0, 20),
    "bom_calendar": (0, 0), "broken_dtstart": (0, 1), "calendar_with_unicode": (0, 0),
    "issue_101_umlauts_in_organizer": (1, 0), "issue_1426": (1, 0), "issue_156_RDATE_with_PERIOD_TZID_khal": (1, 0),
    "issue_218_bad_tzid": (1, 0), "issue_237_fail_to_parse_timezone_with_non_ascii_tzid": (1, 0),
    "issue_348_exception_parsing_value": (1, 0), "multiple_calendar_components": (3, 0),
    "pr_480_summary_with_colon": (2, 0), "rfc_6868": (0, 1), "x_location": (1, 0),
}


def test_the_real_files() -> None:
    """16 files, also the two that libraries refuse: 14 events; 20 empty ones, one without a date and one without
    anything but a guest are told."""
    found = {path.stem: list(read(path)) for path in CALENDARS.glob("*.ics")}
    assert {name: (len(events(items)), len(rejects(items))) for name, items in found.items()} == COUNTS
    (held,) = events(found["x_location"])
    assert held == Event(
        uid="BFE33ADD-5553-48B5-B5A5-F9DA5CA4C393", title="Daily Sync", local="2016-10-28T14:00", zone="Europe/Zurich",
        start=datetime(2016, 10, 28, 12, tzinfo=UTC), end=datetime(2016, 10, 28, 12, 30, tzinfo=UTC),
        rule="FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", location="Roadstar 16\n12764 Happyville\nDenmark",
        description="Some Description", status="confirmed", calendar="ITC")
    (moved,) = events(found["issue_156_RDATE_with_PERIOD_TZID_khal"])
    assert (moved.recurrence, moved.zone, moved.attendees) == ("20180327T130000Z", "America/Chicago", ["xyz@xyz.com"])
    assert moved.added[0].startswith("TZID=Central Standard Time:20180327T080000/20180327T090000,")
    (rental,) = events(found["issue_348_exception_parsing_value"])
    assert rental.title == "Sixt : détails de votre réservation" and rental.description.count("\n") == 1
    assert [(item.title, item.day, item.last_day) for item in events(found["multiple_calendar_components"])] == [
        ("Christmas Day", date(2003, 12, 25), date(2003, 12, 25)), ("Boxing Day", date(2003, 5, 1), date(2003, 5, 1)),
        ("Christmas again!", date(2003, 12, 25), date(2003, 12, 25))]


def test_the_library_says_the_same_times() -> None:
    """Beginning, end, title and id of each event are those that `icalendar` finds, where it reads the file."""
    from icalendar import Calendar

    compared = 0
    for path in CALENDARS.glob("*.ics"):
        try:
            found = [event for whole in Calendar.from_ical(path.read_bytes(), multiple=True)
                     for event in whole.walk("VEVENT") if event.get("dtstart") and hasattr(event.get("dtstart"), "dt")]
        except ValueError:
            continue
        for ours, theirs in zip([event for event in events(list(read(path))) if event.start or event.day], found,
                                strict=True):
            start = theirs["dtstart"].dt
            assert (ours.start if isinstance(start, datetime) else ours.day) == start, path.name
            assert ours.title == str(theirs.get("summary", ""))
            if isinstance(start, datetime):
                assert ours.end == theirs["dtend"].dt
            compared += 1
    assert compared == 12


@pytest.mark.parametrize(("zone", "head", "shown"), [
    ("Europe/Paris", "", "Europe/Paris"), ("Romance Standard Time", "", "Europe/Paris"),
    ("/mozilla.org/20050126_1/Europe/Paris", "", "Europe/Paris"), ("Home", OWN, "Home"),
])
@pytest.mark.parametrize(("local", "utc"), [
    ("20240115T080000", "2024-01-15T07:00"), ("20240715T080000", "2024-07-15T06:00"),
    ("20240331T013000", "2024-03-31T00:30"), ("20240331T023000", "2024-03-31T01:30"),  # there was no 02:30
    ("20240331T030000", "2024-03-31T01:00"), ("20241027T023000", "2024-10-27T00:30"),  # the first of two
    ("20241027T030000", "2024-10-27T02:00"),
])
def test_summer_time(zone: str, head: str, shown: str, local: str, utc: str) -> None:
    """Local times around both changes are the right instants: in zones of IANA, of Microsoft, and the file's own."""
    found = one(calendar(f'UID:1\nDTSTART;TZID="{zone}":{local}', head=head))
    assert found.start == datetime.fromisoformat(utc).replace(tzinfo=UTC)
    assert (found.zone, found.local) == (shown, datetime.fromisoformat(local).isoformat(timespec="minutes"))


@given(st.datetimes(datetime(2001, 1, 1), datetime(2037, 1, 1)).map(lambda at: at.replace(microsecond=0)))
@settings(max_examples=tries(60), deadline=None)
def test_a_zone_of_the_file_is_its_rules(local: datetime) -> None:
    """A file's own definition of a clock gives the instants of the clock that it defines."""
    text = f"{local:%Y%m%dT%H%M%S}"
    theirs, ours = (one(calendar(f"UID:1\nDTSTART;TZID={zone}:{text}", head=OWN)) for zone in ("Europe/Paris", "Home"))
    assert theirs.start == ours.start


def test_times_without_a_zone() -> None:
    """UTC has no local time; a floating time is in the calendar's zone, else shown beside UTC; an unknown zone
    leaves the instant open."""
    assert one(calendar("UID:1\nDTSTART:20240715T080000Z")).local == ""
    floating = one(calendar("UID:1\nDTSTART:20240715T080000"))
    assert (floating.start, floating.local, floating.zone) == (
        datetime(2024, 7, 15, 8, tzinfo=UTC), "2024-07-15T08:00", "")
    at_home = one(calendar("UID:1\nDTSTART:20240715T080000", head="X-WR-TIMEZONE:Europe/Paris\n"))
    assert (at_home.start, at_home.zone) == (datetime(2024, 7, 15, 6, tzinfo=UTC), "Europe/Paris")
    unknown = one(calendar("UID:1\nDTSTART;TZID=Mars:20240715T080000"))
    assert (unknown.start, unknown.local, unknown.zone) == (None, "2024-07-15T08:00", "Mars")


def test_days_lengths_and_what_recurs() -> None:
    """Whole days end the day before `DTEND`; a duration gives the end; rules and their exceptions stay text."""
    days = one(calendar("UID:1\nDTSTART;VALUE=DATE:20240101\nDTEND;VALUE=DATE:20240104"))
    assert (days.day, days.last_day, days.start) == (date(2024, 1, 1), date(2024, 1, 3), None)
    assert one(calendar("UID:1\nDTSTART;VALUE=DATE:20240101\nDURATION:P2D")).last_day == date(2024, 1, 2)
    long = one(calendar("UID:1\nDTSTART:20240101T000000Z\nDURATION:P1DT2H30M"))
    assert long.end is not None and long.start is not None and long.end - long.start == timedelta(hours=26.5)
    series = one(calendar("UID:1\nDTSTART:20240101T000000Z\nRRULE:FREQ=SECONDLY\nEXDATE:20240102T000000Z\n"
                          "RDATE;TZID=Europe/Paris:20240301T080000\nCATEGORIES:a\\,b,c\nCATEGORIES:d"))
    assert (series.rule, series.dropped, series.added, series.categories) == (
        "FREQ=SECONDLY", ["20240102T000000Z"], ["TZID=Europe/Paris:20240301T080000"], ["a,b", "c", "d"])


def test_a_day_is_one_of_the_wall_and_hours_are_hours() -> None:
    """What lasts a day ends at the same time of the next, also when clocks change; 24 hours later is another time."""
    for length, end in (("P1D", 7), ("PT24H", 8), ("P1DT1H", 8), ("P1W", 7)):
        found = one(calendar(f"UID:1\nDTSTART;TZID=Europe/Paris:20240330T090000\nDURATION:{length}"))
        assert found.end is not None and found.end.hour == end, length
    assert one(calendar("UID:1\nDTSTART:20240330T090000Z\nDURATION:P1D")).end == datetime(2024, 3, 31, 9, tzinfo=UTC)
    assert one(calendar("UID:1\nDTSTART:20240330\nDURATION:P2D")).last_day == date(2024, 3, 31)


def test_an_older_version_takes_no_newer_ones_place() -> None:
    """Of several versions of an event the newest counts, wherever in the file it is; an occurrence is another event."""
    def version(number: int, title: str, more: str = "") -> str:
        return f"UID:1\nSEQUENCE:{number}\nDTSTART:20240101T000000Z\nSUMMARY:{title}{more}"

    occurrence = version(0, "moved", "\nRECURRENCE-ID:20240102T000000Z")
    items = read_bytes(ICalendar(), calendar(version(0, "first"), version(2, "newest"), version(1, "older"), occurrence,
                                             "UID:1\nSUMMARY:oldest", version(2, "again")))
    assert [one.title for one in events(items)] == ["first", "newest", "moved", "again"]
    assert [reason for _, reason in rejects(items)] == ["it is an older version of an event before it (SEQUENCE)"] * 2


def test_people_and_folded_lines() -> None:
    """Guests are mail addresses, else names with their carets undone; a line may be folded inside a character."""
    data = calendar('UID:1\nORGANIZER;CN="A: B":mailto:a@b.fr\nATTENDEE;CN=George ^\'Babe^\' Ruth:x:1\nSUMMARY:FOLD')
    found = one(data.replace(b"FOLD", "été\\, tôt".encode().replace(b"\xa9t", b"\xa9t\n ", 1).replace(
        b"\xb4", b"\n \xb4")))
    assert (found.organiser, found.attendees, found.title) == ("a@b.fr", ['George "Babe" Ruth'], "été, tôt")


def test_an_alarm_is_no_event() -> None:
    """What an alarm inside an event says, and to-dos beside it, do not touch the event."""
    alarm = "BEGIN:VALARM\nSUMMARY:wrong\nDTSTART:bad\nEND:VALARM"
    items = read_bytes(ICalendar(), calendar(f"UID:1\n{alarm}\nSUMMARY:right\nDTSTART:20240101T000000Z", head=(
        "BEGIN:VTODO\nX-WR-CALNAME:no\nUID:9\nEND:VTODO\nX-WR-CALNAME:yes\n")))
    assert [(event.title, event.calendar) for event in events(items)] == [("right", "yes")] and rejects(items) == []


@pytest.mark.parametrize(("bad", "reason"), [
    ("UID:2\nDTSTART:20240230T000000Z", "there is no such time"), ("UID:2\nDTSTART:soon", "not a date or time"),
    ("UID:2\nDTSTART:00010101", "the year is not between"), ("DESCRIPTION:x", "neither what it is nor when"),
    ("UID:2\nDTSTART:20240102T000000Z\nDTEND:20240101T000000Z", "ends before it begins"),
    ("UID:2\nDTSTART:20240102T000000Z\nDURATION:P", "DURATION"), ("UID:2\nDTSTART:20240101\nDURATION:P999999D", "year"),
    ("UID:2\n" + "ATTENDEE:mailto:a@b.fr\n" * 3000, "longer than"),
])
def test_a_broken_event_costs_itself(bad: str, reason: str) -> None:
    """An event with times that can't be, or endless ones, is one reject at its line; those around it are read."""
    items = read_bytes(ICalendar(), calendar("UID:1\nDTSTART:20240101T000000Z", bad, "UID:3\nDTSTART:20240101T000000Z"))
    assert [event.uid for event in events(items)] == ["1", "3"]
    ((line, told),) = rejects(items)
    assert line == 6 and reason in told


def test_lines_that_are_none_and_ends_that_are_missing() -> None:
    """A line without colon or beyond all bounds costs itself; an event without end, or without beginning, costs itself,
    in the file as at its end."""
    items = read_bytes(ICalendar(), calendar("UID:1\nSUMMARY\nDTSTART:20240101T000000Z\nDESCRIPTION:" + "x" * 40_000))
    assert [event.description for event in events(items)] == [""]
    assert [line for line, _ in rejects(items)] == [4, 6]
    cut = b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nBEGIN:VEVENT\nUID:2\nEND:VEVENT\nBEGIN:VEVENT\nUID:3\n"
    items = read_bytes(ICalendar(), cut)
    assert [event.uid for event in events(items)] == ["2"] and [line for line, _ in rejects(items)] == [2, 7]
    damaged = read_bytes(ICalendar(), b"BEGIN:VCALENDAR\nBEGUN:VEVENT\nUID:1\nEND:VEVENT\nEND:VCALENDAR\n")
    assert [(line, "begins nowhere" in told) for line, told in rejects(damaged)] == [(4, True)]
    with pytest.raises(InvalidValue, match="holds no calendar"):
        read_bytes(ICalendar(), b"SUMMARY:x\n")


def test_a_zone_that_is_broken_is_told() -> None:
    """A definition without an offset is a reject with its name; the event keeps its local time."""
    items = read_bytes(ICalendar(), calendar("UID:1\nDTSTART;TZID=Home:20240101T000000", head=OWN.replace(
        "+0100", "1").replace("+0200", "2")))
    assert [(event.start, event.zone) for event in events(items)] == [(None, "Home")]
    assert [told for _, told in rejects(items)] == ["the time zone's TZOFFSETFROM is not like +0100: Home"] * 2 + [
        "the time zone has no offset: Home"]


def test_zones_are_those_of_the_system() -> None:
    """Every zone that the system knows is known, and its clock is the same; only what is asked for is parsed."""
    assert zone_tables().keys() == available_timezones()
    parsed = zones._zone.cache_info().currsize
    for name in ("Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Etc/GMT+5", "Europe/Dublin"):
        found = zone_named(name)
        assert found is not None and found[0] == name
        for month in range(1, 13):
            local = datetime(2024, month, 15, 2, 30)
            assert local.replace(tzinfo=found[1]).utcoffset() == local.replace(tzinfo=ZoneInfo(name)).utcoffset()
    assert zones._zone.cache_info().currsize <= parsed + 5
    assert zone_named("Mars/Olympus") is None and zone_named("posix/Europe/Paris") == zone_named("Europe/Paris")

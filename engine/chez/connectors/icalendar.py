"""Calendars in iCalendar (RFC 5545), one event at a time: Google, Apple, Outlook, Thunderbird, Nextcloud.

The file is cut at its events, so that a broken one costs itself, and a calendar that ends too soon is read as far as
it goes; libraries read such a file whole or not at all. To-dos, journals, alarms and times that are free
or busy have no type in the vocabulary and are passed over.

What the file does not say, and how it is settled here:

- A recurring event is one record: its rule is kept as text, and so are the dates added to it and taken from it.
- A time zone is IANA's of that name, or Microsoft's, else the file's own definition, which has to come before its
  first event. A zone that is none of these leaves `start` empty: `local` and `zone` say what is written.
- A time without zone is in the calendar's (`X-WR-TIMEZONE`); where there is none it is taken for UTC, and told
  from UTC by having a `local`.
- An event without `UID` is told by what it says. Of several versions of one in a file the newest (`SEQUENCE`) counts:
  an older one behind it is a reject.
- Weeks and days of a `DURATION` are days on the clock of the wall, hours are hours.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.content_lines import ContentLine, content_lines, parts, plain_text
from chez.connectors.zones import MAX_CHANGES, Change, OwnZone, change, zone_named
from chez.errors import InvalidValue
from chez.vocabulary import Event

__all__ = ("ICalendar",)

BEGINNING: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,256}BEGIN:(?:VCALENDAR|VEVENT)\s", re.I)
TIME: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(?:T(\d\d)(\d\d)(\d\d)(Z)?)?", re.ASCII)
LENGTH: Final = re.compile(r"\+?P(?:(\d{1,5})W)?(?:(\d{1,6})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?",
                           re.ASCII)
ONCE: Final = frozenset({"UID", "SEQUENCE", "RECURRENCE-ID", "SUMMARY", "DTSTART", "DTEND", "DURATION", "RRULE",
                         "LOCATION", "DESCRIPTION", "ORGANIZER", "STATUS"})
OFTEN: Final = frozenset({"ATTENDEE", "CATEGORIES", "RDATE", "EXDATE"})
STATUSES: Final = frozenset({"tentative", "confirmed", "cancelled"})
MAX_EVENT: Final = 40 * 1024
"""Characters of one event; a description that is longer than `MAX_TEXT` is cut and counts as that."""
MAX_TEXT: Final = 8 * 1024
MAX_ZONES: Final = 256
MAX_VERSIONS: Final = 200_000
"""Events with a `SEQUENCE` that are remembered: 150 bytes each."""
SEQUENCE: Final = re.compile(r"\d{1,9}", re.ASCII)
ZERO: Final = timedelta(0)
DAY: Final = timedelta(days=1)


@dataclass(slots=True)
class _Gathered:
    """The event or the time zone that is being read."""

    line: int
    once: dict[str, ContentLine] = field(default_factory=dict)
    often: dict[str, list[ContentLine]] = field(default_factory=dict)
    nested: int = 0
    size: int = 0


@dataclass(slots=True)
class _Zone:
    """The time zone whose definition is being read: the changes so far, and the fields of the one being read."""

    name: str = ""
    changes: list[Change] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)


class _Time(msgspec.Struct, frozen=True):
    """A date, or a time as far as it is known."""

    day: date | None = None
    at: datetime | None = None
    local: datetime | None = None
    zone: str = ""


class ICalendar:
    """Reads calendars into events."""

    name = "icalendar"
    version = 2
    title = "iCalendar (.ics)"
    types = (Event,)
    example = (b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTART;TZID=Romance Standard Time:20240331T020000\r\n"
               b"SUMMARY:\xe9t\xe9\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")

    def recognise(self, head: bytes, name: str) -> bool:
        """A calendar, or an event without one, begins with the file."""
        return BEGINNING.match(head) is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Event` for each `VEVENT`. Raises `InvalidValue` when there is neither an event nor a calendar in it."""
        reader = _Reader()
        for item in content_lines(file):
            if isinstance(item, Progress):
                yield item
            else:
                yield from reader.take(item)
        yield from reader.lost("the file ends inside the event")
        if not reader.seen:
            raise InvalidValue(f"{source.name!r} holds no calendar", "Export it again from the calendar's service.")


class _Reader:
    """Which component of the file the reader is in, and what the calendar says of itself."""

    __slots__ = ("_default", "_depth", "_event", "_name", "_versions", "_zone", "_zones", "seen")

    def __init__(self) -> None:
        self.seen = False
        self._versions: dict[bytes, int] = {}
        self._event: _Gathered | None = None
        self._zone: _Zone | None = None
        self._depth = 0
        self._reset()

    def _reset(self) -> None:
        self._name = self._default = ""
        self._zones: dict[str, OwnZone] = {}

    def take(self, line: ContentLine) -> Iterator[Item]:
        """Go on with one line."""
        if line.name == "BEGIN":
            yield from self._begin(line)
        elif line.name == "END":
            yield from self._end(line)
        elif self._event is not None:
            if not self._event.nested:
                yield from _gather(self._event, line)
        elif self._zone is not None:
            if line.name == "TZID":
                self._zone.name = line.value.strip()
            elif len(self._zone.fields) < MAX_CHANGES:
                _note(self._zone.fields, line)
        elif not self._depth:
            if line.name in ("X-WR-CALNAME", "NAME"):
                self._name = plain_text(line.value)[:256]
            elif line.name == "X-WR-TIMEZONE":
                self._default = line.value.strip()[:256]

    def lost(self, why: str) -> Iterator[Item]:
        """The event that is being read has no end."""
        if self._event is not None:
            yield Reject(self._event.line, why, _shown(self._event))
        self._event = None

    def _begin(self, line: ContentLine) -> Iterator[Item]:
        kind = line.value.strip().upper()
        if kind in ("VCALENDAR", "VEVENT"):
            yield from self.lost("the event has no end (END:VEVENT)")
            self._zone, self._depth, self.seen = None, 0, True
            if kind == "VEVENT":
                self._event = _Gathered(line.number)
            else:
                self._reset()
        elif self._event is not None:
            self._event.nested += 1
        elif kind == "VTIMEZONE":
            self._zone = _Zone()
        elif self._zone is not None:
            self._zone.fields = {}
        else:
            self._depth += 1

    def _end(self, line: ContentLine) -> Iterator[Item]:
        kind = line.value.strip().upper()
        if kind == "VCALENDAR":
            yield from self.lost("the event has no end (END:VEVENT)")
        elif self._event is not None:
            if kind == "VEVENT":
                yield self._made(self._event)
                self._event = None
            else:
                self._event.nested = max(0, self._event.nested - 1)
        elif kind == "VEVENT":
            self._zone, self._depth = None, max(0, self._depth - 1)
            yield Reject(line.number, "an event ends here and begins nowhere: it is not read", "")
        elif self._zone is not None:
            yield from self._zone_end(self._zone, kind, line.number)
        else:
            self._depth = max(0, self._depth - 1)

    def _zone_end(self, zone: _Zone, kind: str, number: int) -> Iterator[Item]:
        try:
            if kind == "VTIMEZONE":
                self._zone = None
                if len(self._zones) < MAX_ZONES:
                    self._zones[zone.name] = OwnZone(zone.changes)
            elif len(zone.changes) < MAX_CHANGES:
                zone.changes += change(zone.fields)
        except (ValueError, OverflowError) as error:
            yield Reject(number, f"{error}: {excerpt(zone.name)}" if zone.name else str(error), "")

    def _made(self, event: _Gathered) -> Item:
        try:
            if event.size > MAX_EVENT:
                raise ValueError(f"the event is longer than {MAX_EVENT} characters")
            record = self._record(event)
            self._check_version(record, event)
            return Found(record, event.line)
        except (ValueError, OverflowError) as error:
            return Reject(event.line, str(error), _shown(event))

    def _record(self, event: _Gathered) -> Event:
        start, end, last = self._times(event)
        texts = {name: plain_text(line.value)[:MAX_TEXT] for name, line in event.once.items()}
        status = texts.get("STATUS", "").lower()
        categories = [part[:256] for line in event.often.get("CATEGORIES", ()) for part in parts(line.value, ",")]
        record = Event(
            uid=texts.get("UID", "")[:512], recurrence=_written(event.once.get("RECURRENCE-ID")),
            title=texts.get("SUMMARY", ""), start=start.at, end=end, day=start.day, last_day=last,
            local="" if start.local is None else start.local.isoformat(timespec="minutes"), zone=start.zone,
            rule=texts.get("RRULE", ""), added=_dates(event, "RDATE"), dropped=_dates(event, "EXDATE"),
            location=texts.get("LOCATION", ""), description=texts.get("DESCRIPTION", ""),
            organiser=_who(event.once.get("ORGANIZER")),
            attendees=[one for line in event.often.get("ATTENDEE", ()) if (one := _who(line))],
            status=status if status in STATUSES else "", calendar=self._name, categories=list(filter(None, categories)))
        if not (record.uid or record.title or "DTSTART" in event.once):
            raise ValueError("the event says neither what it is nor when")
        if not record.uid:
            said = [record.title, record.location, record.rule, *(_written(event.once.get(name)) for name in (
                "DTSTART", "DTEND", "DURATION"))]
            record.uid = f"row:{hashlib.blake2b(msgspec.json.encode(said), digest_size=16).hexdigest()}"
        return record

    def _check_version(self, record: Event, event: _Gathered) -> None:
        """Raise `ValueError` for an older version of an event that was read."""
        written = event.once["SEQUENCE"].value.strip() if "SEQUENCE" in event.once else ""
        version = int(written) if SEQUENCE.fullmatch(written) else 0
        if not version and not self._versions:
            return
        key = hashlib.blake2b(msgspec.json.encode((record.uid, record.recurrence)), digest_size=16).digest()
        if self._versions.get(key, 0) > version:
            raise ValueError("it is an older version of an event before it (SEQUENCE)")
        if version and (key in self._versions or len(self._versions) < MAX_VERSIONS):
            self._versions[key] = version

    def _times(self, event: _Gathered) -> tuple[_Time, datetime | None, date | None]:
        """When an event begins; when it ends; its last day, if it takes whole days."""
        start = self._time(event.once.get("DTSTART"))
        end = self._time(event.once.get("DTEND"))
        length = _length(event.once["DURATION"].value) if "DURATION" in event.once else None
        if start.day is not None:
            whole = DAY if length is None else sum(length, ZERO)
            until = end.day or (end.local.date() if end.local else None) or start.day + whole
            return start, None, max(start.day, _bounded(until - DAY))
        ends = end.at or (self._after(start, *length) if length is not None else None)
        if start.at is not None and ends is not None and ends < start.at:
            raise ValueError("the event ends before it begins")
        if ends is not None:
            _bounded(ends.date())
        return start, ends, None

    def _after(self, start: _Time, days: timedelta, rest: timedelta) -> datetime | None:
        """So many days later on the clock of the wall where something began, and so much time later then."""
        if start.at is None:
            return None
        if start.local is None or not start.zone:
            return start.at + days + rest
        at = self._zoned(start.local + days, start.zone).at
        return None if at is None else at + rest

    def _time(self, line: ContentLine | None) -> _Time:
        if line is None:
            return _Time()
        found = TIME.fullmatch(line.value.strip())
        if found is None:
            raise ValueError(f"{line.name} is not a date or time")
        try:
            day = _bounded(date(int(found[1]), int(found[2]), int(found[3])))
            if found[4] is None:
                return _Time(day=day)
            local = datetime(day.year, day.month, day.day, int(found[4]), int(found[5]), min(59, int(found[6])))
        except ValueError as error:
            raise ValueError(str(error) if "between" in str(error) else f"{line.name}: there is no such time") from None
        if found[7]:
            return _Time(at=local.replace(tzinfo=UTC), local=None)
        return self._zoned(local, line.parameter("TZID") or self._default)

    def _zoned(self, local: datetime, name: str) -> _Time:
        if not name:
            return _Time(at=local.replace(tzinfo=UTC), local=local)
        known: tuple[str, tzinfo] | None = zone_named(name)
        if known is not None:
            return _Time(at=local.replace(tzinfo=known[1]).astimezone(UTC), local=local, zone=known[0])
        own = self._zones.get(name)
        return _Time(at=None if own is None else own.utc(local), local=local, zone=name[:256])


def _gather(event: _Gathered, line: ContentLine) -> Iterator[Item]:
    name = line.name
    if line.problem and (not name or name in ONCE or name in OFTEN):
        yield Reject(line.number, line.problem, excerpt(line.value))
    elif name in ONCE:
        if name not in event.once:
            event.once[name] = line
            event.size += min(MAX_TEXT, len(line.value))
    elif name in OFTEN:
        event.size += len(line.value) + len(line.written) + 8
        if event.size <= MAX_EVENT:
            event.often.setdefault(name, []).append(line)


def _note(fields: dict[str, str], line: ContentLine) -> None:
    value = line.value.strip()
    if line.name == "RDATE" and line.name in fields:
        if len(fields["RDATE"]) < 16 * MAX_CHANGES:
            fields["RDATE"] += f",{value}"
    else:
        fields[line.name] = value


def _shown(event: _Gathered) -> str:
    return excerpt(" ".join(f"{name}:{line.value[:80]}" for name, line in event.once.items()))


def _written(line: ContentLine | None) -> str:
    """A time as in the file, with its zone."""
    if line is None:
        return ""
    zone = line.parameter("TZID")
    return f"TZID={zone}:{line.value.strip()}"[:256] if zone else line.value.strip()[:256]


def _dates(event: _Gathered, name: str) -> list[str]:
    return [f"TZID={zone}:{line.value}" if (zone := line.parameter("TZID")) else line.value
            for line in event.often.get(name, ())]


def _who(line: ContentLine | None) -> str:
    """A mail address, else a name."""
    if line is None:
        return ""
    value = line.value.strip()
    if value[:7].lower() == "mailto:":
        return value[7:].strip()[:320]
    return (line.parameter("CN") or value)[:320]


def _length(written: str) -> tuple[timedelta, timedelta]:
    """The days of a length of time, and the hours, minutes and seconds."""
    found = LENGTH.fullmatch(written.strip().upper())
    if found is None or not any(found.groups()):
        raise ValueError("DURATION is not a time of an event")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(weeks=weeks, days=days), timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _bounded(day: date) -> date:
    if not MIN_YEAR <= day.year <= MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    return day

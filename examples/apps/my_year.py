"""My year: where somebody was, what the calendar had, and who wrote, as one timeline.

Each stay has beneath it the events that began and the messages that were sent while it lasted; what
was at no known place stands by itself. A stay without an end lasts until the next. An event that recurs
is shown at its first time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from examples.apps.start import Page, command
from examples.apps.svg import Mark, lanes

import chez
from chez.vocabulary import Event, Message, Visit

LANES = ("place", "event", "message")


@dataclass(frozen=True, slots=True)
class Moment:
    """Something of the year: which lane it is in, when (UTC), and what it is called."""

    lane: str
    begin: datetime
    end: datetime
    title: str = field(repr=False)
    offset: int = 0
    """How far the clock of the wall was ahead of UTC, in minutes."""

    def clock(self) -> str:
        """When it began, on the clock of the wall."""
        return f"{self.begin + timedelta(minutes=self.offset):%Y-%m-%d %H:%M}"


async def look(home: chez.Home, year: int | None = None) -> Page:
    """One year of a home: that given, else the last in which somebody was somewhere."""
    stays = places([one.value async for one in home.collection(Visit)])
    if year is None:
        year = max((one.begin.year for one in stays), default=1970)
    others = events([one.value async for one in home.collection(Event)])
    others += messages([one.value async for one in home.collection(Message)])
    inside = [one for one in [*stays, *others] if one.begin.year == year]
    return Page(text(year, inside), picture(year, inside))


def places(visits: Sequence[Visit]) -> list[Moment]:
    """Stays in order; one that says no end lasts until the next begins."""
    ordered = sorted(visits, key=lambda one: one.start)
    following = [one.start for one in ordered[1:]] + [None]
    return [Moment("place", one.start, one.end or after or one.start, one.name or one.address or one.place,
                   one.offset or 0) for one, after in zip(ordered, following, strict=False)]


def events(given: Sequence[Event]) -> list[Moment]:
    """Events in order; one of whole days begins with its first day, without a zone."""
    found = []
    for one in given:
        if one.status == "cancelled":
            continue
        if one.start is not None:
            offset = 0
            if one.local:
                offset = round((datetime.fromisoformat(one.local).replace(tzinfo=UTC) - one.start).total_seconds() / 60)
            found.append(Moment("event", one.start, one.end or one.start, one.title, offset))
        elif one.day is not None:
            begin = datetime(one.day.year, one.day.month, one.day.day, tzinfo=UTC)
            length = ((one.last_day or one.day) - one.day).days + 1
            found.append(Moment("event", begin, begin + timedelta(days=length), one.title))
    return sorted(found, key=lambda one: (one.begin, one.title))


def messages(given: Sequence[Message]) -> list[Moment]:
    """Messages that say when they were sent, in order."""
    found = [Moment("message", one.at, one.at, f"{one.sender_name or one.sender}: {one.subject or one.text[:40]}")
             for one in given if one.at is not None]
    return sorted(found, key=lambda one: (one.begin, one.title))


def text(year: int, moments: Sequence[Moment]) -> str:
    """The timeline: what was during a stay stands beneath it, on that stay's clock."""
    counts = {lane: sum(one.lane == lane for one in moments) for lane in LANES}
    rows = [f"{year}: {counts['place']} stays, {counts['event']} events, {counts['message']} messages"]
    stay: Moment | None = None
    for one in sorted(moments, key=lambda one: (one.begin, LANES.index(one.lane), one.title)):
        if one.lane == "place":
            stay = one
            rows.append(f"{one.clock()}  {one.title}, {length(one)}")
        elif stay is not None and one.begin < stay.end:
            shown = Moment(one.lane, one.begin, one.end, one.title, one.offset or stay.offset)
            rows.append(f"    {shown.clock()}  {one.lane:8} {one.title}")
        else:
            rows.append(f"{one.clock()}  {one.lane:8} {one.title}")
    return "\n".join(rows)


def length(one: Moment) -> str:
    """How long something lasted, in days where it did so for two or more."""
    hours = (one.end - one.begin).total_seconds() / 3600
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"


def picture(year: int, moments: Sequence[Moment]) -> str:
    """A lane each for places, events and messages, from January to December."""
    first, last = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)

    def place(at: datetime) -> float:
        return min(1.0, (at - first) / (last - first))

    ticks = [(place(datetime(year, month, 1, tzinfo=UTC)), f"{month:02d}") for month in range(1, 13)]
    rows = [(f"{lane}s", [Mark(place(one.begin), place(one.end), f"{one.clock()} {one.title}") for one in moments
                          if one.lane == lane]) for lane in LANES]
    return lanes(f"My year, {year}", ticks, rows)


if __name__ == "__main__":
    command(look)()

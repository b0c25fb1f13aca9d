"""A connector for tests that reads a day a line, as long as its mood lets it."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import BinaryIO, ClassVar

from chez.connectors import Found, Item, Progress, Source
from chez.home.importing import BATCH
from chez.vocabulary import Event, TariffDay

ROWS = 3 * BATCH + 100


class Days:
    """A connector of this test's own: a day a line, as long as `mood` lets it."""

    name, version, title = "days", 1, "days"
    types = (Event, TariffDay)
    mood = "good"
    colours: ClassVar = {6: "blue", 7: "white"}
    """By the size of the file."""

    def recognise(self, head: bytes, name: str) -> bool:
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        for row in range(1, ROWS + 1):
            if row == 2 * BATCH + 50 and Days.mood == "bad":
                raise RuntimeError("oops")
            scheme = "" if Days.mood == "odd" and row == 7 else "tempo"
            day = date(2000, 1, 1) + timedelta(days=row)
            if Days.mood == "odd" and row == 9:  # no calendar has this moment in UTC
                yield Found(Event(uid="9", start=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23)))), row)
                continue
            yield Found(TariffDay(scheme=scheme, date=day, colour=Days.colours.get(source.size, "blue")), row)
            yield Progress(row)

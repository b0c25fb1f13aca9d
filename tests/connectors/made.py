"""A made format in two versions of its connector: a line is a day."""

from collections.abc import Iterator
from datetime import date
from typing import BinaryIO

from chez.connectors import Found, Item, Reject, Source
from chez.vocabulary import TariffDay


class Days:
    """Takes every day for blue."""

    name, version, title = "days", 1, "days"
    types = (TariffDay,)

    def recognise(self, head: bytes, name: str) -> bool:
        return head.startswith(b"days\n")

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        for row, line in enumerate(file, 1):
            if row == 1:
                continue
            day, _, colour = line.decode("ascii", "replace").strip().partition(" ")
            try:
                yield Found(TariffDay(scheme="tempo", date=date.fromisoformat(day), colour=self.colour(colour)), row)
            except ValueError as error:
                yield Reject(row, str(error), day)

    def colour(self, text: str) -> str:
        """What is made of the second column."""
        return "blue"


class BetterDays(Days):
    """Reads the second column."""

    version = 2

    def colour(self, text: str) -> str:
        if text not in ("blue", "white", "red"):
            raise ValueError("no colour")
        return text

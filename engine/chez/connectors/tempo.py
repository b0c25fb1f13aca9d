"""The colours of EDF's Tempo tariff, one day a line: `01/09/2014;BLEU`.

RTE publishes the calendar (eco2mix). Each line is `dd/mm/yyyy;COLOUR`, the colour one of
BLEU, BLANC, ROUGE; no header; ends CRLF. A Tempo day begins at 06:00 local time.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import BinaryIO, Final

from chez.connectors.api import Found, Item, Reject, Source, excerpt
from chez.connectors.lines import Line, columns, decimal_day, lines
from chez.vocabulary import Colour, TariffDay

__all__ = ("Tempo",)

COLOURS: Final[dict[str, Colour]] = {"BLEU": "blue", "BLANC": "white", "ROUGE": "red"}
FIRST_LINE: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,64}\d\d/\d\d/\d{4};(?:BLEU|BLANC|ROUGE)\s")


class Tempo:
    """Reads the Tempo calendar into tariff days."""

    name = "tempo"
    version = 1
    title = "Tempo day colours, dd/mm/yyyy;BLEU|BLANC|ROUGE"
    types = (TariffDay,)

    def recognise(self, head: bytes, name: str) -> bool:
        """The first line is a day and a colour."""
        return FIRST_LINE.match(head + b"\n") is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `TariffDay` a line. A day given twice is rejected: one of the two must be wrong."""
        seen: dict[date, int] = {}  # at most one entry a day between MIN_YEAR and MAX_YEAR
        for line in lines(file):
            if not isinstance(line, Line):
                yield line
                continue
            try:
                record = _day(line.text)
                if record.date in seen:
                    raise ValueError(f"the day is given already on line {seen[record.date]}")
            except ValueError as error:
                yield Reject(line.number, str(error), excerpt(line.text))
            else:
                seen[record.date] = line.number
                yield Found(record, line.number)


def _day(text: str) -> TariffDay:
    fields = columns(text)
    if len(fields) < 2:
        raise ValueError("the line has no colour")
    colour = COLOURS.get(fields[1])
    day = decimal_day(fields[0])
    if colour is None:
        raise ValueError("the colour is not BLEU, BLANC or ROUGE")
    return TariffDay(scheme="tempo", date=day, colour=colour)

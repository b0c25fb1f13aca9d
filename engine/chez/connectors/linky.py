"""The load curve of a French electricity meter, as Enedis lets a customer download it.

    Identifiant PRM;Type de donnees;Date de debut;...;Unite;Pas en minutes      (maybe after a BOM)
    1111111111111;Courbe de charge;29/06/2022;29/07/2023;Energie active;Consommation;Comptage Brut;W;
    Horodate;Valeur
    2022-07-29T00:30:00+02:00;330

What the file does not say, and how it is settled here:

- A stamp is the *end* of its interval (the first is 00:30, the last 00:00 of the day
  after), so the interval begins one step before.
- The step is often missing from the header. It is then taken from the stamps: the
  distance to the previous one, unless that is a hole. A distance longer than the step so
  far counts as a new step only when the next distance confirms it.
- The offset is that of the stamp. An interval begins at the offset of the stamp that
  ended the previous one, so the hours around a change of clocks come out right without
  a time-zone database.
- The header's dates are the period asked for, not the one delivered: they are ignored.
"""

import re
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.lines import Line, columns, lines
from chez.errors import InvalidValue
from chez.vocabulary import Flow, Reading

__all__ = ("Linky",)

FIRST_COLUMN: Final = b"Identifiant PRM;"
STEPS: Final = frozenset(timedelta(minutes=m) for m in (5, 10, 15, 20, 30, 60))
"""Steps that Enedis delivers or has delivered."""
FLOWS: Final[dict[str, Flow]] = {"consommation": "consumption", "production": "production"}
UNITS: Final = {"W": 1.0, "kW": 1000.0}
MAX_WATTS: Final = 1e9
"""More than a nuclear reactor is a mistake."""
METER: Final = re.compile(r"[0-9A-Za-z]{1,32}")
STAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?(?:[+-]\d\d:?\d\d|Z)", re.ASCII)
NUMBER: Final = re.compile(r"\d{1,12}(?:[.,]\d{1,6})?", re.ASCII)
ZERO: Final = timedelta()
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOW: Final = "Download the load curve (courbe de charge) again, as CSV, from your account at Enedis."


@dataclass(frozen=True, slots=True)
class _Header:
    meter: str
    flow: Flow
    factor: float
    step: timedelta | None


class _Row(msgspec.Struct, frozen=True):
    """A line whose stamp could be read; `watts` is None when `problem` says why there is none."""

    line: Line
    end: datetime
    watts: float | None
    problem: str


class Linky:
    """Reads an Enedis load curve into readings."""

    name = "linky"
    version = 1
    title = "Enedis load curve (courbe de charge), CSV"
    types = (Reading,)

    def recognise(self, head: bytes, name: str) -> bool:
        """The first column is the meter's number, in Enedis's words, and it is a load curve."""
        return head.removeprefix(b"\xef\xbb\xbf").startswith(FIRST_COLUMN) and b";Courbe de charge;" in head

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Reading` a line. Raises `InvalidValue` when the header is not that of a load curve."""
        stream = lines(file)
        header = yield from _header(stream)
        yield from _readings(_rows(stream, header.factor), header)


def _header(stream: Iterator[Line | Reject | Progress]) -> Generator[Item, None, _Header]:
    """Read the three header lines."""
    found: list[list[str]] = []
    for item in stream:
        if not isinstance(item, Line):
            yield item
            continue
        try:
            found.append(columns(item.text))
        except ValueError:
            break
        if len(found) == 3:
            break
    if len(found) < 3 or found[0][0] != "Identifiant PRM" or found[2][:2] != ["Horodate", "Valeur"]:
        raise InvalidValue("the header is not that of an Enedis load curve", HOW)
    values = dict(zip(found[0], found[1], strict=False))
    return _checked(values)


def _checked(values: dict[str, str]) -> _Header:
    meter = values.get("Identifiant PRM", "")
    if not METER.fullmatch(meter):
        raise InvalidValue("the header gives no number of a meter", HOW)
    flow = FLOWS.get(values.get("Grandeur metier", "").lower())
    if flow is None:
        raise InvalidValue("the header says neither Consommation nor Production", HOW)
    factor = UNITS.get(values.get("Unite", ""))
    if factor is None:
        raise InvalidValue(f"the header's unit is none of {', '.join(UNITS)}", HOW)
    step = None
    if written := values.get("Pas en minutes", ""):
        step = timedelta(minutes=int(written)) if re.fullmatch(r"[0-9]{1,4}", written) else timedelta()
        if step not in STEPS:
            raise InvalidValue("the header's step is no number of minutes that Enedis delivers", HOW)
    return _Header(meter, flow, factor, step)


def _rows(stream: Iterator[Line | Reject | Progress], factor: float) -> Iterator[_Row | Item]:
    """Parse each line; lines must come in the order of their stamps."""
    last: datetime | None = None
    for item in stream:
        if not isinstance(item, Line):
            yield item
            continue
        try:
            fields = columns(item.text)
            end = _stamp(fields[0])
            if last is not None and end <= last:
                raise ValueError("the stamp is not after the one before")
        except ValueError as error:
            yield Reject(item.number, str(error), excerpt(item.text))
            continue
        last = end
        try:
            yield _Row(item, end, _watts(fields[1] if len(fields) > 1 else "", factor), "")
        except ValueError as error:
            yield _Row(item, end, None, str(error))


def _stamp(text: str) -> datetime:
    if not STAMP.fullmatch(text):
        raise ValueError("the stamp is not like 2022-07-29T00:30:00+02:00")
    if not MIN_YEAR < int(text[:4]) < MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("there is no such day or hour") from None
    if end.second or end.minute % 5:
        raise ValueError("the stamp is not on a step of five minutes")
    return end


def _watts(text: str, factor: float) -> float:
    if not text:
        raise ValueError("there is no value")
    if not NUMBER.fullmatch(text):
        raise ValueError("the value is not a number of at least 0")
    watts = float(text.replace(",", ".")) * factor
    if watts > MAX_WATTS:
        raise ValueError("the value is larger than any meter measures")
    return watts


def _readings(rows: Iterator[_Row | Item], header: _Header) -> Iterator[Item]:
    """Give each row its interval, looking two rows ahead where the step must be guessed."""
    waiting: deque[_Row] = deque()
    previous: datetime | None = None
    step = header.step

    def settle() -> Item:
        nonlocal previous, step
        row = waiting.popleft()
        if header.step is None and (step is None or previous is None or row.end - previous != step):
            step = _step(step, previous, [row.end, *(later.end for later in waiting)])
        before, previous = previous, row.end
        return _item(row, header, step, before)

    for item in rows:
        if not isinstance(item, _Row):
            yield item
            continue
        waiting.append(item)
        if len(waiting) == 3:
            yield settle()
    while waiting:
        yield settle()


def _step(step: timedelta | None, previous: datetime | None, ends: list[datetime]) -> timedelta | None:
    """The step that ends at `ends[0]`, from the step so far and the stamps around it."""
    stamps = ([] if previous is None else [previous]) + ends
    distances = [b - a for a, b in pairwise(stamps)]
    if step is None:  # the first row: the shortest distance near it is no hole
        return min((d for d in distances if d in STEPS), default=None)
    if previous is None or not distances or distances[0] not in STEPS:
        return step
    if distances[0] <= step or distances[0] in distances[1:2]:
        return distances[0]
    return step


def _item(row: _Row, header: _Header, step: timedelta | None, previous: datetime | None) -> Item:
    if row.watts is None or step is None:
        reason = row.problem or "the length of the interval is not known: no neighbour, no step in the header"
        return Reject(row.line.number, reason, excerpt(row.line.text))
    wall = row.end - step
    # On the clock of the stamp before, if this interval begins there: clocks may change within it.
    if previous is not None and previous == wall:
        wall = previous
    return Found(Reading(meter=header.meter, flow=header.flow, start=wall.astimezone(UTC),
                         seconds=step // SECOND, watts=row.watts, local=wall.isoformat()[:16],
                         offset=(wall.utcoffset() or ZERO) // MINUTE), row.line.number)

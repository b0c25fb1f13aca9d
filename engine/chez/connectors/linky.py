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
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain, pairwise
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
PLAIN: Final = re.compile(f"({STAMP.pattern});([0-9.,]{{1,20}})", re.ASCII)
"""A line with nothing but its two values, as almost all are."""
ZERO: Final = timedelta()
MINUTE: Final = timedelta(minutes=1)
HOW: Final = "Download the load curve (courbe de charge) again, as CSV, from your account at Enedis."


class _Header(msgspec.Struct, frozen=True):
    meter: str
    flow: Flow
    factor: float
    step: timedelta | None


class _Row(msgspec.Struct, frozen=True):
    """A line whose stamp could be read; `watts` is None when `problem` says why there is none."""

    line: Line
    end: datetime
    """The stamp in UTC, where one subtracts without looking up offsets."""
    local: str
    """The stamp on the clock of the wall, to the minute."""
    offset: int
    """How far that was ahead of UTC, in minutes."""
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
            plain = PLAIN.fullmatch(item.text)
            stamp, value = plain.groups() if plain is not None else _cells(item.text)
            wall = _wall(stamp)
            end = wall.astimezone(UTC)
            if last is not None and end <= last:
                raise ValueError("the stamp is not after the one before")
        except ValueError as error:
            yield Reject(item.number, str(error), excerpt(item.text))
            continue
        last = end
        watts, problem = None, ""
        try:
            watts = _watts(value, factor)
        except ValueError as error:
            problem = str(error)
        yield _Row(item, end, stamp[:16], _ahead(stamp[16:]), watts, problem)


def _cells(text: str) -> tuple[str, str]:
    """The stamp and the value of a line that is not written plainly."""
    fields = columns(text)
    if not STAMP.fullmatch(fields[0]):
        raise ValueError("the stamp is not like 2022-07-29T00:30:00+02:00")
    return fields[0], fields[1] if len(fields) > 1 else ""


def _wall(stamp: str) -> datetime:
    if not MIN_YEAR < int(stamp[:4]) < MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    try:
        wall = datetime.fromisoformat(stamp)
    except ValueError:
        raise ValueError("there is no such day or hour") from None
    if wall.second or wall.minute % 5:
        raise ValueError("the stamp is not on a step of five minutes")
    return wall


@lru_cache(maxsize=64)
def _ahead(rest: str) -> int:
    """Minutes ahead of UTC, from what follows a stamp's minutes: a curve has two offsets."""
    return (datetime.fromisoformat(f"2000-01-01T00:00{rest}").utcoffset() or ZERO) // MINUTE


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
    previous: _Row | None = None
    step = header.step
    for item in chain(rows, (None,)):
        if isinstance(item, _Row):
            waiting.append(item)
        elif item is not None:
            yield item
            continue
        while waiting:
            row = waiting[0]
            if header.step is None and (step is None or previous is None or row.end - previous.end != step):
                if item is not None and len(waiting) < 3:
                    break
                step = _step(step, None if previous is None else previous.end, [one.end for one in waiting])
            yield _item(row, header, step, previous)
            previous = waiting.popleft()


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


def _item(row: _Row, header: _Header, step: timedelta | None, previous: _Row | None) -> Item:
    if row.watts is None or step is None:
        reason = row.problem or "the length of the interval is not known: no neighbour, no step in the header"
        return Reject(row.line.number, reason, excerpt(row.line.text))
    start = row.end - step
    # On the clock of the stamp before, if this interval begins there: clocks may change within it.
    if previous is not None and previous.end == start:
        local, offset = previous.local, previous.offset
    else:
        local, offset = (start + timedelta(minutes=row.offset)).isoformat()[:16], row.offset
    return Found(Reading(meter=header.meter, flow=header.flow, start=start, seconds=step.seconds, watts=row.watts,
                         local=local, offset=offset), row.line.number)

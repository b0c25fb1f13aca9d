"""Apple Health's export: what devices and apps measured, workouts, the days' summaries, and who the person is.

The service gives a zip with `export.xml`, whose name differs by language, and the tracks of workouts as GPX, which the
connector of GPX reads. The file declares its document type in itself; entities, which Apple never declares, are refused
(`chez.connectors.xml`).

What the file does not say, and how it is settled here:

- Values of one kind, source, beginning and end, as of two foods that are noted together, are several. The format has
  whole seconds, so each begins and ends a millisecond after the one before it in the file, however far that is, and
  also when both say the same: an export has all that the service holds, so the next one has as many. Of more than
  `ALIKE` the others are rejects: they would be of the next second. Beyond `MOST` values, and `NEAR` that have equals,
  they are taken for one, of which the last counts, unless they lie near together.
- A summary is of a day, and the zone of its day is not said: it is from midnight to midnight UTC, without an offset.
- Records inside a correlation stand by themselves as well: both become one, the first of equal ones the first.

Source: the document type that the exports themselves have.
"""

import math
import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.xml import Block, blocks
from chez.errors import InvalidValue
from chez.vocabulary import Measurement, Profile, Workout

__all__ = ("AppleHealth",)

SERVICE: Final = "apple-health"
_BEGINS: Final = re.compile(rb"<(?:!DOCTYPE\s{1,9})?HealthData[\s>\[]")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_TYPE: Final = re.compile(r"\AHK(?:QuantityTypeIdentifier|CategoryTypeIdentifier|DataTypeIdentifier|DataType"
                          r"|WorkoutActivityType|CharacteristicTypeIdentifier)?")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_MOLES: Final = re.compile(r"mmol<[0-9.]{1,30}>/L", re.ASCII)

KINDS: Final[Mapping[str, str]] = {"step_count": "steps", "sleep_analysis": "sleep"}
"""Kinds that the vocabulary calls differently."""

CODES: Final[Mapping[str, str]] = {
    "heart_rate": "8867-4", "body_mass": "29463-7", "body_mass_index": "39156-5", "height": "8302-2",
    "steps": "55423-8", "blood_pressure_systolic": "8480-6", "blood_pressure_diastolic": "8462-4",
    "oxygen_saturation": "59408-5", "body_temperature": "8310-5", "respiratory_rate": "9279-1",
}
"""LOINC codes of kinds."""

UNITS: Final[Mapping[str, str]] = {
    "count": "1", "count/min": "/min", "Cal": "kcal", "hr": "h", "mi": "[mi_i]", "lb": "[lb_av]", "in": "[in_i]",
    "ft": "[ft_i]", "yd": "[yd_i]", "degC": "Cel", "degF": "[degF]", "mmHg": "mm[Hg]", "dBASPL": "dB[SPL]",
    "mL/min·kg": "mL/min/kg", "km/hr": "km/h", "mi/hr": "[mi_i]/h",
}
"""UCUM codes of units that Apple writes differently."""

SECONDS: Final[Mapping[str, float]] = {"s": 1, "min": 60, "hr": 3600}
METRES: Final[Mapping[str, float]] = {"m": 1, "km": 1000, "mi": 1609.344, "yd": 0.9144, "ft": 0.3048, "cm": 0.01}
KILOCALORIES: Final[Mapping[str, float]] = {"kcal": 1, "Cal": 1, "kJ": 1 / 4.184}

SUMMARY: Final = (("activeEnergyBurned", "daily_active_energy", "kcal"), ("appleExerciseTime", "daily_exercise", "min"),
                  ("appleStandHours", "daily_stand_hours", "h"), ("appleMoveTime", "daily_move", "min"))
"""What of a day's summary is read: attribute, kind, unit."""

NEAR: Final = 32_768
"""Values that have equals, whose count is remembered, at least."""

MOST: Final = 10_000_000
"""Values of which it is remembered that they were there, in twelve to twenty-four bytes each: some of the memory that
reading has."""

ALIKE: Final = 1000
"""Values of one kind, source, beginning and end that a second has room for, in milliseconds: no store keeps less."""

SLOTS: Final = 4096
"""Places for them to begin with."""

UNREAD: Final = ("ClinicalRecord", "Audiogram", "VisionPrescription")
"""Elements that are no measurement here: told once of each name."""

_SLOT: Final = (1 << 64) - 1

CORRELATION: Final = "Correlation"

Attributes = Mapping[str, str]


class AppleHealth:
    """Reads `export.xml` into measurements, workouts and a profile."""

    name = "apple-health"
    version = 4
    title = "Apple Health export, XML"
    types = (Measurement, Profile, Workout)

    example = (b'<!DOCTYPE HealthData [<!ELEMENT HealthData ANY>]><HealthData>'
               b'<Record type="HKQuantityTypeIdentifierHeight" sourceName="a" value="170" unit="cm"'
               b' startDate="2024-01-31 08:00:00 +0100" endDate="2024-01-31 08:00:00 +0100"/></HealthData>')

    def recognise(self, head: bytes, name: str) -> bool:
        """An XML file whose root or document type is `HealthData`."""
        return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<") and _BEGINS.search(head) is not None

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One record for each measurement. Raises `InvalidValue` for a file that is not of this format."""
        seen = False
        told: set[str] = set()
        equals = outside = _Equals()
        inside = _Equals()
        for item in blocks(file, (*READERS, *UNREAD), ("HealthData", CORRELATION), doctype=True):
            if isinstance(item, Progress | Reject):
                yield item
            elif not isinstance(item, Block):
                if item.name == CORRELATION:
                    equals = outside if item.end else inside
                seen = True
            elif item.name in UNREAD:
                if item.name not in told:
                    told.add(item.name)
                    yield Reject(item.line, f"the elements {item.name} are not read", "")
            else:
                try:
                    for record in READERS[item.name](item):
                        if item.name == "Record" and isinstance(record, Measurement):
                            record = equals.apart(record)
                        yield Found(record, item.line)
                except ValueError as error:
                    yield Reject(item.line, str(error), excerpt(str(dict(list(item.attributes.items())[:8]))[:400]))
        if not seen:
            raise InvalidValue(f"{source.name!r} is no export of Apple Health: it has no element HealthData")


class _Equals:
    """Tells values apart that are of one kind, source, beginning and end."""

    __slots__ = ("_before", "_recent", "_seen")

    def __init__(self) -> None:
        self._seen = _Seen()
        self._recent: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def apart(self, record: Measurement) -> Measurement:
        """The record; one that has equals before it, so many milliseconds later. Raises `ValueError` beyond `ALIKE`."""
        key = hash((record.kind, record.source, record.start, record.end)) & _SLOT or 1
        known = self._seen.add(key)
        if known is False:
            return record
        count = self._recent.get(key) or self._before.get(key) or int(known is True)
        self._recent[key] = count + 1
        if len(self._recent) >= NEAR:
            self._recent, self._before = {}, self._recent
        if not count:
            return record
        if count >= ALIKE:
            raise ValueError(f"more than {ALIKE:,} values are of one source, and have one time")
        later = timedelta(milliseconds=count)
        return msgspec.structs.replace(record, start=record.start + later, end=record.end + later)


class _Seen:
    """Hashes of 64 bits that were seen, held as such: a table in which what is taken is looked for further on.

    Two values with one hash would be told apart without need; of ten million the odds are one to some hundred thousand.
    """

    __slots__ = ("_count", "_slots")

    def __init__(self) -> None:
        self._slots, self._count = array("Q", bytes(8 * SLOTS)), 0

    def add(self, key: int) -> bool | None:
        """Whether a hash that is not 0 was seen; None where it was not, and can't be remembered."""
        slots, last = self._slots, len(self._slots) - 1
        at = key & last
        while there := slots[at]:
            if there == key:
                return True
            at = (at + 1) & last
        if self._count >= MOST:
            return None
        slots[at] = key
        self._count += 1
        if 3 * self._count > 2 * len(slots):
            self._grow()
        return False

    def _grow(self) -> None:
        before, self._slots = self._slots, array("Q", bytes(16 * len(self._slots)))
        slots, last = self._slots, len(self._slots) - 1
        for key in filter(None, before):
            at = key & last
            while slots[at]:
                at = (at + 1) & last
            slots[at] = key


def _record(block: Block) -> Iterator[msgspec.Struct]:
    given = block.attributes
    kind = _kind(_there(given, "type"))
    start, offset = _instant(_there(given, "startDate"))
    end, _ = _instant(_there(given, "endDate"))
    if end < start:
        raise ValueError("it ends before it begins")
    said = given.get("value", "")
    value = None if not said or said.startswith("HK") else _number(said)
    yield Measurement(source=_there(given, "sourceName"), kind=kind, start=start, end=end, value=value,
                      unit=_unit(given.get("unit", "")) if value is not None else "",
                      text=_category(said, given["type"]) if value is None else "", code=CODES.get(kind, ""),
                      offset=offset)


def _workout(block: Block) -> Iterator[msgspec.Struct]:
    # A route makes a workout longer than a block may be; of its leaves only sums are read, and not needed.
    given = block.attributes
    start, offset = _instant(_there(given, "startDate"))
    end, _ = _instant(_there(given, "endDate"))
    sums = {one.get("type", ""): one for path, _, one in block.leaves if path == "WorkoutStatistics"}
    way = next((one for name, one in sums.items() if name.startswith("HKQuantityTypeIdentifierDistance")), {})
    energy = sums.get("HKQuantityTypeIdentifierActiveEnergyBurned", {})
    yield Workout(
        source=_there(given, "sourceName"), kind=_kind(_there(given, "workoutActivityType")), start=start, end=end,
        seconds=_times(given.get("duration"), given.get("durationUnit", "min"), SECONDS),
        metres=_times(given.get("totalDistance", way.get("sum")), given.get("totalDistanceUnit", way.get("unit", "")),
                      METRES),
        kilocalories=_times(given.get("totalEnergyBurned", energy.get("sum")),
                            given.get("totalEnergyBurnedUnit", energy.get("unit", "")), KILOCALORIES),
        offset=offset)


def _summary(block: Block) -> Iterator[msgspec.Struct]:
    given = block.attributes
    text = _there(given, "dateComponents")
    if not _DAY.fullmatch(text):
        raise ValueError("the day is not like 2024-01-31")
    start = _checked(f"{text} 00:00:00+00:00")
    found = [(name, kind, unit) for name, kind, unit in SUMMARY if given.get(name)]
    values = [_number(given[name]) for name, _, _ in found]
    for (name, kind, unit), value in zip(found, values, strict=True):
        yield Measurement(source=SERVICE, kind=kind, start=start, end=start + timedelta(days=1), value=value,
                          unit=_unit(given.get(f"{name}Unit", unit)))


def _person(block: Block) -> Iterator[msgspec.Struct]:
    said = []
    for name, value in block.attributes.items():
        kind = _kind(name)
        plain = _snake(value.removeprefix("HK").removeprefix(name.rpartition("Identifier")[2])) \
            if value.startswith("HK") else value
        if plain and plain != "not_set":
            said.append(f"{kind}: {plain}"[:200])
    yield Profile(service=SERVICE, id="me", about="\n".join(said[:20]))


READERS: Final[Mapping[str, Callable[[Block], Iterator[msgspec.Struct]]]] = {
    "Record": _record, "Workout": _workout, "ActivitySummary": _summary, "Me": _person,
}


@lru_cache(maxsize=512)
def _kind(text: str) -> str:
    name = _snake(_TYPE.sub("", text, count=1))
    if not name:
        raise ValueError("the type says nothing")
    return KINDS.get(name, name)


def _snake(text: str) -> str:
    return _HUMP.sub("_", text[:200]).lower()


def _category(value: str, type: str) -> str:
    """What a category's value says: of `HKCategoryValueSleepAnalysisInBed` for sleep, `in_bed`."""
    return _snake(value.removeprefix("HKCategoryValue").removeprefix(_TYPE.sub("", type, count=1)))


def _there(given: Attributes, name: str) -> str:
    if not (value := given.get(name, "")):
        raise ValueError(f"{name} is missing")
    return value


@lru_cache(maxsize=1024)
def _instant(text: str) -> tuple[datetime, int]:
    """An instant in UTC, and how far its clock was ahead, in minutes."""
    if not _TIME.fullmatch(text):
        raise ValueError("the time is not like 2024-01-31 08:00:00 +0100")
    ahead = int(text[21:23]) * 60 + int(text[23:25])
    return _checked(text[:19] + text[20:]), -ahead if text[20] == "-" else ahead


def _checked(text: str) -> datetime:
    if not MIN_YEAR <= int(text[:4]) <= MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError("the value is no number")
    return value


@lru_cache(maxsize=256)
def _unit(text: str) -> str:
    return "mmol/L" if _MOLES.fullmatch(text) else UNITS.get(text, text)


def _times(text: str | None, unit: str, factors: Mapping[str, float]) -> float | None:
    """An amount in the vocabulary's unit; None when there is none."""
    if not text:
        return None
    if unit not in factors:
        raise ValueError(f"the unit {excerpt(unit)!r} is none that is known here")
    value = _number(text) * factors[unit]
    if not math.isfinite(value):
        raise ValueError("the value is no number")
    return value

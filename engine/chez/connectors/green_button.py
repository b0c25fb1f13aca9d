"""What a North American supplier of energy lets a customer download: Green Button, NAESB's ESPI in an Atom feed.

    entry: UsagePoint          the meter              self .../UsagePoint/01, related LocalTimeParameters/01
    entry: LocalTimeParameters the clock of the wall
    entry: MeterReading        one series             self .../MeterReading/01, related ReadingType/07
    entry: ReadingType         unit, power of ten, direction
    entry: IntervalBlock       the values             up   .../MeterReading/01/IntervalBlock

Entries hang together by their links, in any order; so the file is read twice, first for what the values mean, then
for the values. Electricity in W or Wh becomes readings, a summary becomes a consumption, and so does each value of gas
or water. What an interval cost is summed over its block, into a consumption.

What the file does not say, and how it is settled here:

- The meter's number: the usage point's own link is in its place, from "RetailCustomer" on.
- The clock, where there are no LocalTimeParameters: it is UTC.
- A stretch of time that is in two series, by the hour and by its quarters, is what the first of them says: both
  together would be twice the energy. What was used in more than a day is a consumption and not a reading, and takes
  no time from those. Values of a register, which only rise, are none of an interval.

Source: NAESB REQ.21 (ESPI), espi.xsd: UomType, CommodityKind, FlowDirectionKind, DstRuleType.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import BinaryIO, Final

from chez.connectors import xml
from chez.connectors.api import Found, Item, Reject, Source, excerpt
from chez.connectors.clocks import Clock
from chez.connectors.intervals import Intervals, Told
from chez.connectors.references import plain
from chez.errors import InvalidValue
from chez.vocabulary import Consumption, Flow, Reading

__all__ = ("GreenButton",)

NAMESPACE: Final = b"http://naesb.org/espi"
FLOWS: Final[dict[str, Flow]] = {"": "consumption", "1": "consumption", "19": "production"}
COMMODITIES: Final = {"": "electricity", "0": "electricity", "1": "electricity", "2": "electricity", "7": "gas",
                      "9": "water"}
SERVICES: Final = {"0": "electricity", "1": "gas", "2": "water"}
UNITS: Final = {"38": "W", "72": "W.h", "42": "m3", "119": "[cft_i]", "128": "[gal_us]", "134": "L", "132": "[Btu]",
                "169": "[thm]"}
"""UomType, in UCUM; therm has no code there."""
CURRENCIES: Final = {"840": "USD", "124": "CAD", "978": "EUR"}
REGISTERS: Final = frozenset(("1", "2", "3"))
"""AccumulationKind: bulk quantity, continuous cumulative, cumulative."""
COST: Final = Decimal("0.00001")
"""Costs are in hundred-thousandths of the currency."""
METER: Final = re.compile(r".{0,200}?UsagePoint/[^/]{1,64}", re.S)
INTEGER: Final = re.compile(r"-?\d{1,15}", re.ASCII)
MAX_ENTRIES: Final = 10_000
"""Entries other than blocks of values, which are remembered."""
LEAST: Final = -2208988800  # 1900
MOST: Final = 7258118400  # 2200
LONGEST: Final = 400 * 86400
DAY: Final = 25 * 3600
"""Seconds of a reading; the day on which clocks are set back has as many."""
MAX_WATTS: Final = 1e9


@dataclass(slots=True)
class _Type:
    """What the values of a series are."""

    commodity: str
    flow: Flow | None
    unit: str
    scale: Decimal
    currency: str | None
    register: bool
    """Whether they are what a meter's register shows, and not what was used in an interval."""


@dataclass(slots=True)
class _Feed:
    """What the entries say, each by its own link, and by the link under which others come."""

    types: dict[str, _Type] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    related: dict[str, list[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    told: Intervals = field(default_factory=Intervals)

    def _related(self, own: str) -> list[str]:
        """The links of an entry. Raises `ValueError` with what is wrong with one that it leads to."""
        links = self.related.get(own, [])
        for link in links:
            if link in self.broken:
                raise ValueError(self.broken[link])
        return links

    def type_of(self, series: str) -> _Type:
        """What the values of a series are. Raises `ValueError`."""
        known = [self.types[link] for link in self._related(series) if link in self.types]
        if not known and len(self.types) == 1:
            return next(iter(self.types.values()))
        if not known:
            raise ValueError("the file does not say what these values are (ReadingType)")
        return known[0]

    def clock_of(self, meter: str) -> Clock:
        """The clock of the wall where a meter is. Raises `ValueError`."""
        known = [self.clocks[link] for link in self._related(meter) if link in self.clocks]
        if not known and len(self.clocks) == 1:
            return next(iter(self.clocks.values()))
        return known[0] if known else Clock(0, 0, "", "")


@dataclass(slots=True)
class _Block:
    """The block of values that is being read."""

    series: str
    line: int
    about: "tuple[_Type, Clock, str] | None" = None
    """Of its values: what they are, the clock and the subject; found with the first of them."""
    begin: int = 0
    end: int = 0
    used: Decimal = Decimal(0)
    cost: Decimal | None = None
    told: bool = False
    intervals: Intervals = field(default_factory=Intervals)


class GreenButton:
    """Reads a Green Button feed into readings and consumptions."""

    name = "green-button"
    version = 2
    title = "Green Button (NAESB ESPI), XML"
    types = (Consumption, Reading)

    def recognise(self, head: bytes, name: str) -> bool:
        """An Atom feed with ESPI's namespace near its beginning."""
        return NAMESPACE in head and b"<feed" in head

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """Readings and consumptions.

        Raises `InvalidValue` when there are no values in the file, when it has more than `MAX_ENTRIES` entries
        beside them, or as `chez.connectors.xml` does.
        """
        feed = _described(file)
        file.seek(0)
        block = _Block("", 1)
        seen = False
        for item in xml.blocks(file, ("link", "IntervalReading", "ElectricPowerUsageSummary", "UsageSummary"),
                               ("entry", "IntervalBlock")):
            if isinstance(item, xml.Mark):
                if item.name == "entry":
                    block = _Block("", item.line)
                elif item.end:
                    yield from _summed(feed, block)
                    # An entry may have several: each has a sum of its own.
                    block = _Block(block.series, item.line, block.about, told=block.told)
            elif not isinstance(item, xml.Block):
                yield item
            elif item.name == "link":
                if item.attributes.get("rel") == "up":
                    block.series = _link(item).removesuffix("/IntervalBlock")
            else:
                seen = True
                yield from _value(feed, block, item)
        if not seen:
            raise InvalidValue(f"{source.name!r} holds no values of a meter",
                               "Download the data again from the supplier, with its intervals.")


def _described(file: BinaryIO) -> _Feed:
    """The first reading: what there is beside values. What is broken is told in the second."""
    feed = _Feed()
    own = ""
    related: list[str] = []
    for item in xml.blocks(file, ("link", "UsagePoint", "LocalTimeParameters", "ReadingType"), ("entry",)):
        if isinstance(item, xml.Mark):
            if item.end and related:
                feed.related[own] = related
            own, related = "", []
        elif not isinstance(item, xml.Block):
            continue
        elif item.name != "link":
            try:
                _learn(feed, own, item)
            except ValueError as error:
                feed.broken[own] = f"<{item.name}>: {error}"
        elif item.attributes.get("rel") == "self":
            own = _link(item)
        elif item.attributes.get("rel") == "related":
            related.append(_link(item))
        if len(related) + len(feed.related) + len(feed.types) + len(feed.clocks) + len(feed.broken) > MAX_ENTRIES:
            raise InvalidValue(f"the file has more than {MAX_ENTRIES} entries beside values",
                               "Download a shorter period.")
    return feed


def _learn(feed: _Feed, own: str, block: xml.Block) -> None:
    if block.name == "UsagePoint":
        feed.services[own] = SERVICES.get(block.first("ServiceCategory/kind"), "")
    elif block.name == "LocalTimeParameters":
        feed.clocks[own] = Clock(_seconds(block.first("tzOffset")), _seconds(block.first("dstOffset")),
                                 block.first("dstStartRule"), block.first("dstEndRule"))
    else:
        power = _number(block.first("powerOfTenMultiplier") or "0", "power of ten")
        feed.types[own] = _Type(
            COMMODITIES.get(block.first("commodity"), ""), FLOWS.get(block.first("flowDirection")),
            UNITS.get(block.first("uom"), ""), Decimal(10) ** max(-12, min(12, power)),
            CURRENCIES.get(block.first("currency")), block.first("accumulationBehaviour") in REGISTERS)


def _value(feed: _Feed, block: _Block, item: xml.Block) -> Iterator[Item]:
    """One interval or summary: a record, or a reject; what is wrong with a whole series is told once."""
    try:
        if item.problem:
            raise ValueError(f"<{item.name}>: {item.problem}")
        if item.name == "IntervalReading":
            yield from _interval(feed, block, item)
        else:
            yield Found(_summary(feed, block, item), item.line)
    except _SeriesError as error:
        if not block.told:
            block.told = True
            yield Reject(item.line, f"{error}: the values of this block are left out", "")
    except ValueError as error:
        shown = " ".join(f"{path}={text}" for path, text, _ in item.leaves[:8])
        yield Reject(item.line, str(error), excerpt(shown))


class _SeriesError(ValueError):
    """What is wrong with all values of a block."""


def _about(feed: _Feed, block: _Block) -> tuple[_Type, Clock, str]:
    """What holds for all values of a block. Raises `_SeriesError`."""
    try:
        type = feed.type_of(block.series)
        if type.register:
            raise ValueError("these values are of the meter's register, and not of intervals")
        if type.flow is None or not type.unit or not type.commodity:
            raise ValueError("values of this unit, commodity or direction are not read")
        if type.commodity == "electricity" and type.unit not in ("W", "W.h"):
            raise ValueError("values of this unit are not read for electricity")
        meter = _meter(block.series)
        return type, feed.clock_of(meter), _subject(meter)
    except ValueError as error:
        raise _SeriesError(str(error)) from None


def _interval(feed: _Feed, block: _Block, item: xml.Block) -> Iterator[Found]:
    if block.about is None:
        block.about = _about(feed, block)
    type, clock, subject = block.about
    start, seconds = _period(item, "timePeriod")
    value = _number(item.first("value"), "value") * type.scale
    if value < 0:
        raise ValueError("the value is not a number of at least 0")
    cost = item.first("cost")
    paid = _number(cost, "cost") * COST if cost else None
    at = datetime.fromtimestamp(start, UTC)
    total = Consumption(provider="", subject=subject, commodity=type.commodity, start=at,
                        end=at + timedelta(seconds=seconds), quantity=_shown(value), unit=type.unit)
    if type.commodity != "electricity":
        _pay(block, paid)
        yield Found(total, item.line)
        return
    if type.unit == "W.h" and seconds > DAY and type.flow == "consumption":
        if paid is not None:
            total.cost, total.currency = _shown(paid), type.currency
        yield Found(total, item.line)
        return
    watts = float(value) if type.unit == "W" else float(value) * 3600 / seconds
    if watts > MAX_WATTS:
        raise ValueError("the value is larger than any meter measures")
    if block.intervals.take("", start, seconds) is Told.AGAIN:
        raise ValueError("this time is told in its block already")
    if feed.told.take((subject, type.flow), start, seconds) is Told.OTHERWISE:
        raise ValueError("this time is told in other intervals already: it would be counted twice")
    _pay(block, paid)
    wall, offset = clock.wall(at)
    block.begin, block.end = min(block.begin or start, start), max(block.end, start + seconds)
    block.used += value if type.unit == "W.h" else value * seconds / 3600
    yield Found(Reading(meter=subject, flow=type.flow or "consumption", start=at, seconds=seconds,
                        watts=round(watts, 3), local=wall.isoformat(timespec="minutes"), offset=offset), item.line)


def _pay(block: _Block, paid: Decimal | None) -> None:
    if paid is not None:
        block.cost = (block.cost or Decimal(0)) + paid


def _summed(feed: _Feed, block: _Block) -> Iterator[Found]:
    """What a block of electricity used and cost, if it says that it cost something."""
    if block.cost is None or not block.end:
        return
    yield Found(Consumption(
        provider="", subject=_subject(_meter(block.series)), commodity="electricity",
        start=datetime.fromtimestamp(block.begin, UTC), end=datetime.fromtimestamp(block.end, UTC),
        quantity=_shown(block.used), unit="W.h", cost=_shown(block.cost),
        currency=feed.type_of(block.series).currency), block.line)


def _summary(feed: _Feed, block: _Block, item: xml.Block) -> Consumption:
    start, seconds = _period(item, "billingPeriod")
    whole = "currentBillingPeriodOverAllConsumption"
    unit = UNITS.get(item.first(f"{whole}/uom"), "")
    if not unit or unit == "W":
        raise ValueError("a summary in this unit is not read")
    power = _number(item.first(f"{whole}/powerOfTenMultiplier") or "0", "power of ten")
    value = _number(item.first(f"{whole}/value"), "value") * Decimal(10) ** max(-12, min(12, power))
    meter = _meter(block.series)
    cost = item.first("billToDate", "billLastPeriod")
    currency = CURRENCIES.get(item.first("currency"))
    begin = datetime.fromtimestamp(start, UTC)
    return Consumption(
        provider="", subject=_subject(meter), commodity=feed.services.get(meter) or "electricity", start=begin,
        end=begin + timedelta(seconds=seconds), quantity=_shown(value), unit=unit,
        cost=_shown(_number(cost, "cost") * COST) if cost and currency else None, currency=currency if cost else None)


def _period(item: xml.Block, name: str) -> tuple[int, int]:
    """The first second of a time, in seconds of Unix, and how many it has."""
    start = _number(item.first(f"{name}/start"), "start")
    seconds = _number(item.first(f"{name}/duration"), "duration")
    if not LEAST < start < MOST - LONGEST:
        raise ValueError("the year is not between 1900 and 2200")
    if not 0 < seconds <= LONGEST:
        raise ValueError("the duration is not between a second and a year")
    return start, seconds


def _number(text: str, what: str) -> int:
    if not INTEGER.fullmatch(text):
        raise ValueError(f"the {what} is not a whole number")
    return int(text)


def _seconds(text: str) -> int:
    return _number(text or "0", "offset of the clock")


def _link(block: xml.Block) -> str:
    return block.attributes.get("href", "").rstrip("/")


def _meter(series: str) -> str:
    """The link of the usage point that a series, or a summary, is below."""
    found = METER.match(series)
    if found is None:
        raise ValueError("the values belong to no meter (UsagePoint)")
    return found[0]


def _subject(meter: str) -> str:
    return meter[max(0, meter.find("RetailCustomer")):]


def _shown(value: Decimal) -> Decimal:
    """Without the zeros that a power of ten leaves behind the point."""
    return Decimal(plain(value))

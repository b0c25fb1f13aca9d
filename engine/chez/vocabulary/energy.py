"""What meters measured and suppliers billed."""

from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Literal

import msgspec

__all__ = ("Colour", "Consumption", "Flow", "Reading", "TariffDay")

Flow = Literal["consumption", "production"]
Colour = Literal["blue", "white", "red"]


class Reading(msgspec.Struct, kw_only=True):
    """What a meter measured over one interval of time.

    A load curve: IEC 61968-9 `IntervalReading`, NAESB ESPI (Green Button).
    """

    __collection__: ClassVar[str] = "readings"
    __identity__: ClassVar[tuple[str, ...]] = ("meter", "flow", "start")
    __version__: ClassVar[int] = 1

    meter: str
    """The meter's number, as its operator writes it (in France the PRM, 14 digits)."""
    flow: Flow = "consumption"
    """Drawn from the grid, or fed into it: a home with panels has both at one instant."""
    start: datetime
    """First instant of the interval, UTC. The interval is [start, start + seconds)."""
    seconds: int
    """Length of the interval in seconds."""
    watts: float
    """Mean active power over the interval in W (energy in Wh: watts * seconds / 3600)."""
    local: str
    """`start` on the clock of the wall: "2022-07-29T00:00", what a tariff by hour asks for."""
    offset: int
    """How far that clock was ahead of UTC, in minutes; tells 02:30 from 02:30 in October."""


class Consumption(msgspec.Struct, kw_only=True):
    """What was used of something over a longer time, and what it cost: a bill's line, a month's total.

    <https://schema.org/QuantitativeValue>; NAESB ESPI `UsageSummary`.
    """

    __collection__: ClassVar[str] = "consumptions"
    __identity__: ClassVar[tuple[str, ...]] = ("provider", "subject", "commodity", "start", "end")
    __version__: ClassVar[int] = 1

    provider: str
    """The supplier, as it calls itself in its exports; empty when the export names none."""
    subject: str
    """What it was counted for: a meter's number, a telephone number, a contract's reference."""
    commodity: str
    """"electricity", "gas", "water", "heat", "data", "calls", "messages", ..."""
    start: datetime
    """First instant, UTC. The time is [start, end)."""
    end: datetime
    """First instant that no longer counts, UTC."""
    quantity: Decimal
    """How much, in `unit`."""
    unit: str
    """UCUM code: "kW.h", "m3", "By" (bytes), "min", "{message}"."""
    cost: Decimal | None = None
    """What it cost, in `currency`, taxes included."""
    currency: str | None = None
    """ISO 4217 code of `cost`."""
    estimated: bool = False
    """Whether the supplier guessed it instead of reading the meter."""


class TariffDay(msgspec.Struct, kw_only=True):
    """The price class of one day in a tariff whose days differ.

    <https://schema.org/UnitPriceSpecification> of a day.
    """

    __collection__: ClassVar[str] = "tariff_days"
    __identity__: ClassVar[tuple[str, ...]] = ("scheme", "date")
    __version__: ClassVar[int] = 1

    scheme: str
    """The tariff: "tempo" is EDF's, its day running from 06:00 to 06:00 local time."""
    date: date
    """The local calendar day on which the tariff's day begins."""
    colour: Colour
    """The class, from cheap to dear: blue, white, red."""

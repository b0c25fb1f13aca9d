"""Green Button feeds: the real file, exactly; and what broken or hostile ones give."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given as given_
from hypothesis import strategies as st

from chez.connectors import Item, read
from chez.connectors.green_button import GreenButton
from chez.connectors.intervals import Intervals, Told
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Consumption, Reading
from tests.connectors.support import GREEN_BUTTON, read_bytes, records, rejects

METER = "RetailCustomer/9b6c7063/UsagePoint/01"
TYPE = ("<ReadingType><commodity>{commodity}</commodity><currency>840</currency><flowDirection>{flow}</flowDirection>"
        "<powerOfTenMultiplier>{power}</powerOfTenMultiplier><uom>{uom}</uom></ReadingType>")
CLOCK = ("<LocalTimeParameters><dstEndRule>B40E2000</dstEndRule><dstOffset>3600</dstOffset><dstStartRule>360E2000"
         "</dstStartRule><tzOffset>-28800</tzOffset></LocalTimeParameters>")


def entry(content: str, own: str, *related: str, up: str = "") -> str:
    """An entry with its links, in one line."""
    links = "".join(f'<link rel="related" href="{link}"/>' for link in related)
    links = f'<link rel="self" href="{own}"/><link rel="up" href="{up}"/>{links}'
    return f"<entry>{links}<content>{content}</content></entry>"


def value(at: str, amount: object = 1000, seconds: object = 3600, more: str = "") -> str:
    """One interval that begins at an instant."""
    begin = int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()) if "-" in at else at
    return (f"<IntervalReading>{more}<timePeriod><duration>{seconds}</duration><start>{begin}</start></timePeriod>"
            f"<value>{amount}</value></IntervalReading>\n")


def feed(*values: str, power: object = 0, uom: object = 72, flow: object = 1, commodity: object = 1, clock: str = CLOCK,
         first: str = "") -> bytes:
    """A feed with one series; the type of its values comes after them."""
    described = TYPE.format(power=power, uom=uom, flow=flow, commodity=commodity)
    series = f"{METER}/MeterReading/01"
    meter = "<UsagePoint><ServiceCategory><kind>0</kind></ServiceCategory></UsagePoint>"
    entries = (
        entry(meter, METER, "LocalTime/1"), first,
        entry("<IntervalBlock>\n" + "".join(values) + "</IntervalBlock>", f"{series}/IntervalBlock/1",
              up=f"{series}/IntervalBlock"),
        entry("<MeterReading/>", series, "ReadingType/7"), entry(described, "ReadingType/7"),
        entry(TYPE.format(power=3, uom=38, flow=19, commodity=1), "ReadingType/8"), entry(clock, "LocalTime/1"))
    return f'<feed xmlns="http://naesb.org/espi">{"".join(entries)}</feed>'.encode()


def readings(items: list[Item]) -> list[Reading]:
    """The readings among the items."""
    return [one for one in records(items) if isinstance(one, Reading)]


def test_the_real_file() -> None:
    """362 hours of one meter on the clock of California, and a month's total; no rejects."""
    items = list(read(GREEN_BUTTON))
    found = readings(items)
    assert (len(found), rejects(items), len({identity_of(one) for one in found})) == (362, [], 362)
    assert found[0] == Reading(meter=METER, flow="consumption", start=datetime(2011, 1, 1, 8, tzinfo=UTC), seconds=3600,
                               watts=703.0, local="2011-01-01T00:00", offset=-480)
    assert found[-1].start == datetime(2011, 1, 16, 9, tzinfo=UTC)
    written = sum(map(int, re.findall(r"<value>(\d+)</value>\s*</IntervalReading>", GREEN_BUTTON.read_text())))
    assert sum(one.watts for one in found) == written
    (month,) = (one for one in records(items) if isinstance(one, Consumption))
    assert (month.quantity, month.unit, month.start, month.end, month.subject) == (
        610314, "W.h", datetime(2011, 11, 1, 7, tzinfo=UTC), datetime(2011, 12, 1, 7, tzinfo=UTC), METER)


def test_units_powers_and_directions() -> None:
    """What a value means stands in another entry, wherever that is: power of ten, W or Wh, drawn or fed."""
    quarter = value("2024-01-01T00:00:00", 250, 900)
    for given, watts, flow in (({}, 1000.0, "consumption"), ({"power": 3}, 1e6, "consumption"),
                               ({"power": -3}, 1.0, "consumption"), ({"uom": 38}, 250.0, "consumption"),
                               ({"flow": 19}, 1000.0, "production")):
        (one,) = readings(read_bytes(GreenButton(), feed(quarter, **given)))  # type: ignore[arg-type]
        assert (one.watts, one.flow, one.seconds) == (watts, flow, 900)


def test_no_time_is_counted_twice() -> None:
    """Of a stretch that two series tell, by hours and by quarters, the first one counts, with what it cost, in whatever
    order its intervals come; another block's word for the same interval is a correction, its own block's none."""
    other = "this time is told in other intervals already: it would be counted twice"
    hour = value("2024-01-01T00:00:00", 1000, more="<cost>1000</cost>")
    at = {"15": 250, "00": 100, "45": 350, "30": 300}
    quarters = "".join(value(f"2024-01-01T00:{minute}:00", amount, 900) for minute, amount in at.items())
    again = value("2024-01-01T00:15:00", 260, 900)
    block, watts = "</IntervalBlock><IntervalBlock>", [1000.0, 400, 1400, 1200]
    for told, found, values in (
            ([other] * 4, [1000.0], (hour, block, quarters)), ([other], watts, (quarters, block, hour)),
            ([other] * 2, [4.0, 1400, 1200], (value("2024-01-01T00:05:00", 1, 900), quarters)),
            ([], [*watts, 1040], (quarters, block, again)),
            (["this time is told in its block already"], watts, (quarters, again))):
        items = read_bytes(GreenButton(), feed(*values))
        assert [reason for _, reason in rejects(items)] == told
        assert [one.watts for one in readings(items)] == found
        assert sum({one.start: one.seconds for one in readings(items)}.values()) <= 3600
        paid = [one.cost for one in records(items) if isinstance(one, Consumption)]
        assert paid == [Decimal("0.01")] * (values[0] is hour)
    paid = [(one.cost, one.quantity) for one in records(read_bytes(GreenButton(), feed(
        hour, block, value("2024-01-01T01:00:00", 500, more="<cost>3000</cost>")))) if isinstance(one, Consumption)]
    assert paid == [(Decimal("0.01"), 1000), (Decimal("0.03"), 500)], "each block has a sum of its own"


def test_a_month_in_one_value_takes_no_time_from_its_hours() -> None:
    """What was used in more than a day is a consumption, with what it cost, beside the readings of that time."""
    month = value("2024-01-01T00:00:00", 744_000, 31 * 86_400, more="<cost>5000000</cost>")
    hours = "".join(value(f"2024-01-01T0{hour}:00:00") for hour in range(3))
    day = value("2024-01-02T00:00:00", 24_000, 25 * 3600)
    for values in ((month, "</IntervalBlock><IntervalBlock>", hours, day), (hours, day, month)):
        items = read_bytes(GreenButton(), feed(*values))
        assert not rejects(items)
        assert [(one.watts, one.seconds) for one in readings(items)] == [(1000.0, 3600)] * 3 + [(960.0, 90_000)]
        (total,) = [one for one in records(items) if isinstance(one, Consumption)]
        assert (total.quantity, total.unit, total.cost, total.currency) == (744_000, "W.h", 50, "USD")
        assert (total.end - total.start).days == 31
    fed_in = read_bytes(GreenButton(), feed(month, flow=19))
    assert [(one.flow, one.watts) for one in readings(fed_in)] == [("production", 1000.0)]


@given_(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 6)), max_size=30))
def test_what_is_taken_never_overlaps(intervals: list[tuple[int, int]]) -> None:
    """Whatever comes in whatever order, an interval is taken if nothing that was taken overlaps it but itself."""
    told, taken = Intervals(), set[tuple[int, int]]()
    for start, seconds in intervals:
        free = all(start >= begin + length or begin >= start + seconds for begin, length in taken)
        wanted = Told.NEW if free else Told.AGAIN if (start, seconds) in taken else Told.OTHERWISE
        assert told.take("a", start, seconds) is wanted
        if free:
            taken.add((start, seconds))


def test_a_register_is_no_interval() -> None:
    """Values that a meter's register shows, which only rise, are told as what they are."""
    data = feed(value("2024-01-01T00:00:00", 12_345_678)).replace(
        b"<ReadingType>", b"<ReadingType><accumulationBehaviour>1</accumulationBehaviour>")
    items = read_bytes(GreenButton(), data)
    assert readings(items) == [] and "register" in rejects(items)[0][1]


def test_the_clock_of_the_wall() -> None:
    """Hours around both changes of the clock have their local time; without a clock it is that of UTC."""
    hours = [value(f"2024-{day}:00:00") for day in ("03-10T09", "03-10T10", "11-03T08", "11-03T09")]
    found = readings(read_bytes(GreenButton(), feed(*hours)))
    assert [(one.local, one.offset) for one in found] == [
        ("2024-03-10T01:00", -480), ("2024-03-10T03:00", -420), ("2024-11-03T01:00", -420), ("2024-11-03T01:00", -480)]
    (bare,) = readings(read_bytes(GreenButton(), feed(hours[0], clock="")))
    assert (bare.local, bare.offset) == ("2024-03-10T09:00", 0)


def test_what_it_cost_and_other_commodities() -> None:
    """Costs are summed over their block beside what was used; gas has no readings, and each value as consumption."""
    items = read_bytes(GreenButton(), feed(value("2024-01-01T00:00:00", 300, more="<cost>12345</cost>"),
                                           value("2024-01-01T01:00:00", 700, more="<cost>100000</cost>")))
    assert records(items)[-1] == Consumption(
        provider="", subject=METER, commodity="electricity", start=datetime(2024, 1, 1, tzinfo=UTC),
        end=datetime(2024, 1, 1, 2, tzinfo=UTC), quantity=Decimal(1000), unit="W.h", cost=Decimal("1.12345"),
        currency="USD")
    (gas,) = records(read_bytes(GreenButton(), feed(value("2024-01-01T00:00:00", 15), commodity=7, uom=42, power=-1)))
    assert isinstance(gas, Consumption) and (gas.commodity, gas.quantity, gas.unit) == ("gas", Decimal("1.5"), "m3")


@pytest.mark.parametrize(("bad", "reason"), [
    (value("2024-01-01T00:00:00", "1.5"), "the value is not a whole number"),
    (value("2024-01-01T00:00:00", -1), "not a number of at least 0"),
    (value("2024-01-01T00:00:00", 10**13), "larger than any meter"), (value("x"), "the start is not a whole number"),
    (value("9" * 12), "the year is not between"), (value("2024-01-01T00:00:00", 1, 0), "the duration"),
    (value("2024-01-01T00:00:00", 1, 10**9), "the duration"), ("<IntervalReading/>\n", "the start is not"),
    (value("2024-01-01T00:00:00", more=f"<x>{'x' * 5000}</x>").replace("\n", "") + "\n", "longer than"),
])
def test_a_bad_value_costs_itself(bad: str, reason: str) -> None:
    """A value, time or duration that can't be is one reject with its line; the others are read."""
    items = read_bytes(GreenButton(), feed(value("2024-01-01T00:00:00"), bad, value("2024-01-01T02:00:00")))
    assert len(readings(items)) == 2
    ((line, told),) = rejects(items)
    assert line == 3 and reason in told


@pytest.mark.parametrize(("given", "reason"), [
    ({"uom": 63}, "of this unit, commodity or direction"), ({"flow": 4}, "of this unit, commodity or direction"),
    ({"uom": 169}, "not read for electricity"), ({"power": "x"}, "power of ten is not a whole number"),
    ({"clock": CLOCK.replace("B40E2000", "00000000")}, "the rule of summer time has no such month"),
])
def test_values_whose_meaning_is_not_known(given: dict[str, object], reason: str) -> None:
    """A series in another unit or direction, or with a broken description, is told once for all its values."""
    items = read_bytes(GreenButton(), feed(value("2024-01-01T00:00:00"), value("2024-01-01T01:00:00"),
                                           **given))  # type: ignore[arg-type]
    assert records(items) == []
    ((line, told),) = rejects(items)
    assert line == 2 and reason in told


def test_what_holds_no_values() -> None:
    """A feed without intervals, one with too many entries, and one that declares entities, are refused."""
    many = "".join(entry("<MeterReading/>", f"M/{at}", "x") for at in range(10_001))
    for data, reason in ((feed(), "holds no values"), (b"<feed/>", "holds no values"), (b"x", "holds no values"),
                         (feed(first=many), "entries beside values"),
                         (b"<!DOCTYPE feed []><feed/>", "document type")):
        with pytest.raises(InvalidValue, match=reason):
            read_bytes(GreenButton(), data)

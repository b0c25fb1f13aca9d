"""My energy: a meter's readings by Tempo's colours, what three tariffs make of them, and how the calendar shows.

Prices are EDF's of 1 January 2023, 9 kVA, all taxes included, as in the job tariff-advisor. Tempo's day
runs from 06:00 to 06:00. Days that an event of the calendar takes as a whole are counted beside
the other weekdays and weekends.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from examples.apps.start import Page, command
from examples.apps.svg import Series, bars

import chez
from chez.vocabulary import Event, TariffDay

MONTHLY = {"base": 14.18, "off-peak": 15.26, "tempo": 14.82}
BASE, PEAK, NIGHT = 0.1740, 0.1841, 0.1470
TEMPO = {"blue": (0.0862, 0.1272), "white": (0.1112, 0.1653), "red": (0.1222, 0.5486)}
"""Euros a kWh from 22:00 to 06:00, and from 06:00 to 22:00."""
SHOWN = {"blue": "#4a7ba6", "white": "#c9c9c0", "red": "#b5473c"}

Used = dict[date, tuple[float, float]]
"""kWh by day of Tempo: those from 22:00 to 06:00, and those from 06:00 to 22:00."""
Months = dict[str, dict[str, float]]
"""kWh by month and colour."""


async def look(home: chez.Home) -> Page:
    """What a home's readings come to, on the days whose colour is known."""
    colours = {one.value.date: one.value.colour async for one in home.collection(TariffDay).where(scheme="tempo")}
    events = [one.value async for one in home.collection(Event)]
    used = await measured(home)
    known = {day: kwh for day, kwh in used.items() if day in colours}
    months: Months = defaultdict(lambda: dict.fromkeys(SHOWN, 0.0))
    for day, kwh in known.items():
        months[f"{day:%Y-%m}"][colours[day]] += sum(kwh)
    rows = [*table(months), f"Without a colour, and in no price: {len(used) - len(known)} of {len(used)} days.", "",
            *priced(known, colours), "", *by_day(known, whole_days(events))]
    series = [Series(name, shown, [months[month][name] for month in sorted(months)]) for name, shown in SHOWN.items()]
    return Page("\n".join(rows), bars("My energy", [month[2:] for month in sorted(months)], series, "kWh"))


async def measured(home: chez.Home) -> Used:
    """What the meter measured, by SQL where the readings are."""
    if not [one async for one in home.collection("readings").where(flow="consumption").limit(1)]:
        return {}
    found = await home.sql("""
        select date(local, '-6 hours') as day, substr(local, 12, 2) between '06' and '21' as peak,
               sum(watts * seconds) / 3.6e6 as kwh
        from readings where flow = 'consumption' and date(local) is not null group by day, peak order by day, peak
    """, limit=100_000)
    used: dict[date, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for day, peak, kwh in found.rows:
        used[date.fromisoformat(day)][peak] = kwh
    return {day: (night, peak) for day, (night, peak) in used.items()}


def table(months: Months) -> list[str]:
    """kWh by month and colour of day."""
    rows = ["kWh      " + "".join(f"{name:>9}" for name in SHOWN) + "      all"]
    for month, kwh in sorted(months.items()):
        rows.append(f"{month:9}" + "".join(f"{kwh[name]:9.1f}" for name in SHOWN) + f"{sum(kwh.values()):9.1f}")
    return rows


def priced(used: Used, colours: Mapping[date, str]) -> list[str]:
    """What these days cost under each tariff, cheapest first; a day bears its part of a year's standing charge."""
    euros = {name: 12 * monthly * len(used) / 365 for name, monthly in MONTHLY.items()}
    for day, (night, peak) in used.items():
        euros["base"] += BASE * (night + peak)
        euros["off-peak"] += NIGHT * night + PEAK * peak
        low, high = TEMPO[colours[day]]
        euros["tempo"] += low * night + high * peak
    return [f"{name:9}{cost:9.2f} EUR" for name, cost in sorted(euros.items(), key=lambda one: one[1])]


def whole_days(events: Sequence[Event]) -> dict[date, str]:
    """The days that events take as a whole, and what the first of them is called."""
    taken: dict[date, str] = {}
    for event in sorted((one for one in events if one.day is not None), key=lambda one: (str(one.day), one.title)):
        assert event.day is not None
        for number in range(((event.last_day or event.day) - event.day).days + 1):
            taken.setdefault(event.day + timedelta(days=number), event.title)
    return taken


def by_day(used: Used, taken: Mapping[date, str]) -> list[str]:
    """kWh a day: of days that the calendar names, and of other weekdays and weekends."""
    kinds: dict[str, list[float]] = defaultdict(list)
    for day, kwh in used.items():
        kinds[taken.get(day) or ("weekends" if day.weekday() >= 5 else "weekdays")].append(sum(kwh))
    most = sorted(kinds.items(), key=lambda one: (-len(one[1]), one[0]))
    return ["kWh a day"] + [f"{sum(kwh) / len(kwh):9.2f}  {name} ({len(kwh)})" for name, kwh in most]


if __name__ == "__main__":
    command(look)()

"""Which of three published tariffs would have been cheapest for a year of half-hours.

Base has one price. Off-peak ("Heures Creuses") has a lower one from 22:00 to 06:00 local
time. Tempo has both for each of three colours of day, and its day runs from 06:00 to
06:00: what is used at 02:00 belongs to the colour of the day before.
"""

import datetime


def run(data, params):
    """The cheapest tariff's name, and how many euros a year less it costs than the next best."""
    tariffs = params["tariffs"]
    colours = {row["date"]: row["colour"] for row in data.rows("tariff_days")}
    used = measure(data.rows("readings"))
    days = {day for day, _ in used}
    if len(days) < params["least_days"] or any(day not in colours for day in days):
        data.fail("not-enough-data", f"{len(days)} days of readings, {len(colours)} days of the calendar")

    cost = {name: 12 * tariff["monthly"] for name, tariff in tariffs.items()}
    for (day, period), kwh in used.items():
        cost["base"] += kwh * tariffs["base"]["kwh"]
        cost["off_peak"] += kwh * tariffs["off_peak"][period]
        cost["tempo"] += kwh * tariffs["tempo"][colours[day]][period]

    best, second = sorted(cost, key=cost.get)[:2]
    data.log("euros a year:", {name: round(euros, 2) for name, euros in cost.items()})
    return {"cheapest": best, "saving": min(2000, cost[second] - cost[best])}


def measure(readings):
    """kWh by (day of the tariff, period of the day)."""
    used = {}
    before = {}
    for row in readings:
        day, hour = row["local"][:10], int(row["local"][11:13])
        if hour < 6:
            if day not in before:
                before[day] = str(datetime.date.fromisoformat(day) - datetime.timedelta(days=1))
            day = before[day]
        key = day, "peak" if 6 <= hour < 22 else "off_peak"
        used[key] = used.get(key, 0.0) + row["watts"] * row["seconds"] / 3_600_000
    return used

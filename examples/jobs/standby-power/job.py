"""What a home draws while everybody sleeps: the lowest power that a night keeps up for half an hour.

Each night has its lowest mean over `sustained_minutes` in one unbroken line of readings.
The month's standby power is the median of its nights': a night away does not pull it down,
nor a night with guests up. Readings of any length will do. An hour that the clocks repeat
in autumn breaks the line, and so do two meters that measure at one time.
"""

import calendar
import datetime
import statistics


def run(data, params):
    """The month's standby in kWh, and its share of all that was used in percent."""
    line = []                    # the night's unbroken readings so far: (seconds, joules)
    lowest = {}                  # by day: the lowest sustained watts of its night
    joules = seconds = 0.0
    expected = None
    for row in data.rows("readings"):
        start = datetime.datetime.fromisoformat(row["local"])
        joules += row["watts"] * row["seconds"]
        seconds += row["seconds"]
        if not params["night_from"] <= start.hour < params["night_to"]:
            line = []
            continue
        if start != expected:
            line = []
        expected = start + datetime.timedelta(seconds=row["seconds"])
        line.append((row["seconds"], row["watts"] * row["seconds"]))
        watts = sustained(line, params["sustained_minutes"] * 60)
        if watts is not None:
            day = row["local"][:10]
            lowest[day] = min(watts, lowest.get(day, watts))

    if len(lowest) < params["least_nights"]:
        data.fail("not-enough-data", f"{len(lowest)} nights with readings in one line")
    standby = statistics.median(lowest.values())
    first = datetime.date.fromisoformat(min(lowest))
    hours = 24 * calendar.monthrange(first.year, first.month)[1]
    mean = joules / seconds
    data.log("watts:", round(standby, 1), "of", round(mean, 1), "in the mean;", len(lowest), "nights")
    return {"kwh": min(750, standby * hours / 1000), "share": min(100, 100 * standby / mean) if mean else 0}


def sustained(line, least):
    """Mean watts of the last readings that make up `least` seconds, or None while the line is shorter.

    Readings before these are taken off the line.
    """
    seconds = sum(length for length, _ in line)
    while line and seconds - line[0][0] >= least:
        seconds -= line.pop(0)[0]
    return sum(joules for _, joules in line) / seconds if seconds >= least else None

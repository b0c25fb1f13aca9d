"""Meters, and the tariff of their days."""

from io import BytesIO
from typing import Final

from benchmarks.exports.case import DATA, Case

__all__ = ("CASES",)


# --- green-button -------------------------------------------------------------------------------

_INTERVALS: Final = 362
_MONTHS: Final = 40


def _green_button() -> bytes:
    text = (DATA / "energy-greenbutton" / "sample_greenbutton_data.xml").read_text(encoding="utf-8")
    begin, end = text.index("    <IntervalReading>"), text.index("</IntervalBlock>")
    rows = text[begin:end]
    return (text[:begin] + "".join(rows.replace("<start>129", f"<start>1{at:02d}") for at in range(_MONTHS))
            + text[end:]).encode()


def _bare_green_button(data: bytes) -> int:
    from datetime import UTC, datetime
    from xml.etree.ElementTree import iterparse

    rows = []
    for _, reading in iterparse(BytesIO(data)):
        if reading.tag.endswith("}IntervalReading"):
            rows.append((datetime.fromtimestamp(int(reading.findtext("{*}timePeriod/{*}start") or ""), UTC),
                         int(reading.findtext("{*}timePeriod/{*}duration") or ""),
                         int(reading.findtext("{*}value") or "")))
            reading.clear()
    return len(rows)


# --- linky --------------------------------------------------------------------------------------

_HALF_HOURS: Final = 17_520


def _linky() -> bytes:
    return (DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv").read_bytes()


def _bare_linky(data: bytes) -> int:
    import csv
    from datetime import UTC, datetime, timedelta

    rows, step = [], timedelta(minutes=30)
    for row in csv.DictReader(data.decode("utf-8-sig").splitlines()[2:], delimiter=";"):
        wall = datetime.fromisoformat(row["Horodate"]) - step
        offset = wall.utcoffset()
        rows.append((wall.astimezone(UTC), float(row["Valeur"]), wall.isoformat()[:16],
                     offset and int(offset.total_seconds()) // 60))
    return len(rows)


# --- household-power ----------------------------------------------------------------------------

_MINUTES: Final = 20_000


def _household_power() -> bytes:
    head, row, *_ = (DATA / "energy-uci-sceaux" / "household_power_consumption_excerpt.txt").read_text(
        encoding="ascii").splitlines()
    rest = row.split(";", 2)[2]
    return "\r\n".join([head, *(f"{1 + at // 1440}/1/2007;{at // 60 % 24:02}:{at % 60:02}:00;{rest}"
                                for at in range(_MINUTES))]).encode()


def _bare_power(data: bytes) -> int:
    import csv
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    paris, rows = ZoneInfo("Europe/Paris"), []
    for row in csv.DictReader(data.decode().splitlines(), delimiter=";"):
        wall = datetime.strptime(f"{row['Date']} {row['Time']}", "%d/%m/%Y %H:%M:%S").replace(tzinfo=paris)
        offset = wall.utcoffset()
        rows.append((wall.astimezone(UTC), float(row["Global_active_power"]) * 1000, wall.isoformat()[:16],
                     offset and int(offset.total_seconds()) // 60))
    return len(rows)


# --- tempo --------------------------------------------------------------------------------------

_TARIFF_DAYS: Final = 40_000


def _tempo() -> bytes:
    from datetime import date, timedelta

    first = date(1901, 1, 1)
    return "".join(f"{first + timedelta(days=at):%d/%m/%Y};{('BLEU', 'BLANC', 'ROUGE')[at % 3]}\n"
                   for at in range(_TARIFF_DAYS)).encode()


def _bare_tempo(data: bytes) -> int:
    import csv
    from datetime import datetime

    return len([(datetime.strptime(day, "%d/%m/%Y").date(), {"BLEU": "blue", "BLANC": "white", "ROUGE": "red"}[colour])
                for day, colour in csv.reader(data.decode().splitlines(), delimiter=";")])


CASES: Final = (
    Case("green-button", f"{_MONTHS * _INTERVALS:,} hours of a Green Button feed, which is read twice", "the standard "
         "library's `iterparse`, once, start, duration and value taken", _green_button, _MONTHS * _INTERVALS,
         _bare_green_button),
    Case("linky", f"{_HALF_HOURS:,} half hours of a load curve, a real file", "the standard library's "
         "`csv.DictReader`, start, value, local time and offset taken", _linky, _HALF_HOURS, _bare_linky),
    Case("household-power", f"{_MINUTES:,} minutes of a household", "the standard library's `csv.DictReader`, start, "
         "value, local time and offset taken", _household_power, _MINUTES, _bare_power),
    Case("tempo", f"{_TARIFF_DAYS:,} days of a tariff's calendar", "the standard library's `csv.reader`, the day "
         "converted", _tempo, _TARIFF_DAYS, _bare_tempo),
)

"""What the connector tests share."""

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path

from chez.connectors import Connector, Found, Item, Reject, Source

DATA = Path(__file__).parent.parent / "data"
LINKY = DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv"
TEMPO = DATA / "energy-linky-fr" / "tempo_days_2014.csv"
OFX = DATA / "bank-ofx"
CAMT = DATA / "bank-camt053"
VELOV = DATA / "mobility-velov"
MT940 = DATA / "bank-mt940"
CAISSE_EPARGNE = DATA / "bank-csv-fr" / "caisse_epargne.csv"
MESINFOS = (DATA / "bank-mesinfos" / "bank.json", DATA / "mesinfos" / "receiptdetail.json",
            DATA / "mesinfos" / "videoondemand.json")
GREEN_BUTTON = DATA / "energy-greenbutton" / "sample_greenbutton_data.xml"
CALENDARS = DATA / "calendar-ics"
CARDS = DATA / "contacts-vcard"
TRACKS = DATA / "mobility-gpx"
LETTERS = DATA / "mail-eml"
GOOGLE = DATA / "location-google"
HOLIDAYS = DATA / "calendar-school-holidays-fr" / "data.csv"
POWER = DATA / "energy-uci-sceaux" / "household_power_consumption_excerpt.txt"

TWITTER = DATA / "social-twitter"
HEALTH = DATA / "health-apple" / "export.xml"


def tweets(numbers: Iterable[int], *more: str) -> bytes:
    """A file of an archive with so many tweets, and what else is to stand in its list."""
    made = (json.dumps({"tweet": {"id_str": str(10**15 + n), "full_text": f"fish &amp; chips {n} \u00e9", "lang": "en",
                                  "created_at": f"Wed Jan 31 08:{n // 60 % 60:02}:{n % 60:02} +0000 2024",
                                  "favorite_count": str(n), "retweet_count": "0"}}) for n in numbers)
    return f"window.YTD.tweets.part0 = [ {', '.join((*made, *more))} ]".replace("}}, ", "}},\n").encode()


def health(numbers: Iterable[int], *more: str) -> bytes:
    """An export of Apple Health with so many heart rates, and what else is to stand in it."""
    made = (f'<Record type="HKQuantityTypeIdentifierHeartRate" sourceName="Watch" unit="count/min" '
            f'value="{60 + n % 60}" startDate="2024-01-31 {n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02} +0100" '
            f'endDate="2024-01-31 {n // 3600 % 24:02}:{n // 60 % 60:02}:{n % 60:02} +0100"/>' for n in numbers)
    return "\n".join(("<?xml version='1.0'?>", HEALTH_TYPE, "<HealthData>", *made, *more, "</HealthData>")).encode()


HEALTH_TYPE = """<!DOCTYPE HealthData [<!-- HealthKit Export Version: 14 -->
<!ELEMENT HealthData (ExportDate,Me,(Record|Workout)*)>
<!ATTLIST HealthData locale CDATA #REQUIRED unit CDATA #IMPLIED>]>"""


def read_bytes(connector: Connector, data: bytes) -> list[Item]:
    """What a connector says of these bytes."""
    return list(connector.read(io.BytesIO(data), Source("a file", bytes(32), len(data))))


def records(items: list[Item]) -> list[object]:
    """The records among the items."""
    return [item.record for item in items if isinstance(item, Found)]


def rejects(items: list[Item]) -> list[tuple[int, str]]:
    """Line and reason of each reject among the items."""
    return [(item.line, item.reason) for item in items if isinstance(item, Reject)]


FEED = {
    "agency.txt": "agency_id,agency_name\nTCL,Transports\n",
    "stops.txt": "\ufeffstop_id,stop_name,stop_lat,stop_lon\n"
                 "S1,\"Bellecour, place\",45.757,4.832\nS2,Perrache,45.748,4.825\n",
    "routes.txt": "route_id,route_short_name,route_long_name,route_type\nA,A,Perrache - Vaulx,1\n",
    "trips.txt": "route_id,service_id,trip_id,trip_headsign,direction_id\nA,week,T1,Vaulx,0\n",
    "stop_times.txt": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\n"
                      "T1,25:35:00,25:36:00,S1,1\nT1,,,S2,5\n",
    "calendar.txt": "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
                    "week,1,1,1,1,1,0,0,20260101,20261231\n",
    "calendar_dates.txt": "service_id,date,exception_type\nweek,20260714,2\n",
    "shapes.txt": "shape_id\nX\n",
}
"""The tables of a small timetable."""


def feed(folder: str = "", **changed: str) -> bytes:
    """A zip of `FEED`; `stops="..."` puts another table in the place of one."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, text in FEED.items():
            made.writestr(folder + name, changed.get(name.removesuffix(".txt"), text))
    return out.getvalue()

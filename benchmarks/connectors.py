"""connector.<name>: rows that a connector reads in a second, beside the bare library that it stands on.

The bare side reads the same bytes into Python values with the library alone and takes the same
fields, unchecked: no identity, no bounds, no rejects, no typed record.
"""

import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from benchmarks.harness import ROOT, Bench, Benchmark, BenchmarkFailed, Figure, Runs
from chez.connectors import Connector, Found, Source, find
from chez.errors import ChezError

__all__ = ("CASES", "Case", "benchmarks")

DATA: Final = ROOT / "tests" / "data"


@dataclass(frozen=True, slots=True)
class Case:
    """One connector: a large file made from a real one, its rows, and how the bare library reads them."""

    name: str
    what: str
    peer: str
    make: Callable[[], bytes]
    rows: int
    bare: Callable[[bytes], int]
    connector: Callable[[], Connector] | None = None
    """What reads it, where that is none that is registered."""
    share: float | None = 0.5
    """Of the bare library's speed, what is promised; None where nothing is yet: the figure is told all the same."""


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return tuple(Benchmark((_figure(case),), _measuring(case)) for case in CASES)


def _figure(case: Case) -> Figure:
    return Figure(f"connector.{case.name}", "rows/s", "more", f"{case.what}: bytes into checked, typed records.",
                  peers={"bare": case.peer}, times={} if case.share is None else {"bare": case.share})


def _measuring(case: Case) -> Callable[[Bench], Awaitable[dict[str, Runs]]]:
    async def measure(bench: Bench) -> dict[str, Runs]:
        data, runs = case.make(), Runs()
        connector = find(case.name) if case.connector is None else case.connector()
        for _ in range(bench.runs):
            ours = _rate(case, lambda case, data: _read(case, connector, data), data)
            theirs = _rate(case, lambda _, data: case.bare(data), data)
            runs.add(ours, bare=theirs)
        return {f"connector.{case.name}": runs}

    return measure


def _read(case: Case, connector: Connector, data: bytes) -> int:
    """Rows that the connector finds; each file has a few records beside them, such as the account."""
    try:
        items = connector.read(BytesIO(data), Source(f"{case.name}.json", bytes(32), len(data)))
        return min(case.rows, sum(isinstance(item, Found) for item in items))
    except ChezError as error:
        raise BenchmarkFailed(f"{case.name}: {error}") from error


def _rate(case: Case, read: Callable[[Case, bytes], int], data: bytes) -> float:
    began = time.perf_counter()
    rows = read(case, data)
    seconds = time.perf_counter() - began
    if rows != case.rows:
        raise BenchmarkFailed(f"{case.name}: {rows} rows instead of {case.rows}")
    return rows / seconds


# --- camt ---------------------------------------------------------------------------------------

_ENTRIES: Final = 5_000


def _camt() -> bytes:
    text = (DATA / "bank-camt053" / "camt053.v3.xml").read_text(encoding="utf-8")
    begin, end = text.index("            <Ntry>"), text.index("            <AddtlStmtInf>")
    entry = text[begin:end]
    entries = [entry.replace("EUR</AcctSvcrRef>", f"{at}</AcctSvcrRef>") for at in range(_ENTRIES)]
    return (text[:begin] + "".join(entries) + text[end:]).encode()


def _bare_camt(data: bytes) -> int:
    from decimal import Decimal
    from xml.etree.ElementTree import iterparse

    details = "{*}NtryDtls/{*}TxDtls/"
    rows = []
    for _, entry in iterparse(BytesIO(data)):
        if entry.tag.endswith("}Ntry"):
            amount = entry.find("{*}Amt")
            rows.append((None if amount is None else Decimal(amount.text or ""), entry.findtext("{*}CdtDbtInd"),
                         entry.findtext("{*}BookgDt/{*}Dt"), entry.findtext("{*}AcctSvcrRef"),
                         entry.findtext(details + "{*}RltdPties/{*}Dbtr/{*}Nm"),
                         entry.findtext(details + "{*}RmtInf/{*}Strd/{*}CdtrRefInf/{*}Ref")))
            entry.clear()
    return len(rows)


# --- mt940 --------------------------------------------------------------------------------------

_STATEMENTS: Final = 40
_LINES: Final = 97
"""Transactions of the largest real file."""


def _mt940() -> bytes:
    text = (DATA / "bank-mt940" / "sepa_mt9401-betterplace.sta").read_bytes()
    # Each copy in a year of its own: banks don't book a line forty times.
    return b"".join(text.replace(b":61:07", b":61:%02d" % (at + 1)) for at in range(_STATEMENTS))


def _bare_mt940(data: bytes) -> int:
    import mt940

    return len([(one.data["date"], one.data["amount"].amount, one.data.get("bank_reference"), one.data.get("purpose"))
                for one in mt940.parse(data.decode())])


# --- caisse-epargne -----------------------------------------------------------------------------

_LINES_CSV: Final = 20_000


def _caisse_epargne() -> bytes:
    head, *rows = (DATA / "bank-csv-fr" / "caisse_epargne.csv").read_text(encoding="utf-8").splitlines()
    return "\r\n".join([head, *(rows[at % len(rows)].replace("ACHAT", f"ACHAT {at}")
                                 for at in range(_LINES_CSV))]).encode()


def _bare_csv(data: bytes) -> int:
    import csv
    from datetime import datetime
    from decimal import Decimal

    rows = csv.DictReader(data.decode().splitlines(), delimiter=";")
    return len([(datetime.strptime(row["Date de comptabilisation"], "%d/%m/%Y").date(),
                 Decimal(row["Debit"] or row["Credit"]), row["Libelle operation"], row["Reference"]) for row in rows])


# --- mesinfos -----------------------------------------------------------------------------------

_COPIES: Final = 60
_OPERATIONS: Final = 167
"""Operations of the real file whose day exists."""


def _mesinfos() -> bytes:
    text = (DATA / "bank-mesinfos" / "bank.json").read_text(encoding="utf-8").strip()[1:-1]
    return ("[" + ",".join(text.replace("CARTE", f"CARTE {at}") for at in range(_COPIES)) + "]").encode()


def _bare_ijson(data: bytes) -> int:
    from datetime import date
    from decimal import Decimal

    import ijson

    rows = []
    for one in ijson.items(BytesIO(data), "item"):
        if one["docType"] == "BankOperation":
            try:
                rows.append((one["bankAcount"], date.fromisoformat(one["date"][:10]), Decimal(one["amount"]),
                             one["raw"], one["title"]))
            except ValueError:
                continue  # 30 February
    return len(rows)


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


# --- icalendar ----------------------------------------------------------------------------------

_EVENTS: Final = 2_000


def _icalendar() -> bytes:
    text = (DATA / "calendar-ics" / "x_location.ics").read_text(encoding="utf-8")
    begin, end = text.index("BEGIN:VEVENT"), text.index("END:VCALENDAR")
    return (text[:begin] + "".join(text[begin:end].replace("UID:", f"UID:{at}") for at in range(_EVENTS))
            + text[end:]).encode()


def _bare_icalendar(data: bytes) -> int:
    from icalendar import Calendar

    return len([(str(event["uid"]), str(event["summary"]), event["dtstart"].dt, event["dtend"].dt,
                 event["rrule"].to_ical()) for event in Calendar.from_ical(data).walk("VEVENT")])


# --- vcard --------------------------------------------------------------------------------------

_CARDS: Final = 3_000


def _vcard() -> bytes:
    text = (DATA / "contacts-vcard" / "John_Doe_EVOLUTION.vcf").read_text(encoding="utf-8")
    return "\r\n".join(text.replace("\nUID:", f"\nUID:{at}") for at in range(_CARDS)).encode()


def _bare_vcard(data: bytes) -> int:
    import vobject

    return len([(card.uid.value, card.fn.value, [one.value for one in card.email_list],
                 [one.value for one in card.tel_list], card.org.value)
                for card in vobject.readComponents(data.decode())])


# --- gpx ----------------------------------------------------------------------------------------

_TRACKS: Final = 100
_POINTS: Final = 104
"""Points of the real track."""


def _gpx() -> bytes:
    text = (DATA / "mobility-gpx" / "around-visnjan-with-car.gpx").read_text(encoding="utf-8")
    begin, end = text.index("<trk>"), text.index("</gpx>")
    return (text[:begin] + "".join(text[begin:end].replace("2020", f"{2000 + at}") for at in range(_TRACKS))
            + text[end:]).encode()


def _bare_gpx(data: bytes) -> int:
    import gpxpy

    return len([(track.name, track.length_2d(), track.get_time_bounds().start_time,
                 [(point.latitude, point.longitude, point.time) for part in track.segments for point in part.points])
                for track in gpxpy.parse(data.decode()).tracks])


# --- mail ---------------------------------------------------------------------------------------

_LETTERS: Final = 2_000


def _mail() -> bytes:
    text = (DATA / "mail-eml" / "attachment_with_encoded_name.eml").read_bytes()
    return b"".join(text.replace(b"eaaa17b@", b"%d@" % at) + b"\n" for at in range(_LETTERS))


def _bare_mail(data: bytes) -> int:
    from email import message_from_bytes, policy

    rows = []
    for letter in data[5:].split(b"\nFrom "):
        message = message_from_bytes(letter.partition(b"\n")[2], policy=policy.default)
        body = message.get_body(("plain", "html"))  # type: ignore[attr-defined]
        rows.append((message["Message-ID"], message["Date"], message["From"], message["To"], message["Subject"],
                     body and body.get_content(), [part.get_payload(decode=True) for part in message.walk()]))
    return len(rows)


# --- google-location ----------------------------------------------------------------------------

_DAYS: Final = 50
_FIXES: Final = 1_000


def _google_location() -> bytes:
    points = (f'{{"timestampMs": "{1_437_264_000_000 + day * 86_400_000 + at * 60_000}", '
              f'"latitudeE7": {376_955_289 + at}, "longitudeE7": -1219287261, "accuracy": 45}}'
              for day in range(_DAYS) for at in range(_FIXES))
    return ('{"locations": [' + ",\n".join(points) + "]}").encode()


def _bare_google_location(data: bytes) -> int:
    from datetime import UTC, datetime
    from itertools import pairwise

    import ijson

    from chez.vocabulary.track import Point, distance

    days: dict[int, list[tuple[int, Point]]] = {}
    for one in ijson.items(BytesIO(data), "locations.item"):
        ms = int(one["timestampMs"])
        days.setdefault(ms // 86_400_000, []).append(
            (ms, Point(one["latitudeE7"] / 1e7, one["longitudeE7"] / 1e7, datetime.fromtimestamp(ms / 1000, UTC))))
    return len([sum(distance(one, other) for (_, one), (_, other) in pairwise(sorted(day, key=lambda point: point[0])))
                for day in days.values()])


# --- school-holidays ----------------------------------------------------------------------------

_HOLIDAYS: Final = 14_047
"""Days without school, each zone's."""


def _school_holidays() -> bytes:
    return (DATA / "calendar-school-holidays-fr" / "data.csv").read_bytes()


def _bare_holidays(data: bytes) -> int:
    import csv
    from datetime import date

    return len([(date.fromisoformat(row["date"]), zone, row["nom_vacances"])
                for row in csv.DictReader(data.decode().splitlines())
                for zone in "abc" if row[f"vacances_zone_{zone}"] == "True"])


# --- twitter ------------------------------------------------------------------------------------

_TWEETS: Final = 20_000


def _twitter() -> bytes:
    tweets = [{"tweet": {"id_str": str(10**15 + at), "full_text": f"fish &amp; chips {at}", "lang": "en",
                         "created_at": f"Wed Jan 31 08:{at // 60 % 60:02}:{at % 60:02} +0000 2024",
                         "favorite_count": str(at), "retweet_count": "0", "entities": {"urls": [], "hashtags": []}}}
              for at in range(_TWEETS)]
    return b"window.YTD.tweets.part0 = " + json.dumps(tweets, indent=2).encode()


def _bare_tweets(data: bytes) -> int:
    from datetime import datetime

    return len([(one["tweet"]["id_str"], one["tweet"]["full_text"], one["tweet"]["lang"],
                 datetime.strptime(one["tweet"]["created_at"], "%a %b %d %H:%M:%S %z %Y"))
                for one in json.loads(data.partition(b"=")[2])])


# --- apple-health -------------------------------------------------------------------------------

_BEATS: Final = 30_000


def _apple_health() -> bytes:
    text = (DATA / "health-apple" / "export.xml").read_text(encoding="utf-8")
    begin = text.index('    <Record type="HKQuantityTypeIdentifierHeartRate"')
    end = text.index("    <Workout ")
    record = text[begin:end].replace("2018-09-10 02:28:55", "{}")
    return "".join((text[:begin], *(record.replace("{}", f"20{10 + at // 8640:02}-09-10 {at // 360 % 24:02}:"
                                                         f"{at // 6 % 60:02}:{at % 6 * 10:02}")
                                    for at in range(_BEATS)), "</HealthData>")).encode()


def _bare_health(data: bytes) -> int:
    from datetime import datetime
    from xml.etree.ElementTree import iterparse

    rows = []
    for _, one in iterparse(BytesIO(data)):
        if one.tag == "Record":
            rows.append((one.get("type"), one.get("sourceName"), float(one.get("value") or ""), one.get("unit"),
                         datetime.strptime(one.get("startDate") or "", "%Y-%m-%d %H:%M:%S %z"),
                         datetime.strptime(one.get("endDate") or "", "%Y-%m-%d %H:%M:%S %z")))
            one.clear()
    return len(rows) - 1


# --- mapped -------------------------------------------------------------------------------------

_MESSAGES: Final = 20_000


def _mapped() -> bytes:
    return json.dumps([{"id": f"m{at}", "from": {"name": f"user {at % 50}"}, "text": f"message {at}", "likes": at % 7,
                        "sent": f"2024-01-31T08:{at // 60 % 60:02}:{at % 60:02}Z"} for at in range(_MESSAGES)]).encode()


def _by_mapping() -> Connector:
    from chez.connectors.exploring import Explorer, TableSeen, propose
    from chez.connectors.mapped import Mapped

    data = _mapped()
    items = Explorer().read(BytesIO(data), Source("mapped.json", bytes(32), len(data)))
    return Mapped(propose("dating", [one.record for one in items
                                     if isinstance(one, Found) and isinstance(one.record, TableSeen)]))


def _bare_json(data: bytes) -> int:
    from datetime import datetime

    return len([{"id": one["id"], "from_name": one["from"]["name"], "text": one["text"], "likes": one["likes"],
                 "sent": one["sent"], "at": datetime.fromisoformat(one["sent"])} for one in json.loads(data)])


CASES: Final = (
    Case("camt", f"{_ENTRIES:,} entries of an ISO 20022 statement, 20 MB", "the standard library's `iterparse`, each "
         "entry found and cleared, six of its fields taken", _camt, _ENTRIES, _bare_camt),
    Case("mt940", f"{_STATEMENTS * _LINES:,} lines of SEPA statements in MT940", "`mt-940` reading the file whole, "
         "four fields taken", _mt940, _STATEMENTS * _LINES, _bare_mt940),
    Case("caisse-epargne", f"{_LINES_CSV:,} lines of an account in CSV", "the standard library's `csv.DictReader`, "
         "day and amount converted", _caisse_epargne, _LINES_CSV, _bare_csv),
    Case("mesinfos", f"{_COPIES * _OPERATIONS:,} bank operations of the MesInfos pilot in JSON", "`ijson.items` (yajl, "
         "in C), day and amount converted, five fields taken", _mesinfos, _COPIES * _OPERATIONS, _bare_ijson),
    Case("green-button", f"{_MONTHS * _INTERVALS:,} hours of a Green Button feed, which is read twice", "the standard "
         "library's `iterparse`, once, start, duration and value taken", _green_button, _MONTHS * _INTERVALS,
         _bare_green_button),
    Case("icalendar", f"{_EVENTS:,} events of a calendar", "`icalendar` reading the file whole, five fields taken",
         _icalendar, _EVENTS, _bare_icalendar),
    Case("vcard", f"{_CARDS:,} cards of an address book", "`vobject` reading all cards, five fields taken", _vcard,
         _CARDS, _bare_vcard),
    Case("gpx", f"{_TRACKS} tracks with {_POINTS} points each, where a row is a track", "`gpxpy` reading the file "
         "whole, length and times of each track and all its points taken", _gpx, _TRACKS, _bare_gpx),
    Case("mail", f"{_LETTERS:,} messages with an attachment in a mailbox", "the standard library's `email`, each "
         "message cut out and parsed, five headers, text and attachments taken", _mail, _LETTERS, _bare_mail),
    Case("twitter", f"{_TWEETS:,} tweets of an archive", "the standard library's `json` reading the file whole, four "
         "fields taken, the time converted", _twitter, _TWEETS, _bare_tweets),
    Case("apple-health", f"{_BEATS:,} heart rates of an export", "the standard library's `iterparse`, each record "
         "found and cleared, six attributes taken, value and times converted", _apple_health, _BEATS, _bare_health),
    Case("mapped", f"{_MESSAGES:,} messages of a JSON list, by the mapping that is proposed for it", "the standard "
         "library's `json` reading the file whole, each made flat, the time converted", _mapped, _MESSAGES, _bare_json,
         _by_mapping, None),
    Case("google-location", f"{_DAYS} days with {_FIXES:,} points each of a location history, where a row is a day",
         "`ijson.items` (yajl, in C), time and place of each point kept, length of each day by Chez", _google_location,
         _DAYS, _bare_google_location),
    Case("school-holidays", f"{_HOLIDAYS:,} holidays in a calendar of 14,245 days", "the standard library's "
         "`csv.DictReader`, the day converted", _school_holidays, _HOLIDAYS, _bare_holidays),
)

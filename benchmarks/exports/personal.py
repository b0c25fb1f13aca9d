"""A person's calendar, people, mail, posts and body."""

import json
from io import BytesIO
from typing import Final

from benchmarks.exports.case import DATA, Case
from chez.connectors import Connector, Found, Source

__all__ = ("CASES",)


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


# --- google-activity ----------------------------------------------------------------------------

_ACTIONS: Final = 20_000


def _google_activity() -> bytes:
    text = (DATA / "location-google" / "Takeout" / "My Activity" / "Search" / "My Activity.json").read_text(
        encoding="utf-8")
    one = text[text.index("{"):text.index("},{") + 1]
    return ("[" + ",".join(one.replace("2019-05-30T15:37", f"20{10 + at // 1440 % 10:02}-05-{1 + at // 14_400:02}T"
                                       f"{at // 60 % 24:02}:{at % 60:02}") for at in range(_ACTIONS)) + "]").encode()


def _bare_activity(data: bytes) -> int:
    from datetime import datetime

    import ijson

    return len([(one["header"], one["title"], one["titleUrl"], datetime.fromisoformat(one["time"]))
                for one in ijson.items(BytesIO(data), "item")])


CASES: Final = (
    Case("icalendar", f"{_EVENTS:,} events of a calendar", "`icalendar` reading the file whole, five fields taken",
         _icalendar, _EVENTS, _bare_icalendar),
    Case("vcard", f"{_CARDS:,} cards of an address book", "`vobject` reading all cards, five fields taken", _vcard,
         _CARDS, _bare_vcard),
    Case("mail", f"{_LETTERS:,} messages with an attachment in a mailbox", "the standard library's `email`, each "
         "message cut out and parsed, five headers, text and attachments taken", _mail, _LETTERS, _bare_mail),
    Case("twitter", f"{_TWEETS:,} tweets of an archive", "the standard library's `json` reading the file whole, four "
         "fields taken, the time converted", _twitter, _TWEETS, _bare_tweets),
    Case("apple-health", f"{_BEATS:,} heart rates of an export", "the standard library's `iterparse`, each record "
         "found and cleared, six attributes taken, value and times converted", _apple_health, _BEATS, _bare_health),
    Case("mapped", f"{_MESSAGES:,} messages of a JSON list, by the mapping that is proposed for it", "the standard "
         "library's `json` reading the file whole, each made flat, the time converted", _mapped, _MESSAGES, _bare_json,
         _by_mapping, None),
    Case("school-holidays", f"{_HOLIDAYS:,} holidays in a calendar of 14,245 days", "the standard library's "
         "`csv.DictReader`, the day converted", _school_holidays, _HOLIDAYS, _bare_holidays),
    Case("google-activity", f"{_ACTIONS:,} actions of a Takeout", "`ijson.items` (yajl, in C), four fields taken, the "
         "time converted", _google_activity, _ACTIONS, _bare_activity),
)

"""Any bytes end in found records, rejects or a typed error: every connector, every mutation."""

import tracemalloc
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chez.connectors import Connector, Found, Item, Progress, Reject, connectors, read
from chez.connectors.caisse_epargne import CaisseEpargne
from chez.connectors.camt import Camt
from chez.connectors.household_power import HouseholdPower
from chez.connectors.linky import Linky
from chez.connectors.mt940 import Mt940
from chez.connectors.ofx import Ofx
from chez.connectors.tempo import Tempo
from chez.errors import ChezError
from chez.records.types import identity_of
from tests.connectors.support import (
    CAISSE_EPARGNE,
    CALENDARS,
    CAMT,
    CARDS,
    GOOGLE,
    GREEN_BUTTON,
    HEALTH,
    HOLIDAYS,
    LETTERS,
    LINKY,
    MESINFOS,
    MT940,
    OFX,
    POWER,
    TEMPO,
    TRACKS,
    TWITTER,
    VELOV,
    feed,
    health,
    read_bytes,
    tweets,
)
from tests.connectors.test_twitter import WORDS
from tests.tries import tries

SEEDS: dict[str, list[bytes]] = {
    "apple-health": [HEALTH.read_bytes(), health(range(2))],
    "twitter": [path.read_bytes() for path in sorted(TWITTER.glob("*.js"))] + [tweets(range(2)), WORDS],
    "linky": [LINKY.read_bytes()[:1500], LINKY.read_bytes()[:200] + LINKY.read_bytes()[150_000:151_000]],
    "tempo": [TEMPO.read_bytes()[:400]],
    "household-power": [POWER.read_bytes()[:700], POWER.read_bytes()[:123] + POWER.read_bytes()[450_300:450_700]],
    "caisse-epargne": [CAISSE_EPARGNE.read_bytes()],
    "camt": [path.read_bytes() for path in sorted(CAMT.glob("*.xml"))],
    "green-button": [b"<feed>" + GREEN_BUTTON.read_bytes().partition(b"<feed")[2].partition(b">")[2][:7000].rpartition(
        b"<IntervalReading>")[0] + b"</IntervalBlock></content></entry></feed>"],
    "mesinfos": [b"[" + b",".join(path.read_bytes()[1:-2].split(b",\n{")[:2]) + b"}]" for path in MESINFOS],
    "geojson": [(VELOV / "lyon_velov.geojson").read_bytes()[:1500] + b"]}"],
    "gbfs": [(VELOV / "Lyon.json").read_bytes()[:1200],
             b'{"ttl": 5, "data": {"stations": [{"station_id": "7", "num_bikes_available": 3, "is_renting": 1}]}}'],
    "gtfs": [feed()],
    "icalendar": [path.read_bytes()[-900:] for path in sorted(CALENDARS.glob("*.ics"))],
    "gpx": [path.read_bytes()[:1200] for path in sorted(TRACKS.glob("*.gpx"))],
    "mail": [b"From a@x.fr Thu Jan  1 00:00:00 2026\n" + path.read_bytes() for path in sorted(LETTERS.glob("*.eml"))],
    "google-location": [(GOOGLE / "Takeout" / "Location History" / "Location History.json").read_bytes(),
                        (GOOGLE / "device_timeline_2024.json").read_bytes()[:1600]],
    "google-activity": [(GOOGLE / "Takeout" / "My Activity" / "Maps" / "My Activity.json").read_bytes()],
    "school-holidays": [HOLIDAYS.read_bytes()[:70] + HOLIDAYS.read_bytes()[10_900:11_600]],
    "vcard": [path.read_bytes()[:900] for path in sorted(CARDS.glob("*.vcf"))],
    "mt940": [path.read_bytes()[:1200] for path in sorted(MT940.glob("*.sta"))],
    "ofx": [path.read_bytes() for path in sorted(OFX.rglob("*.ofx"))],
}
PIECES = st.sampled_from([
    b"", b";", b"\n", b"\r", b"\xef\xbb\xbf", b"\x00", b"\xff", b"<", b">", b"</", b"&", b"&amp;",
    b"<![CDATA[", b"]]>", b"<!--", b"<OFX>", b"</OFX>", b"<STMTTRN>", b"</STMTTRN>", b"<STMTRS>",
    b"</BANKACCTFROM>",
    b"<FITID>", b"<TRNAMT>NaN", b"<DTPOSTED>99999999", b"<CURDEF>", b"2024-01-01T00:00:00+99:99",
    b"T24:00:00Z;1",
    b"+23:59;1\n", b"-23:59;1\n", b"0001-01-01T00:00:00+14:00;1", b"\x1b[31m", "é٣\u202e".encode(), b"9" * 50,
    b"29/02/2023;ROUGE\r\n", b"<BALAMT>1e99999", b"<!DOCTYPE", b"\xed\xa0\x80",
    b"29/10/2006;02:30:00;0.5;\n", b"25/3/2007;02:30:00;0.5;\n", b"?;?;", b"1/1/2199;23:59:00;9e9\n",
    b"encoding='utf-7'", b"ENCODING:",
    b'"', b"31/12/2023;a;b;c;;;;;;1e9;;;0\n", b"1/1/2024;;;;;;;;-1,5;;;;0\n",
    b"{", b"}", b"[", b"]", b"\\", b'"docType":"BankAccount"', b"1e999999999", b"null",
    b":20:", b":25:", b":28C:1\n", b":60F:C240131EUR1,\n", b":61:2402300101RC,", b":86:105?00?20SVWZ+?", b"\n-\n",
    b"<IntervalReading>", b"<start>99999999999</start>", b"<cost>-1</cost>", b"<tzOffset>9</tzOffset>", b"</entry>",
    b"<link rel='related' href='ReadingType/07'/>",
    b"BEGIN:VCARD\r\n", b"END:VCARD\r\n", b"TEL;PREF=1;ENCODING=QUOTED-PRINTABLE:=\r\n", b"AGENT:\r\n", b"=", b":",
    b"<trk>", b"</trkseg><trkseg>", b"<trkpt lat='1e9' lon='-0'/>", b"<time>1601-01-01T00:00:00+23:59</time>",
    b"\n\nFrom x 00:00\n", b"\n--x\n", b"Content-Type: multipart/x; boundary=x\n\n", b"=?utf-7?q?+-?=",
    b"=?utf-8?b?=?=", b"Content-Transfer-Encoding: base64\n", b"Date: Thu, 99 Foo 0000 99:99:99 +9999\n", b"(", b",",
    b'"latitudeE7": 4294967295,', b'"startTime": "0001-01-01T00:00:00+14:00",', b'"probability": 1e308,', b'"geo:1,1"',
    b"2024-02-30,True,True,True,x\n",
    b"BEGIN:VEVENT\n", b"END:VEVENT\n", b"DTSTART;TZID=Home:20240331T023000\n", b"RRULE:FREQ=YEARLY;UNTIL=1\n", b"\n ",
    b"<Ntry>", b"</Ntry>", b"</Stmt>", b"<Acct>", b"<IBAN>", b"<Amt Ccy='EUR'>-1</Amt>", b"<DtTm>2024-02-30T",
])


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A real file with pieces cut, repeated, swapped and inserted."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 12))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 40)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at:to] = draw(PIECES)
            case 1:
                data[at:at] = data[at:to] * 3
            case 2:
                data[at:to] = draw(st.binary(max_size=8))
            case _:
                del data[at:to]
    return bytes(data)


def check(connector: Connector, data: bytes) -> None:
    """Read and hold the items to the connectors' promises."""
    connector.recognise(data, "file")
    try:
        items = read_bytes(connector, data)
    except ChezError as error:
        assert error.message.isprintable()
        return
    assert items == read_bytes(connector, data)
    most = sum(data.count(sign) for sign in (b"\n", b"\r", b"{", b",")) + 4 * data.count(b"<") + 4
    assert len(items) <= most
    for item in items:
        check_item(item, data)


def check_item(item: Item, data: bytes) -> None:
    """One item is what it should be, and what a store can keep."""
    if isinstance(item, Reject):
        assert item.line >= 1 and item.reason and item.reason.isprintable()
        assert len(item.text) <= 120 and item.text.isprintable()
    elif isinstance(item, Progress):
        assert 0 <= item.done <= len(data)
    else:
        assert isinstance(item, Found) and item.row >= 1
        assert identity_of(item.record)[-1]
        plain = msgspec.to_builtins(item.record)
        assert msgspec.convert(plain, type(item.record)) == item.record
        assert len(msgspec.json.encode(item.record)) < 64 * 1024
        for value in msgspec.structs.asdict(item.record).values():
            assert isinstance(value, str | int | float | date | datetime | Decimal | dict | list | None)
            if isinstance(value, date):
                assert 1899 <= value.year <= 2201


@pytest.mark.parametrize("connector", connectors(), ids=lambda connector: connector.name)
@given(data=st.data())
@settings(max_examples=tries(50), deadline=None)
def test_mutated_real_files(connector: Connector, data: st.DataObject) -> None:
    """A damaged real file gives records, rejects or a typed error, twice the same."""
    check(connector, data.draw(mutated(SEEDS[connector.name])))


@pytest.mark.slow
@pytest.mark.parametrize("connector", connectors(), ids=lambda connector: connector.name)
@given(data=st.data())
@settings(max_examples=tries(400), deadline=None)
def test_many_mutated_real_files(connector: Connector, data: st.DataObject) -> None:
    """The same, of more of them."""
    check(connector, data.draw(mutated(SEEDS[connector.name])))


@given(st.binary(max_size=2000))
@example(b"")
@example(b"\xff\xfe<\x00O\x00F\x00X\x00>\x00")
@settings(max_examples=tries(150), deadline=None)
def test_arbitrary_bytes(data: bytes) -> None:
    """Arbitrary bytes, given to every connector whether it recognises them or not."""
    for connector in connectors():
        check(connector, data)


@given(st.lists(PIECES, max_size=60).map(b"".join))
@settings(max_examples=tries(150), deadline=None)
def test_pieces_of_formats(data: bytes) -> None:
    """The formats' own pieces in any order, after a beginning that is recognised."""
    check(Ofx(), b"<OFX>" + data)
    check(Tempo(), b"01/01/2024;BLEU\n" + data)
    check(Linky(), LINKY.read_bytes()[:250] + data)
    check(HouseholdPower(), POWER.read_bytes()[:123] + data)


@pytest.mark.slow
@pytest.mark.parametrize(("connector", "repeat"), [
    (Tempo(), b"01/01/2024;BLEU\n"),
    (Linky(), b"2022-07-29T00:30:00+02:00;330\n"),
    (HouseholdPower(), b"16/12/2006;17:24:00;4.216;0.418;\n"),
    (Ofx(), b"<STMTTRN><DTPOSTED>20240101<TRNAMT>1<NAME>x</STMTTRN>\n"),
    (Camt(), b"<Ntry><Amt Ccy='EUR'>1</Amt><CdtDbtInd>DBIT</CdtDbtInd><ValDt><Dt>2024-01-31</Dt></ValDt></Ntry>\n"),
    (CaisseEpargne(), b"17/4/2020;;a;;;;;;-14.9;;17/4/2020;17/4/2020;0\n"),
    (Mt940(), b":61:2401310131D1,NMSCNONREF\n:86:" + (b"x" * 60 + b"\n") * 60),
], ids=lambda value: getattr(value, "name", ""))
def test_memory_does_not_grow_with_the_file(connector: Connector, repeat: bytes, tmp_path: Path) -> None:
    """Reading rows, good or repeated, takes less memory than the rows."""
    head = {
        "tempo": b"",
        "linky": LINKY.read_bytes()[:LINKY.read_bytes().index(b"2022-07-29")],
        "household-power": POWER.read_bytes()[:123],
        "camt": b"<Document><Stmt><Acct><Id><IBAN>1</IBAN></Id></Acct>",
        "caisse-epargne": CAISSE_EPARGNE.read_bytes()[:CAISSE_EPARGNE.read_bytes().index(b"17/4")],
        "mt940": b":20:S\n:25:1\n",
        "ofx": b"<OFX><STMTRS><BANKACCTFROM><ACCTID>1</BANKACCTFROM>",
    }[connector.name]
    path = tmp_path / "large"
    count = 800_000 // len(repeat)
    path.write_bytes(head + repeat * count)
    for _ in zip(range(10), read(path, connector), strict=False):
        pass  # what is imported lazily is not the file's
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(path, connector)) >= count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000, peak

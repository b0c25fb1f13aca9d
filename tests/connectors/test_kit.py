"""Every built-in connector passes the acceptance suite, and the suite catches what breaks a promise."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import BinaryIO

import pytest

from chez.connectors import Connector, Found, Item, Progress, Reject, Source, find, kit
from chez.connectors.gbfs import Gbfs
from chez.connectors.kit import CHECKS, Check, KitFailed, Sample
from chez.connectors.registry import BUILT_IN, recognise_open
from chez.errors import ChezError
from chez.vocabulary import TariffDay
from tests.connectors.support import DATA, HOLIDAYS, LINKY, OFX, POWER, TEMPO, feed, health, tweets

ROWS = 120


def _top(path: Path, head: int) -> bytes:
    return b"".join(path.read_bytes().splitlines(keepends=True)[: head + ROWS])


def _ofx() -> Sample:
    data = (OFX / "checking.ofx").read_bytes()
    start, end = data.index(b"<STMTTRN>"), data.rindex(b"</STMTTRN>") + len(b"</STMTTRN>")
    rows = data[start:end].split(b"</STMTTRN>")[:-1]
    whole = [row + b"</STMTTRN>" for row in rows]
    assert len(whole) >= 3

    def file(rows: list[bytes]) -> bytes:
        return data[:start] + b"".join(rows) + data[end:]

    broken = whole[1].replace(b"<TRNAMT>", b"<TRNAMT>$")
    return Sample(data, "checking.ofx", (file(whole[:2]), file(whole[1:])), file([whole[0], broken, *whole[2:]]), 1,
                  lambda n: file(list(islice(cycle(whole), n))))


def _blocks(path: Path, begin: bytes, end: bytes, *, mark: bytes, broken: bytes, counted: bytes) -> Sample:
    """A sample of a format whose records each stand between two lines: five copies of one, told apart by a number."""
    data = path.read_bytes()
    start, stop = data.index(begin), data.index(end) + len(end)
    record = data[start:stop] + b"\n"
    assert mark in record and counted in record

    def file(rows: range) -> bytes:
        copies = (record.replace(counted, counted + b"%d" % at) for at in rows)
        return data[:start] + b"".join(copies) + data[stop:].lstrip()

    whole = file(range(5))
    damaged = whole[: len(whole) // 2] + whole[len(whole) // 2 :].replace(mark, broken, 1)
    return Sample(whole, path.name, (file(range(3)), file(range(2, 5))), damaged, 1, lambda n: file(range(n)))


def _gpx() -> Sample:
    def track(at: int, lat: str = "45.5") -> str:
        point = f"<trkpt lat='{lat}' lon='{at / 1e5:.5f}'><time>2024-01-31T08:00:{at % 60:02}Z</time></trkpt>"
        return f"<trk><name>{at}</name><trkseg>{point}</trkseg></trk>\n"

    def file(rows: range, bad: str = "") -> bytes:
        return f"<gpx version='1.1'>\n{''.join(map(track, rows))}{bad}</gpx>\n".encode()

    return Sample(file(range(9)), "way.gpx", (file(range(6)), file(range(4, 9))), file(range(8), track(8, "x")), 1,
                  lambda n: file(range(n)))


def _google() -> Sample:
    def point(at: int) -> str:
        return f'{{"timestampMs": "{1_437_000_000_000 + at * 43_200_000}", "latitudeE7": 1, "longitudeE7": {at}}}'

    def file(rows: range, *more: str) -> bytes:
        return ('{"locations": [\n' + ",\n".join((*map(point, rows), *more)) + "\n]}").encode()

    # Days begin with the odd points: exports that overlap share whole days.
    return Sample(file(range(1, 21)), "Records.json", (file(range(1, 13)), file(range(7, 21))),
                  file(range(1, 21), '{"latitudeE7": "x"}'), 0, lambda n: file(range(1, 2 * n)))


def _holidays() -> Sample:
    head, *rows = HOLIDAYS.read_bytes().splitlines(keepends=True)
    sample = kit.table(head + b"".join(rows[300 : 300 + ROWS]), "data.csv", head=1)
    return replace(sample, lost=3)  # a row is a day in three zones


def _mail() -> Sample:
    def letter(at: int) -> bytes:
        return (b"From a@x.fr Thu Jan  1 00:00:00 2026\nFrom: A <a@x.fr>\nMessage-ID: <%d@x.fr>\n"
                b"Date: Thu, 1 Jan 2026 00:00:00 +0100\nContent-Type: text/plain; charset=none; name*=none''a\n\n"
                b"Text of %d.\n\n" % (at, at))

    def file(rows: range) -> bytes:
        return b"".join(map(letter, rows))

    bad = letter(3).partition(b"\n")[0] + b"\n\nText without head.\n\n"
    return Sample(file(range(9)), "all.mbox", (file(range(6)), file(range(4, 9))), file(range(8)) + bad, 1,
                  lambda n: file(range(n)))


KNOWN: dict[str, Callable[[], Sample]] = {
    "apple-health": lambda: Sample(health(range(9)), "export.xml", (health(range(6)), health(range(4, 9))),
                                   health(range(8), '<Record type="HKDataType"/>'), 1, lambda n: health(range(n))),
    "twitter": lambda: Sample(tweets(range(9)), "tweets.js", (tweets(range(6)), tweets(range(4, 9))),
                              tweets(range(8), '{"tweet": {"id_str": 1}}'), 1, lambda n: tweets(range(n))),
    "linky": lambda: kit.table(_top(LINKY, 3), "courbe.csv", head=3),
    "tempo": lambda: kit.table(_top(TEMPO, 0), "tempo.csv"),
    "household-power": lambda: kit.table(_top(POWER, 1), "power.txt", head=1),
    "ofx": _ofx,
    "gtfs": lambda: Sample(feed(), "gtfs.zip"),
    # Which network it is, a GBFS file says nowhere else.
    "gbfs": lambda: Sample(Gbfs.example, "station_information.json", named=True),
    "icalendar": lambda: _blocks(DATA / "calendar-ics" / "x_location.ics", b"BEGIN:VEVENT", b"END:VEVENT",
                                 mark=b"DTSTART;", broken=b"DTSTART;VALUE=X:y\nX-", counted=b"UID:"),
    "gpx": _gpx,
    "google-location": _google,
    "school-holidays": _holidays,
    "mail": _mail,
    "vcard": lambda: _blocks(DATA / "contacts-vcard" / "gmail-list.vcf", b"BEGIN:VCARD", b"END:VCARD",
                             mark=b"EMAIL;", broken=b"EMAIL", counted=b"FN:"),
}
"""Samples with all that is known of them."""

HELD = sorted(name for name, _ in BUILT_IN)
"""All that come with Chez. One that is not in `KNOWN` is held to its real files in tests/data, else to its example."""


@cache
def samples(name: str) -> tuple[Sample, ...]:
    """A connector's samples: from `KNOWN`, else the files of tests/data that it reads, else its example."""
    if name in KNOWN:
        return (KNOWN[name](),)
    found = [Sample(data, path.name) for path in sorted(DATA.glob("*/**/*")) if path.is_file()
             and len(data := path.read_bytes()) < 100_000 and _reads(name, data, path.name)]
    example = getattr(find(name), "example", b"")
    return tuple(found[:3]) or ((Sample(example),) if example else ())


def _reads(name: str, data: bytes, file: str) -> bool:
    try:
        chosen = recognise_open(io.BytesIO(data), Source(file, bytes(32), len(data)))
        return chosen.name == name and any(isinstance(item, Found) for item in kit.items_of(chosen, data, file))
    except ChezError:
        return False


@pytest.mark.parametrize("name", HELD)
def test_built_in_connectors_keep_the_promises(name: str) -> None:
    """Each is registered, idempotent, merges overlapping exports, reports broken rows, and takes linear time."""
    assert samples(name), f"{name} has neither a sample in KNOWN, nor a real file in tests/data, nor an example"
    for sample in samples(name):
        for check in CHECKS:
            check(find(name), sample)


@pytest.mark.slow
@pytest.mark.parametrize("name", HELD)
def test_built_in_connectors_behind_walls(name: str) -> None:
    """Each says the same behind the walls, where nothing can be opened or imported; test_fuzz.py has their memory."""
    kit.behind_walls(find(name), samples(name)[0])


# --- the suite catches what it is for -------------------------------------------------------


class Days:
    """A connector that keeps every promise: a line is a day and a colour."""

    name, version, title = "days", 1, "days"
    types = (TariffDay,)

    def recognise(self, head: bytes, name: str) -> bool:
        return head.startswith(b"2024-")

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        for row, line in enumerate(file, 1):
            yield self.item(line, row, source)

    def item(self, line: bytes, row: int, source: Source) -> Item:
        """What is made of a line."""
        try:
            day = date.fromisoformat(line.strip().decode())
        except ValueError:
            return Reject(row, "no day", "")
        return Found(TariffDay(scheme=self.scheme(row, source), date=day, colour="blue"), row)

    def scheme(self, row: int, source: Source) -> str:
        """Part of the identity."""
        return "tempo"


class ByRow(Days):
    """Takes the row into the identity, so that overlapping exports double records."""

    def scheme(self, row: int, source: Source) -> str:
        return f"row {row}"


class ByName(Days):
    """Takes the file's name into the identity, so that the same file under another name doubles records."""

    def scheme(self, row: int, source: Source) -> str:
        return source.name


class Swallowing(Days):
    """Drops bad rows without a word."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        return (item for item in super().read(file, source) if not isinstance(item, Reject))


class Stopping(Days):
    """Ends at the first bad row."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        for item in super().read(file, source):
            yield item
            if isinstance(item, Reject):
                return


class Raising(Days):
    """Raises at a bad row."""

    def item(self, line: bytes, row: int, source: Source) -> Item:
        day = date.fromisoformat(line.strip().decode("ascii", "replace"))
        return Found(TariffDay(scheme="x", date=day, colour="blue"), row)


class Quadratic(Days):
    """Looks at all rows before for each row."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        seen: list[Item] = []
        for item in super().read(file, source):
            seen.append(item)
            _ = [isinstance(before, Found) for before in seen]
            yield item


class Hoarding(Days):
    """Reads everything before it gives the first item."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        yield from list(super().read(file, source))


class Forgetful(Days):
    """Says something else each time."""

    count = 0

    def scheme(self, row: int, source: Source) -> str:
        Forgetful.count += 1
        return str(Forgetful.count)


class Untyped(Days):
    """Makes records that are not what their type says."""

    def item(self, line: bytes, row: int, source: Source) -> Item:
        return Found(TariffDay(scheme="x", date="soon", colour="blue"), row)  # type: ignore[arg-type]


class Backwards(Days):
    """Progress that falls."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        yield from super().read(file, source)
        yield Progress(2)
        yield Progress(1)


class Late(Days):
    """Imports while it reads, behind the walls."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        if source.size:
            import sndhdr  # noqa: F401
        return super().read(file, source)


SAMPLE = kit.table(b"".join(b"2024-%02d-%02d\n" % (month, day) for month in range(1, 13) for day in range(1, 29)))


def test_a_good_connector_passes() -> None:
    """All checks but that of being registered pass a connector without a flaw."""
    for check in CHECKS[1:]:
        check(Days(), SAMPLE)
    kit.hostile(Days(), [SAMPLE.data[:200]], [b"2024-", b"\n"], examples=20)


@pytest.mark.parametrize(("flawed", "check", "promise"), [
    (Days, kit.is_registered, "entry point"),
    (ByRow, kit.overlapping_exports_merge, "merge"),
    (ByName, kit.reads_twice_the_same, "file's name"),
    (Forgetful, kit.reads_twice_the_same, "twice"),
    (Backwards, kit.reads_twice_the_same, "rises"),
    (Swallowing, kit.broken_rows_cost_themselves, "is a reject"),
    (Stopping, kit.broken_rows_cost_themselves, "costs itself"),
    (Quadratic, kit.linear, "linear"),
])
def test_a_flaw_is_caught(flawed: type[Connector], check: Check, promise: str) -> None:
    """Each broken promise is caught by its check, in words."""
    with pytest.raises(KitFailed, match=promise):
        check(flawed(), SAMPLE)


def test_hostile_bytes_catch_what_raises() -> None:
    """A connector that raises on bytes it did not expect, or makes what its type is not, is caught."""
    with pytest.raises(ValueError, match="isoformat"):
        kit.hostile(Raising(), [SAMPLE.data[:22]], examples=50)
    with pytest.raises(Exception, match="date"):
        kit.reads_twice_the_same(Untyped(), SAMPLE)


@pytest.mark.slow
def test_dear_flaws_are_caught() -> None:
    """Holding a whole file is caught, and so is importing behind the walls."""
    with pytest.raises(KitFailed, match="memory is bounded"):
        kit.memory_is_bounded(Hoarding(), SAMPLE)
    kit.memory_is_bounded(Days(), SAMPLE)
    with pytest.raises(KitFailed, match="behind walls"):
        kit.behind_walls(Late(), replace(SAMPLE, data=SAMPLE.data[:110]))
    kit.behind_walls(Days(), SAMPLE)

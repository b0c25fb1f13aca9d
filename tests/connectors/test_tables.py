"""The Linky load curve and the Tempo calendar: the real files, and their variants."""

import itertools
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from chez.connectors import Found, Progress, Reject, read
from chez.connectors.lines import MAX_LINE
from chez.connectors.linky import Linky
from chez.connectors.tempo import Tempo
from chez.errors import InvalidValue
from chez.records.types import identity_of
from chez.vocabulary import Reading, TariffDay
from tests.connectors.support import LINKY, TEMPO, read_bytes, records, rejects

HEADER = ("Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;Grandeur metier;"
          "Etape metier;Unite;Pas en minutes\n"
          "12345678901234;Courbe de charge;01/01/2024;02/01/2024;Energie active;{flow};Comptage Brut;"
          "{unit};{step}\n"
          "Horodate;Valeur\n")


def curve(*rows: str, flow: str = "Consommation", unit: str = "W", step: str = "") -> bytes:
    """A load curve of these rows."""
    return (HEADER.format(flow=flow, unit=unit, step=step) + "\n".join(rows)).encode()


def readings(data: bytes) -> list[Reading]:
    """The readings of a load curve."""
    return [record for record in records(read_bytes(Linky(), data)) if isinstance(record, Reading)]


def steps(*ends: str) -> list[int]:
    """Minutes of each reading of a curve whose stamps are these hours of one day."""
    return [r.seconds // 60 for r in readings(curve(*(f"2024-01-01T{end}:00+01:00;1" for end in ends)))]


def test_the_real_year() -> None:
    """The volunteer's year is 17,520 half-hours in one unbroken line of time, none rejected."""
    items = list(read(LINKY))
    year = [r for r in records(items) if isinstance(r, Reading)]
    assert len(year) == 17_520 and not rejects(items)
    assert {(r.meter, r.flow, r.seconds) for r in year} == {("1111111111111", "consumption", 1800)}
    assert all(b.start - a.start == timedelta(seconds=1800) for a, b in itertools.pairwise(year))
    assert year[0].start == datetime(2022, 7, 28, 22, 0, tzinfo=UTC) and year[0].watts == 330.0
    assert (year[0].local, year[-1].local) == ("2022-07-29T00:00", "2023-07-28T23:30")
    # Stamps carry the offset 10,464 times +02:00 and 7,056 times +01:00; each interval
    # begins at the offset of the stamp before, so the sums are the same.
    assert Counter(r.offset for r in year) == {120: 10_464, 60: 7_056}
    assert [item.row for item in items if isinstance(item, Found)] == list(range(4, 17_524))


def test_both_changes_of_clocks() -> None:
    """In October the hour from 02:00 comes twice, in March not at all, on the wall clock."""
    year = [r for r in records(list(read(LINKY))) if isinstance(r, Reading)]
    days = {day: [(r.local[11:], r.offset) for r in year if r.local.startswith(day)]
            for day in ("2022-10-30", "2023-03-26", "2023-01-01")}
    assert [len(rows) for rows in days.values()] == [50, 46, 48]
    assert days["2022-10-30"][3:9] == [("01:30", 120), ("02:00", 120), ("02:30", 120), ("02:00", 60),
                                       ("02:30", 60), ("03:00", 60)]
    assert days["2023-03-26"][2:6] == [("01:00", 60), ("01:30", 60), ("03:00", 120), ("03:30", 120)]


@pytest.mark.parametrize(("ends", "expected"), [
    (("00:30", "01:00", "01:30"), [30, 30, 30]),
    (("01:00", "02:00", "03:00"), [60, 60, 60]),
    (("01:00", "02:00", "03:00", "03:30", "04:00"), [60, 60, 60, 30, 30]),
    (("00:30", "01:00", "02:00", "03:00", "04:00"), [30, 30, 60, 60, 60]),
    (("00:30", "01:00", "02:00", "02:30"), [30, 30, 30, 30]),
    (("00:30", "01:00", "02:00"), [30, 30, 30]),
    (("00:30", "01:30", "02:00"), [30, 30, 30]),
    (("00:30", "01:00", "05:00", "05:30"), [30, 30, 30, 30]),
    (("00:30", "01:00"), [30, 30]),
], ids=str)
def test_the_step_is_read_from_the_stamps(ends: tuple[str, ...], expected: list[int]) -> None:
    """A hole is not a longer step; a real change of step is one."""
    assert steps(*ends) == expected


def test_the_step_of_the_header_rules() -> None:
    """A step in the header holds for every row, even a single one; without either, the row is rejected."""
    row = "2024-01-01T00:30:00+01:00;5"
    assert [r.seconds for r in readings(curve(row, step="60"))] == [3600]
    items = read_bytes(Linky(), curve(row))
    assert not records(items) and rejects(items)[0][0] == 4 and "interval" in rejects(items)[0][1]


def test_flow_and_unit() -> None:
    """What is produced is another record than what is consumed at that instant; kW become W."""
    row = "2024-01-01T00:30:00+01:00;1,5"
    used, made = (readings(curve(row, flow=flow, unit="kW", step="30"))[0]
                  for flow in ("Consommation", "Production"))
    assert used.watts == made.watts == 1500.0
    assert identity_of(used) != identity_of(made)
    assert identity_of(used) == ("12345678901234", "consumption", "2023-12-31T23:00:00.000Z")


def test_bad_rows_cost_themselves() -> None:
    """Every bad row is reported with its line and reason, and every good one is kept."""
    items = read_bytes(Linky(), curve(
        "2024-01-01T00:30:00+01:00;100", "2024-01-01T01:00:00+01:00;", "2024-01-01T01:30:00+01:00;abc",
        "0000-01-01T02:00:00+01:00;1", "2024-02-30T02:00:00+01:00;1", "01/01/2024;1",
        "2024-01-01T02:00:00+01:00",
        "2024-01-01T02:30:00+01:00;-5", "2024-01-01T03:00:00+01:00;NaN", "2024-01-01T03:00:00+01:00;9",
        "9999-01-01T02:00:00+01:00;1", "2024-01-01T03:30:00+01:00;" + "9" * 400, ";" * 1000,
        "2024-01-01T04:00:00+01:00;200"))
    assert [(r.local, r.watts) for r in records(items) if isinstance(r, Reading)] == [
        ("2024-01-01T00:00", 100.0), ("2024-01-01T03:30", 200.0)]
    reasons = dict(sorted(rejects(items)))
    assert list(reasons) == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
    assert reasons[5] == reasons[10] == "there is no value"
    assert "number" in reasons[6] and "year" in reasons[7] and reasons[8] == "there is no such day or hour"
    assert "2022-07-29T00:30:00+02:00" in reasons[9] and "not after" in reasons[13]
    assert "columns" in reasons[16]


@pytest.mark.parametrize("change", [
    ("Identifiant PRM;", "Identifiant;"), ("Horodate;Valeur", "a;b"), ("Consommation", "Chaleur"),
    (";W;", ";VA;"), (";W;", ";W;0"), (";W;", ";W;7"), (";W;", ";W;half"),
    ("12345678901234", "=cmd()"), ("Horodate;Valeur\n", ""),
])
def test_a_header_that_is_no_load_curve(change: tuple[str, str]) -> None:
    """A header with a part missing or unknown refuses the file, in words."""
    text = HEADER.format(flow="Consommation", unit="W", step="").replace(*change)
    with pytest.raises(InvalidValue, match="header"):
        read_bytes(Linky(), text.encode())


def test_the_tempo_calendar() -> None:
    """The calendar has 3,259 days in a row, none rejected."""
    items = list(read(TEMPO))
    days = [r for r in records(items) if isinstance(r, TariffDay)]
    assert len(days) == 3_259 and not rejects(items)
    assert [days[0].date + timedelta(days=n) for n in range(len(days))] == [day.date for day in days]
    assert (days[0].date, days[-1].date) == (date(2014, 9, 1), date(2023, 8, 3))
    assert Counter(day.colour for day in days) == {"blue": 2_675, "white": 390, "red": 194}
    assert identity_of(days[0]) == ("tempo", "2014-09-01")


def test_bad_tempo_rows_cost_themselves() -> None:
    """Wrong dates, wrong colours and repeated days are rejected with their line."""
    items = read_bytes(Tempo(), b"01/09/2014;BLEU\r\n31/02/2015;BLEU\r\n01/01/0000;ROUGE\r\n"
                                b"02/09/2014;VERT\r\n1/9/2014;BLEU\r\n01/09/2014;ROUGE\r\n\r\n03/09/2014\r\n03/09/2014;BLANC")
    assert [r.colour for r in records(items) if isinstance(r, TariffDay)] == ["blue", "white"]
    assert [line for line, _ in rejects(items)] == [2, 3, 4, 5, 6, 8]
    assert rejects(items)[4][1] == "the day is given already on line 1"


def test_a_line_without_end_is_bounded() -> None:
    """A million columns, or a line of many megabytes, is one reject, and the next line is read."""
    huge = b";" * 1_000_000 + b"\n" + b"x" * 5_000_000 + b"\n"
    items = read_bytes(Tempo(), b"01/09/2014;BLEU\n" + huge + b"02/09/2014;ROUGE\n")
    assert len(records(items)) == 2
    assert rejects(items) == [(2, f"the line is longer than {MAX_LINE} bytes"),
                              (3, f"the line is longer than {MAX_LINE} bytes")]


def test_wrong_encoding_and_terminal_escapes() -> None:
    """Bytes that are no text and control characters are shown escaped, never as they are."""
    items = read_bytes(Tempo(), b"01/09/2014;BLEU\n\xff\xfe0\x001\x00\n\x1b]0;owned\x07;ROUGE\n"
                                b"02/09/2014;\xe9t\xe9\n")
    shown = [item for item in items if isinstance(item, Reject)]
    assert [item.line for item in shown] == [2, 3, 4]
    assert all(item.text.isprintable() and len(item.text) <= 120 for item in shown)
    assert "\\x1b]0;owned\\x07" in shown[1].text and "\\xe9" in shown[2].text


def test_half_a_file_keeps_its_good_rows() -> None:
    """A load curve cut in the middle of a row gives all rows before the cut."""
    data = LINKY.read_bytes()[:100_000]
    items = read_bytes(Linky(), data)
    assert len(records(items)) + len(rejects(items)) == data.count(b"\n") - 2
    assert len(rejects(items)) <= 1


@pytest.mark.parametrize("path", [LINKY, TEMPO], ids=lambda path: path.name)
def test_reading_twice_gives_equal_records(path: object) -> None:
    """The same file gives equal items in the same order, each identity once, progress to the last byte."""
    first, second = (list(read(path)) for _ in range(2))  # type: ignore[arg-type]
    assert first == second
    identities = [identity_of(record) for record in records(first)]  # type: ignore[arg-type]
    assert len(set(identities)) == len(identities)
    done = [item.done for item in first if isinstance(item, Progress)]
    assert done == sorted(done) and done[-1] == path.stat().st_size  # type: ignore[attr-defined]

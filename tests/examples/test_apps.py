"""The three applications of examples/apps, on the repository's files, against numbers made by other ways."""

import csv
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from examples.apps import my_energy, my_money, my_year, pictures
from examples.apps.start import command
from examples.apps.svg import Mark, Series, bars, lanes
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez.crypto import Kdf
from tests.tries import tries

LINKY, TEMPO, CALENDAR = pictures.ENERGY
PASSPHRASE = "correct horse"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[chez.Home]:
    """A home with nothing in it."""
    await chez.create(tmp_path / "home", passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "home", passphrase=PASSPHRASE) as opened:
        yield opened


async def test_money_is_that_of_the_files(home: chez.Home) -> None:
    """Each month's sums, and what was in the baskets, are those that the files' own numbers add up to."""
    await pictures.fill(home, pictures.MONEY)
    shown = (await my_money.look(home)).text
    lines = [one for one in json.loads(pictures.MONEY[0].read_text())
             if one.get("date", "")[:10] not in ("", "2014-02-30")]  # a day that never was is no line
    out = {month: -sum(round(100 * one["amount"]) for one in lines if one["date"][:7] == month and one["amount"] < 0)
           for month in {one["date"][:7] for one in lines}}
    rows = {row.split()[0]: [float(cell) for cell in row.split()[1:]] for row in shown.splitlines() if row[:2] == "20"}
    assert {month: round(100 * sum(cells)) for month, cells in rows.items()} == out
    # By hand, from the account's lines: two transfers, three withdrawals, six baskets, a train, a telephone.
    assert rows["2013-10"] == [700, 130, 292.04, 15, 19.99, 0]
    receipts = json.loads(pictures.MONEY[1].read_text())
    assert f"7 of 7 receipts are in the bank's lines: {sum(one.get('total', 0) for one in receipts):.2f}" in shown
    cold = sum(one["price"] * one["amount"] for one in receipts if one.get("sectionLabel") == "CREMERIE LS")
    assert f"{cold:9.2f}  CREMERIE LS" in shown


async def test_energy_is_that_of_exact_arithmetic(home: chez.Home, tmp_path: Path) -> None:
    """A real January by colour, its prices, and its holidays come to what fractions give, straight from the files."""
    rows = LINKY.read_text(encoding="utf-8-sig").splitlines()
    month = [row for row in rows[3:] if "2023-01-02T06:00:01" < row < "2023-01-31T06:00:01"]
    (tmp_path / "linky.csv").write_text("\n".join([*rows[:3], *month, ""]), encoding="utf-8")
    days = [row for row in TEMPO.read_text().split() if row[3:10] == "01/2023"]
    (tmp_path / "tempo.csv").write_text("\n".join([*days[:20], *days[21:], ""]))
    await pictures.fill(home, [tmp_path / "linky.csv", tmp_path / "tempo.csv", CALENDAR])
    shown = (await my_energy.look(home)).text

    colours = {datetime.strptime(row[:10], "%d/%m/%Y").date(): row[11:] for row in [*days[:20], *days[21:]]}
    kwh = dict.fromkeys(("BLEU", "BLANC", "ROUGE"), Fraction())
    base = Fraction(12 * 1418 * 28, 100 * 365)
    for at, watts in csv.reader(month, delimiter=";"):
        begin = datetime.fromisoformat(at).astimezone(ZoneInfo("Europe/Paris")) - timedelta(minutes=30)
        if colour := colours.get((begin - timedelta(hours=6)).date()):
            kwh[colour] += Fraction(int(watts), 2000)
            base += Fraction(int(watts), 2000) * Fraction(174, 1000)
    every = [*kwh.values(), sum(kwh.values(), Fraction())]
    assert "2023-01  " + "".join(f"{float(one):9.1f}" for one in every) in shown
    assert f"base     {float(base):9.2f} EUR" in shown
    assert "Without a colour, and in no price: 1 of 29 days." in shown
    assert "Vacances de Noël (1)" in shown and "weekends (7)" in shown


async def test_the_year_is_one_timeline(home: chez.Home) -> None:
    """What was during a stay stands beneath it, on its clock; the rest by itself, all in order of time."""
    await pictures.fill_year(home)
    shown = (await my_year.look(home)).text
    assert shown.startswith("2023: 6 stays, 8 events, 8 messages\n")
    assert shown.splitlines()[13:17] == [
        "2023-04-08 16:45  Chez Mamie, Dole, 7 days",
        "    2023-04-12 12:00  event    Anniversaire de Mamie",
        "    2023-04-12 19:30  message  Maman: Bien arrivés ?",
        "2023-05-21 06:12  message  Mairie: Travaux dans votre rue",
    ]
    assert (await my_year.look(home, 2022)).text.startswith("2022: 0 stays, 2 events, 0 messages\n")


def test_they_run_on_a_home_with_nothing_in_it(tmp_path: Path) -> None:
    """The command opens a home, prints, and writes its picture; a wrong passphrase is told without a traceback."""
    chez_home, words = tmp_path / "home", tmp_path / "words"
    chez.blocking.create(chez_home, passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    words.write_text(f"{PASSPHRASE}\n")
    runner, arguments = CliRunner(), [f"{chez_home}", "--passphrase-file", f"{words}"]
    for app in (my_money, my_energy, my_year):
        picture = tmp_path / "picture.svg"
        done = runner.invoke(command(app.look), [*arguments, "--svg", f"{picture}"])
        assert done.exit_code == 0, done.output
        ElementTree.fromstring(picture.read_text())
    words.write_text("another\n")
    done = runner.invoke(command(my_year.look), arguments)
    assert done.exit_code == 1 and done.output.startswith("Error: ")


@settings(max_examples=tries(30))
@given(st.lists(st.tuples(st.sampled_from(["<b>", "&", "é"]), st.floats(0, 1e9), st.floats(0, 1e9)), max_size=5))
def test_bars_stay_in_their_picture(columns: list[tuple[str, float, float]]) -> None:
    """Any labels and values give well-formed SVG, whose bars end within it, a greater value's never lower."""
    first, second = [one[1] for one in columns], [one[2] for one in columns]
    picture = bars("t", [one[0] for one in columns], [Series("a", "#111", first), Series("b", "#222", second)], "kWh")
    drawn = [one for one in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}rect") if len(one)]
    assert len(drawn) == 2 * len(columns)
    assert all(39.9 <= float(one.attrib["y"]) <= 290.1 for one in drawn)
    values = [value for pair in zip(first, second, strict=True) for value in pair]
    by_value = sorted(zip(values, (float(one.attrib["height"]) for one in drawn), strict=True))
    assert [high for _, high in by_value] == sorted(high for _, high in by_value)


def test_lanes_say_what_their_marks_are() -> None:
    """Whatever a mark is called is text in the picture, and never markup."""
    picture = ElementTree.fromstring(lanes("t", [(0, "01")], [("events", [Mark(0.5, 0.5, "<script> & more")])]))
    assert "<script> & more" in list(picture.itertext())


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_pictures_are_those_of_the_files(home: chez.Home) -> None:
    """Made anew, a real year among them, the committed pictures are the same."""
    pages = await pictures.made(home)
    assert {name: page.svg for name, page in pages.items()} == {
        name: (pictures.HERE / f"{name}.svg").read_text(encoding="utf-8") for name in pages}
    assert "base       1441.28 EUR" in pages["my_energy"].text

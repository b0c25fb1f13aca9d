"""Of what is said twice, and not alike, the last word stays."""

import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

import chez
from chez.connectors import Found, Item, Source
from chez.connectors.mapped import Mapped
from tests.connectors.test_mapped import TINY


async def test_what_an_earlier_reading_gave_otherwise_is_told(home: chez.Home, tmp_path: Path) -> None:
    """A kept export that is read anew by another rule of what a row is about gives other records: those of before stay,
    each is told with its row, counted in the receipt too, and once they are deleted nothing is."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"n": 1, "m": 1}\n{"n": 2, "m": 2}\n')
    text = TINY.replace(" }]", ' }, { from = "m", name = "m", type = "integer" }]')
    await home.import_file(path, connector=Mapped(text.encode()), keep=True)
    (kept,) = await home.kept_exports()
    before = {record.id: record.value["n"] async for record in home.collection("dating_x")}
    assert (await home.import_again(kept.sha256)).rejected == 0
    other = text.replace("version = 1", "version = 2").replace('identity = ["n"]', 'identity = ["m"]')
    again = await home.import_again(kept.sha256, connector=Mapped(other.encode()))
    assert (again.added, again.rejected) == (2, 2)
    assert [one.body["rejected"] for one in await home.journal.receipts("import")] == [0, 0, 2]
    assert {one.line for one in again.rejects} == {1, 2}
    assert {one.reason.split()[-1].rstrip(")") for one in again.rejects} == before.keys()
    for id in before:
        await home.collection("dating_x").delete(id)
    third = other.replace("version = 2", "version = 3")
    assert (await home.import_again(kept.sha256, connector=Mapped(third.encode()))).rejected == 0


async def test_of_rows_that_are_about_one_thing_the_last_one_stays(home: chez.Home, tmp_path: Path) -> None:
    """A file that says a thing twice, and not alike, changes nothing when it is imported again, nor does a zip that it
    is in; a corrected export counts as any."""
    card = "BEGIN:VCARD\nVERSION:3.0\nUID:{}\nFN:{}\nEND:VCARD\n"
    path, packed = tmp_path / "cards.vcf", tmp_path / "cards.zip"
    path.write_text("".join(card.format(*one) for one in ((1, "old"), (2, "other"), (1, "new"))))
    with zipfile.ZipFile(packed, "w") as made:
        made.writestr("a 2/cards.vcf", path.read_text())
    contacts = home.collection("contacts")
    for file in (path, packed):
        done = await home.import_file(file)
        assert (done.added + done.unchanged, done.rejected) == (3 - done.updated, 0)
        before = await home.cursor_now()
        again = await home.import_file(file)
        assert (again.unchanged, again.updated, again.added) == (3, 0, 0) and await home.cursor_now() == before
        assert sorted([record.value["name"] async for record in contacts]) == ["new", "other"]
    path.write_text("".join(card.format(*one) for one in ((1, "corrected"), (2, "other"))))
    assert (await home.import_file(path)).updated == 1
    assert sorted([record.value["name"] async for record in contacts]) == ["corrected", "other"]


async def test_values_of_one_time_are_several_at_home(home: chez.Home, tmp_path: Path) -> None:
    """What a connector tells apart by times, the store does: to the millisecond."""
    food = ('<Record type="HKQuantityTypeIdentifierDietaryEnergyConsumed" sourceName="a" value="100" unit="kcal" '
            'startDate="2024-01-31 08:00:00 +0100" endDate="2024-01-31 08:00:00 +0100"/>')
    file = tmp_path / "export.xml"
    file.write_text(f"<HealthData>{food * 3}</HealthData>")
    done = await home.import_file(file)
    assert (done.added, done.updated, await home.collection("measurements").count()) == (3, 0, 3)
    assert (await home.import_file(file)).unchanged == 3


class Said(msgspec.Struct):
    """What a member says of a thing."""

    __collection__ = "things"
    __identity__ = ("id",)
    id: int
    name: str


class SaidMore(Said):
    """What another one does."""

    colour: str


class Things:
    """Two members of an archive."""

    name, version, title = "things", 1, "things"
    types = (Said, SaidMore)

    def __init__(self, first: str, last: str) -> None:
        self.found = (Found(SaidMore(1, "old", "red"), 3, first), Found(SaidMore(2, "old", "red"), 4, first),
                      Found(Said(1, "new"), 2, last), Found(Said(2, "newer"), 1, last), Found(Said(2, "new"), 2, last),
                      Found(SaidMore(1, "old", "red"), 1, last))

    def recognise(self, head: bytes, name: str) -> bool:
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        yield from self.found


@pytest.mark.parametrize(("first", "last"), [("a: 1", "b"), ("b", "a: 1"), ("9", "10")])
async def test_of_members_that_are_about_one_thing_the_last_one_stays(home: chez.Home, file: Path, first: str,
                                                                      last: str) -> None:
    """In the order in which they are read, with what only an earlier row says; bringing them home again changes
    nothing."""
    await home.import_file(file, connector=Things(first, last), in_process=True)
    before = await home.cursor_now()
    again = await home.import_file(file, connector=Things(first, last), in_process=True)
    assert (again.unchanged, again.updated, again.added) == (6, 0, 0) and await home.cursor_now() == before
    found = [record.value async for record in home.collection("things")]
    assert [(one["name"], one["colour"]) for one in found] == [("new", "red")] * 2


@pytest.mark.parametrize("first", [30, 60])
async def test_hours_and_half_hours_of_two_files_count_once(home: chez.Home, tmp_path: Path, first: int) -> None:
    """What a meter measured is summed up: of two files that tell one time in other lengths the shorter ones stay,
    whichever came first; what they do not cover is the other's, and what is left out is told, again each time."""
    def curve(step: int, watts: int, hours: int) -> Path:
        path = tmp_path / f"{step}.csv"
        stamps = [datetime(2026, 1, 5) + timedelta(minutes=step * n) for n in range(1, hours * 60 // step + 1)]
        path.write_text("\n".join((
            ("Identifiant PRM;Type de donnees;Date de debut;Date de fin;Grandeur physique;Grandeur metier;"
             "Etape metier;Unite;Pas en minutes"),
            f"1;Courbe de charge;01/01/2026;31/01/2026;Energie active;Consommation;Comptage Brut;W;{step}",
            "Horodate;Valeur", *(f"{at.isoformat()}+01:00;{watts}" for at in stamps), "")))
        return path

    files = {30: curve(30, 100, 4), 60: curve(60, 100, 6)}
    told = [await home.import_file(files[step]) for step in (first, 90 - first, 60)]
    used = await home.sql("select sum(watts * seconds) / 3600.0, count(*) from readings")
    assert list(used.rows) == [(600.0, 10)]
    assert [report.rejected for report in told] == ([0, 4, 4] if first == 30 else [0, 0, 4])
    assert all("counted twice" in one.reason for report in told for one in report.rejects)

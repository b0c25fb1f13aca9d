"""Importing as an app does it: behind walls, cut off and gone on with, hostile files included."""

import asyncio
import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import msgspec
import pytest

import chez
from chez.connectors import Found, Item, Progress, Source, mapped, wall
from chez.connectors.mapped import Mapped
from chez.errors import ImportStopped, InvalidValue, NotFound, StorageFailed
from chez.home.importing import BATCH, Importer
from chez.store.database import Connection
from chez.store.disk import storage_error
from chez.vocabulary import Event, TariffDay
from tests.connectors.attackers import Attacker
from tests.connectors.test_archive import CURVE, TABLE, packed
from tests.connectors.test_mapped import TINY

ROWS = 3 * BATCH + 100


class Days:
    """A connector of this test's own: a day a line, as long as `mood` lets it."""

    name, version, title = "days", 1, "days"
    types = (Event, TariffDay)
    mood = "good"
    colours: ClassVar = {6: "blue", 7: "white"}
    """By the size of the file."""

    def recognise(self, head: bytes, name: str) -> bool:
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        for row in range(1, ROWS + 1):
            if row == 2 * BATCH + 50 and Days.mood == "bad":
                raise RuntimeError("oops")
            scheme = "" if Days.mood == "odd" and row == 7 else "tempo"
            day = date(2000, 1, 1) + timedelta(days=row)
            if Days.mood == "odd" and row == 9:  # no calendar has this moment in UTC
                yield Found(Event(uid="9", start=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23)))), row)
                continue
            yield Found(TariffDay(scheme=scheme, date=day, colour=Days.colours.get(source.size, "blue")), row)
            yield Progress(row)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Some file."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * ROWS)
    return path


async def test_an_import_that_was_cut_off_goes_on(home: chez.Home, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before is there, is not written again, and is told; the end is as if nothing had happened."""
    monkeypatch.setattr(Days, "mood", "bad")
    with pytest.raises(InvalidValue, match="'days' failed"):
        await home.import_file(file, connector=Days(), in_process=True)
    before = 2 * BATCH + 49
    assert len([record async for record in home.collection(TariffDay)]) == before
    monkeypatch.setattr(Days, "mood", "good")
    done = await home.import_file(file, connector=Days(), in_process=True)
    assert (done.resumed, done.unchanged, done.added) == (before, before, ROWS - before)
    again = await home.import_file(file, connector=Days(), in_process=True)
    assert (again.resumed, again.unchanged, again.added) == (0, ROWS, 0)
    assert len([record async for record in home.collection(TariffDay)]) == ROWS


async def colours(home: chez.Home) -> set[str]:
    """Those that the days have."""
    return {record.value.colour async for record in home.collection(TariffDay)}


async def test_an_import_that_was_cut_off_does_not_go_on_where_another_file_said_otherwise(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a corrected export the first one is read from its beginning again, and is there whole: not the one's first
    half and the other's second. A file that says the same, and what a person wrote, don't begin it anew."""
    first, corrected, same = (tmp_path / name for name in ("first", "corrected", "same"))
    first.write_bytes(b"x" * 6)
    corrected.write_bytes(b"x" * 7)
    same.write_bytes(b"y" * 6)

    async def bring(path: Path, mood: str = "good") -> chez.ImportReport:
        with monkeypatch.context() as patch, suppress(InvalidValue):
            patch.setattr(Days, "mood", mood)
            return await home.import_file(path, connector=Days(), in_process=True)
        return chez.ImportReport("", "")

    await bring(first, "bad")
    await bring(same, "bad")
    days = home.collection(TariffDay)
    first_day = await days.where().first()
    assert first_day is not None
    async with days.edit(first_day.id) as draft:
        draft.colour = "red"
    assert (await bring(same, "bad")).connector == ""
    assert (await bring(same)).resumed == 2 * BATCH + 49 and await colours(home) == {"blue", "red"}
    assert (await bring(first)).resumed == 2 * BATCH + 49
    await bring(first, "bad")
    assert (await bring(corrected)).updated == ROWS and await colours(home) == {"white"}
    done = await bring(first)
    assert (done.resumed, done.updated) == (0, ROWS) and await colours(home) == {"blue"}


async def test_an_import_that_was_cut_off_does_not_go_on_where_an_export_was_brought_back(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that `export` wrote is a file as others are."""
    first, corrected, folder = tmp_path / "first", tmp_path / "corrected", tmp_path / "exported"
    first.write_bytes(b"x" * 6)
    corrected.write_bytes(b"x" * 7)
    await home.import_file(corrected, connector=Days(), in_process=True)
    await home.export(folder)
    monkeypatch.setattr(Days, "mood", "bad")
    with pytest.raises(InvalidValue):
        await home.import_file(first, connector=Days(), in_process=True)
    assert (await home.import_file(folder)).updated and await colours(home) == {"white"}
    monkeypatch.setattr(Days, "mood", "good")
    done = await home.import_file(first, connector=Days(), in_process=True)
    assert done.resumed == 0 and await colours(home) == {"blue"}


async def test_a_corrected_export_that_comes_while_another_is_read_is_not_skipped_afterwards(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What two imports wrote at once is as the one has it that is finished last, all of it."""
    first, corrected = tmp_path / "first", tmp_path / "corrected"
    first.write_bytes(b"x" * 6)
    corrected.write_bytes(b"x" * 7)
    monkeypatch.setattr(Days, "mood", "bad")
    await asyncio.gather(*(home.import_file(path, connector=Days(), in_process=True) for path in (first, corrected)),
                         return_exceptions=True)
    monkeypatch.setattr(Days, "mood", "good")
    await home.import_file(first, connector=Days(), in_process=True)
    assert await colours(home) == {"blue"}


async def test_a_full_disk_tells_what_is_kept_and_that_the_same_import_goes_on(
        home: chez.Home, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first batch nothing is said to be kept; later what is, and that the import goes on."""
    written, room = Importer._write, 0

    async def write(self: Importer, *given: Any) -> None:
        nonlocal room
        if not room:
            raise storage_error(OSError("database or disk is full"))
        room -= 1
        await written(self, *given)

    monkeypatch.setattr(Importer, "_write", write)
    with pytest.raises(StorageFailed) as caught:
        await home.import_file(file, connector=Days(), in_process=True)
    assert caught.value.message == "the disk is full"
    room = 2
    with pytest.raises(StorageFailed) as caught:
        await home.import_file(file, connector=Days(), in_process=True)
    assert caught.value.message == f"the disk is full; the first {2 * BATCH:,} records of it are here, from before"
    assert "The same import goes on there." in caught.value.hint and "Free some space" in caught.value.hint
    room = 1_000
    assert (await home.import_file(file, connector=Days(), in_process=True)).added == ROWS - 2 * BATCH


async def test_a_newer_connector_does_not_go_on_where_an_older_one_was(
        home: chez.Home, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version may find other records: it reads the file from its beginning."""
    monkeypatch.setattr(Days, "mood", "bad")
    with pytest.raises(InvalidValue):
        await home.import_file(file, connector=Days(), in_process=True)
    monkeypatch.setattr(Days, "mood", "good")
    monkeypatch.setattr(Days, "version", 2)
    done = await home.import_file(file, connector=Days(), in_process=True)
    assert done.resumed == 0 and done.unchanged == 2 * BATCH + 49


async def test_a_record_that_the_store_refuses_costs_itself(home: chez.Home, file: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """One record of a batch that can't be kept is a reject with its row; the others of the batch are kept."""
    monkeypatch.setattr("chez.home.importing_rows.record_id", _no_id_for_nameless)
    monkeypatch.setattr(Days, "mood", "odd")
    done = await home.import_file(file, connector=Days(), in_process=True)
    assert done.added == ROWS - 2 and sorted((one.line, one.reason) for one in done.rejects) == [
        (7, "no name"), (9, "the record can't be kept: OverflowError")]


def _no_id_for_nameless(key: bytes, collection: str, identity: dict[str, Any]) -> str:
    if not identity["scheme"]:
        raise InvalidValue("no name")
    return f"id-{identity['date']}"


async def test_a_hostile_file_stops_and_what_came_before_stays(home: chez.Home, tmp_path: Path) -> None:
    """A parser that dies is ImportStopped; its good record is kept, and the journal says that reading was stopped."""
    path = tmp_path / "attack"
    path.write_text("attack exit")
    with pytest.raises(ImportStopped, match="code 3"):
        await home.import_file(path, connector=Attacker())
    assert len([record async for record in home.collection(TariffDay)]) == 1
    [receipt] = await home.journal.receipts("import")
    assert receipt.body["added"] == 1 and "code 3" in receipt.body["stopped"]


async def test_cancelling_ends_the_process(home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling while a parser is busy ends its process, at once."""
    launch, started = wall.find_wall(), []

    def watched(order: wall.Order) -> wall.Walled:
        started.append(launch(order))
        return started[-1]

    monkeypatch.setattr("chez.connectors.walled.find_wall", lambda: watched)
    path = tmp_path / "attack"
    path.write_text("attack loop")
    heard = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(home.import_file(
        path, connector=Attacker(), progress=lambda done, total: loop.call_soon_threadsafe(heard.set)))
    await heard.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert started[0]._process.returncode is not None
    assert started[0].read(1, 60.0) == b""


async def test_how_far_a_large_file_is_looked_through_is_told(home: chez.Home, tmp_path: Path) -> None:
    """While a file is read for its hash, before its first row, its bytes are told without a total."""
    path = tmp_path / "attack"
    path.write_bytes(b"attack exit".ljust(5 << 19))
    heard: list[tuple[int, int]] = []
    with pytest.raises(ImportStopped):
        await home.import_file(path, connector=Attacker(), progress=lambda done, total: heard.append((done, total)))
    assert heard[:2] == [(1 << 20, 0), (2 << 20, 0)]


async def test_provenance_in_a_zip(home: chez.Home, tmp_path: Path) -> None:
    """A record from a zip says who read it, the zip's hash, the member and its row; the file alone makes the same."""
    path = tmp_path / "export.zip"
    path.write_bytes(packed({"data/days.csv": TABLE, "curve.csv": CURVE}))
    done = await home.import_file(path)
    sources = [record.source or "" async for record in home.collection(TariffDay)]
    assert done.connector == "zip" and len(sources) == TABLE.count(b"\n")
    [receipt] = await home.journal.receipts("import")
    assert min(sources) == f"tempo/1 {receipt.body['sha256'][:16]} data/days.csv:1"
    (tmp_path / "days.csv").write_bytes(TABLE)
    assert (await home.import_file(tmp_path / "days.csv")).unchanged == len(sources)


def _installed(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """As if a package had brought this connector."""
    entry = EntryPoint("days", f"tests.connectors.made:{kind}", "chez.connectors")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry] if group == entry.group else [])


async def test_a_better_parser_reads_what_was_kept(home: chez.Home, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    """A kept export is read again by a newer connector: what it reads differently is updated, the rest unchanged."""
    path = tmp_path / "export.days"
    path.write_bytes(b"days\n2024-01-01 blue\n2024-01-02 red\n2024-01-03 white\nno day\n")
    _installed(monkeypatch, "Days")
    done = await home.import_file(path, keep=True)
    assert (done.added, done.rejected, done.kept) == (3, 1, True)
    path.unlink()
    _installed(monkeypatch, "BetterDays")
    [kept] = await home.kept_exports()
    assert (kept.file, kept.connector, kept.version, kept.size) == ("export.days", "days", 1, 60)
    again = await home.import_again(kept.sha256)
    assert (again.version, again.updated, again.unchanged, again.rejected) == (2, 2, 1, 1)
    assert {str(record.value["date"]): record.value["colour"] async for record in home.collection("tariff_days")} == {
        "2024-01-01": "blue", "2024-01-02": "red", "2024-01-03": "white"}
    [kept] = await home.kept_exports()
    assert kept.version == 2
    first, second = await home.imports()
    assert (first.version, first.added, second.version, second.updated) == (1, 3, 2, 2)
    assert first.sha256 == second.sha256 == kept.sha256 and first.time <= second.time and first.stopped == ""


async def test_keeping_twice_keeps_once(home: chez.Home, tmp_path: Path) -> None:
    """The same file kept again is there once; a record made by hand in its place is told, not believed."""
    (tmp_path / "days.csv").write_bytes(TABLE)
    for _ in range(2):
        await home.import_file(tmp_path / "days.csv", keep=True)
    [kept] = await home.kept_exports()
    await home.collection("kept_exports").put({"file": "forged"}, id="forged")
    assert await home.kept_exports() == [kept]
    with pytest.raises(InvalidValue, match="no kept export"):
        await home.import_again("forged")
    with pytest.raises(NotFound):
        await home.import_again("0" * 64)


class Growing(Days):
    """A connector whose file grows while it is read, as one does that is still being downloaded."""

    path = Path()

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        with Growing.path.open("ab") as more:
            more.write(b"more")
        yield Found(TariffDay(scheme="tempo", date=date(2024, 1, 1), colour="blue"), 1)


async def test_what_is_kept_is_what_was_imported(home: chez.Home, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that changed meanwhile is imported and not kept, with a word; one too large to be read again is told."""
    monkeypatch.setattr(Growing, "path", file)
    with pytest.raises(InvalidValue, match="changed while it was imported"):
        await home.import_file(file, connector=Growing(), in_process=True, keep=True)
    assert await home.kept_exports() == [] and len(await home.imports()) == 1
    await home.import_file(file, connector=Days(), in_process=True, keep=True)
    [kept] = await home.kept_exports()
    monkeypatch.setattr("chez.home.kept_exports.MAX_AGAIN", 10)
    with pytest.raises(InvalidValue, match="at most 10 are read again"):
        await home.import_again(kept.sha256)


async def test_a_file_whose_name_is_no_text(home: chez.Home, tmp_path: Path) -> None:
    """A file with a name in Latin-1, as old zips unpack to, is imported and kept as any other."""
    path = tmp_path / os.fsdecode(b"caf\xe9.xls")
    path.write_bytes(TABLE)
    done = await home.import_file(path, keep=True)
    assert done.added + done.unchanged > 0 and done.kept and done.source == "caf?.xls"


async def test_two_imports_of_one_file_at_once(home: chez.Home, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both cut off: the next one skips no more than what is written, and the end is whole."""
    monkeypatch.setattr(Days, "mood", "bad")
    await asyncio.gather(*(home.import_file(file, connector=Days(), in_process=True) for _ in range(2)),
                         return_exceptions=True)
    monkeypatch.setattr(Days, "mood", "good")
    done = await home.import_file(file, connector=Days(), in_process=True)
    assert done.resumed == 2 * BATCH + 49 and done.added == ROWS - done.resumed
    assert len([record async for record in home.collection(TariffDay)]) == ROWS


async def test_an_import_that_was_cut_off_goes_on_under_the_same_mapping(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is not written again; another mapping begins at the first row, for it may say something else."""
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(BATCH + 90)))
    real, count = mapped._record, iter(range(BATCH + 50))

    def cut(*given: Any) -> Any:
        if next(count, None) is None:
            raise RuntimeError("cut off")
        return real(*given)

    with monkeypatch.context() as patch, pytest.raises(InvalidValue, match="failed"):
        patch.setattr(mapped, "_record", cut)
        await home.import_file(path, connector=Mapped(TINY.encode()), in_process=True)
    other = TINY.replace("version = 1", "version = 1\ntitle = 'another'")
    for text, resumed, added in ((other, 0, 40), (TINY, BATCH + 50, 0)):
        done = await home.import_file(path, connector=Mapped(text.encode()), in_process=True)
        assert (done.resumed, done.added, done.unchanged) == (resumed, added, BATCH + 90 - added)
    assert await home.collection("dating_x").count() == BATCH + 90


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


async def test_a_source_that_was_made_up_is_told_as_any(home: chez.Home, tmp_path: Path) -> None:
    """A member of a space may write by hand that a record is of a file, and of any row of it: that ends no reading."""
    path, held = tmp_path / "x.jsonl", home.space()._held
    path.write_text('{"n": 1}\n')
    await home.import_file(path, connector=Mapped(TINY.encode()), keep=True)
    (kept,) = await home.kept_exports()
    made_up = [f"x {kept.sha256[:16]} m:{row}" for row in ("9" * 5000, "9" * 30, "²", "٣", "")]

    def by_hand(db: Connection) -> None:
        for number, source in enumerate(made_up):
            held.engine.records.put_imported(
                db, held.engine.space, "things", f"a{number}", {"n": number}, {"n": number}, source, "by hand")

    await held.engine.database.write(by_hand)
    again = await home.import_again(kept.sha256, connector=Mapped(TINY.replace("version = 1", "version = 2").encode()))
    assert (again.rejected, {one.line for one in again.rejects}) == (5, {1})


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

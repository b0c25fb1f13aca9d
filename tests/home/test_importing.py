"""Importing as an app does it: behind walls, cut off and gone on with, hostile files included."""

import asyncio
import os
from collections.abc import Iterator
from datetime import date
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import chez
from chez.connectors import Found, Item, Source, wall
from chez.connectors.mapped import Mapped
from chez.errors import ImportStopped, InvalidValue, NotFound
from chez.home.importing import BATCH
from chez.store.database import Connection
from chez.vocabulary import TariffDay
from tests.connectors.attackers import Attacker
from tests.connectors.test_archive import CURVE, TABLE, packed
from tests.connectors.test_mapped import TINY
from tests.home.days import ROWS, Days


async def test_a_record_that_the_store_refuses_costs_itself(home: chez.Home, file: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """One record of a batch that can't be kept is a reject with its row; the others of the batch are kept."""
    monkeypatch.setattr("chez.home.importing_rows.record_id", _no_id_for_nameless)
    monkeypatch.setattr(Days, "mood", "odd")
    done = await home.import_file(file, connector=Days(), in_process=True)
    assert done.added == ROWS - 2 and sorted((one.line, one.reason) for one in done.rejects) == [
        (7, "no name"), (9, "the record can't be kept: OverflowError")]


async def test_an_empty_name_is_that_of_no_file(home: chez.Home) -> None:
    """As a path it would be the folder where the program runs, all of which would be read."""
    with pytest.raises(NotFound, match="empty name"):
        await home.import_file("")


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

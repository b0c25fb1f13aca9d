"""An import that was cut off, and where the next one goes on."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.connectors import mapped
from chez.connectors.mapped import Mapped
from chez.errors import InvalidValue, StorageFailed
from chez.home.importing import BATCH, Importer
from chez.store.disk import storage_error
from chez.vocabulary import TariffDay
from tests.connectors.test_mapped import TINY
from tests.home.days import ROWS, Days


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


@pytest.mark.slow
async def test_an_import_that_was_cut_off_does_not_go_on_where_another_file_said_otherwise(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a corrected export the first one is read from its beginning again, and is there whole: not the one's first
    half and the other's second. A file that says the same, and what a person wrote and keeps, don't begin it anew."""
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
    assert (await bring(corrected)).updated == ROWS - 1 and await colours(home) == {"white", "red"}
    done = await bring(first)
    assert (done.resumed, done.updated) == (0, ROWS - 1) and await colours(home) == {"blue", "red"}


@pytest.mark.slow
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

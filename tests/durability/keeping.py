"""Scenarios: attachments, exports, backups, restores, repairs."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import chez
from chez.blobs import tables
from chez.blobs.format import CHUNK
from chez.crypto import Kdf
from chez.store.database import Connection
from tests.blobs.support import content, files, read, settled
from tests.durability.scene import PASSPHRASE, Place, Scenario, Step, everything, follow, made, opened
from tests.home.test_doctor import flip

__all__ = ("ATTACHING", "BACKING_UP", "EXPORTING", "MENDING", "RENEWING", "RESTORING", "SALVAGING")

LARGE: Final = content(CHUNK + 10, 1)
SMALL: Final = content(5000, 2)


async def _home_with_records(folder: Path) -> None:
    await made(folder / "home")
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        await home.collection("notes").put_many([{"n": n, "pad": f"{n}" * 40} for n in range(30)])
        await home.collection("notes").put({"file": await home.blobs.add(SMALL, name="small")}, id="with file")


# --- attachments ----------------------------------------------------------------------


async def _addition_cut_off(folder: Path) -> None:
    """A home in which an addition was cut off: its row, a piece that is noted, and one that is not."""
    await made(folder / "home")
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        def work(db: Connection) -> None:
            tables.add_pieces(db, tables.begin(db, 1), [(0, b"\xab" * 32, 9)])

        await home._database.write(work)
    for name in ("ab" * 31, "cd" * 31):
        path = folder / "home" / "blobs" / "ab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"cut off")


def _attaching(id: str, data: bytes) -> Step:
    async def step(home: chez.Home) -> None:
        blob = await home.blobs.add(data, name=id)
        await home.collection("files").put({"file": blob}, id=id)
    return step


async def _let_go(home: chez.Home) -> None:
    await home.collection("files").put({"file": None}, id="large")
    for _ in range(3):
        await home.blobs.collect()


async def _attach(place: Place) -> None:
    async with chez.open(place.home, passphrase=PASSPHRASE) as home:
        async def save(home: chez.Home) -> None:
            await home.blobs.save((await home.collection("files").get("small")).value["file"], place.folder / "saved",
                                  overwrite=True)
        await follow(place, home, [_attaching("large", LARGE), _attaching("small", SMALL), save, _let_go])


async def _attached(folder: Path, acknowledged: Sequence[str]) -> None:
    done = len(acknowledged)
    async with opened(folder / "home") as home:
        found = {id: None if value["file"] is None else await read(home, value["file"])
                 for (name, id), value in (await everything(home)).items() if name == "files"}
        states: list[dict[str, bytes | None]] = [
            {}, {"large": LARGE}, {"large": LARGE, "small": SMALL}, {"large": LARGE, "small": SMALL},
            {"large": None, "small": SMALL}]
        assert found in states[done : done + 2], (acknowledged, found.keys())
        assert not (folder / "saved").exists() or (folder / "saved").read_bytes() == SMALL
        assert done < 3 or (folder / "saved").exists()
        await nothing_left_over(home)


async def nothing_left_over(home: chez.Home) -> None:
    """After the collector's passes, every piece on the disk is held, and every piece that is held is there."""
    await settled(home)
    for _ in range(3):
        await home.blobs.collect()
    held = await home._database.read(lambda db: db.execute("SELECT id FROM chunk WHERE held = 1").fetchall())
    assert {home.blobs._shared.files.path(id) for (id,) in held} == files(home.path)
    new = home.path / "blobs" / "new"
    assert not new.exists() or not list(new.iterdir())


# --- exports and backups --------------------------------------------------------------


async def _export(place: Place) -> None:
    async with chez.open(place.home, passphrase=PASSPHRASE) as home:
        await follow(place, home, [lambda home: _exporting(home, place.folder / "export")])


async def _exporting(home: chez.Home, target: Path) -> None:
    if target.exists():  # whole, but the disk refused to say so
        shutil.rmtree(target)
    await home.export(target, history=True)


async def _exported(folder: Path, acknowledged: Sequence[str]) -> None:
    async with opened(folder / "home") as home:
        notes = await everything(home)
        assert len(notes) == 31
        assert (folder / "export").exists() or not acknowledged
        if (folder / "export").exists():
            report = await home.import_file(folder / "export")
            assert (report.unchanged, report.added, report.updated) == (31, 0, 0)
        await home.export(folder / "another")
        await nothing_left_over(home)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        {"home", "another"} | ({"export"} if (folder / "export").exists() else set()))


async def _back_up(place: Place) -> None:
    async with chez.open(place.home, passphrase=PASSPHRASE) as home:
        await follow(place, home, [lambda home: _backing_up(home, place.folder / "backup")])


async def _backing_up(home: chez.Home, target: Path) -> None:
    if target.exists():  # whole, but the disk refused to say so
        target.unlink()
    await home.backup(target, verify=True)


async def _backed_up(folder: Path, acknowledged: Sequence[str]) -> None:
    async with opened(folder / "home") as home:
        assert len(await everything(home)) == 31
        await nothing_left_over(home)
    assert (folder / "backup").exists() or not acknowledged
    if (folder / "backup").exists():
        await _restore(Place(folder))
        await _restored(folder, ["restored"])


async def _backup(folder: Path) -> None:
    await _home_with_records(folder)
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        await home.backup(folder / "backup")
    shutil.rmtree(folder / "home")


async def _restore(place: Place) -> None:
    await chez.restore(place.folder / "backup", place.folder / "again", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    place.say("restored")


async def _restored(folder: Path, acknowledged: Sequence[str]) -> None:
    if not (folder / "again").exists():
        assert not acknowledged
        await _restore(Place(folder))
    async with opened(folder / "again") as home:
        found = await everything(home)
        assert len(found) == 31
        assert await read(home, found["notes", "with file"]["file"]) == SMALL
        await nothing_left_over(home)


# --- repairs --------------------------------------------------------------------------


async def _damaged_page(folder: Path) -> None:
    await made(folder / "home")
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        await home.collection("notes").put_many([{"n": n} for n in range(31)])
        (at,) = await home._database.read(lambda db: db.execute(
            "SELECT rootpage FROM sqlite_master WHERE type = 'index' AND tbl_name = 'record'").fetchone())
    flip(folder / "home", at)


async def _damaged_record(folder: Path) -> None:
    await _home_with_records(folder)
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        await home._database.write(lambda db: db.execute("""UPDATE record SET json = '{"n":-1}' WHERE n = 3"""))


async def _repair(place: Place) -> None:
    await chez.doctor(place.home, passphrase=PASSPHRASE, repair=True)
    place.say("mended")


async def _repaired(folder: Path, acknowledged: Sequence[str]) -> None:
    if not acknowledged:
        await chez.doctor(folder / "home", passphrase=PASSPHRASE, repair=True)
    async with opened(folder / "home") as home:
        assert len(await everything(home)) == 31
        assert sorted(n for value in (await everything(home)).values() if (n := value.get("n")) is not None)[0] == 0


async def _renew(place: Place) -> None:
    await chez.become_new_device(place.home, passphrase=PASSPHRASE, name="phone")
    place.say("renewed")


async def _renewed(folder: Path, acknowledged: Sequence[str]) -> None:
    async with opened(folder / "home") as home:
        assert len(await everything(home)) == 31
        assert home.name == "phone" or not acknowledged
        assert (len(await home.journal.former()) > 0) == (home.name == "phone")


ATTACHING = Scenario(_addition_cut_off, _attach, _attached)
EXPORTING = Scenario(_home_with_records, _export, _exported)
BACKING_UP = Scenario(_home_with_records, _back_up, _backed_up)
RESTORING = Scenario(_backup, _restore, _restored)
MENDING = Scenario(_damaged_record, _repair, _repaired)
SALVAGING = Scenario(_damaged_page, _repair, _repaired)
RENEWING = Scenario(_home_with_records, _renew, _renewed)

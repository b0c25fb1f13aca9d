"""kill -9 in the middle of a backup, a restore, a repair, an export: as before, or finished."""

import asyncio
import shutil
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import BadArchive
from tests.forked import PROCESSES
from tests.home.conftest import PASSPHRASE
from tests.home.keeping import keep
from tests.home.test_doctor import flip, pages
from tests.home.test_import_twice import everything

ROUNDS = 5


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of a few hundred pages, and a backup of it."""
    folder = tmp_path_factory.mktemp("killed")

    async def make() -> None:
        await chez.create(folder / "home", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
            await home.collection("notes").put_many([{"n": n, "pad": f"{n}" * 100} for n in range(1500)])
            await home.backup(folder / "backup")

    asyncio.run(make())
    return folder


async def steps(what: str, source: Path, target: Path, *, kill_after: int | None) -> int:
    """Let an app keep until it has told so many steps, then kill it; how many it told by then (all, if None)."""
    here, there = PROCESSES.Pipe()
    process = PROCESSES.Process(target=keep, args=(what, source, target, there))
    process.start()
    there.close()

    def count() -> int:
        told = 0
        with suppress(EOFError):
            while kill_after is None or told < kill_after:
                step = here.recv()
                assert not isinstance(step, str), step
                told += 1
        return told

    with here:
        if kill_after is None:
            here.send("end")
        told = await asyncio.to_thread(count)
        if kill_after is not None:
            process.kill()
        await asyncio.to_thread(process.join)
    assert process.exitcode == (0 if kill_after is None else -9)
    return told


async def held(path: Path) -> dict[tuple[str, str], object]:
    """What a home holds, and that it is sound and leaves nothing of a backup behind."""
    assert (await chez.doctor(path, passphrase=PASSPHRASE)).sound
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert not list(path.glob(".backup-*"))
        return await everything(home)


def points(seed: str, total: int) -> list[int]:
    """When to kill: at once, at the very end, and in between."""
    random = Random(seed)
    return [1, total, *(random.randint(2, max(2, total - 1)) for _ in range(ROUNDS - 2))]


@pytest.mark.slow
async def test_a_backup(template: Path, tmp_path: Path) -> None:
    """The home is as before; the backup is not there, or restores."""
    shutil.copytree(template / "home", tmp_path / "home")
    before = await held(tmp_path / "home")
    total = await steps("backup", tmp_path / "home", tmp_path / "first", kill_after=None)
    for number, after in enumerate(points("backup", total)):
        file = tmp_path / f"backup{number}"
        await steps("backup", tmp_path / "home", file, kill_after=after)
        assert await held(tmp_path / "home") == before
        assert file.exists() == (after == total)
        if file.exists():
            await chez.restore(file, tmp_path / "again", passphrase=PASSPHRASE, kdf=Kdf.minimum())
            assert await held(tmp_path / "again") == before


@pytest.mark.slow
async def test_a_restore(template: Path, tmp_path: Path) -> None:
    """Nothing is at the place, or a whole home."""
    total = await steps("restore", template / "backup", tmp_path / "first", kill_after=None)
    before = await held(tmp_path / "first")
    for number, after in enumerate(points("restore", total)):
        path = tmp_path / f"home{number}"
        await steps("restore", template / "backup", path, kill_after=after)
        assert path.exists() or after < total
        if path.exists():
            assert await held(path) == before


@pytest.mark.slow
@pytest.mark.parametrize("what", ["repair", "renew"])
async def test_a_repair(template: Path, tmp_path: Path, what: str) -> None:
    """The home is as it was, damage included, or mended; a second attempt mends it."""
    shutil.copytree(template / "home", tmp_path / "home")
    if what == "repair":
        here = pages(tmp_path / "home")
        flip(tmp_path / "home", here[len(here) // 2])
    damaged = (tmp_path / "home" / "chez.db").read_bytes()
    shutil.copytree(tmp_path / "home", tmp_path / "first")
    total = await steps(what, tmp_path / "first", tmp_path, kill_after=None)
    mended = await held(tmp_path / "first")
    for number, after in enumerate(points(what, total)):
        path = tmp_path / f"home{number}"
        shutil.copytree(tmp_path / "home", path)
        await steps(what, path, tmp_path, kill_after=after)
        if what == "repair" and (path / "chez.db").read_bytes() == damaged:
            assert not (await chez.doctor(path, passphrase=PASSPHRASE)).sound
            await chez.doctor(path, passphrase=PASSPHRASE, repair=True)
        assert await held(path) == mended


@pytest.mark.slow
async def test_an_export(template: Path, tmp_path: Path) -> None:
    """The folder is not there, or whole; what was left beside it is no export."""
    shutil.copytree(template / "home", tmp_path / "home")
    before = await held(tmp_path / "home")
    total = await steps("export", tmp_path / "home", tmp_path / "first", kill_after=None)
    for number, after in enumerate(points("export", total)):
        folder = tmp_path / f"export{number}"
        await steps("export", tmp_path / "home", folder, kill_after=after)
        assert folder.exists() or after < total
        async with chez.open(tmp_path / "home", passphrase=PASSPHRASE) as home:
            if folder.exists():
                assert (await home.import_file(folder)).unchanged == len(before)
            for left in tmp_path.glob(f".export{number}.*"):
                if not (left / "manifest.json").exists():
                    with pytest.raises(BadArchive):
                        await home.import_file(left)

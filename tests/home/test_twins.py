"""A copied folder is told of as long as the home that it is a copy of is there; what was moved or restored is none."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import InvalidValue
from tests.home.conftest import PASSPHRASE

LOCKS = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)
    except OSError:
        sys.exit(7)
"""
"""Takes the lock that SQLite takes where nobody else has a store open (SHARED_FIRST and SHARED_SIZE in its os.h)."""


async def told(path: Path) -> list[str]:
    """Of which other copy `chez.doctor` tells; nothing does harm."""
    found = await chez.doctor(path, passphrase=PASSPHRASE)
    assert found.sound
    return [one.meaning for one in found.findings if one.kind == "copy"]


async def opened(path: Path) -> None:
    """As when somebody looks into it."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"n": 1})


@pytest.fixture
async def first(tmp_path: Path) -> Path:
    """A home that was opened once."""
    await chez.create(tmp_path / "first", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    await opened(tmp_path / "first")
    return tmp_path / "first"


async def test_a_copy_is_told_of_until_the_other_is_gone(first: Path, tmp_path: Path) -> None:
    """Whether it was opened since or not; what it is a copy of stays what it is."""
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    for _ in range(2):
        assert str(first) in (await told(copy))[0] and await told(first) == []
        await opened(copy)
        await opened(first)
    async with chez.open(copy, passphrase=PASSPHRASE) as home:
        assert [one.kind for one in await home.examine()] == ["copy"]
    shutil.rmtree(first)
    assert await told(copy) == []
    await opened(copy)
    shutil.copytree(copy, first)  # as a backup by hand, which is put back
    assert await told(copy) == [] != await told(first)


async def test_to_look_for_copies_ends_no_lock_of_a_store(first: Path, tmp_path: Path) -> None:
    """By these SQLite knows, in another process, that a store is open (sqlite.org/howtocorrupt.html, 2.2)."""
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    async with chez.open(first, passphrase=PASSPHRASE), chez.open(copy, passphrase=PASSPHRASE) as home:
        assert [one.kind for one in await home.examine()] == ["copy"]
        for path in (first, copy):
            done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", LOCKS, str(path / "chez.db")],
                                           timeout=60)
            assert done.returncode == 7


async def test_a_copy_that_is_a_device_of_its_own_is_none(first: Path, tmp_path: Path) -> None:
    """Nothing is left to be told."""
    copy = tmp_path / "copy"
    shutil.copytree(first, copy)
    await chez.become_new_device(copy, passphrase=PASSPHRASE, name="copy")
    assert await told(copy) == await told(first) == []
    await opened(copy)
    assert await told(copy) == []


async def test_a_moved_home_is_no_copy(first: Path, tmp_path: Path) -> None:
    """Also where another one was made in its place, or the way to it is a link."""
    moved = first.rename(tmp_path / "moved")
    assert await told(moved) == []
    first.symlink_to(moved)
    assert await told(moved) == await told(first) == []
    first.unlink()
    await chez.create(first, passphrase=PASSPHRASE, kdf=Kdf.minimum())
    assert await told(moved) == []


async def test_a_restored_home_is_no_copy(first: Path, tmp_path: Path) -> None:
    """It is a new device, whatever became of the other."""
    async with chez.open(first, passphrase=PASSPHRASE) as home:
        await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "restored", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    assert await told(tmp_path / "restored") == []
    await opened(tmp_path / "restored")
    assert await told(tmp_path / "restored") == await told(first) == []


async def test_a_home_may_be_in_a_folder_whose_name_is_no_text(first: Path, tmp_path: Path) -> None:
    """Moved into a folder named in Latin-1 it opens, is sound, is backed up and exported, and a copy there is told of
    as anywhere; where its journal could not tell of a path nothing is written."""
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    first.rename(folder / "home")
    await opened(folder / "home")
    assert await told(folder / "home") == []
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        await home.backup(tmp_path / "backup", verify=True)
        await home.export(tmp_path / "export")
        for write in (home.backup, home.export):
            with pytest.raises(InvalidValue, match="no text"):
                await write(folder / "there")
    assert os.listdir(folder) == ["home"]
    shutil.copytree(folder / "home", folder / "copy")
    assert str(folder / "home") in (await told(folder / "copy"))[0]

"""A home that a process has open is nobody else's, whatever is removed from its folder; what is missing is said."""

import os
from pathlib import Path

import pytest

import chez
from chez.errors import Damaged, HomeBusy
from chez.home.backup import STORE_FILE
from chez.store.keyfile import KEY_FILE
from tests.home.conftest import PASSPHRASE
from tests.home.test_doctor import harm


async def test_a_home_whose_lock_file_was_removed_is_opened_by_nobody_else(path: Path) -> None:
    """Both would make changes under one number, and what both edit could be read no more: who has it open is named."""
    async with chez.open(path, passphrase=PASSPHRASE):
        for whose in (str(os.getpid()), "unknown"):
            with pytest.raises(HomeBusy, match=whose):
                async with chez.open(path, passphrase=PASSPHRASE):
                    pass
            (path / "owner.lock").unlink()
    async with chez.open(path, passphrase=PASSPHRASE):
        assert (path / "owner.lock").read_text() == f"{os.getpid()}\n"


async def test_a_home_on_a_disk_that_locks_no_folders_is_held_by_its_file(
        path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network's file system, where a folder that is open to be read can't be locked for oneself."""
    from chez.home import lifecycle

    lock = lifecycle.fcntl.flock

    def flock(handle: int, how: int) -> None:
        if os.path.isdir(handle):
            raise OSError(9, os.strerror(9))
        lock(handle, how)

    monkeypatch.setattr(lifecycle.fcntl, "flock", flock)
    async with chez.open(path, passphrase=PASSPHRASE):
        with pytest.raises(HomeBusy, match=str(os.getpid())):
            async with chez.open(path, passphrase=PASSPHRASE):
                pass


async def test_a_home_of_which_a_part_is_gone_is_damaged(path: Path) -> None:
    """It is no place where none is: which file is missing is said, or what of the store, and where to get it."""
    for name in (KEY_FILE, STORE_FILE):
        (path / name).rename(path / "away")
        with pytest.raises(Damaged, match=f"is incomplete: {name} is missing"):
            async with chez.open(path, passphrase=PASSPHRASE):
                pass
        (path / "away").rename(path / name)
    harm(path, lambda db: db.execute("DELETE FROM meta WHERE key = 'person'"))
    with pytest.raises(Damaged, match="the store lacks 'person'"):
        async with chez.open(path, passphrase=PASSPHRASE):
            pass

"""A home that a process has open is nobody else's, whatever is removed from its folder."""

import os
from pathlib import Path

import pytest

import chez
from chez.errors import HomeBusy
from tests.home.conftest import PASSPHRASE


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

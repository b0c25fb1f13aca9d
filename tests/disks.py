"""Disks that have no room for what is to be written ahead, and such that are only read."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.missing import leave_out

__all__ = ("WITHOUT_ROOM", "only_read", "take_room")

WITHOUT_ROOM: Final = ("full", "nearly full", "full when it syncs", "little room")
"""One that is nearly full takes a part (write(2)), and some tell of it as late as they can."""


def take_room(patch: pytest.MonkeyPatch, why: str, wanted: int) -> None:
    """From now on there is no room for so many bytes; `why` is one of `WITHOUT_ROOM`."""
    write, look = os.pwrite, os.fstatvfs

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def part(file: int, data: bytes, at: int) -> int:
        return write(file, data[:100_000], at)

    def little(file: int) -> os.statvfs_result:
        told = list(look(file))
        told[4] = 2 * wanted // told[1]  # f_bavail, in blocks of f_frsize
        return os.statvfs_result(told)

    call, instead = {"full": ("pwrite", full), "nearly full": ("pwrite", part), "full when it syncs": ("fsync", full),
                     "little room": ("fstatvfs", little)}[why]
    patch.setattr(os, call, instead)


@contextmanager
def only_read(folder: Path) -> Iterator[None]:
    """Nothing can be written in a folder meanwhile; who may write anywhere has it mounted for reading only."""
    if os.geteuid() != 0:
        folder.chmod(0o500)
        try:
            yield
        finally:
            folder.chmod(0o700)
        return
    place = str(folder)
    if subprocess.run(["mount", "--bind", place, place], capture_output=True, check=False).returncode != 0:
        leave_out("root may write anywhere, and mounts nothing here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", place], check=True)
        yield
    finally:
        subprocess.run(["umount", place], check=True)

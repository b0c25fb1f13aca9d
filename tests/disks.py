"""Disks that have no room for what is to be written ahead."""

import errno
import os
from typing import Any, Final

import pytest

__all__ = ("WITHOUT_ROOM", "take_room")

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

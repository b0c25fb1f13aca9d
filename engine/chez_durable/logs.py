"""The log of an SQLite store (WAL): what it shows is on the disk, and it has room before it grows."""

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from chez_durable.folders import sync_folder

__all__ = ("make_room", "make_sure", "write_over")

SPARE: Final = 8
"""Of what the disk has left, a log's room is one in so many at most."""


def make_sure(log: Path) -> None:
    """Write a log that was found into its place again, and sync it: what it shows may not be on the disk.

    Whoever wrote it was killed before its sync, or after one that failed. Then the kernel shows what it gave up, and
    says yes to the next sync (Rebello and others, "Can Applications Recover from fsync Failures?", USENIX ATC 2020): a
    power cut would take that, and all that was acknowledged behind it. For who has the store alone, before SQLite opens
    it. Raises `OSError`.
    """
    try:
        file = os.open(log, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # there is none, or SQLite tells why it can't be read
        return
    try:
        if write_over(file):
            os.fsync(file)
            sync_folder(log.parent)
    finally:
        os.close(file)


def write_over(file: int) -> int:
    """Write a file's bytes into their places again, so that they are to be synced; how many there are."""
    at = 0
    while data := os.pread(file, 1 << 20, at):
        at += os.pwrite(file, data, at)
    return at


def make_room(log: Path, size: int) -> None:
    """Write zeros behind a log's end until it has `size` bytes, as far as it grows before it is written back.

    They are synced here: a commit that lets a file grow makes its sync write the new size as well, into the file
    system's own journal, a quarter to a third more on ext4. For who alone writes the log, between two transactions;
    SQLite reads up to the first frame that is not of this log. Where it can't be done, or the disk has little room,
    commits only take longer.
    """
    with suppress(OSError):
        file = os.open(log, os.O_WRONLY | os.O_CLOEXEC)
        try:
            end, disk = os.fstat(file).st_size, os.fstatvfs(file)
            if end < size < disk.f_bavail * disk.f_frsize // SPARE:
                _write_zeros(file, end, size)
        finally:
            os.close(file)


def _write_zeros(file: int, end: int, size: int) -> None:
    """Make a log that ends there as long as it comes to be. It is as it was when that fails, with `OSError`."""
    try:
        if os.pwrite(file, bytes(size - end), end) < size - end:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    except OSError:
        os.ftruncate(file, end)
        raise

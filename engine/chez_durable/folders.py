"""Folders, and the names in them, that are there after a power cut."""

import errno
import os
from contextlib import suppress
from pathlib import Path

__all__ = ("make_folders", "sync_folder")


def make_folders(path: Path, mode: int = 0o777) -> None:
    """Make a folder (with that mode) and those above it that are missing, durably, or none of them. Raises `OSError`.

    One that is there may be of a process that was killed before its name was durable: so all are synced that can be.
    """
    above = (path, *path.parents)
    missing = [folder for folder in above if not folder.exists()]
    try:
        path.mkdir(mode, parents=True, exist_ok=True)
        for folder in above:
            try:
                sync_folder(folder.parent)
            except OSError as error:
                if folder in missing or error.errno == errno.EIO:
                    raise
    except OSError:
        for folder in missing:  # there, they would pass for durable the next time
            with suppress(OSError):
                folder.rmdir()
        raise


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable: what was made, renamed and removed there. Raises `OSError`.

    A file that was fsynced may still lose its name in a power cut (fsync(2)).
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

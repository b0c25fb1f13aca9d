"""A device wipes its home: the keys first, then all that they open.

    1  PATH/chez.wiping is written: from here on the home never opens again
    2  chez.key is overwritten and removed, and what the keyring could open
    3  the store, attachments, jobs, and the rest of what Chez makes in a home
    4  chez.wiping and the folder, where nothing else is in it

Each step is durable before the next, and doing it again goes on where it ended. After step
2 the rest is random bytes to whoever has no copy of the key file. Overwriting is what a
program can do; a disk may keep older copies of a block (docs/security.md).
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from chez.checked import checked
from chez.errors import HomeMissing
from chez.home.lifecycle import LOCK_FILE, hold
from chez.store.disk import disk_error, erase
from chez.store.keyfile import KEY_FILE, WIPING_FILE
from chez.store.keyring import KEYRING_FILE, remove_key
from chez.tasks import finished
from chez_durable.folders import sync_folder

__all__ = ("Wiped", "wipe")

_OURS: Final = (
    "chez.db*", "chez.key.new", "chez.recovering", f"{KEYRING_FILE}.new", "blobs", "jobs", "lan", ".backup-*",
    "owner.sock", "owner.socket", "owner.socket.new", "unexpected.txt",
)
"""What a home holds beside its keys and the files that a wipe itself needs."""


class Wiped(msgspec.Struct, frozen=True):
    """What was wiped: so many files; `left` are the names in the folder that are not Chez's, and stay."""

    files: int
    left: tuple[str, ...]


@checked
async def wipe(path: Path | str) -> Wiped:
    """Wipe a home from this device for ever; nobody may have it open. Asks nothing, and needs no passphrase.

    What had not reached a relay or another device is lost; what had, a device of yours or the
    24 words bring back. Interrupted, the home does not open any more, and another call goes
    on. The keyring forgets the home. Raises `HomeMissing` where no home is, `HomeBusy`,
    `StorageFailed`.
    """
    return await finished(asyncio.to_thread(_wipe, Path(path)))


def _wipe(folder: Path) -> Wiped:
    if not any((folder / name).exists() for name in (WIPING_FILE, KEY_FILE, KEYRING_FILE, "chez.db")):
        raise HomeMissing(f"there is no home at {folder}", "Name its folder.")
    lock = hold(folder)
    try:
        _mark(folder)
        files = _wipe_keys(folder)
        for found in _rest(folder):
            files += _remove(found)
        for name in (LOCK_FILE, WIPING_FILE):
            (folder / name).unlink(missing_ok=True)
        left = tuple(sorted(os.listdir(folder)))
        sync_folder(folder)
        if not left:
            folder.rmdir()
            sync_folder(folder.parent)
        return Wiped(files, left)
    except OSError as error:
        raise disk_error(error, f"the home at {folder} can't be wiped to its end") from None
    finally:
        os.close(lock)


def _mark(folder: Path) -> None:
    os.close(os.open(folder / WIPING_FILE, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    sync_folder(folder)


def _wipe_keys(folder: Path) -> int:
    """Erase the key file, and what the keyring opens; how many files that were."""
    count = int((folder / KEY_FILE).is_file()) + int((folder / KEYRING_FILE).is_file())
    erase(folder / KEY_FILE)
    remove_key(folder)
    return count


def _rest(folder: Path) -> Iterator[Path]:
    for pattern in _OURS:
        yield from folder.glob(pattern)


def _remove(path: Path) -> int:
    """Remove a file, or a folder with all in it, following no link; how many files that were."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return 1
    count = sum(len(files) for _, _, files in os.walk(path))
    shutil.rmtree(path)
    return count

"""Writing an attachment's content to a file of the person's: whole, or not at all."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from chez.errors import NotAllowed, NotFound
from chez.store.disk import disk_error, name_file
from chez.tasks import finished
from chez_durable.folders import sync_folder

__all__ = ("Target",)


class Target:
    """A file being written under another name beside its own; see `open`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    @classmethod
    @asynccontextmanager
    async def open(cls, path: Path, *, overwrite: bool) -> AsyncIterator["Target"]:
        """Write to `path`, where the file appears when the block ends without an exception.

        It is private to this user. Raises `NotAllowed` when there is one and `overwrite` is
        not given, `NotFound` for a folder that is not there, `StorageFailed`.
        """
        if not overwrite and os.path.lexists(path):
            raise _exists(path)
        new = path.parent / f".{path.name[:100]}.{secrets.token_hex(8)}"
        try:
            file = await _created(new)
        except FileNotFoundError:
            raise NotFound(f"there is no folder {path.parent}", "Make the folder first, or name another.") from None
        except OSError as error:
            raise disk_error(error, f"{path} can't be written") from None
        try:
            try:
                yield cls(file)
                await asyncio.to_thread(_finish, file, new, path, overwrite)
            finally:
                file.close()
        except FileExistsError:
            raise _exists(path) from None
        except OSError as error:
            raise disk_error(error, f"{path} can't be written") from None
        finally:
            with suppress(OSError):
                new.unlink(missing_ok=True)

    async def write(self, data: bytes) -> None:
        """Write the next part."""
        await asyncio.to_thread(self._file.write, data)


async def _created(path: Path) -> BinaryIO:
    """The file; none is left where who waits gives up meanwhile."""
    given_up = asyncio.Event()

    async def work() -> BinaryIO:
        file = await asyncio.to_thread(_create, path)
        if given_up.is_set():
            file.close()
            path.unlink(missing_ok=True)
        return file

    return await finished(work(), given_up.set)


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _finish(file: BinaryIO, new: Path, path: Path, overwrite: bool) -> None:
    file.flush()
    os.fsync(file.fileno())
    if overwrite:
        new.replace(path)
    else:
        name_file(new, path)
    sync_folder(path.parent)


def _exists(path: Path) -> NotAllowed:
    return NotAllowed(f"there is a file {path} already", "Choose another name, or overwrite it: `chez fetch --force`.")

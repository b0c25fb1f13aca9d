"""A folder that is made whole, or not at all: built beside its place, moved there when it is done."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chez.errors import ChezError, StorageFailed

__all__ = ("building", "sync_folder", "unwritable")


@contextmanager
def building(path: Path, taken: Callable[[], ChezError]) -> Iterator[Path]:
    """A private folder beside `path`, which becomes `path` when the block ends well.

    Whatever ends it early, `kill -9` included, leaves nothing at `path`. Raises what
    `taken` makes when something is there already, `StorageFailed` for the system's errors.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise taken()
    made: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield made
        sync_folder(made)
        if path.exists():
            path.rmdir()
        made.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def unwritable(path: Path, error: OSError) -> StorageFailed:
    """What the system refused, as an error for people."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StorageFailed(f"{path} can't be made: {error.strerror or error}",
                         "Free some space and try again." if full else "Check the folder's permissions.")


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A folder that is made whole, or not at all: built beside its place, moved there when it is done."""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from chez.errors import ChezError, InvalidValue
from chez.store.disk import disk_error
from chez_durable.folders import make_folders, sync_folder

__all__ = ("beside", "building", "ensure_free", "ensure_room", "scratch_of")


def beside(path: Path) -> Path:
    """A name for a folder that is built beside its place; nothing is there."""
    return path.absolute().with_name(f".{path.name[:200]}.{secrets.token_hex(4)}")


def scratch_of(path: Path, folder: Path) -> bool:
    """Whether a folder has a name that `beside` gives for `path`."""
    before, _, random = folder.name.rpartition(".")
    place = path.absolute()
    return (folder.parent, before) == (place.parent, f".{place.name[:200]}") and (
        len(random) == 8 and set(random) <= set("0123456789abcdef"))


def ensure_free(path: Path, taken: Callable[[], ChezError]) -> None:
    """Raise what `taken` makes when something is at `path`, an empty folder aside.

    Raises `InvalidValue` for what is no name, and where a folder that is made can't take the place of the one that is
    there.
    """
    if "\0" in str(path):
        raise InvalidValue(f"{str(path)!r} names no folder", "A name has no character 0.")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise taken()
    if path.is_symlink():
        raise InvalidValue(f"{path} is a link, whose place no folder takes",
                           f"Name where it leads: {os.path.realpath(path)}")
    if path.exists() and (_is_here(path) or path.is_mount()):
        # Whoever is in a folder stays in the one that was there: relative paths lead nowhere then.
        what = "a disk is mounted" if path.is_mount() else "this command runs"
        raise InvalidValue(f"{path} is the folder in which {what}, and a new one can't take its place",
                           "Name a folder that does not exist yet, in this one or elsewhere.")


def ensure_room(path: Path, taken: Callable[[], ChezError]) -> None:
    """Raise what `building` raises where no folder can be made at `path`: before what can't be done twice.

    Nothing stays of what is tried, but the folders above.
    """
    with suppress(_Tried), building(path, taken):
        raise _Tried


class _Tried(Exception):
    """It could be made."""


def _is_here(path: Path) -> bool:
    try:
        return path.samefile(Path.cwd())
    except OSError:  # the folder that this runs in is gone
        return False


def _move(made: Path, path: Path, taken: Callable[[], ChezError]) -> None:
    try:
        if path.exists():
            path.rmdir()
        made.rename(path)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):  # somebody else made one here meanwhile
            raise taken() from None
        raise


@contextmanager
def building(path: Path, taken: Callable[[], ChezError], scratch: Path | None = None) -> Iterator[Path]:
    """A private folder beside `path`, which becomes `path` when the block ends well.

    It is `scratch`, a name that `beside` gave, for whoever noted that before. Whatever ends
    the block early, `kill -9` included, leaves nothing at `path`. Raises what `taken` makes
    when something is there already, `InvalidValue` as `ensure_free`, `StorageFailed` for the system's errors.
    """
    made: Path | None = None
    try:
        ensure_free(path, taken)
        make_folders(path.parent)
        made = scratch or beside(path)
        made.mkdir(mode=0o700)
        yield made
        sync_folder(made)
        _move(made, path, taken)
        made = path  # taken back, if its name can't be made durable
        sync_folder(path.parent)
        made = None
    except OSError as error:
        raise disk_error(error, f"{path} can't be made") from None
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)

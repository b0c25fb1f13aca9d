"""A home that comes back, by 24 words or from a backup, is made in a folder beside its place, and that is marked.

Who is killed meanwhile leaves it, and it is large; the next one that comes to the same place takes it away.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Final

from chez.errors import ChezError, HomeBusy, StorageFailed
from chez.home.building import building, scratch_of
from chez.home.lifecycle import hold

__all__ = ("COMING_FILE", "coming_back", "sweep")

COMING_FILE: Final = "chez.recovering"


@contextmanager
def coming_back(folder: Path, taken: Callable[[], ChezError]) -> Iterator[Path]:
    """A folder that becomes the home when the block ends well; who is killed leaves it marked, and unlocked.

    Raises as `building`.
    """
    lock = None
    try:
        with building(folder, taken) as made:
            lock = hold(made)
            (made / COMING_FILE).touch(0o600)
            yield made
        with suppress(OSError):
            (folder / COMING_FILE).unlink()
    finally:
        if lock is not None:
            os.close(lock)


def sweep(folder: Path) -> None:
    """Remove what was left of homes that were to come to this place, by who was killed."""
    place = folder.absolute()
    for left in place.parent.glob(f".{escape(place.name[:200])}.*"):
        if not scratch_of(place, left) or left.is_symlink() or not (left / COMING_FILE).is_file():
            continue
        with suppress(HomeBusy, StorageFailed):  # another one is at it, or it is somebody else's
            lock = hold(left)
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)

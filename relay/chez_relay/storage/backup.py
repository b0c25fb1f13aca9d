"""A copy of a store to come back from, made while the relay serves.

The copy is a store of its own, with an incarnation of its own: what came after it is lacking there, so
devices that find it in the other's place must not take it for a relay that forgot. They see
that it is another one, and send what it lacks. The same copy put in place again is again another one.
"""

import os
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chez_relay.errors import StorageFailed, StoreUnusable
from chez_relay.storage.checking import Report, check
from chez_relay.storage.copies import FILE_NAME, copied, looking, made_another
from chez_relay.storage.integrity import unsound
from chez_relay.storage.migrations import checked_version, steps

__all__ = ("backup",)

_DAMAGED: Final = "`chez-relay check` tells where; keep the backups that you have"


def backup(folder: Path, target: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> Report:
    """Copy the store in `folder` to the file `target`, durably, and look at every row of the copy.

    Raises `StoreUnusable` when there is no store, when `target` exists, or when the copy is not sound (then
    there is none), and `StorageFailed` when it can't be written.
    """
    if target.exists():
        raise StoreUnusable("there is a file of the backup's name already", "choose another name, or move it away")
    with looking(folder / FILE_NAME) as db:
        checked_version(db, len(steps()))
        db.execute("COMMIT")
        try:
            with copied(db, target) as made:
                made_another(made, random)
                report = check(made)
                if not report.sound:
                    raise StoreUnusable("the store is damaged, so there is no backup of it", _DAMAGED)
        except sqlite3.Error as error:
            hint = f"{_DAMAGED}, and look at the disk" if unsound(error) else "look at the disk's space and health"
            raise StorageFailed(f"the store can't be copied: {error}", hint) from error
        except OSError as error:
            raise StorageFailed(f"the backup can't be written: {os.strerror(error.errno or 0)}") from error
    return report

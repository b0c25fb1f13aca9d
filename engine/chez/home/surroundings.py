"""What a home's device lacks, in plain words: room on the disk, the right time. Reads only.

    disk    hardly any room is left
    clock   it is behind what was written here before

Neither is harm that was done: the store stays sound without them.
"""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import sqlcipher3

from chez.home.examine import Finding
from chez.store.database import Connection

__all__ = ("surroundings",)

LITTLE: Final = 256 << 20
"""Bytes that are little room: an attachment, or a few days of imports and of the log of what is written."""

BEHIND: Final = timedelta(minutes=10)
"""What a clock may go back: one that was set right by the network a moment ago does."""


def surroundings(db: Connection, folder: Path, now: int) -> Iterator[Finding]:
    """What is to be known of the disk and the clock of a home; `now` is in Unix milliseconds."""
    free = shutil.disk_usage(folder).free
    if free < LITTLE:
        yield Finding("disk", "the disk", f"{free >> 20:,} MiB are free on the disk of this home: what is written "
                      "may soon be refused, and nothing is mended or backed up without room for a copy",
                      "free some space", harm=False)
    clock, last = datetime.fromtimestamp(now / 1000, UTC), None
    with suppress(sqlcipher3.Error, ValueError, TypeError):  # a damaged store, of which is told
        last = datetime.fromisoformat(db.execute("SELECT max(time) FROM receipt").fetchone()[0])
    if last is not None and last - clock > BEHIND:
        yield Finding("clock", "the clock", f"it is {clock:%Y-%m-%d %H:%M} (UTC) by this device's clock, and the "
                      f"journal has a receipt of {last:%Y-%m-%d %H:%M}: what is written now gets a time before "
                      "it, and what ends at a day, as grants do, goes by this clock",
                      "set the clock; where it was ahead before, wait", harm=False)

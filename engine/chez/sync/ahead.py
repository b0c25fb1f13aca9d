"""What a live change shows, told before the store has it.

Somebody edits live: one small change at a time, each of which goes on from the one before. What it shows follows from
what is in memory (`records.trail`), so that it can be told as soon as the entry was opened and its signature checked;
to log it, and to move the cursor behind it, takes the writer's thread some three times as long. It is told only if
the turn that takes it in is certain to come to the same: the entry is the next of its chain and of the relay's log,
its author has the right to it, nothing waits, and nobody writes meanwhile. A crash before the commit takes the change
back with the cursor, and the relay hands it out again (docs/decisions/0056), or has it from its author again, where it
was just storing it (0073); so it does where the commit fails, and then whoever was told is told to look again.
"""

import msgspec

from chez.errors import BadEntry
from chez.records.store import RecordStore, Shown
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection
from chez.sync.chains import spot_of
from chez.sync.checks import checked_changes, checked_right
from chez.sync.entry import CHANGE, CHANGES, SignedEntry, read_signed, unpacked_size, unseal
from chez.sync.outstanding import Outstanding
from chez_wire.frames import Entry
from chez_wire.limits import KIB

__all__ = ("Foreseen", "Quiet", "foresee")

_SMALL = 4 * KIB
"""Bytes of an envelope that is looked into ahead, and of what it unpacks to: that is done on the event loop."""


class Quiet(msgspec.Struct, frozen=True):
    """What is known of a space, as long as the store counts no more changes than this.

    `end` is the author, the number and the hash of the entry that was taken in last, if its chain ends with it, `calm`
    the row of the record where it was merged (`Rows.calm`).
    """

    changes: int
    found: Outstanding
    end: tuple[bytes, int, bytes] | None = None
    calm: int = 0


class Foreseen(msgspec.Struct, frozen=True):
    """An entry that was opened and checked by itself; what it will show, if that is certain."""

    entry: Entry
    signed: SignedEntry
    shown: Shown | None


def foresee(db: Connection, space: SpaceKeys, device: bytes, records: RecordStore, entry: Entry,
            quiet: Quiet, signed: SignedEntry | None = None) -> Foreseen | None:
    """Look into an entry that comes next, while the writer's thread has nothing to do; writes nothing.

    None for one that is too large, or fails a check: that is for the turn to find. `device` is this one; `signed` what
    is in the entry, where it was opened before.
    """
    if len(entry.envelope) > _SMALL:
        return None
    try:
        signed = signed or _opened(space, entry)
        return None if signed is None else Foreseen(entry, signed, _shown(db, space, device, records, signed, quiet))
    except (BadEntry, ValueError):
        return None


def _opened(space: SpaceKeys, entry: Entry) -> SignedEntry | None:
    """An entry, with its signature checked; None for one that unpacks to much."""
    packed = unseal(entry.envelope, space.handle, space.epochs)
    return read_signed(packed) if unpacked_size(packed) <= _SMALL else None


def _shown(db: Connection, space: SpaceKeys, device: bytes, records: RecordStore, signed: SignedEntry,
           quiet: Quiet) -> Shown | None:
    """What an entry will show that is no more than the next live change of another device. Raises `BadEntry`."""
    inner, membership = signed.inner, space.membership
    if inner.kind != CHANGES or inner.space != space.id or inner.author == device or inner.part is not None or (
            len(inner.items) != 1 or inner.items[0].kind != CHANGE):
        return None
    if not quiet.found.nothing or quiet.found.decided != membership.decisions or not membership.knows(inner.heads):
        return None
    if quiet.end != (inner.author, inner.sequence - 1, inner.previous) and not _is_next(db, space, signed):
        return None
    (item, change), = checked_changes(space, signed)
    if checked_right(space, inner).cut is not None:
        return None
    return records.foresee(db, space.n, item.collection, item.id, change, quiet.calm)


def _is_next(db: Connection, space: SpaceKeys, signed: SignedEntry) -> bool:
    """Whether an entry is the next one of its author's chain, which does not fork there."""
    inner = signed.inner
    spot = spot_of(db, space.n, inner.author, inner.sequence, inner.previous, signed.hash)
    parent = spot.parent
    return not spot.begun and spot.known is None and parent is not None and not parent.branch and parent.part is None

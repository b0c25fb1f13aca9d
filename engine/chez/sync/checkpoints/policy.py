"""When a device makes a checkpoint by itself: a plain function of sizes and of how many others may."""

from typing import Final

from chez_wire.limits import MIB

__all__ = ("ENOUGH", "worth")

ENOUGH: Final = 4 * MIB
"""Bytes at a relay that are worth a checkpoint: some thousands of small entries, or a while of a first sync."""


def worth(growth: int, held: int, rank: int) -> bool:
    """Whether a checkpoint is worth its making.

    `growth` is what the relay holds of entries that the last checkpoint does not stand for, `held` the size of that, in
    bytes. `rank` is the place of this device among those that may make one: each waits for half as much
    again as the one before it, so that one does it while it comes, and the next when it does not.
    """
    return 2 * growth > max(ENOUGH, 2 * held) * (2 + rank)

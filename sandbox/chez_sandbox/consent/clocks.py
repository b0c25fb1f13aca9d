"""Whether the wall's clock can be believed when it says that a turn has come, or that a message may leave.

A clock that is set wrong for one look would have a job run for every day to come, and what leaves stays out. So the
wall's clock is held against one that nobody sets, which counts from the machine's start, asleep or not: where it is
ahead of what that one lets expect, no turn begins by itself until it was put right, or has stood so for an hour.

There is no clock here: readings of both are arguments, in seconds.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ("AHEAD", "HOLD", "WallClock")

AHEAD: Final = 3600.0
"""Seconds by which the wall's clock may go ahead, at once or little by little, until it stood so: turns are days, and
clocks are put right."""

HOLD: Final = 3600.0
"""Seconds after which a clock that was set ahead is believed: it may have been wrong before, as after a start without
a network."""


@dataclass(slots=True)
class WallClock:
    """What is known of the wall's clock, from one reading to the next."""

    _offset: float | None = None
    """Of the wall's clock over the other, as it stood last, or was less since."""
    _set: tuple[float, float] | None = None
    """An offset that is more, and when it was first read, by the other clock."""

    def believed(self, wall: float, boot: float) -> bool:
        """Whether the wall's clock (seconds since 1970) is believed. The first reading is, for want of another."""
        offset = wall - boot
        if self._offset is None or offset <= self._offset:
            self._offset, self._set = offset, None
            return True
        if self._set is None or abs(offset - self._set[0]) > AHEAD:
            self._set = (offset, boot)
        if boot - self._set[1] >= HOLD:
            self._offset, self._set = offset, None
            return True
        return offset <= self._offset + AHEAD

    def time(self, wall: float, boot: float) -> float:
        """The wall's time, where it is believed; else as it would be had nobody set it."""
        return wall if self.believed(wall, boot) or self._offset is None else boot + self._offset

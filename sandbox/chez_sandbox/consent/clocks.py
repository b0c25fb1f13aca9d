"""Whether the wall's clock can be believed when it says that a turn has come, or that a message may leave.

A clock that is set wrong for one look would have a job run for every day to come, and what leaves stays out. So the
wall's clock is held against one that nobody sets, which counts from the machine's start, asleep or not: where it is
ahead of what that one lets expect, no turn begins by itself until it was put right, or has stood so for an hour.

What is known of it is kept (`Kept`) for the processes that come after, as long as the machine is not started anew.

There is no clock here: readings of both are arguments, in seconds.
"""

import math
from dataclasses import dataclass
from typing import Final, Self

import msgspec

__all__ = ("AHEAD", "HOLD", "NEWS", "Kept", "WallClock")

AHEAD: Final = 3600.0
"""Seconds by which the wall's clock may go ahead, at once or little by little, until it stood so: turns are days, and
clocks are put right."""

HOLD: Final = 3600.0
"""Seconds after which a clock that was set ahead is believed: it may have been wrong before, as after a start without
a network."""


NEWS: Final = 60.0
"""Seconds by which what is known must differ from what was kept, to be kept anew."""


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """What a device keeps of its clock: of which start of the machine, and the two parts of a `WallClock`."""

    start: str
    offset: float
    set: tuple[float, float] | None = None

    def is_news(self, before: "Kept | None") -> bool:
        """Whether it says something else than what was kept before."""
        if before is None or before.start != self.start or abs(before.offset - self.offset) > NEWS:
            return True
        pairs = zip(before.set or (0.0, 0.0), self.set or (0.0, 0.0), strict=True)
        return any(abs(one - other) > NEWS for one, other in pairs)


@dataclass(slots=True)
class WallClock:
    """What is known of the wall's clock, from one reading to the next."""

    _offset: float | None = None
    """Of the wall's clock over the other, as it stood last, or was less since."""
    _set: tuple[float, float] | None = None
    """An offset that is more, and when it was first read, by the other clock."""

    @classmethod
    def gone_on(cls, kept: Kept | None, start: str) -> Self:
        """One that goes on with what was kept since this start of the machine; "" is one that nobody can tell."""
        return cls(kept.offset, kept.set) if kept is not None and start and kept.start == start else cls()

    def keep(self, start: str) -> Kept | None:
        """What is known, to be kept; None where there is nothing, or the machine's start can't be told."""
        if self._offset is None or not start:
            return None
        ahead = self._set if self._set is not None and self._set[0] > self._offset + NEWS else None
        return Kept(start, math.ceil(self._offset), ahead)

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

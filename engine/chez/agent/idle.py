"""When an owner locks itself, and how fast passphrases may be tried: two small counts, with the time as an argument."""

import math
import time
from typing import Final

__all__ = ("Guesses", "Idle", "awake_clock")

LONGEST_WAIT: Final = 60.0
"""Seconds between two tries, however many were wrong."""


def awake_clock() -> float:
    """Seconds that go on while the machine sleeps: a laptop that was closed for long enough wakes up locked."""
    clock: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class Idle:
    """How long nobody was served. Times are seconds of one clock."""

    def __init__(self, seconds: float, now: float) -> None:
        self._seconds = seconds
        self._last = now
        self._served = 0

    def touch(self, now: float) -> None:
        """Somebody is here."""
        self._last = max(self._last, now)

    def begin(self) -> None:
        """A request is being served: until its `end` nothing is idle."""
        self._served += 1

    def end(self, now: float) -> None:
        """A request was served."""
        self._served -= 1
        self.touch(now)

    def left(self, now: float) -> float:
        """Seconds until it has been idle for long enough; 0 when it has."""
        return math.inf if self._served else max(0.0, self._last + self._seconds - now)


class Guesses:
    """A pause after each wrong passphrase, twice as long each time: 1 s, 2 s, ... `LONGEST_WAIT`."""

    def __init__(self) -> None:
        self._wrong = 0
        self._next = -math.inf

    def wait(self, now: float) -> float:
        """Seconds until the next try is heard."""
        return max(0.0, self._next - now)

    def wrong(self, now: float) -> None:
        """A try was wrong."""
        self._next = now + min(2.0 ** min(self._wrong, 32), LONGEST_WAIT)
        self._wrong += 1

    def right(self) -> None:
        """A try was right: what was wrong before is forgotten."""
        self._wrong, self._next = 0, -math.inf

"""How long a connection may be silent before the other side is asked whether it is there; no clock in here.

Each question wakes a phone's radio for some ten seconds, so silence is kept for as long as the path bears it:
address translation forgets connections on which nothing is said, some after half a minute, most after many (RFC 5382
wants two hours), and nobody tells. So the pause is found out. An answer after a silence proves the path for that long,
and the next silence may be longer by half; one that is not answered ends the connection, and that pause is not tried
again in this network: the next connection begins with the shortest.
"""

from dataclasses import dataclass
from typing import Final

from chez.errors import InvalidValue

__all__ = ("LONGEST", "SHORTEST", "SLOWEST", "Pulse", "longest_from")

SHORTEST: Final = 20.0
"""Seconds that any path bears."""

LONGEST: Final = 240.0
"""What is notified late when a path is gone unnoticed is late by no more than so many seconds; below what a relay waits
before it asks itself (`limits.ping_interval`)."""

MOST: Final = 270.0

ANSWER: Final = 20.0
"""Seconds in which the answer has to come."""

SLOWEST: Final = 8 * 1024
"""Bytes in a second that a line carries at the least: what a relay wants as well of a frame (`limits.frame`)."""

_GROWTH: Final = 1.5
_SPREAD: Final = 0.1
"""Part of a pause that is drawn at random, so that devices which came at the same time do not ask at the same time."""


@dataclass(slots=True)
class Pulse:
    """The pauses of the connections to one relay, which follow each other; times in seconds."""

    shortest: float = SHORTEST
    longest: float = LONGEST
    answer: float = ANSWER
    _next: float = 0.0
    _bound: float = float("inf")

    def pause(self, jitter: float) -> float:
        """How long the next silence may be; `jitter` is a random number from 0 to 1."""
        return self._span * (1.0 - _SPREAD * jitter)

    def answered(self) -> None:
        """After a silence of that length the other side was there."""
        self._next = min(self._span * _GROWTH, self._bound)

    def lost(self) -> None:
        """After a silence of that length nobody answered."""
        self._bound = max(min(self._bound, self._span / _GROWTH), self.shortest)
        self._next = self.shortest

    def begin_anew(self) -> None:
        """The network may be another: what was found out tells nothing."""
        self._next, self._bound = self.shortest, float("inf")

    @property
    def _span(self) -> float:
        return max(self.shortest, min(self._next, self.longest))


def longest_from(said: str | None, usual: float = LONGEST) -> float:
    """The longest pause that a person wants, in seconds, or the usual one for none. Raises `InvalidValue`."""
    if not said:
        return usual
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not SHORTEST <= seconds <= MOST:
        raise InvalidValue(f"CHEZ_PING is to be {SHORTEST:g} to {MOST:g} seconds, not {said!r}",
                           "It is the longest silence on a connection before the relay is asked whether it is there.")
    return seconds

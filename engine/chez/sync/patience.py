"""When to try a relay again, and when to look at a connection that seems to stand; no clock in here.

`Backoff`: pauses double up to five minutes, so a phone without a network wakes its radio a
few times an hour and no oftener (when there is a network again is seen without it,
`chez.sync.network`), and each is drawn anew from the upper half of its
span, so that a relay that comes back is not met by everybody at once (the "equal jitter" of
M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A connection that
stood for a while begins them anew; one that ends as soon as it is made does not.

`Silence`: a relay that was asked something, and neither answers nor ends the connection.

`Sleep`: a device that slept, or a program that was held, wakes up with a connection that
nobody keeps at the other end any more. Two clocks tell: one that stands still while the
device sleeps (the loop's), and one that does not.
"""

from dataclasses import dataclass
from typing import Final

from chez_wire.limits import MAX_FRAME

__all__ = ("Backoff", "Headway", "Pace", "Silence", "Sleep")

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 300.0
STEADY: Final = 10.0
"""Seconds that a connection stood when its end is not taken for one more failure."""

LATE: Final = 5.0
"""Seconds that a tick may be late, or the clocks apart, before that is taken for a sleep: far above what a busy
loop does, and below what a relay takes to give a silent connection up."""

SLOWEST_SPAN: Final = 120.0
SLOWEST_BYTES: Final = 128 * 1024
"""What a relay has to bring in so many seconds: a tenth of what a telephone line did, and enough for the largest
frame to come over one."""


LONGEST_SILENCE: Final = 1800.0
"""Seconds after which a relay is taken to say nothing however much else it carries: no answer takes so long."""


@dataclass(slots=True)
class Backoff:
    """How long to wait after failures that follow each other; times in seconds."""

    first: float = FIRST_PAUSE
    longest: float = LONGEST_PAUSE
    steady: float = STEADY
    failures: int = 0

    def pause(self, stood: float, jitter: float) -> float:
        """How long to wait now that a connection ended which `stood` so long (0: it was never there).

        `jitter` is a random number from 0 to 1.
        """
        if stood >= self.steady:
            self.failures = 0
        # No power above what `longest` needs: 2.0 ** 2000 is no number.
        span = min(self.first * 2.0 ** min(self.failures, 64), self.longest)
        self.failures += 1
        return span * (1.0 + jitter) / 2.0

    def begin_anew(self) -> None:
        """The surroundings changed: what failed before tells nothing."""
        self.failures = 0


@dataclass(slots=True)
class Sleep:
    """Notices between two ticks, `every` seconds apart, that the device or the program stood still."""

    every: float
    _steady: float | None = None
    _wall: float = 0.0

    def tick(self, steady: float, wall: float) -> bool:
        """Whether there was a sleep since the last tick: by the loop's clock, and by one that goes on meanwhile."""
        before, wall_before = self._steady, self._wall
        self._steady, self._wall = steady, wall
        if before is None:
            return False
        passed = steady - before
        # Only forwards: a wall clock that is set back says nothing of a sleep.
        return passed > self.every + LATE or (wall - wall_before) - passed > LATE


@dataclass(slots=True)
class Pace:
    """How long somebody who waits for a relay goes on: as long as enough comes in each span of time.

    A relay that says a little now and then is alive, and still nobody wants to wait for it for days. Within each
    `span` of seconds it has to bring `least` bytes, or what was asked for to its end; so reading a log takes at most
    as many spans as it has such parts, and one. A large answer may be under way for longer, as long as it comes no
    slower; what came of it counts for nothing else.
    """

    span: float = SLOWEST_SPAN
    least: int = SLOWEST_BYTES
    _begun: float | None = None
    _came: int = 0

    def left(self, now: float, under_way: int = 0) -> float:
        """Seconds, from this time on, until the relay is too slow; 0 once it is.

        `under_way`: so many bytes came of an answer that is not whole, as far as that is known.
        """
        if self._begun is None:
            self._begun = now
        return max(0.0, self._begun + self.span * (1.0 + min(under_way, MAX_FRAME) / self.least) - now)

    def came(self, now: float, size: int) -> None:
        """So many bytes came; what is more than enough for this span counts for no later one."""
        self._came += size
        if self._came >= self.least:
            self._begun, self._came = now, 0


@dataclass(slots=True)
class Silence:
    """How long somebody who asked a relay waits for its next word, whatever that is.

    Behind what else the connection carries meanwhile an answer takes longer: a slow line is no silence. So each
    `SLOWEST_BYTES` of it are worth another `SLOWEST_SPAN`, up to the `LONGEST_SILENCE`.
    """

    _since: float | None = None
    _heard: int = 0
    _carried: int = 0

    def over(self, now: float, *, asked: bool, heard: int, carried: int) -> bool:
        """Whether it says nothing: to be asked now and then, with whether it was `asked` something, how often it was
        `heard` so far, and how many bytes the connection has `carried` either way: of a message that takes minutes
        as they come.
        """
        if not asked or self._since is None or heard != self._heard:
            self._since, self._heard, self._carried = now if asked else None, heard, carried
            return False
        allowed = SLOWEST_SPAN * (1.0 + (carried - self._carried) / SLOWEST_BYTES)
        return now - self._since >= min(allowed, LONGEST_SILENCE)


@dataclass(slots=True)
class Headway:
    """Whether what somebody waits for gets on: entries that were sent or taken in, or so much of a log that was read.

    A relay can make a log longer with what nobody can read; so what was read alone counts by the `least` bytes, as
    for `Pace`. What a connection counts begins anew with the next one, and that is no headway.
    """

    least: int = SLOWEST_BYTES
    _done: int = 0
    _read: int = 0
    _most: int = 0

    def got_on(self, done: int, read: int) -> bool:
        """Whether it did since the last call: so many entries were `done` by now, and so many bytes `read`."""
        if done < self._done or read < self._most:  # another connection
            self._done = self._read = self._most = 0
        on = done > self._done or read - self._read >= self.least
        self._done, self._most = done, read
        if on:
            self._read = read
        return on

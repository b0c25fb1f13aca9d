"""Whether a clock is believed where it says that the one of before was ahead: this one may be behind.

A machine that starts without its time is years behind until it hears of it. Whoever took all that waits for something
of a clock that was ahead would end it: by the right time all of it is over.
"""

from typing import Final

__all__ = ("STOOD", "Standing")

STOOD: Final = 24 * 3600.0
"""Seconds for which a clock says so before it is believed: a machine hears of the time as soon as it has a network."""


class Standing:
    """What a clock said, from one look to the next."""

    def __init__(self) -> None:
        self._since: float | None = None

    def believed(self, now: float, *, late: bool) -> bool:
        """Whether it has stood for so long; `late` is whether something waits longer than anything may by it."""
        if not late:
            self._since = None
        elif self._since is None or now < self._since:
            self._since = now
        return self._since is not None and now - self._since >= STOOD

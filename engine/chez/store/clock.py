"""What time it is in a transaction of the store."""

from collections.abc import Callable

__all__ = ("Clock",)


class Clock:
    """One time for all that a transaction writes: what is committed together was made together.

    So the times of many small writes repeat, and take little room in entries and checkpoints, where
    they can't be left out. `now` gives Unix milliseconds.
    """

    __slots__ = ("_moment", "_now")

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._moment: int | None = None

    def now(self) -> int:
        """When the transaction was first asked for the time, in Unix milliseconds."""
        if self._moment is None:
            self._moment = self._now()
        return self._moment

    def ended(self) -> None:
        """The transaction was committed, or some of it undone."""
        self._moment = None

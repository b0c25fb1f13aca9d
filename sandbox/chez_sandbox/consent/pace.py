"""From when on a run counts as begun, where others ran before it: as if each of them had taken its longest.

A message leaves at the slot after the longest that its run may take. One run goes on after the other, so what a run
took would show in when the next one begins, and so in its slot: jobs of one provider could take as long as they like
and say something by it, or one job in all the turns that are caught up with.

There is no clock here: readings of one that nobody sets are arguments, in seconds.
"""

from dataclasses import dataclass

__all__ = ("Pace",)


@dataclass(slots=True)
class Pace:
    """When what was begun one after the other would be over."""

    _over: float = 0.0

    def begin(self, now: float, seconds: float) -> float:
        """Something begins that takes so many seconds at most: how long after `now` it counts as begun."""
        late = max(0.0, self._over - now)
        self._over = now + late + seconds
        return late

    def never(self, seconds: float) -> None:
        """What was said to begin last ran nothing: it takes none of these seconds."""
        self._over -= seconds

    def passed(self, since: float, now: float) -> None:
        """From `since` on until now something else was done, which is as long whatever ran before."""
        if self._over > since:
            self._over += now - since

"""The connections of a link, one after another: the one there is, and what the ones before it left."""

from chez.errors import ChezError
from chez.sync.driver import Driver
from chez.sync.lanes import Lanes
from chez.sync.work import Progress

__all__ = ("Connections",)


class Connections:
    """One connection at a time, with what is still told of the last one once it ended; no I/O in here."""

    def __init__(self) -> None:
        self.driver: Driver | None = None
        """That of the connection that there is."""
        self.begun = 0
        """How many were."""
        self._before, self._former = Progress(), Progress()
        self._problems: dict[bytes, ChezError] = {}
        self._renewed = 0
        self._unopened: set[int] = set()  # spaces that an earlier connection told of, by their rows

    @property
    def lanes(self) -> Lanes | None:
        """The spaces that are kept in step over the connection that there is."""
        driver = self.driver  # read once: the writer's thread asks too
        return None if driver is None else driver.lanes

    @property
    def greeted(self) -> Lanes | None:
        """Those of a relay that answered the greeting: what takes a connection and says nothing is none yet."""
        lanes = self.lanes
        return lanes if lanes is not None and lanes.welcomed else None

    @property
    def progress(self) -> Progress:
        """What was done since the last connection began."""
        lanes = self.lanes
        return self._before if lanes is None else lanes.progress

    @property
    def done(self) -> Progress:
        """What was done over all of them."""
        lanes = self.lanes
        return self._former if lanes is None else Progress.together((self._former, lanes.progress.done))

    @property
    def problems(self) -> dict[bytes, ChezError]:
        """The spaces, by id, that are not in step although the relay can be reached, or could be last; and why."""
        lanes = self.lanes
        return self._problems if lanes is None else lanes.problems

    @property
    def renewed(self) -> int:
        """How often the relay's store was another one than before."""
        lanes = self.lanes
        return self._renewed + (lanes is not None and lanes.progress.reset)

    @property
    def incarnation(self) -> bytes:
        """What a relay that answered the greeting called its store; empty where there is none."""
        lanes = self.greeted
        return b"" if lanes is None else lanes.incarnation

    def begin(self, driver: Driver) -> None:
        """There is a connection; what earlier ones told of and nobody opened is found by it."""
        driver.lanes.found, self._unopened = self._unopened, set()
        self.driver, self.begun = driver, self.begun + 1

    def end(self) -> bool:
        """There is none any more; False if there was none."""
        lanes = self.lanes
        if lanes is None:
            return False
        self._before, self._problems = lanes.progress, lanes.problems
        self._former = Progress.together((self._former, self._before.done))
        self._renewed += self._before.reset
        self._unopened |= lanes.found
        self.driver = None
        return True

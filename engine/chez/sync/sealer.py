"""Seals for one relay what a transaction of the store wrote, in that very transaction: one commit, not two.

All of it runs in the writer's thread. What is durable then is told to the loop, which sends it.
"""

from collections.abc import Callable

from chez.errors import ChezError
from chez.store.database import Connection
from chez.sync.lane import Lane
from chez.sync.lanes import Lanes
from chez.sync.machine import SyncMachine
from chez.sync.outbox import Waits, waits
from chez.sync.sealed import Sealed

__all__ = ("ForLane", "Sealer")

ForLane = tuple[Lane, SyncMachine, list[Sealed]]
"""What was sealed for a lane, as it stood then."""


class Sealer:
    """What a link does in each transaction; `relay` is the relay's row in the store, `failed` hears why nothing was
    sealed of a space.
    """

    def __init__(self, device: bytes, relay: int, failed: Callable[[ChezError], None]) -> None:
        self._device = device
        self._relay = relay
        self._failed = failed
        self._sealed: list[ForLane] = []
        self._nothing = False  # whether nothing waited anywhere when the last transaction was committed

    def before_commit(self, db: Connection, lanes: Lanes | None) -> None:
        """Seal what waits for the lanes of the connection that there is."""
        sealing = [] if lanes is None else [lane for lane in lanes.all if lane.seals]
        nothing, self._nothing = self._nothing, False
        if not sealing:
            return
        if nothing and self._straight(db, sealing):
            self._nothing = True
            return
        sealing[0].replica.author.log_held(db)
        found = waits(db, self._device, sealing[0].replica.space.n if len(sealing) == 1 else None)
        self._nothing = not found.spaces
        for lane in sealing:
            if lane.replica.space.n in found.spaces or lane.replica.relays.owes(self._relay):
                self._seal(db, lane, found)

    def after_commit(self) -> list[ForLane]:
        """What was sealed, and is durable: each is told once."""
        sealed, self._sealed = self._sealed, []
        return sealed

    def after_rollback(self) -> None:
        """The transaction was undone, and with it what it sealed."""
        self._sealed, self._nothing = [], False

    def _straight(self, db: Connection, sealing: list[Lane]) -> bool:
        """Seal what waits, if that is one change and nothing else of any space; False where it is to be looked for."""
        for lane in sealing:
            try:
                sealed = lane.replica.author.straight(db, self._relay)
            except ChezError:  # found again, and told, by who looks
                return False
            if sealed is not None:
                self._sealed.append((lane, lane.machine, [sealed]))
                return not any(one.replica.relays.owes(self._relay) for one in sealing)
        return False

    def _seal(self, db: Connection, lane: Lane, found: Waits) -> None:
        db.execute("SAVEPOINT sealing")
        try:
            self._sealed.append((lane, lane.machine, lane.replica.author.outgoing(db, self._relay, found)))
        except ChezError as error:
            # What can't be sent must not keep what is local from being saved.
            db.execute("ROLLBACK TO sealing")
            lane.error = error
            self._failed(error)
        db.execute("RELEASE sealing")

"""A device as the shell runs it (`chez.sync.link`, `store.Database`), without asyncio."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from chez.records.store import RecordStore
from chez.store.database import Connection
from chez.sync.keeping import Keeping
from chez.sync.lanes import Job, Lane, Lanes
from chez.sync.machine import SyncMachine
from chez.sync.meeting import Approach
from chez.sync.outbox import waiting_spaces
from chez.sync.replica import Replica
from chez.sync.sealed import Sealed
from chez.sync.session import ClientSession
from tests.simulation.household import Household, Member

__all__ = ("RELAY", "Device", "Undone")

T = TypeVar("T")
RELAY = 1


class Undone(Exception):
    """Work that fails on purpose: it must leave no trace."""


@dataclass
class Device:
    """The store survives a crash as of its last commit; everything else here does not."""

    household: Household
    member: Member
    random: Random
    db: Connection
    keeps: bool = False
    """Whether its relay is to keep what is followed for the next connection."""
    keeping: Keeping | None = None
    records: RecordStore = field(init=False)
    replicas: dict[int, Replica] = field(default_factory=dict)
    lanes: Lanes | None = None
    jobs: deque[Job] = field(default_factory=deque)
    sealed: list[tuple[Lane, SyncMachine, list[Sealed]]] = field(default_factory=list)
    edits: dict[tuple[bytes, str, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()

    @property
    def name(self) -> str:
        return self.member.name

    @property
    def replica(self) -> Replica:
        """The private space's."""
        return self.replicas[1]

    @property
    def spaces(self) -> dict[bytes, int]:
        """The rows of the spaces that are here, by id, the private one first."""
        return {replica.space.id: n for n, replica in self.replicas.items()}

    def start(self) -> None:
        """From the store alone, as a process that was just started."""
        self.records = RecordStore(self.member.keys.id)
        self.replicas = {}
        self.edits.clear()
        self.keeping = Keeping(self.random.randbytes) if self.keeps else None
        self.disconnect()
        for (n,) in self.db.execute("SELECT n FROM space ORDER BY n").fetchall():
            self.open(n)

    def open(self, n: int) -> None:
        """A space is here, or there is more of it than was known."""
        if n in self.replicas:
            self.replicas[n].hear()
            if self.lanes is not None:
                self.lanes.wake(self.replicas[n].space.id)
            return
        self.replicas[n] = self.household.replica(self.member, self.db, self.random, self.records, n)
        if self.lanes is not None:
            self.lanes.add(self.replicas[n])

    def disconnect(self) -> None:
        """The connection is gone, and with it what was to be sent and done because of it."""
        self.lanes = None
        self.jobs.clear()
        self.sealed.clear()

    def dial(self, relay: str, approach: Approach | None = None) -> None:
        """Begin a connection; its frames are the caller's to carry."""
        self.lanes = Lanes(ClientSession(relay, self.random.randbytes(32), approach), RELAY, rests=True,
                           keeping=self.keeping)
        for replica in self.replicas.values():
            self.lanes.add(replica)

    def write(self, work: Callable[[Connection], T], *, lose: bool = False) -> T:
        """As `Database.write`: own savepoint, then sealing, then the commit (or a crash just before it)."""
        self.db.execute("BEGIN IMMEDIATE")
        self.db.execute("SAVEPOINT work")
        try:
            result = work(self.db)
        except Undone:
            self.db.execute("ROLLBACK TO work")
            self.records.forget()
            for replica in self.replicas.values():
                replica.forget()
            self.db.execute("COMMIT")
            raise
        self.db.execute("RELEASE work")
        sealing = []
        if self.lanes is not None:
            waiting = waiting_spaces(self.db, self.member.keys.id)
            sealing = [(lane, lane.machine, lane.replica.outgoing(self.db, RELAY)) for lane in self.lanes.all
                       if lane.seals and lane.replica.space.n in waiting]
        if lose:
            self.db.execute("ROLLBACK")
            self.start()
            raise Undone
        self.db.execute("COMMIT")
        self.sealed += sealing
        return result

    def receive(self, message: bytes) -> None:
        """A frame from the relay: what it leads to is queued."""
        assert self.lanes is not None
        self.lanes.receive(message)

    @property
    def busy(self) -> bool:
        """Whether there is work to do because of what arrived."""
        return bool(self.jobs) or (self.lanes is not None and self.lanes.busy)

    def work(self) -> None:
        """Commit the next piece of queued work and react to its result."""
        assert self.lanes is not None
        self.jobs = self.jobs or deque(self.lanes.take())
        job = self.jobs.popleft()
        self.lanes.done(job, self.write(job.work.run))
        while self.lanes.found:
            self.open(self.lanes.found.pop())

    def again(self) -> None:
        """Begin a lane anew that could not go on."""
        assert self.lanes is not None
        self.lanes.again(self.lanes.resting.pop(0))

    @property
    def sends(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.sealed) or (self.lanes is not None and self.lanes.sends)

    def flush(self) -> list[bytes]:
        """What is to be sent now."""
        if self.lanes is None:
            return []
        sealed, self.sealed = self.sealed, []
        for lane, machine, entries in sealed:
            self.lanes.sealed(lane, machine, entries)
        return self.lanes.data_to_send()

    @property
    def idle(self) -> bool:
        """In step with the relay in every space, nothing left to do."""
        return self.lanes is not None and all(lane.idle for lane in self.lanes.all) and not (self.busy or self.sealed)

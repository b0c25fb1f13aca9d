"""A device as the shell runs it (`chez.sync.driver`, `store.Database`), without asyncio."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from chez.records.store import RecordStore, Shown
from chez.store.database import Connection
from chez.sync.keeping import Keeping
from chez.sync.lane import Job, Lane
from chez.sync.lanes import Lanes
from chez.sync.machine import SyncMachine
from chez.sync.meeting import Approach
from chez.sync.outbox import waiting_spaces
from chez.sync.replica import Replica
from chez.sync.sealed import Sealed
from chez.sync.session import ClientSession
from tests.simulation.household import Household, Member

__all__ = ("RELAY", "Device", "Undone", "Wire")

T = TypeVar("T")
RELAY = 1
"""The row of the relay that every device knows."""


class Undone(Exception):
    """Work that fails on purpose: it must leave no trace."""


@dataclass(eq=False)
class Wire:
    """A device's side of one connection: what of it does not outlive it."""

    lanes: Lanes
    jobs: deque[Job] = field(default_factory=deque)
    sealed: list[tuple[Lane, SyncMachine, list[Sealed]]] = field(default_factory=list)
    held: Job | None = None
    """Work of which was told what it will show, and which the store was not given yet."""

    @property
    def busy(self) -> bool:
        """Whether there is work to do because of what arrived."""
        return bool(self.jobs) or self.lanes.busy

    @property
    def sends(self) -> bool:
        """Whether there is anything to send."""
        return bool(self.sealed) or self.lanes.sends

    @property
    def idle(self) -> bool:
        """In step with the relay in every space, nothing left to do."""
        return all(lane.idle for lane in self.lanes.all) and not (self.busy or self.sealed)


@dataclass
class Device:
    """The store survives a crash as of its last commit; everything else here does not."""

    household: Household
    member: Member
    random: Random
    db: Connection
    keeps: bool = False
    """Whether its relay is to keep what is followed for the next connection."""
    knows: set[int] = field(default_factory=lambda: {RELAY})
    """The relays that it keeps its spaces at, by their rows."""
    keeping: dict[int, Keeping] = field(default_factory=dict)
    records: RecordStore = field(init=False)
    replicas: dict[int, Replica] = field(default_factory=dict)
    wires: dict[int, Wire] = field(default_factory=dict)
    """Its connections, by the relays' rows."""
    edits: dict[tuple[bytes, str, str], Any] = field(default_factory=dict)
    told: list[Shown] = field(default_factory=list)
    """What was told ahead of the last work, before the store had it."""

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
        self.records.ahead = self._hear
        self.replicas = {}
        self.edits.clear()
        self.keeping.clear()
        for wire in self.wires.values():  # what shows is gone with the process
            wire.held = None
        self.told.clear()
        self.disconnect()
        for (n,) in self.db.execute("SELECT n FROM space ORDER BY n").fetchall():
            self.open(n)

    @property
    def lanes(self) -> Lanes | None:
        """Those of the connection to the relay that every device knows."""
        return self.lanes_at(RELAY)

    def lanes_at(self, relay: int) -> Lanes | None:
        """Those of the connection to a relay, if there is one."""
        wire = self.wires.get(relay)
        return None if wire is None else wire.lanes

    def open(self, n: int) -> None:
        """A space is here, or there is more of it than was known."""
        if n in self.replicas:
            self.replicas[n].hear()
            for wire in self.wires.values():
                wire.lanes.wake(self.replicas[n].space.id)
            return
        self.replicas[n] = self.household.replica(self.member, self.db, self.random, self.records, n)
        self.replicas[n].relays.kept |= self.knows
        for wire in self.wires.values():
            wire.lanes.add(self.replicas[n])

    def learn(self, relay: int) -> None:
        """Keep its spaces at one more relay."""
        self.knows.add(relay)
        for replica in self.replicas.values():
            replica.relays.kept.add(relay)

    def disconnect(self, *relays: int) -> None:
        """The connection to these (none named: to all) is gone, and with it what was to be sent and done for it."""
        for relay in relays or tuple(self.wires):
            self.begin_held(relay)
            self.wires.pop(relay, None)
            for replica in self.replicas.values():
                replica.relays.end(relay)

    def dial(self, name: str, approach: Approach | None = None, relay: int = RELAY) -> None:
        """Begin a connection to a relay; its frames are the caller's to carry."""
        if self.keeps:
            self.keeping.setdefault(relay, Keeping(self.random.randbytes))
        lanes = Lanes(ClientSession(name, self.random.randbytes(32), approach), relay, rests=True,
                      keeping=self.keeping.get(relay))
        self.wires[relay] = Wire(lanes)
        for replica in self.replicas.values():
            lanes.add(replica)

    def write(self, work: Callable[[Connection], T], *, lose: bool = False) -> T:
        """As `Database.write`: own savepoint, then sealing, then the commit (or a crash just before it)."""
        self.begin_held(*self.wires)
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
        sealing = self._seal()
        if lose:
            self.db.execute("ROLLBACK")
            self.start()
            raise Undone
        self.db.execute("COMMIT")
        for wire, *one in sealing:
            wire.sealed.append((one[0], one[1], one[2]))
        return result

    def _seal(self) -> list[tuple[Wire, Lane, SyncMachine, list[Sealed]]]:
        """What the transaction leaves is sealed in it, for each relay that takes entries as they are made."""
        waiting = waiting_spaces(self.db, self.member.keys.id) if self.wires else set()
        return [(wire, lane, lane.machine, lane.replica.author.outgoing(self.db, relay))
                for relay, wire in self.wires.items() for lane in wire.lanes.all
                if lane.seals and (lane.replica.space.n in waiting or lane.replica.relays.owes(relay))]

    def receive(self, message: bytes, relay: int = RELAY) -> None:
        """A frame from a relay: what it leads to is queued."""
        self.wires[relay].lanes.receive(message)

    @property
    def busy(self) -> bool:
        """Whether there is work to do because of what arrived."""
        return any(wire.busy for wire in self.wires.values())

    def work(self, relay: int = RELAY) -> None:
        """Commit the next piece of queued work of a connection and react to its result."""
        wire = self.wires[relay]
        wire.jobs = wire.jobs or deque(wire.lanes.take())
        job = wire.jobs.popleft()
        held = wire.held
        if held is not None and job.work.instead is held.work:
            wire.held = None
            wire.lanes.done(held, None)
        else:
            told = self._told(job)
            if job.work.early:
                if told:
                    wire.held = job
                else:
                    wire.lanes.done(job, None)
                return
        self._do(wire, job)

    def _told(self, job: Job) -> bool:
        """Tell what is known of what work will show, unless something is held; whether there was anything."""
        if job.work.ahead is None or any(wire.held for wire in self.wires.values()):
            return False
        self.told.clear()
        tell = job.work.ahead(self.db)
        return tell is not None and tell()

    def begin_held(self, *relays: int) -> None:
        """As `Database.begin_held`: somebody reads or writes, or the connection ends, or the relay is late."""
        for relay in relays:
            wire = self.wires.get(relay)
            if wire is not None and (job := wire.held) is not None:
                wire.held = None
                self._do(wire, job)

    def _do(self, wire: Wire, job: Job) -> None:
        """Do work, and hear what came of it."""
        result = self.write(job.run)
        for shown in self.told:
            there = self.db.execute("SELECT id, json, kinds FROM record WHERE space = ? AND collection = ? AND id = ? "
                                    "AND deleted = 0", (shown.space, shown.collection, shown.row[0])).fetchone()
            assert there == shown.row, "what was told ahead is not what came"
        self.told.clear()
        wire.lanes.done(job, result)
        while wire.lanes.found:
            self.open(wire.lanes.found.pop())

    def _hear(self, shown: Shown) -> bool:
        self.told.append(shown)
        return True

    def again(self, relay: int = RELAY) -> None:
        """Begin a lane anew that could not go on."""
        lanes = self.wires[relay].lanes
        lanes.again(lanes.resting.pop(0))

    def flush(self, relay: int = RELAY) -> list[bytes]:
        """What is to be sent now to a relay."""
        wire = self.wires.get(relay)
        if wire is None:
            return []
        sealed, wire.sealed = wire.sealed, []
        for lane, machine, entries in sealed:
            wire.lanes.sealed(lane, machine, entries)
        return wire.lanes.data_to_send()

    @property
    def idle(self) -> bool:
        """In step in every space with each relay that it knows, nothing left to do."""
        return self.wires.keys() == self.knows and all(wire.idle for wire in self.wires.values())

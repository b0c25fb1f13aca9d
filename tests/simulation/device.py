"""A device as the shell runs it (`chez.sync.link`, `store.Database`), without asyncio."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from chez.records.store import RecordStore
from chez.store.database import Connection
from chez.sync.machine import SyncMachine, Work
from chez.sync.replica import Replica, Sealed
from chez.sync.session import ClientSession
from tests.simulation.household import Household, Member

__all__ = ("Device", "Undone")

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
    records: RecordStore = field(init=False)
    replica: Replica = field(init=False)
    session: ClientSession | None = None
    machine: SyncMachine | None = None
    works: deque[Work] = field(default_factory=deque)
    sealed: list[Sealed] = field(default_factory=list)
    edits: dict[tuple[str, str], Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.start()

    @property
    def name(self) -> str:
        return self.member.name

    def start(self) -> None:
        """From the store alone, as a process that was just started."""
        self.records = RecordStore(self.member.keys.id)
        self.replica = self.household.replica(self.member, self.db, self.random, self.records)
        self.edits.clear()
        self.disconnect()

    def disconnect(self) -> None:
        """The connection is gone, and with it what was to be sent and done because of it."""
        self.session = self.machine = None
        self.works.clear()
        self.sealed.clear()

    def dial(self, relay: str) -> ClientSession:
        """Begin a connection; its frames are the caller's to carry."""
        self.session = ClientSession(relay, self.random.randbytes(32))
        self.machine = SyncMachine(self.replica, RELAY, self.session)
        return self.session

    def write(self, work: Callable[[Connection], T], *, lose: bool = False) -> T:
        """As `Database.write`: own savepoint, then sealing, then the commit (or a crash just before it)."""
        self.db.execute("BEGIN IMMEDIATE")
        self.db.execute("SAVEPOINT work")
        try:
            result = work(self.db)
        except Undone:
            self.db.execute("ROLLBACK TO work")
            self.records.forget()
            self.replica.forget()
            self.db.execute("COMMIT")
            raise
        self.db.execute("RELEASE work")
        sealing = []
        if self.machine is not None and self.machine.sealing:
            sealing = self.replica.outgoing(self.db, RELAY)
        if lose:
            self.db.execute("ROLLBACK")
            self.start()
            raise Undone
        self.db.execute("COMMIT")
        self.sealed += sealing
        return result

    def receive(self, message: bytes) -> None:
        """A frame from the relay: what it leads to is queued."""
        assert self.session is not None and self.machine is not None
        for event in self.session.receive(message):
            self.works += self.machine.handle(event)

    def work(self) -> None:
        """Commit the next piece of queued work and react to its result."""
        work = self.works.popleft()
        self.works.extendleft(reversed(work.then(self.write(work.run))))

    def flush(self) -> list[bytes]:
        """What is to be sent now."""
        if self.session is None or self.machine is None:
            return []
        sealed, self.sealed = self.sealed, []
        self.works += self.machine.send(sealed)
        return self.session.data_to_send()

    @property
    def idle(self) -> bool:
        """In step with the relay, nothing left to do."""
        return self.machine is not None and self.machine.idle and not self.works and not self.sealed

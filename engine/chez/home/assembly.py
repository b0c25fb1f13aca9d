"""How an open home is put together: its parts, and what they do in every transaction of its store."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from chez import crypto
from chez.blobs.files import FOLDER, PieceFiles
from chez.blobs.whole import content_of
from chez.home.answering import Answering
from chez.home.contacts import Contacts
from chez.home.ephemeral import Ephemerals
from chez.home.exporting import Exported, Exporter
from chez.home.held import Held, HeldSpaces
from chez.home.lan import Network
from chez.home.syncing import Syncing
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.records.values import time_text
from chez.spaces.space import SpaceKeys
from chez.store.database import Connection, Database
from chez.sync.backlog import Backlog
from chez.sync.hooks import hooks

__all__ = ("OpenHome", "assemble", "unix_milliseconds")


def unix_milliseconds() -> int:
    """The wall clock, for histories and receipts; nothing is ordered by it."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class OpenHome:
    """What a home consists of while it is open, and what its spaces share."""

    path: Path
    database: Database
    journal: Journal
    person: bytes
    device: DeviceKeys = field(repr=False)
    name: str
    spaces: HeldSpaces
    syncing: Syncing
    answering: Answering
    contacts: Contacts
    now: Callable[[], int]
    ephemerals: Ephemerals
    backlog: Backlog
    network: Network

    def exporter(self, spaces: Sequence[Held]) -> Exporter:
        """What exports these spaces, the others with the first."""
        files = PieceFiles(self.path / FOLDER)

        def content(held: Held, db: Connection, id: str) -> Iterator[bytes]:
            return content_of(db, files, held.space, id)

        exported = [Exported(held.space.n, held.id, held.space.name, partial(content, held)) for held in spaces]
        return Exporter(self.database, self.journal, exported, self.person, self.device.id, self.name,
                        time_text(datetime.now(UTC)))


def assemble(path: Path, database: Database, device: DeviceKeys, name: str, person: bytes,
             keys: Sequence[SpaceKeys]) -> OpenHome:
    """The parts of a home whose spaces have these keys, the private one first."""
    journal = Journal(database, device, unix_milliseconds)
    syncing = Syncing(database, device.id, lambda: spaces.private.space.relay)
    spaces = HeldSpaces(path, database, device, journal, keys, unix_milliseconds, syncing.nearest)
    answering = Answering(database, spaces, device, person, syncing.routes.relay_of, syncing.routes.pins,
                          unix_milliseconds)
    ephemerals = Ephemerals(device, syncing.links, crypto.random_bytes)
    syncing.serve(spaces, answering, ephemerals.heard)
    network = Network(path, database, device, spaces, syncing)
    syncing.also(network.running, network.places)
    backlog = Backlog(database, spaces.replicas, spaces.records, syncing.found)
    contacts = Contacts(database, spaces.private, journal, person)
    home = OpenHome(path, database, journal, person, device, name, spaces, syncing, answering, contacts,
                    unix_milliseconds, ephemerals, backlog, network)
    _hook(home)
    return home


def _hook(home: OpenHome) -> None:
    """Let every transaction of the store be finished, and its end be heard."""
    spaces = home.spaces

    def finish(db: Connection) -> None:
        spaces.records.before_commit(db)
        spaces.news.look(db)

    def committed() -> None:
        spaces.clock.ended()
        spaces.news.publish()
        home.backlog.committed()
        home.network.committed()

    hooks(home.database, home.syncing.links, finish, spaces.records.log_held, committed, spaces.forget)

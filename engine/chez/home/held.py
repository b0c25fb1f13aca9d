"""The spaces of an open home: each with how it is kept in step, written and read."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from chez import crypto
from chez.blobs.attachments import Blobs, blobs_beside, blobs_of
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.home.names import check_name
from chez.journal import Journal
from chez.keys.device import DeviceKeys
from chez.keys.person import Person
from chez.records.engine import Engine
from chez.records.news import News
from chez.records.store import RecordStore
from chez.spaces.permits import check_writer
from chez.spaces.space import SpaceKeys, load_space
from chez.store.clock import Clock
from chez.store.database import Connection, Database
from chez.sync.meeting import Near
from chez.sync.replica import Replica

__all__ = ("PRIVATE", "Held", "HeldSpaces")

PRIVATE: Final = "private"
"""The name of the person's own space, which no other may have."""

LEAST_PREFIX: Final = 8
"""Characters of a space's id that may stand for it, when no other begins so."""


class Held(msgspec.Struct, frozen=True):
    """One space that the home has open."""

    replica: Replica
    engine: Engine
    blobs: Blobs

    @property
    def space(self) -> SpaceKeys:
        """Its keys and members as they are now."""
        return self.replica.space

    @property
    def id(self) -> str:
        """Its id as people and programs see it."""
        return self.space.id.hex()


class HeldSpaces:
    """All spaces of a home, by row, the private one first. `nearest` tells where pieces of one are fetched."""

    def __init__(self, path: Path, database: Database, device: DeviceKeys, journal: Journal,
                 spaces: Iterable[SpaceKeys], now: Callable[[], int],
                 nearest: Callable[[SpaceKeys], Sequence[str | Near]]) -> None:
        self.news = News()
        self.clock = Clock(now)
        self.records = RecordStore(device.id, self.news.touch, now, self.clock.now)
        self.records.permit = self._permit
        self.records.ahead = self.news.ahead
        self._path = path
        self._database = database
        self._device = device
        self._journal = journal
        self._now = now
        self._nearest = nearest
        self._tended: set[str] = set()
        self._opening = asyncio.Lock()
        self._person: Person | None = None
        self._silent = False
        self.recovery: crypto.SealingKey | None = None
        """The person's recovery key, which a home that came back keeps until its relays have heard of it."""
        self.all: dict[int, Held] = {}
        for space in spaces:
            self._add(space)

    @property
    def private(self) -> Held:
        """The person's own."""
        return next(iter(self.all.values()))

    def replicas(self) -> list[Replica]:
        """How each is kept in step."""
        return [held.replica for held in list(self.all.values())]

    def forget(self) -> None:
        """Some work was undone: what it taught is read again from the store."""
        self.clock.ended()
        self.records.forget()
        self.news.forget()
        for held in list(self.all.values()):
            held.replica.forget()

    async def start(self) -> None:
        """Begin what runs in the background. Called when the home opens."""
        for held in list(self.all.values()):
            await held.blobs.start()

    async def close(self) -> None:
        """End what runs in the background. Called when the home closes."""
        for held in list(self.all.values()):
            await held.blobs.close()

    async def open(self, n: int) -> Held | None:
        """There is a space in row `n`, or more of it than before; returns it if it is new here.

        Raises `NotFound` for one that was erased meanwhile.
        """
        async with self._opening:
            if n in self.all:
                self.all[n].replica.hear()
                return None
            # In the writer's thread: it may be shown there and not durable yet.
            space = await self._database.write(lambda db: load_space(db, n))
            held = self._add(space)
        await held.blobs.start()
        return held

    def come_back(self, person: Person, *, silent: bool) -> None:
        """Use the person's own keys in every space, as far as sync needs them; `silent`, send nothing in any."""
        self._person, self._silent = person, silent
        for replica in self.replicas():
            replica.access.person, replica.access.silent = person, silent
        self.use(person.recovery)

    def use(self, recovery: crypto.SealingKey | None) -> None:
        """Open packets for the person's recovery key, too; or no more."""
        self.recovery = recovery
        for replica in self.replicas():
            replica.access.recovery = recovery

    def drop(self, n: int) -> Held | None:
        """The space in row `n` is open no more; returns what it was."""
        return self.all.pop(n, None)

    def put_back(self, held: Held) -> None:
        """A space that was dropped is here all the same."""
        self.all[held.space.n] = held

    def find(self, what: str) -> Held:
        """A space by its name, its id, or the first characters of that. Raises `NotFound`, `InvalidValue`."""
        if what == PRIVATE:
            return self.private  # whatever the owners of others call those
        spaces = list(self.all.values())
        # A space that is called as another's id begins is not taken for that one.
        found = [held for held in spaces if held.id == what] or [
            held for held in spaces if held.space.name == what or (
                len(what) >= LEAST_PREFIX and held.id.startswith(what))]
        if not found:
            raise NotFound(f"there is no space {what!r} on this device",
                           "`chez space list` shows those that there are.")
        if len(found) > 1:
            raise InvalidValue(f"{len(found)} spaces here are called {what!r}",
                               f"Name one by its id: {', '.join(held.id[:LEAST_PREFIX] for held in found)}.")
        return found[0]

    def into(self, id: str) -> tuple[Engine, Blobs] | None:
        """Where records of the space with this id are written; None for one that is not here, or is only read."""
        held = next((held for held in list(self.all.values()) if held.id == id), None)
        if held is None:
            return None
        try:
            self._permit(held.space.n)
        except NotAllowed:
            return None
        return held.engine, held.blobs

    def check_name(self, name: str) -> str:
        """The name of a new space. Raises `InvalidValue`, also for one that a space here has."""
        check_name(name, "space")
        if name == PRIVATE or any(name in (held.space.name, held.id) for held in self.all.values()):
            raise InvalidValue(f"there is a space called {name!r} already", "Choose another name.")
        return name

    def _permit(self, n: int) -> None:
        held = self.all.get(n)
        if held is None:
            raise NotFound("this space is on this device no more", "`chez space list` shows those that are.")
        check_writer(held.space, self._device.id)

    def _add(self, space: SpaceKeys) -> Held:
        n = space.n
        def name_of(device: bytes) -> str | None:
            known = replica.space.membership.state.device(device)
            return None if known is None else known.name

        def receipt(db: Connection, kind: str, body: Mapping[str, Any]) -> None:
            self._journal.record(db, kind, body if space.private else {**body, "space": space.id.hex()})

        replica = Replica(space, self._device, self.records, self._now, crypto.random_bytes, receipt)
        access = replica.access
        access.person, access.silent, access.recovery = self._person, self._silent, self.recovery

        def relays() -> Sequence[str | Near]:
            return self._nearest(replica.space)

        engine = Engine(self._database, self.records, n, crypto.random_bytes, self.news, name_of, receipt,
                        tended=self._tended)
        if self.all:
            blobs = blobs_beside(self.private.blobs, lambda: replica.space, relays, lambda: self._permit(n))
        else:
            blobs = blobs_of(self._path, self._database, lambda: replica.space, crypto.random_bytes, relays)
        held = self.all[n] = Held(replica, engine, blobs)
        return held

"""A home among other devices of one network: kept in step with those that keep a space of it too."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from chez.blobs.files import FOLDER as PIECES
from chez.errors import ChezError
from chez.home.held import HeldSpaces
from chez.home.syncing import Syncing
from chez.keys.device import DeviceKeys
from chez.lan.discovery import Discovery
from chez.lan.memory import KEPT_SECONDS, forget_relays, met_relays
from chez.lan.multicast import INTERFACES, Multicast, own_addresses
from chez.lan.recognition import Recognition, Served
from chez.lan.service import Service
from chez.store.database import Connection, Database
from chez.sync.meeting import Near
from chez.tasks import stop

__all__ = ("Lan", "LanPeer", "LanStatus", "Network")

FOLDER: Final = "lan"
"""In the home's folder, for the store of its own relay: sealed bytes that may be deleted at any time."""

_KEY: Final = "lan"
_SETTLE: Final = 0.25
"""Seconds after a transaction that it is looked whether spaces or epochs are others, once for many."""


class LanPeer(msgspec.Struct, frozen=True):
    """One device that is kept in step with: where, how its link stands (as in `SpaceStatus`), and since when."""

    url: str
    link: str
    since: float | None
    problem: str = ""


class LanStatus(msgspec.Struct, frozen=True):
    """How a home stands on its network.

    `on` is what the person said, `working` whether it is being done now: while the home is connected. `port`
    is that of its own relay, 0 while there is none. `devices` are those that it dialled, `guests` counts
    those that dialled it, `strangers` those announced that keep no space of it. `problem` tells what is
    wrong, empty if nothing is.
    """

    on: bool
    working: bool = False
    port: int = 0
    devices: tuple[LanPeer, ...] = ()
    guests: int = 0
    strangers: int = 0
    problem: str = ""


class Network:
    """What a home does on its network: switched by `Lan`, begun and ended with its connection.

    `find` makes what finds other devices.
    """

    def __init__(self, path: Path, database: Database, device: DeviceKeys, spaces: HeldSpaces,
                 syncing: Syncing) -> None:
        self._recognition = Recognition(device)
        self._folder = path / FOLDER
        # A copied home that became another device must not go on with the copied store: two would have one name.
        self._store = self._folder / device.id.hex()[:16]
        self._pieces = path / PIECES
        self._database = database
        self._spaces = spaces
        self._syncing = syncing
        self.find: Callable[[], Discovery] = Multicast
        self._service: Service | None = None
        self._task: asyncio.Task[None] | None = None
        self._connected = False
        self._switching = asyncio.Lock()
        """One switches, or looks how it is to be, at a time."""
        self._ending = asyncio.Lock()
        """Who ends it while another does waits until it ended."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.TimerHandle | None = None

    async def on(self) -> None:
        """See `Lan.on`."""
        async with self._switching:
            await self._database.write(lambda db: _keep(db, b"1"))
            if self._connected:
                await self._begin_tidily()

    async def off(self) -> None:
        """See `Lan.off`."""
        async with self._switching:
            await self._database.write(lambda db: _keep(db, None))
            await self._stop()
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def status(self) -> LanStatus:
        """See `Lan.status`."""
        on = await self._database.read(_is_on)
        service = self._service
        if service is None:
            return LanStatus(on)
        peers = tuple(LanPeer(link.url, link.status, link.since, "" if link.error is None else str(link.error))
                      for link in service.met)
        return LanStatus(on, True, service.port, peers, service.guests, service.strangers, service.problem)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be on the network while the block lasts, if the person wants it. Entered when the home connects."""
        self._connected = True
        try:
            async with self._switching:
                if await self._database.read(_is_on):
                    await self._begin_tidily()
            yield
        finally:
            self._connected = False
            await self._stop()

    def places(self) -> list[Near]:
        """Where pieces of attachments can be asked for on the network."""
        return [] if self._service is None else self._service.places

    def committed(self) -> None:
        """A transaction is durable: it may have brought a space, or an epoch. Called in the writer's thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._look_soon)

    def _look_soon(self) -> None:
        if self._loop is not None and self._looking is None:
            self._looking = self._loop.call_later(_SETTLE, self._look)

    def _look(self) -> None:
        self._looking = None
        try:
            if self._service is not None:
                self._service.renew()
        except RuntimeError:  # the writer's thread took keys in meanwhile, and its commit may have been heard of before
            self._look_soon()

    async def _begin_tidily(self) -> None:
        """Forget the relays of devices that were not met for long, and another device's store; then begin."""
        await asyncio.to_thread(self._tidy)
        before = int(time.time()) - KEPT_SECONDS
        met = await self._database.read(met_relays)
        if met:
            await self._database.write(lambda db: forget_relays(db, before))
            gone = met - await self._database.read(met_relays)
            for held in self._spaces.all.values():
                held.replica.relays.kept -= gone
        self._begin()

    def _tidy(self) -> None:
        for other in self._folder.glob("*"):
            if other != self._store:
                shutil.rmtree(other, ignore_errors=True)

    def _begin(self) -> None:
        if self._task is not None or not self._connected:  # it may have been disconnected just before
            return
        named = own_addresses() if os.environ.get(INTERFACES) else []
        self._service = Service(self._store, self._pieces, self._served, self._syncing, self.find(),
                                named[0] if len(named) == 1 else "::")
        self._task = asyncio.create_task(self._service.run())
        self._loop = asyncio.get_running_loop()

    async def _stop(self) -> None:
        async with self._ending:
            task, self._task, self._service, self._loop = self._task, None, None, None
            if self._looking is not None:
                self._looking.cancel()
                self._looking = None
            if task is not None:
                with suppress(ChezError):
                    await stop(task)

    def _served(self) -> Served:
        held = self._spaces.all.values()
        return self._recognition.served(one.space for one in held if not one.replica.access.removed)


class Lan:
    """Sync with devices on the same network, without any relay in between; made by `Home.lan`.

    While it is on and the home is connected (`Home.connect`, `chez up`), this device runs a relay of its own
    for its network, and announces to everybody there that somebody uses Chez, by a name drawn anew each time.
    What it keeps it tells only to who proves to be a member of the same space.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def __repr__(self) -> str:
        return "<Lan>"

    async def on(self) -> None:
        """Be found by devices of the same network, and find them, whenever the home is connected; at once if it is.

        It stays so until `off`. Everybody on the network can see that somebody there uses Chez, not who.
        """
        await self._network.on()

    async def off(self) -> None:
        """Be found no more, and delete what the relay for the network had stored."""
        await self._network.off()

    async def status(self) -> LanStatus:
        """How it stands."""
        return await self._network.status()


def _is_on(db: Connection) -> bool:
    return db.execute("SELECT 1 FROM meta WHERE key = ?", (_KEY,)).fetchone() is not None


def _keep(db: Connection, value: bytes | None) -> None:
    db.execute("DELETE FROM meta WHERE key = ?", (_KEY,))
    if value is not None:
        db.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (_KEY, value))

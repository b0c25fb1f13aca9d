"""A world for the state machine: a relay, persons, their devices' homes, and how a device ends or loses its line."""

import asyncio
import random
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import chez
from chez import crypto
from chez.crypto import Kdf
from chez.errors import ChezError, NotFound, StorageFailed
from chez.store.database import Connection
from chez_relay.server import serving
from chez_relay.storage.sqlite import SqliteStorage
from tests.home.pairing import PASSPHRASE

__all__ = ("Device", "World")


@dataclass(eq=False)
class Device:
    """One device of a person; its home is open, but for moments."""

    person: str
    name: str
    folder: Path
    home: chez.Home = field(repr=False)
    stack: AsyncExitStack = field(repr=False)

    @property
    def id(self) -> bytes:
        """Its public key."""
        return self.home.device_id


class World:
    """Persons with devices at one relay, and the space that some of them share; everything lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self.devices: list[Device] = []
        self.space = b""
        self._stack = AsyncExitStack()
        self._entropy = crypto.random_bytes

    async def start(self, seed: int) -> None:
        """Begin with a relay and nobody. Keys come of the seed, so that a history can be told again."""
        crypto.random_bytes = random.Random(seed).randbytes
        storage = await SqliteStorage.open(self.folder / "relay")
        self._stack.push_async_callback(storage.close)
        server = await self._stack.enter_async_context(serving(storage, "127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{server.port}"

    async def end(self) -> None:
        """Close all homes and the relay, and forget everything."""
        for device in self.devices:
            await device.stack.aclose()
        await self._stack.aclose()
        crypto.random_bytes = self._entropy
        shutil.rmtree(self.folder)

    # --- persons and devices ------------------------------------------------------------------

    async def person(self, name: str) -> Device:
        """A new person, with one device."""
        await chez.create(self.folder / name, passphrase=PASSPHRASE, name=name, kdf=Kdf.minimum())
        device = await self._device(name, name)
        await device.home.set_relay(self.url)
        return device

    async def pair(self, old: Device, name: str) -> Device:
        """Another device of a person, let in by an old one. Raises what refuses it."""
        async with old.home.pair() as pairing:
            joined = asyncio.create_task(chez.join(self.folder / name, pairing.code, passphrase=PASSPHRASE, name=name,
                                                   relay=self.url, kdf=Kdf.minimum()))
            try:
                await pairing.confirm()
            except ChezError:
                joined.cancel()
                with suppress(asyncio.CancelledError, ChezError):
                    await joined
                raise
            await joined
        return await self._device(old.person, name)

    def of(self, person: str) -> list[Device]:
        """A person's devices, also those that were taken out."""
        return [device for device in self.devices if device.person == person]

    def shared(self, device: Device) -> chez.Space | None:
        """The shared space, if the device has it."""
        with suppress(NotFound):
            return device.home.space(self.space.hex())
        return None

    async def _device(self, person: str, name: str) -> Device:
        stack = AsyncExitStack()
        home = await stack.enter_async_context(chez.open(self.folder / name, passphrase=PASSPHRASE))
        device = Device(person, name, self.folder / name, home, stack)
        self.devices.append(device)
        return device

    # --- how they end, and lose their line -----------------------------------------------------

    async def restart(self, device: Device) -> None:
        """Close a home and open it again."""
        with suppress(StorageFailed):  # of one that was killed: nothing can be written there
            await device.stack.aclose()
        device.home = await device.stack.enter_async_context(chez.open(device.folder, passphrase=PASSPHRASE))

    async def kill(self, device: Device, commits: int) -> None:
        """What a kill leaves, at rest or after so many commits of a sync: the files as they are at that moment.

        Nothing becomes durable after it; what was durable then may still leave for the relay.
        """
        taken = device.folder.with_name(device.folder.name + ".taken")

        def take() -> None:
            shutil.copytree(device.folder, taken, ignore=shutil.ignore_patterns("*-shm"))

        def end() -> None:
            take()
            database.before_commit = _refuse

        database = device.home._database
        if commits:
            await self._interrupted(device, commits, end)
        if not taken.exists():  # at rest, or the sync ended before
            await database._writer._execute(lambda db: take(), None)  # type: ignore[no-untyped-call]
        with suppress(ChezError):
            await device.stack.aclose()
        shutil.rmtree(device.folder)
        taken.rename(device.folder)
        await self.restart(device)

    async def cut(self, device: Device, commits: int) -> None:
        """Lose the line after so many commits of a sync, if it does not end before."""
        await self._interrupted(device, commits, lambda: None)
        await device.home._database.write(lambda db: None)  # what was under way in the store ends by itself

    async def _interrupted(self, device: Device, commits: int, end: Callable[[], None]) -> None:
        database, loop = device.home._database, asyncio.get_running_loop()
        task = asyncio.create_task(device.home.sync())
        known, left = database.after_commit, commits
        over = asyncio.Event()

        def committed() -> None:
            nonlocal left
            assert known is not None
            known()
            left -= 1
            if left == 0:
                end()
                loop.call_soon_threadsafe(over.set)

        database.after_commit = committed
        waiting = asyncio.create_task(over.wait())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        database.after_commit = known
        for one in (task, waiting):
            one.cancel()
            with suppress(asyncio.CancelledError, ChezError):
                await one


def _refuse(db: Connection) -> None:
    raise StorageFailed("the process is dead")

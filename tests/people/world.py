"""A world for the state machine: a relay, persons, their devices' homes, and how a device ends or loses its line."""

import asyncio
import random
import shutil
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chez
from chez import crypto
from chez.crypto import Kdf
from chez.errors import ChezError, NotFound
from chez_relay.server import serving
from chez_relay.storage.sqlite import SqliteStorage
from tests.home.pairing import PASSPHRASE
from tests.people.killing import interrupted, kill, restart

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
        await restart(device)

    async def kill(self, device: Device, commits: int) -> None:
        """What a kill leaves, at rest or after so many commits of a sync: the files as they are at that moment."""
        _raise(await kill(device, device.home.sync(), commits))

    async def cut(self, device: Device, commits: int) -> None:
        """Lose the line after so many commits of a sync, if it does not end before."""
        _raise(await interrupted(device, device.home.sync(), commits, lambda: None))
        await device.home._database.write(lambda db: None)  # what was under way in the store ends by itself


def _raise(outcome: Any) -> None:
    if isinstance(outcome, BaseException) and not isinstance(outcome, ChezError | asyncio.CancelledError):
        raise outcome

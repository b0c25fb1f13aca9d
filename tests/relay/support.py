"""Keys, sealed bytes and a relay process for the tests of this folder."""

import asyncio
import hashlib
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chez.crypto import SigningKey
from chez.sync.requests import Rotation
from chez.sync.session import Claim
from chez_relay.storage import SpaceKeys
from chez_wire.envelope import Header
from chez_wire.ephemeral import MAGIC
from chez_wire.frames import SealedPacket
from chez_wire.login import Role, handle_of


def seed(name: str) -> bytes:
    """32 bytes that depend on the name alone."""
    return hashlib.blake2b(name.encode(), digest_size=32).digest()


@cache
def key(name: str) -> SigningKey:
    """A signing key that depends on the name alone."""
    return SigningKey.from_seed(seed(name))


def packet(member: str, generation: int = 0) -> SealedPacket:
    """What a member's mailbox holds, as a relay sees it."""
    return SealedPacket(seed(f"mailbox of {member}"), hashlib.shake_128(f"{member} {generation}".encode()).digest(256))


@dataclass(frozen=True)
class Space:
    """One space's credentials, made from a name; `born` is its first name, when it was rotated since."""

    name: str = "space"
    born: str = ""

    def rotated(self, to: str = "next") -> "Space":
        """The same space after a rotation."""
        return Space(f"{self.name}/{to}", self.born or self.name)

    def rotation(self, *packets: SealedPacket, previous: bytes = b"") -> Rotation:
        """What makes these keys the space's, in place of the first ones."""
        _, read, append, control = self.others
        replaced = previous or Space(self.born).credential(Role.READ).public
        return Rotation(replaced, self.admin.public, read, append, control, packets)

    @property
    def admin(self) -> SigningKey:
        return key(self.name + "/admin")

    @property
    def recovery(self) -> SigningKey:
        return key((self.born or self.name) + "/recovery")

    @property
    def handle(self) -> bytes:
        return handle_of(key((self.born or self.name) + "/admin").public)

    def credential(self, role: Role) -> SigningKey:
        return key(f"{self.name}/{role}")

    @property
    def others(self) -> tuple[bytes, bytes, bytes, bytes]:
        """The public keys a creation names beside the admin's."""
        roles = (Role.READ, Role.APPEND, Role.CONTROL)
        read, append, control = (self.credential(role).public for role in roles)
        return self.recovery.public, read, append, control

    @property
    def keys(self) -> SpaceKeys:
        return SpaceKeys(self.admin.public, *self.others)

    def claims(self, *roles: Role) -> list[Claim]:
        return [(self.handle, role, self.credential(role)) for role in roles or (Role.READ, Role.APPEND)]

    def envelope(self, number: int, size: int = 300) -> bytes:
        """Bytes with the shape of a sealed entry, different for each number."""
        header = Header(self.handle, seed("epoch"), seed("key id"), number.to_bytes(24, "big")).encode()
        return header + hashlib.shake_128(number.to_bytes(8, "big")).digest(size - len(header))

    def message(self, number: int, size: int = 300, handle: bytes = b"") -> bytes:
        """Bytes with the shape of a sealed ephemeral message, different for each number."""
        header = Header(handle or self.handle, seed("epoch"), seed("key id"), number.to_bytes(24, "big")).encode(MAGIC)
        return header + hashlib.shake_128(b"message" + number.to_bytes(8, "big")).digest(size - len(header))


@dataclass
class Process:
    """A `chez-relay serve` running as a process of its own; without a data folder its store is elsewhere."""

    process: asyncio.subprocess.Process
    url: str
    data: Path | None

    @property
    def name(self) -> str:
        return self.url.partition("://")[2]

    async def kill(self) -> None:
        """As a power cut would: no handler runs."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def relay(data: Path | None, *options: str, command: Sequence[str] = ()) -> AsyncIterator[Process]:
    """A real relay over `data` on a free port of loopback, gone at the end."""
    program = command or (sys.executable, "-m", "chez_relay")
    folder = () if data is None else ("--data", str(data))
    arguments = [*program, "serve", "--listen", "127.0.0.1:0", *folder, *options]
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 90)).decode()
        assert line.startswith(("chez-relay: listening on ws://", "chez-relay: listening on wss://")), line
        yield Process(process, line.split()[-1], data)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), 90)

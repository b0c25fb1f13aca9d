"""A home's relay on its network as a process, without the home."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import pytest

from chez.crypto import SigningKey
from chez.sync.meeting import Acquaintances, Approach
from chez_wire.lan import Guests, Hosted, Listening, MeetingSecret, Report, Secrets
from chez_wire.meeting import Meet
from tests.relay.support import Space, key, seed


def secrets(*spaces: Space, epoch: str = "") -> dict[bytes, tuple[bytes, ...]]:
    """The meeting secrets of spaces in an epoch, by handle."""
    return {space.handle: (seed(f"meeting secret of {space.name} {epoch}"),) for space in spaces}


def known(*spaces: Space, epoch: str = "", own: SigningKey | None = None) -> Acquaintances:
    """What a device would prove that keeps these."""
    return Acquaintances(secrets(*spaces, epoch=epoch), own)


def has_ipv6() -> bool:
    """Whether this machine has the IPv6 address of loopback."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6: Final = pytest.mark.skipif(
    not (has_ipv6() or os.environ.get("CI")), reason="this machine has no IPv6")  # in CI the test fails for it


@dataclass
class Child:
    """`chez-relay lan`, and what its home tells it and hears from it."""

    process: asyncio.subprocess.Process
    listening: Listening | None = None
    reports: list[Report] = field(default_factory=list)

    @property
    def url(self) -> str:
        assert self.listening is not None
        return f"wss://127.0.0.1:{self.listening.port}"

    def tell(self, those: Mapping[bytes, tuple[bytes, ...]], *hosted: Hosted) -> None:
        """Serve these from now on, and have those that are hosted."""
        spaces = [MeetingSecret(handle, secret) for handle, several in those.items() for secret in several]
        self.write(msgspec.json.encode(Secrets(spaces, list(hosted))) + b"\n")

    def write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line)

    @property
    def instance(self) -> bytes:
        """What it is announced as."""
        assert self.listening is not None
        return SigningKey.from_seed(self.listening.seed).public

    async def report(self) -> Report:
        """What it tells next."""
        assert self.process.stdout is not None
        report: Report = msgspec.json.decode(await self.process.stdout.readline(), type=Report)  # type: ignore[arg-type]
        self.reports.append(report)
        return report

    async def guests(self, *instances: bytes) -> None:
        """Wait until it tells of exactly these."""
        while await self.report() != Guests(sorted(instances)):
            pass


@asynccontextmanager
async def child(data: Path, *spaces: Space, epoch: str = "", listen: str = "127.0.0.1:0") -> AsyncIterator[Child]:
    """A relay that serves these spaces on loopback; at the end its input ends, and it must be gone then."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_relay", "lan", "--data", str(data), "--pieces", str(data.parent / "blobs"),
        "--listen", listen,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    running = Child(process)
    try:
        running.tell(secrets(*spaces, epoch=epoch))
        report = await running.report()
        assert isinstance(report, Listening)
        running.listening = report
        yield running
    finally:
        if process.stdin is not None:
            process.stdin.close()
        await asyncio.wait_for(process.wait(), 90)


@dataclass(frozen=True, slots=True)
class Naming(Approach):
    """What a member says who proves its spaces and its own key, and names another's instance."""

    named: bytes = bytes(32)

    def meet(self, greeting: tuple[str, bytes, bytes]) -> Meet:
        """See `Approach`."""
        return Meet(self.named, Approach.meet(self, greeting).proofs)


class Liar(Acquaintances):
    """See `Naming`."""

    def __init__(self, named: bytes, *spaces: Space) -> None:
        super().__init__(secrets(*spaces), key("of the liar"))
        self.named = named

    def approach(self, certificate: bytes | None) -> Approach:
        """See `Acquaintances`."""
        true = super().approach(certificate)
        return Naming(true.secrets, true.channel, true.own, true.other, true.entropy, self.named)

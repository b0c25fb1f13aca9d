"""What loads a relay counts what the relay sends, and says so when it can't go on: it doesn't wait for ever."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from benchmarks.load import Load

from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from tests.relay.raw import until
from tests.relay.support import seed

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def _loading(port: int, **what: object) -> AsyncIterator[asyncio.subprocess.Process]:
    load = msgspec.json.encode(Load(port=port, **what)).decode()  # type: ignore[arg-type]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", load, cwd=ROOT, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("what", [
    {"do": "lone", "clients": 2, "each": 20, "followers": 2}, {"do": "lone", "clients": 2, "each": 20},
    {"do": "fanout", "clients": 3, "each": 200}], ids=["lone, followed", "lone", "fanout"])
async def test_a_load_ends_when_all_is_acknowledged_and_delivered(what: dict[str, object]) -> None:
    """Entries that a relay passes on before they are durable count once, and their credit is given back once."""
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0) as server, _loading(server.port, **what) as process:
        out, errors = await process.communicate()
        assert not process.returncode, errors.decode()
        assert msgspec.json.decode(out)["seconds"] > 0


async def test_a_load_whose_follower_is_let_go_fails() -> None:
    """It does not wait for entries that nobody will send."""
    async with (serving(MemoryStorage(seed("i")), "127.0.0.1", 0) as server,
                _loading(server.port, do="lone", clients=1, each=100_000, followers=1) as process):
        await until(lambda: sum(server.counts.requests.values()) > 100)
        _, follower = server.door.guests  # as they came
        follower.leave("room")
        _, errors = await process.communicate()
        assert process.returncode and re.search(r"Connection\w*Error", errors.decode()), errors

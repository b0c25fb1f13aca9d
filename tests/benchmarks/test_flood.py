"""A flood that another figure is measured beside is told of where it was none."""

import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
from benchmarks.load import Load

from chez_relay.server import serving
from chez_relay.storage.memory import MemoryStorage
from tests.relay.raw import until
from tests.relay.support import seed

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("each", "ends", "said"), [
    (20_000, False, ""), (20_000, True, "a part of it was let go"), (60, False, "there was not enough of it")],
    ids=["a flood", "cut off", "over"])
async def test_a_flood_that_ended_before_it_should_is_told(each: int, ends: bool, said: str) -> None:
    """Its connections are there to the end, and have more to send."""
    async with serving(MemoryStorage(seed("i")), "127.0.0.1", 0) as server:
        load = msgspec.json.encode(Load(do="flood", port=server.port, clients=2, each=each, window=20)).decode()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.load", load, cwd=ROOT, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"{}\n"
        if ends:
            next(iter(server.door.guests)).leave("room")
            await until(lambda: server.connections == 1)
        elif each < 100:
            await until(lambda: sum(server.counts.requests.values()) >= 2 * each)
        _, errors = await process.communicate(b"")
        assert said in errors.decode() and bool(said) is bool(process.returncode)

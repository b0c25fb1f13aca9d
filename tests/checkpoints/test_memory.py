"""A new device's memory does not grow with what a checkpoint stands for."""

import asyncio
import sys
from pathlib import Path

import pytest

from chez_relay.storage.census import census
from tests.blobs.test_memory import ROOT
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.test_homes import shrunk
from tests.people.persons import persons
from tests.relay.support import relay

KIB_MORE = 4 * 1024
"""What the peak may rise by from 30,000 records to 70,000, once SQLite has filled its pages: a tenth of a KiB each."""


async def taken(folder: Path, records: int) -> int:
    """The peak memory, in KiB, of a device that gets so many records from a checkpoint alone."""
    async with relay(folder / "relay", *AT_ONCE) as server, persons(folder, "anna", relay=server.url) as (anna,):
        items = anna.collection("items")
        for at in range(0, records, 1000):
            await items.put_many([{"name": f"value {n}", "n": n, "text": f"words {n} " * 8}
                                  for n in range(at, at + 1000)])
        await anna.sync(server.url, timeout=300)
        before = census(server.data).bytes
        done = await anna.space().checkpoint()
        assert done is not None and done.dropped
        await shrunk(server, before)
        async with anna.pair(server.url) as pairing:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.checkpoints.newcomer", folder / "b", pairing.code, server.url, cwd=ROOT,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
            await pairing.confirm()
        await anna.sync(server.url)
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        peak, found = map(int, out.split())
        assert found == records
        return peak


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_memory_is_flat(tmp_path: Path) -> None:
    """70,000 records from a checkpoint take a new device no more memory than 30,000 do."""
    small = await taken(tmp_path / "small", 30_000)
    assert await taken(tmp_path / "large", 70_000) < small + KIB_MORE

"""A new device's memory does not grow with what a checkpoint stands for."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from chez_relay.storage.census import census
from tests.blobs.test_memory import OWN_MAPPINGS, ROOT
from tests.checkpoints.conftest import AT_ONCE
from tests.checkpoints.test_homes import shrunk
from tests.people.persons import persons
from tests.relay.support import relay

KIB_MORE = 8 * 1024
"""What the peak may rise by: it was 2 MiB from 4,000 records to 16,000 and 1 from 8,000. A device that kept what it is
sent would take a KiB for each record, one that kept documents ten."""


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
                env=os.environ | OWN_MAPPINGS, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
            await pairing.confirm()
        await anna.sync(server.url)
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        peak, found = map(int, out.split())
        assert found == records
        return peak


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("few", "many"), [pytest.param(6_000, 20_000, marks=pytest.mark.slow),
                                           pytest.param(30_000, 70_000, marks=pytest.mark.exhaustive)])
async def test_memory_is_flat(tmp_path: Path, few: int, many: int) -> None:
    """20,000 records from a checkpoint, or 70,000, take a new device no more memory than a third or half of them do."""
    small = await taken(tmp_path / "small", few)
    assert await taken(tmp_path / "large", many) < small + KIB_MORE

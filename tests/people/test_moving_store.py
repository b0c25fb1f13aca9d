"""An operator moves a relay from one disk to a cluster, and back: its devices bring everything along."""

import asyncio
from pathlib import Path

import pytest

from chez_relay.cluster.nodes import Cluster
from tests.home.pairing import paired
from tests.people.support import ids, join
from tests.people.test_damaged_cluster import in_step, nodes
from tests.ports import free_port
from tests.relay.clusters import cluster
from tests.relay.support import relay

__all__ = ("cluster",)


@pytest.mark.slow
async def test_from_one_disk_to_a_cluster_and_back_devices_bring_all_of_it(cluster: Cluster, tmp_path: Path) -> None:
    """Under the same name each store is filled by who comes; a device that joins then has records and attachments."""
    at = ("--listen", f"127.0.0.1:{free_port()}")
    there = (*at, *nodes(cluster), "--set", "cluster.prefix=moved", "--set", "cluster.shards=1")
    async with relay(tmp_path / "first", *at) as first, paired(tmp_path, first.url) as (a, b):
        blob = await a.blobs.add(b"x" * 50_000)
        await a.collection("notes").put({"photo": blob}, id="photo")
        await b.collection("notes").put({"n": 1}, id="mine")
        for home in (a, b, a):
            await in_step(home, first.url)
        first.process.terminate()
        await first.process.wait()
        for number, (folder, options) in enumerate(((None, there), (tmp_path / "third", at))):
            async with relay(folder, *options) as other:
                assert other.url == first.url
                await b.collection("notes").put({"n": 2}, id=f"after {number}")
                for home in (b, a, b, a):
                    await in_step(home, other.url)
                everything = {"photo", "mine", *(f"after {one}" for one in range(number + 1))}
                assert await ids(a) == await ids(b) == everything
                name = f"new {number}"
                async with asyncio.timeout(120), join(a, tmp_path / name, name, other.url) as new:
                    assert await ids(new) == everything
                    assert b"".join([part async for part in new.blobs.read(blob)]) == b"x" * 50_000

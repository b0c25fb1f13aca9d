"""A real cluster of three nodes for tests, and stores on it."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chez_relay.cluster.nodes import NODES, Cluster, find_server
from chez_relay.errors import ClusterFailed
from chez_relay.storage.jetstream.engine import Kept
from chez_relay.storage.jetstream.store import JetStreamStorage


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes, started once for all tests that only use them. Without nats-server: skipped, in CI a failure."""
    needs_server()
    folder = tmp_path_factory.mktemp("cluster")
    made = Cluster.at(folder)
    made.start()
    yield made
    made.stop()
    for name in NODES:
        shutil.rmtree(folder / name, ignore_errors=True)


def needs_server() -> None:
    """Skip the test where there is no nats-server; in CI, fail."""
    try:
        find_server()
    except ClusterFailed:
        if os.environ.get("CI"):
            raise
        pytest.skip("nats-server is not installed")


@asynccontextmanager
async def emptied(cluster: Cluster, **options: Any) -> AsyncIterator[JetStreamStorage]:
    """A store of one shard on the cluster, with nothing in it."""
    store = await JetStreamStorage.open(cluster.urls, shards=1, **options)
    try:
        for kind in ("log", "blob", "box"):
            await store.engine.purge(f"{options.get('prefix', 'chez')}_{kind}_0", ">")
        yield store
    finally:
        await store.close()


async def lose(store: JetStreamStorage, lost: Sequence[Kept]) -> None:
    """Remove messages from the stream of logs, and wait until no node has them: each applies that in its own time."""
    for kept in lost:
        await store.engine.delete("chez_log_0", kept.seq)
    for kept in lost:
        without = 0
        while without < 16:
            found = await store.engine.run("chez_log_0", ">", kept.seq, size=1, count=1)
            without = 0 if any(one.seq == kept.seq for one in found) else without + 1

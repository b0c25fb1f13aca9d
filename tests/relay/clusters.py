"""A real cluster of three nodes for tests, and stores on it."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chez_relay.cluster.nodes import NODES, Cluster, find_server
from chez_relay.errors import ClusterFailed
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

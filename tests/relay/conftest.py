"""Each kind of storage, behind one fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chez_relay import storage as s
from chez_relay.cluster.nodes import Cluster
from chez_relay.storage.memory import MemoryStorage
from chez_relay.storage.sqlite import SqliteStorage
from tests.relay.clusters import cluster, emptied
from tests.relay.storing import QUOTAS, Clock
from tests.relay.support import seed

__all__ = ("cluster",)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite", pytest.param("jetstream", marks=pytest.mark.slow)])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[s.Storage]:
    """An empty store with small quotas, of each kind in turn."""
    if request.param == "memory":
        yield MemoryStorage(seed("incarnation"), quotas=QUOTAS, clock=clock)
    elif request.param == "jetstream":
        cluster: Cluster = request.getfixturevalue("cluster")
        async with emptied(cluster, quotas=QUOTAS, clock=clock) as shared:
            yield shared
    else:
        opened = await SqliteStorage.open(tmp_path / "data", quotas=QUOTAS, clock=clock)
        yield opened
        await opened.close()

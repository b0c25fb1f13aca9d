"""Each kind of storage, behind one fixture."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chez_relay import storage as s
from chez_relay.storage.jetstream import store as jetstream
from chez_relay.storage.memory import MemoryStorage
from chez_relay.storage.sqlite import SqliteStorage
from tests.relay.clusters import Reached, emptied, three_nodes
from tests.relay.modelled import Modelled
from tests.relay.storing import QUOTAS, Clock
from tests.relay.support import seed

__all__ = ("three_nodes",)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["modelled", pytest.param("nodes", marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Reached:
    """A cluster that is only used: in memory, and three real nodes."""
    if request.param == "nodes":
        nodes: Reached = request.getfixturevalue("three_nodes")
        return nodes
    return modelled(monkeypatch)


def modelled(monkeypatch: pytest.MonkeyPatch) -> Modelled:
    """A cluster in memory, which stores reach in place of any other."""
    made = Modelled()
    monkeypatch.setattr(jetstream, "dial", made.dial)
    return made


@pytest.fixture(params=["memory", "sqlite", "modelled", pytest.param("jetstream", marks=pytest.mark.slow)])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[s.Storage]:
    """An empty store with small quotas, of each kind in turn."""
    if request.param == "memory":
        yield MemoryStorage(seed("incarnation"), quotas=QUOTAS, clock=clock)
    elif request.param == "sqlite":
        opened = await SqliteStorage.open(tmp_path / "data", quotas=QUOTAS, clock=clock)
        yield opened
        await opened.close()
    else:
        reached = request.getfixturevalue("three_nodes") if request.param == "jetstream" else modelled(
            request.getfixturevalue("monkeypatch"))
        async with emptied(reached, quotas=QUOTAS, clock=clock) as shared:
            yield shared

"""What `chez-relay doctor` says of a real cluster whose nodes come and go."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chez_relay.cluster.nodes import Cluster
from chez_relay.config import load
from chez_relay.doctor import Finding, examine
from chez_relay.storage.jetstream.store import JetStreamStorage
from tests.relay.clusters import needs_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def told(cluster: Cluster, **more: object) -> list[Finding]:
    """What is said of nodes and store, with such settings of `cluster`."""
    said = {f"cluster.{name}": given for name, given in more.items()}
    settings = load({"cluster.nodes": cluster.urls, "cluster.shards": 1, "listen": "127.0.0.1:0", **said}, {})
    return [one for one in examine(settings) if one.what in ("node", "store", "clock", "replicas")]


def wait_for(cluster: Cluster, condition: Callable[[list[Finding]], bool]) -> list[Finding]:
    """Look until it is so."""
    end = time.monotonic() + 180
    while not condition(found := told(cluster)):
        assert time.monotonic() < end, found
        time.sleep(0.2)
    return found


async def made_store(cluster: Cluster) -> JetStreamStorage:
    """A store of one shard."""
    return await JetStreamStorage.open(cluster.urls, shards=1, seconds=120)


async def remove(cluster: Cluster, stream: str) -> None:
    store = await made_store(cluster)
    assert "error" not in await store.engine.api(f"STREAM.DELETE.{stream}")
    await store.close()


def test_the_doctor_tells_how_a_store_on_a_cluster_stands(tmp_path: Path) -> None:
    """None yet; in step; a node away and back; two away; a stream that is gone: each is told in a line."""
    needs_server()
    cluster = Cluster.at(tmp_path)
    try:
        cluster.start()
        wait_for(cluster, lambda found: any(one.text == "none yet" for one in found))
        assert [[one.level for one in told(cluster, replicas=wanted) if one.what == "replicas"]
                for wanted in (3, 5)] == [[], [1]]
        asyncio.run(_opened_and_closed(cluster))
        assert not [one for one in told(cluster, replicas=5) if one.what == "replicas"], "the store has its number"
        found = wait_for(cluster, lambda found: all(one.level == 0 for one in found))
        assert "4 streams" in found[-1].text and "on 3 nodes in step" in found[-1].text
        cluster.stop("n2", number=signal.SIGKILL)
        found = wait_for(cluster, lambda found: any(
            one.level == 1 and one.text.startswith("n2 is not in step in 4 of 4") for one in found))
        assert sorted(one.level for one in found) == [0, 0, 1, 2]
        cluster.start("n2")
        wait_for(cluster, lambda found: all(one.level == 0 for one in found))
        asyncio.run(remove(cluster, "chez_blob_0"))
        found = wait_for(cluster, lambda found: found[-1].level == 2)
        assert found[-1].text.startswith("1 of its 4 streams are gone")
        cluster.stop("n1", "n2", number=signal.SIGKILL)
        found = wait_for(cluster, lambda found: "gives no answer" in found[-1].text)
        assert found[-1].level == 2
    finally:
        cluster.stop()


async def _opened_and_closed(cluster: Cluster) -> None:
    await (await made_store(cluster)).close()

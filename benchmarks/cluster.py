"""relay.*_cluster*: relay processes over a JetStream cluster of three nodes, beside bare nats-py on the same."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from nats.aio.client import Client

from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.load import ENTRY_BYTES, envelope
from benchmarks.processes import command, free_port, start, wait_for_port
from benchmarks.relay import CLIENTS, LONE_BYTES, LONE_CLIENTS, WINDOW, loaded, rate, standing
from chez_relay.cluster.nodes import NODES, Cluster
from chez_relay.errors import ClusterFailed

__all__ = ("READY_SECONDS", "benchmarks", "three_nodes")

APPENDS: Final = 400
PUBLISHED: Final = CLIENTS * APPENDS
LONE_APPENDS: Final = 15
LONE_FOLLOWERS: Final = 2
STANDING: Final = 100
FOLLOWED: Final = 10
READY_SECONDS: Final = 60


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    lone = (f"{LONE_CLIENTS} clients, each in a space of its own, {LONE_BYTES:,}-byte entries, one of a client "
            f"unanswered, {LONE_CLIENTS * LONE_APPENDS:,} in all")
    used = "Processor time of the relay's process, all its threads and the system's part"
    return (Benchmark((
        Figure("relay.append_cluster", "entries/s", "more", f"Entries acknowledged by a quorum that has them on disk, "
               f"through one relay over a NATS cluster of three nodes on this machine (R=3, file storage, "
               f"sync_interval always): {CLIENTS} clients, each in a space of its own, {ENTRY_BYTES}-byte entries, one "
               f"a frame, {WINDOW} of a client unanswered, {PUBLISHED:,} in all. The load, in one process, asks "
               f"afterwards what the relay holds. The relay puts what waits for one space, up to {WINDOW} of these "
               "entries, into one message; its spaces are spread over four streams.", None,
               {"nats": f"bare nats-py in one process publishing as many messages of {ENTRY_BYTES} bytes, one for "
                        f"each entry, to one R=3 stream of the same cluster, {CLIENTS} subjects, {WINDOW} of each "
                        "unanswered"},
               {"nats": 0.6}),
    ), _append), Benchmark((
        Figure("relay.append_cluster_lone", "entries/s", "more", "The same for entries that come alone, each of which "
               f"is a message of its own: {lone}.", None,
               {"nats": f"bare nats-py in one process publishing as many messages of {LONE_BYTES:,} bytes to one R=3 "
                        f"stream of the same cluster, {LONE_CLIENTS} subjects, one of each unanswered"}),
        Figure("relay.append_cluster_lone_used", "µs", "less", f"{used}, for each of these entries.", None),
        Figure("relay.append_cluster_nodes_used", "µs", "less", "The same of the three nodes together.", None),
        Figure("relay.fanout_cluster_lone", "deliveries/s", "more", "The same entries with "
               f"{LONE_FOLLOWERS} connections that follow each space at a second relay over the same cluster: entries "
               "that reached a follower, durable before, each a push of its own.", None),
        Figure("relay.fanout_cluster_lone_used", "µs", "less", f"{used} that has the followers, for each of these "
               "deliveries.", None),
    ), _lone), Benchmark((
        Figure("relay.followed_memory_cluster", "KB", "less", "Memory of the relay's process for each space more that "
               f"a connection follows, over a cluster: {STANDING} connections with {FOLLOWED + 1} spaces each, "
               "against as many with one each, no TLS.", None),
    ), _followed))


@asynccontextmanager
async def three_nodes(bench: Bench) -> AsyncIterator[tuple[Cluster, Client]]:
    """A cluster of its own that has a leader, with a connection to it."""
    try:
        cluster = Cluster.at(bench.folder("cluster"))
        cluster.start()
    except ClusterFailed as error:
        raise BenchmarkFailed(str(error)) from error
    client = Client()
    try:
        async with asyncio.timeout(READY_SECONDS):
            await client.connect(list(cluster.urls), error_cb=_quiet, reconnect_time_wait=1)
            while "error" in await _asked(client, "STREAM.CREATE.bare", {  # noqa: ASYNC110 (nothing announces a leader)
                    "name": "bare", "subjects": ["bare.*"], "num_replicas": 3, "storage": "file"}):
                await asyncio.sleep(0.2)
        yield cluster, client
    finally:
        await client.close()
        await asyncio.to_thread(cluster.stop)


async def _quiet(_: Exception) -> None:
    """Nodes that are not up yet."""


async def _asked(client: Client, name: str, wanted: object) -> dict[str, object]:
    try:
        answer = await client.request(f"$JS.API.{name}", json.dumps(wanted).encode(), timeout=2)
    except Exception:  # the cluster has no leader yet
        return {"error": "no answer"}
    found: dict[str, object] = json.loads(answer.data)
    return found


@asynccontextmanager
async def _relay(bench: Bench, cluster: Cluster) -> AsyncIterator[tuple[int, int]]:
    """A relay over the cluster: its process and its port."""
    port = free_port()
    nodes = [part for url in cluster.urls for part in ("--nats", url)]
    async with start(command("chez-relay"), "serve", "--listen", f"127.0.0.1:{port}", *nodes,
                     log=bench.folder("relay") / "relay.log") as process:
        await wait_for_port(port)
        yield process.pid, port


async def _append(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        async with three_nodes(bench) as (cluster, client):
            bare = await _published(client, CLIENTS, WINDOW, APPENDS, ENTRY_BYTES)
            async with _relay(bench, cluster) as (_, port):
                runs.add(await rate(bench, port, True, APPENDS), nats=bare)
    return {"relay.append_cluster": runs}


async def _lone(bench: Bench) -> dict[str, Runs]:
    rates, used, nodes, deliveries, pushes = Runs(), Runs(), Runs(), Runs(), Runs()
    count = LONE_CLIENTS * LONE_APPENDS
    what: dict[str, Any] = {"do": "lone", "clients": LONE_CLIENTS, "each": LONE_APPENDS, "size": LONE_BYTES}
    for _ in range(bench.runs):
        async with three_nodes(bench) as (cluster, client):
            bare = await _published(client, LONE_CLIENTS, 1, LONE_APPENDS, LONE_BYTES)
            serving = [pid for name in NODES if (pid := cluster.process(name))]
            async with _relay(bench, cluster) as (relay, port):
                ours = await loaded(bench, **what, port=port, watched=(relay, *serving))
        async with three_nodes(bench) as (cluster, _), _relay(bench, cluster) as (_, port), \
                _relay(bench, cluster) as (other, beside):
            pushed = await loaded(bench, **what, port=port, watched=(other,), followers=LONE_FOLLOWERS,
                                  port_followers=beside)
        rates.add(count / ours["seconds"], nats=bare)
        used.add(ours["busy"][0] / count * 1e6)
        nodes.add(sum(ours["busy"][1:]) / count * 1e6)
        deliveries.add(count * LONE_FOLLOWERS / pushed["seconds"])
        pushes.add(pushed["busy"][0] / count / LONE_FOLLOWERS * 1e6)
    return {"relay.append_cluster_lone": rates, "relay.append_cluster_lone_used": used,
            "relay.append_cluster_nodes_used": nodes, "relay.fanout_cluster_lone": deliveries,
            "relay.fanout_cluster_lone_used": pushes}


async def _followed(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        async with three_nodes(bench) as (cluster, _), _relay(bench, cluster) as (relay, port):
            one, more = [await standing(bench, relay, port=port, clients=STANDING, spaces=spaces, first=first)
                         for spaces, first in ((1, 0), (FOLLOWED + 1, STANDING))]
            runs.add((more - one) / FOLLOWED)
    return {"relay.followed_memory_cluster": runs}


async def _published(client: Client, clients: int, window: int, each: int, size: int) -> float:
    """Messages a second, each acknowledged by the stream."""
    messages = [envelope(bytes(32), number, size) for number in range(each)]

    async def publish(subject: str, first: int) -> None:
        for message in messages[first::window]:
            answer = json.loads((await client.request(subject, message, timeout=20)).data)
            if "error" in answer:
                raise BenchmarkFailed(f"the stream refused: {answer['error']}")

    began = time.perf_counter()
    await asyncio.gather(*(publish(f"bare.{n}", first) for n in range(clients) for first in range(window)))
    return clients * each / (time.perf_counter() - began)

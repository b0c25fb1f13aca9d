"""relay.append_cluster: one relay process over a JetStream cluster of three nodes, beside bare nats-py on the same."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from nats.aio.client import Client

from benchmarks.harness import Bench, Benchmark, BenchmarkFailed, Figure, Runs
from benchmarks.load import ENTRY_BYTES, envelope
from benchmarks.processes import command, free_port, start, wait_for_port
from benchmarks.relay import CLIENTS, WINDOW, rate
from chez_relay.cluster.nodes import Cluster
from chez_relay.errors import ClusterFailed

__all__ = ("benchmarks",)

APPENDS: Final = 400
PUBLISHED: Final = CLIENTS * APPENDS
READY_SECONDS: Final = 60


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((
        Figure("relay.append_cluster", "entries/s", "more", f"Entries acknowledged by a quorum that has them on disk, "
               f"through one relay over a NATS cluster of three nodes on this machine (R=3, file storage, "
               f"sync_interval always): {CLIENTS} clients, each in a space of its own, {ENTRY_BYTES}-byte entries, one "
               f"a frame, {WINDOW} of a client unanswered, {PUBLISHED:,} in all. The load, in one process, asks "
               "afterwards what the relay holds.", None,
               {"nats": f"bare nats-py in one process publishing as many messages of {ENTRY_BYTES} bytes to an R=3 "
                        f"stream of the same cluster, {CLIENTS} subjects, {WINDOW} of each unanswered"},
               {"nats": 0.6}),
    ), _append),)


@asynccontextmanager
async def _cluster(bench: Bench) -> AsyncIterator[tuple[Cluster, Client]]:
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


async def _append(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    for _ in range(bench.runs):
        async with _cluster(bench) as (cluster, client):
            bare = await _published(client)
            port = free_port()
            nodes = [part for url in cluster.urls for part in ("--nats", url)]
            async with start(command("chez-relay"), "serve", "--listen", f"127.0.0.1:{port}", *nodes,
                             log=bench.folder("relay") / "relay.log"):
                await wait_for_port(port)
                runs.add(await rate(bench, port, True, APPENDS), nats=bare)
    return {"relay.append_cluster": runs}


async def _published(client: Client) -> float:
    """Messages a second, each acknowledged by the stream."""
    messages = [envelope(bytes(32), number) for number in range(APPENDS)]

    async def publish(subject: str, first: int) -> None:
        for message in messages[first::WINDOW]:
            answer = json.loads((await client.request(subject, message, timeout=20)).data)
            if "error" in answer:
                raise BenchmarkFailed(f"the stream refused: {answer['error']}")

    began = time.perf_counter()
    await asyncio.gather(*(publish(f"bare.{n}", first) for n in range(CLIENTS) for first in range(WINDOW)))
    return PUBLISHED / (time.perf_counter() - began)

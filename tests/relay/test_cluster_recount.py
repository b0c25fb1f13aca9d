"""What attachments take is counted anew from what is there, exactly, whatever relays do meanwhile."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from chez_relay import storage as s
from chez_relay.cluster.nodes import Cluster
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.jetstream.tending import recounted
from tests.relay.clusters import emptied, lose, messages
from tests.relay.modelled import KilledError
from tests.relay.storing import QUOTAS, READ, SPACE, Clock, chunk, create, drop

CHUNKS = f"chez.blob.0.{SPACE.handle.hex()}.>"


@pytest.fixture
def cluster(three_nodes: Cluster) -> Cluster:
    return three_nodes


@pytest.fixture
async def store(cluster: Cluster, clock: Clock) -> AsyncIterator[JetStreamStorage]:
    async with emptied(cluster, quotas=QUOTAS, clock=clock) as made:
        await made.perform([create(), chunk(1, 300), chunk(2, 200)])
        yield made


async def counted(store: s.Storage) -> int:
    """What the space's attachments take, as its devices are told."""
    (used,) = await store.perform([s.ReadUsage(SPACE.handle, READ)])
    assert isinstance(used, s.SpaceUsage)
    return used.chunks.bytes


async def test_what_the_cluster_lost_counts_no_more_and_what_nobody_counted_does(
        cluster: Cluster, store: JetStreamStorage) -> None:
    """A relay that has the space goes on with it, and a count that is right is left as it is."""
    there = {len(one.data): one for one in await messages(store, CHUNKS)}
    await lose(cluster, store, [there[300]])
    assert await counted(store) == 500
    found = await recounted(cluster.urls, "chez", settled=0)
    assert (found.spaces, found.left_out, found.given_back, found.added) == (1, 0, 300, 0)
    assert await counted(store) == 200
    await store.perform([chunk(3, 400)])
    await store.engine.publish(there[300].subject, there[300].data)  # and its relay was killed
    assert await counted(store) == 600
    found = await recounted(cluster.urls, "chez", settled=0)
    assert (found.spaces, found.left_out, found.given_back, found.added) == (1, 0, 0, 300)
    assert await counted(store) == 900
    blocks = await messages(store, "chez.log.0.s.>")
    assert (await recounted(cluster.urls, "chez", settled=0)).added == 0
    assert await messages(store, "chez.log.0.s.>") == blocks


async def test_a_space_into_which_something_was_just_put_is_left_out(cluster: Cluster, store: JetStreamStorage) -> None:
    """Its relay may count it yet: counted here, it would count twice. Who asked is told, by the exit code as well."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "chez_relay", "cluster", "recount", "--nats", cluster.urls[0],
        stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    assert process.returncode == 3 and b"\n1 spaces were left out" in output
    assert await counted(store) == 500


async def test_what_is_put_meanwhile_counts_once(
        cluster: Cluster, store: JetStreamStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its relay knew the space as it was before: its block conflicts with the new count, and is built on that."""
    plain, at, on = store.engine.publish, asyncio.Event(), asyncio.Event()

    async def publish(subject: str, data: bytes, **options: Any) -> int:
        if subject.startswith("chez.blob"):
            at.set()
            await on.wait()
        return await plain(subject, data, **options)

    (lost, *_) = await messages(store, CHUNKS)
    await lose(cluster, store, [lost])
    monkeypatch.setattr(store.engine, "publish", publish)
    putting = asyncio.ensure_future(store.perform([chunk(3, 400)]))
    await at.wait()
    assert (await recounted(cluster.urls, "chez", settled=0)).given_back == 300
    on.set()
    assert await putting == [s.Done()]
    assert await counted(store) == 600


@pytest.mark.parametrize("gone", [False, True])
async def test_what_is_being_let_go_is_given_back_once(
        cluster: Cluster, store: JetStreamStorage, clock: Clock, gone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay was killed just before, or just after, it removed a chunk: another one says that it is gone."""
    await store.perform([drop([], [chunk(1, 300)])])
    clock.now += QUOTAS.grace
    plain = store.engine.delete

    async def killed(stream: str, seq: int) -> None:
        if gone or stream != "chez_blob_0":
            await plain(stream, seq)
        if stream == "chez_blob_0":
            raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(store.engine, "delete", killed)
        with suppress(KilledError):
            await store.perform([s.Expire()])
    assert len(await messages(store, CHUNKS)) == (1 if gone else 2)
    assert (await recounted(cluster.urls, "chez", settled=0)).given_back == 0
    assert await store.perform([s.Expire()]) == [s.Expired(more=False)]
    assert await counted(store) == 200 == sum(len(one.data) for one in await messages(store, CHUNKS))

"""A real cluster of three nodes for tests, and stores on it."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from chez_relay.cluster.nodes import NODES, Cluster, find_server
from chez_relay.errors import ClusterFailed
from chez_relay.storage.jetstream.engine import Kept, Unavailable
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.store import JetStreamStorage
from tests.missing import leave_out

ESTABLISHED = "01"
"""What Linux calls that state of a connection."""


class Reached(Protocol):
    """A cluster that a store reaches: real nodes, or `modelled` ones."""

    @property
    def urls(self) -> Sequence[str]:
        """Where."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes for all tests of a module that only use them. Without nats-server: skipped, in CI a failure.

    They are not idle when nobody asks them, so they end with the module.
    """
    with _started(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture(scope="package")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same for the modules of a folder, whose `conftest.py` has it: many use them."""
    with _started(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@contextmanager
def _started(folder: Path) -> Iterator[Cluster]:
    needs_server()
    made = Cluster.at(folder)
    made.start()
    yield made
    made.stop()
    for name in NODES:
        shutil.rmtree(folder / name, ignore_errors=True)


def told(verb: str, folder: Path) -> tuple[int, str]:
    """What a command about the cluster in a folder says, and its exit code."""
    done = subprocess.run([sys.executable, "-m", "chez_relay", "cluster", verb, "--data", str(folder)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90, check=False)
    return done.returncode, done.stdout


def needs_server() -> None:
    """Leave the test out where there is no nats-server."""
    try:
        find_server()
    except ClusterFailed as error:
        leave_out(str(error))


@asynccontextmanager
async def emptied(cluster: Reached, **options: Any) -> AsyncIterator[JetStreamStorage]:
    """A store of one shard on the cluster, with nothing in it."""
    store = await JetStreamStorage.open(cluster.urls, shards=1, **options)
    try:
        for kind in ("log", "blob", "box"):
            stream = f"{options.get('prefix', 'chez')}_{kind}_0"
            await patiently(store.engine, lambda stream=stream: store.engine.purge(stream, ">"))  # type: ignore[misc]
        yield store
    finally:
        await store.close()


async def leads(store: JetStreamStorage, name: str) -> bool:
    """Try for a while to make a node lead the stream of logs; whether it does."""
    for _ in range(120):
        with suppress(Unavailable):  # between two leaders
            info = await store.engine.api("STREAM.INFO.chez_log_0")
            if info.get("cluster", {}).get("leader") == name:
                return True
            await store.engine.api("STREAM.LEADER.STEPDOWN.chez_log_0", {"placement": {"preferred": name}})
        await asyncio.sleep(0.25)
    return False


async def lose(cluster: Reached, store: JetStreamStorage, lost: Sequence[Kept]) -> None:
    """Remove messages from their streams, and wait until no node has them."""
    for kept in lost:
        await patiently(store.engine, lambda kept=kept: store.engine.delete(_stream(kept.subject), kept.seq))  # type: ignore[misc]
    await gone(cluster, lost)


async def gone(cluster: Reached, lost: Sequence[Kept]) -> None:
    """Wait until no node has messages that were removed: each applies that in its own time."""
    async with AsyncExitStack() as stack:
        for url in cluster.urls:  # which node answers a read is the choice of the one that is asked
            there = await JetStreamStorage.open([url])
            stack.push_async_callback(there.close)
            for kept in lost:
                await _without(there, kept)


async def messages(store: JetStreamStorage, subject: str) -> list[Kept]:
    """All that a stream has under a subject. Its leader is asked: another node may not have the last ones yet."""
    found: list[Kept] = []
    while (one := await patiently(store.engine, lambda: store.engine.next(
            _stream(subject), subject, found[-1].seq + 1 if found else 1))) is not None:
        found.append(one)
    return found


def _stream(subject: str) -> str:
    """The stream that a subject lies in."""
    return "_".join(subject.split(".")[:3])


def peers(process: int) -> set[int]:
    """The ports that a process is connected to by IPv4, as Linux tells them."""
    sockets: set[str] = set()
    for one in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed just now
            sockets.add(os.readlink(one))
    found: set[int] = set()
    for line in Path(f"/proc/{process}/net/tcp").read_text().splitlines()[1:]:
        _, _, peer, state, *_, inode = line.split()[:10]
        if state == ESTABLISHED and f"socket:[{inode}]" in sockets:
            found.add(int(peer.partition(":")[2], 16))
    return found


async def _without(store: JetStreamStorage, lost: Kept) -> None:
    """Wait until a message is not found so often that no node can have it."""
    without = 0
    while without < 16:
        found = await patiently(
            store.engine, lambda: store.engine.run(_stream(lost.subject), ">", lost.seq, size=1, count=1))
        without = 0 if any(one.seq == lost.seq for one in found) else without + 1

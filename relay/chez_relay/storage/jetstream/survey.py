"""How a store on a cluster stands: whether each of its streams is there, led, and on all its nodes in step."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from chez_relay.storage.jetstream.dialling import dial, let_go
from chez_relay.storage.jetstream.engine import Engine
from chez_relay.storage.jetstream.patience import patiently
from chez_relay.storage.jetstream.streams import NOT_FOUND, configurations, record, there

__all__ = ("Survey", "survey")

SECONDS: Final = 5.0
"""For a connection."""

PATIENCE: Final = 12.0
"""For all answers: new leaders are there before, and what one looks at in between is no trouble."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Of a store's streams: how many there are, lack, have no leader; which nodes are not in step, in how many.

    `streams` is 0 where there is no store. `replicas` is the least number of nodes that a stream has; `ahead` how many
    seconds the clock of the node that answered is before this one's.
    """

    streams: int
    gone: int = 0
    headless: int = 0
    behind: tuple[tuple[str, int], ...] = ()
    replicas: int = 0
    messages: int = 0
    bytes: int = 0
    ahead: float = 0.0


async def survey(urls: Sequence[str], prefix: str, clock: Callable[[], float] = time.time) -> Survey:
    """Look at a store; nothing is made or changed.

    Raises `StorageFailed` when no node answers, `Unavailable` when the cluster as a whole gives no answer,
    `StoreUnusable` when a newer version made the store.
    """
    client = await dial(urls, SECONDS, name="chez-relay doctor", max_reconnect_attempts=-1, reconnect_time_wait=1)
    try:
        engine, end = Engine(client), time.monotonic() + PATIENCE
        while True:
            found = await patiently(engine, lambda: _looked(engine, prefix, clock), end - time.monotonic())
            if not found.headless or time.monotonic() + 1 > end:
                return found
            await asyncio.sleep(1)
    finally:
        await let_go(client)


async def _looked(engine: Engine, prefix: str, clock: Callable[[], float]) -> Survey:
    if not await there(engine, f"{prefix}_store"):
        return Survey(0)
    known = await record(engine, prefix)
    if known is None:
        return Survey(0)
    names = [one["name"] for one in configurations(prefix, known.shards, 1)]
    begun = clock()
    answers = await asyncio.gather(*(engine.api(f"STREAM.INFO.{name}") for name in names))
    passed = clock() - begun
    found = [one for one in answers if "error" not in one]
    errors = [one["error"].get("err_code") for one in answers if "error" in one]
    behind = Counter(str(node["name"]) for one in found for node in _others(one)
                     if node.get("offline") or not node.get("current"))
    stamps = [datetime.fromisoformat(one["ts"]).timestamp() for one in found if "ts" in one]
    ahead = max((stamp - clock() for stamp in stamps), key=abs, default=0.0)
    return Survey(
        len(names), errors.count(NOT_FOUND),
        sum(code != NOT_FOUND for code in errors) + sum(not one.get("cluster", {}).get("leader") for one in found),
        tuple(sorted(behind.items())), min((one["config"]["num_replicas"] for one in found), default=0),
        sum(one["state"]["messages"] for one in found), sum(one["state"]["bytes"] for one in found),
        ahead if abs(ahead) > passed else 0.0)


def _others(info: dict[str, Any]) -> Sequence[dict[str, Any]]:
    return info.get("cluster", {}).get("replicas") or ()

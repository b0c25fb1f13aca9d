"""What a cluster is left with by relays that are killed, or unheard, in the middle."""

from contextlib import suppress
from typing import Any

import pytest

from chez_relay import storage as s
from chez_relay.cluster.nodes import Cluster
from chez_relay.storage.jetstream.blocks import decode_block
from chez_relay.storage.jetstream.engine import Unavailable
from chez_relay.storage.jetstream.store import BEGUN, JetStreamStorage
from tests.relay.clusters import emptied, messages
from tests.relay.storing import CONTROL, QUOTAS, READ, SPACE, Clock, create, drop, entry

pytestmark = pytest.mark.slow

LOG = f"chez.log.0.s.{SPACE.handle.hex()}"


class KilledError(Exception):
    """A relay is gone."""


async def kept(store: JetStreamStorage) -> list[int]:
    """The offsets that the blocks on the cluster have, whether anybody is shown them or not."""
    blocks = [decode_block(one.data, one.seq) for one in await messages(store, LOG)]
    return [block.first + n for block in blocks if block is not None for n in range(len(block.envelopes))]


async def appended(store: s.Storage, count: int, size: int = 200) -> list[bytes]:
    """The space with so many entries, each in a block of its own; the heads after each."""
    await store.perform([create()])
    results = [(await store.perform([entry(number, size)]))[0] for number in range(count)]
    return [one.head for one in results if isinstance(one, s.Stored)]


@pytest.mark.parametrize("killed", [KilledError, Unavailable])
@pytest.mark.parametrize("then", ["nothing", "another drop"])
async def test_what_was_told_dropped_and_not_yet_removed_goes_with_the_next_round(
        cluster: Cluster, monkeypatch: pytest.MonkeyPatch, killed: type[Exception], then: str) -> None:
    """A relay is killed, or its stream has no leader, just after it told what was dropped: no quota counts that, so it
    would lie there for ever. Another one removes it, also where the space drops again meanwhile."""
    clock = Clock()
    async with emptied(cluster, clock=clock, quotas=QUOTAS) as store:
        other = await JetStreamStorage.open(cluster.urls, clock=clock, quotas=QUOTAS)
        ends = await appended(store, 6)
        first = drop([s.Dropped(1, 2, ends[1]), s.Dropped(4, 4, ends[3])], voucher=CONTROL)
        assert await store.perform([first]) == [s.Done()]
        clock.now += QUOTAS.grace

        async def gone(*_: Any) -> None:
            raise killed

        with monkeypatch.context() as patched:
            patched.setattr(store.engine, "delete", gone)
            with suppress(KilledError):
                await store.perform([s.Expire()])
        assert await kept(other) == [1, 2, 3, 4, 5, 6]
        if then == "another drop":
            assert await other.perform([drop([s.Dropped(5, 5, ends[4])], (), first.drop)]) == [s.Done()]
        clock.now += BEGUN - 1
        if then == "nothing":  # it may be at it yet
            assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
            assert await kept(other) == [1, 2, 3, 4, 5, 6]
        clock.now += 1
        left = [3, 5, 6] if then == "nothing" else [3, 6]
        assert await other.perform([s.Expire()]) == [s.Expired(more=False)]
        assert await kept(other) == left
        (page,) = await other.perform([s.ReadPage(SPACE.handle, 0, 10_000, READ)])
        assert isinstance(page, s.Page) and page.head == ends[-1] and [one.offset for one in page.entries] == left
        await other.close()

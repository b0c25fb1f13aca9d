"""What inboxes take of a cluster, all together: anybody may make and fill them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage.jetstream import boxes
from chez_relay.storage.jetstream.engine import Kept
from chez_relay.storage.jetstream.store import JetStreamStorage
from tests.relay.clusters import Reached, emptied, gone, messages
from tests.relay.storing import INBOX, codes, create, entry
from tests.relay.support import seed
from tests.relay.test_cluster_drops import before_next

BOX = f"chez.box.0.s.{INBOX.inbox.hex()}"


async def test_all_inboxes_of_a_cluster_have_a_bound(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they take what they may, new ones and items are refused for now; spaces go on, what waits is read and put
    again, inboxes are kept alive, and with what is taken out there is room again."""
    monkeypatch.setattr(boxes, "COUNTED_SECONDS", 0.0)
    other = s.AddInbox(seed("another inbox"), seed("owner"), seed("writer"), 100)
    async with emptied(cluster, quotas=s.Quotas(inbox_bytes=3000)) as store:
        items = [s.AddItem(INBOX.inbox, bytes((number,)) * 800, INBOX.write_key) for number in range(8)]
        results = await store.perform([INBOX, *items])
        taken = codes(results).index(Code.FULL) - 1
        assert 0 < taken < 8 and all(isinstance(one, s.Refused) and one.retry for one in results[taken + 1:])
        assert codes(await store.perform([other, items[-1]])) == [Code.FULL, Code.FULL]
        assert await messages(store, "chez.box.0.now") == []  # what may be tried again is refused without a quorum
        assert codes(await store.perform([INBOX, items[0], create(), entry(1)])) == [None] * 4
        (page,) = await store.perform([s.ReadItems(INBOX.inbox, 0, 100_000)])
        assert isinstance(page, s.ItemPage) and [one.item for one in page.items] == [one.item for one in items[:taken]]
        await store.perform([s.DropItems(INBOX.inbox, page.end)])
        assert codes(await store.perform([other, items[-1]])) == [None] * 2


async def test_an_item_that_is_put_again_while_it_is_taken_stays(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner took it, and whoever had no answer puts it again elsewhere before its bytes are removed: it waits anew.
    """
    async with emptied(cluster) as one:
        two = await JetStreamStorage.open(cluster.urls)
        put = s.AddItem(INBOX.inbox, b"item", INBOX.write_key)
        assert await one.perform([INBOX, put]) == [s.Done()] * 2

        async def again() -> None:
            assert await two.perform([put]) == [s.Done()]

        async with before_next(one, "purge", again, monkeypatch):
            assert await one.perform([s.DropItems(INBOX.inbox, 1)]) == [s.Done()]
        (page,) = await two.perform([s.ReadItems(INBOX.inbox, 1, 1000)])
        assert page == s.ItemPage((s.InboxItem(2, b"item"),), 2)
        await two.close()


@contextmanager
def former_leader(store: JetStreamStorage, has: Kept | None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A relay asks a node that led the inboxes once and has this of one, until a quorum was to agree with it."""
    last, publish, agreed = store.engine.last, store.engine.publish, False

    async def remembered(stream: str, subject: str) -> Kept | None:
        return has if subject == BOX and not agreed else await last(stream, subject)

    async def published(subject: str, data: bytes, **options: Any) -> int:
        nonlocal agreed
        agreed = agreed or subject == "chez.box.0.now"
        return await publish(subject, data, **options)

    with monkeypatch.context() as patched:
        patched.setattr(store.engine, "last", remembered)
        patched.setattr(store.engine, "publish", published)
        yield
    assert agreed


async def test_a_former_leader_of_inboxes_turns_nobody_away(cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """An inbox that was just made at another relay is there for who puts into it or looks it up, what was read there
    is not ahead of it, and what is taken out of it does not come back: who asks is told no such thing before a quorum
    agreed with the node that is asked. It costs as many messages as there are streams, and those replace each other."""
    async with emptied(cluster) as one:
        two = await JetStreamStorage.open(cluster.urls)
        put = [s.AddItem(INBOX.inbox, bytes((number,)), INBOX.write_key) for number in range(2)]
        assert await one.perform([INBOX]) == [s.Done()]
        empty = await one.engine.last("chez_box_0", BOX)
        with former_leader(two, None, monkeypatch):
            assert await two.perform(put) == [s.Done(), s.Done()]
        with former_leader(two, None, monkeypatch):
            assert await two.perform([s.Lookup((INBOX.inbox, seed("nowhere")))]) == [
                s.Found((s.InboxInfo(INBOX.owner_key, INBOX.write_key), None))]
        with former_leader(two, empty, monkeypatch):
            assert await two.perform([s.ReadItems(INBOX.inbox, 2, 1000)]) == [s.ItemPage((), 2)]
        with former_leader(two, empty, monkeypatch):
            assert await two.perform([s.DropItems(INBOX.inbox, 2)]) == [s.Done()]
        assert await one.perform([s.ReadItems(INBOX.inbox, 0, 1000)]) == [s.ItemPage((), 2)]
        assert len(await messages(one, "chez.box.0.now")) == 1
        await two.close()


async def test_an_item_that_is_taken_while_it_is_read_is_not_called_damaged(
        cluster: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another device of its owner takes it through another relay, just before its bytes are read: it is there no more.
    """
    async with emptied(cluster) as one:
        two = await JetStreamStorage.open(cluster.urls)
        assert await one.perform([INBOX, s.AddItem(INBOX.inbox, b"item", INBOX.write_key)]) == [s.Done()] * 2

        async def take() -> None:
            (item,) = await messages(one, f"chez.box.0.i.{INBOX.inbox.hex()}.>")
            assert await two.perform([s.DropItems(INBOX.inbox, 1)]) == [s.Done()]
            await gone(cluster, [item])  # a node that has it yet would answer with it, and rightly

        async with before_next(one, "lasts", take, monkeypatch):
            assert await one.perform([s.ReadItems(INBOX.inbox, 0, 1000)]) == [s.ItemPage((), 1)]
        await two.close()

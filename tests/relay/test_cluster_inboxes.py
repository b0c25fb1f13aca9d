"""What inboxes take of a cluster, all together: anybody may make and fill them."""

import pytest

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage.jetstream import boxes
from chez_relay.storage.jetstream.store import JetStreamStorage
from tests.relay.clusters import Reached, emptied
from tests.relay.storing import INBOX, codes, create, entry
from tests.relay.support import seed
from tests.relay.test_cluster_drops import before_next


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

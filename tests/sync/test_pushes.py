"""What a relay pushes is kept within bounds, and nothing that it holds still is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chez.errors import RelayMisbehaved
from chez.sync import pushes
from chez.sync.events import EntriesArrived, InboxArrived
from chez.sync.pushes import Pushes
from chez_wire.frames import InboxItem

INBOXES = (bytes(32), b"\1" * 32)
SIZE = 1000


@given(st.lists(st.tuples(st.sampled_from(INBOXES), st.integers(1, 9)), max_size=40), st.integers(1, 12),
       st.randoms(use_true_random=False))
def test_every_item_comes_once_and_in_order_however_little_room_there_is(
        arrivals: list[tuple[bytes, int]], room: int, choose: object) -> None:
    """A relay sends pages of items faster than they are taken: what was let go comes when it is watched again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pushes, "ITEM_ROOM", room * SIZE)
        kept, taken = Pushes(), {inbox: list[int]() for inbox in INBOXES}
        there = dict.fromkeys(INBOXES, 0)
        for inbox in INBOXES:
            kept.watched(inbox, 0)
        for inbox, count in arrivals:
            items = tuple(InboxItem(there[inbox] + n, b"") for n in range(1, count + 1))
            there[inbox] += count
            kept.put(InboxArrived(1, inbox, items), count * SIZE)
            assert sum(len(event.items) for event, _ in kept._waiting) <= room
            if len(kept) and choose.random() < 0.5:  # type: ignore[attr-defined]
                event = kept.take()
                taken[event.inbox] += [item.number for item in event.items]
        for _ in range(10_000):
            while len(kept):
                event = kept.take()
                taken[event.inbox] += [item.number for item in event.items]
            if (missed := kept.missed()) is None:
                break
            inbox, after = missed
            kept.watched(inbox, after)
            for number in range(after + 1, there[inbox] + 1):
                kept.put(InboxArrived(2, inbox, (InboxItem(number, b""),)), SIZE)
        assert taken == {inbox: list(range(1, count + 1)) for inbox, count in there.items()}


def test_a_relay_that_sends_what_nobody_gave_credit_for_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are bounded by credit, so more than the bound of them is no honest relay's."""
    monkeypatch.setattr(pushes, "MAX_UNREAD", 2 * SIZE)
    kept = Pushes()
    page = EntriesArrived(1, bytes(32), (), bytes(32), 0)
    kept.put(page, SIZE)
    kept.put(page, SIZE)
    with pytest.raises(RelayMisbehaved, match="floods"):
        kept.put(page, SIZE)

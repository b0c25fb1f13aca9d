"""The time of inboxes and items: to the second, and what it leaves in the store's file."""

from dataclasses import replace
from pathlib import Path

from chez_relay import storage as s
from chez_relay.errors import Code
from chez_relay.storage.census import census
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.space_rows import SWEEP_ROWS
from chez_relay.storage.standing import STOOD, Standing
from chez_relay.storage.tables import Tables
from chez_wire.limits import MAX_INBOX_TTL
from tests.relay.storing import INBOX, QUOTAS, Clock, codes, new_store
from tests.relay.support import seed


def put(number: int) -> s.AddItem:
    return s.AddItem(INBOX.inbox, number.to_bytes(2, "big"), INBOX.write_key)


async def test_the_second_at_which_it_is_over_is_the_first_without_it(store: s.Storage, clock: Clock) -> None:
    """An item is not shown then, takes no room, and its like is put anew; an inbox is not there."""
    items = QUOTAS.inbox_items
    await store.perform([INBOX, *(put(number) for number in range(items))])
    clock.now += 1
    await store.perform([INBOX])
    read = s.ReadItems(INBOX.inbox, 0, 1000)
    clock.now += INBOX.ttl - 2
    page, more = await store.perform([read, put(items)])
    assert isinstance(page, s.ItemPage) and len(page.items) == items and codes([more]) == [Code.FULL]
    clock.now += 1
    page, *anew = await store.perform([read, *(put(number) for number in range(items))])
    assert page == s.ItemPage((), items) and codes(anew) == [None] * items
    (page,) = await store.perform([read])
    assert isinstance(page, s.ItemPage) and [one.number for one in page.items] == [*range(items + 1, 2 * items + 1)]
    clock.now += 1
    other = replace(INBOX, owner_key=seed("another owner"))
    assert await store.perform([s.Lookup((INBOX.inbox,)), other]) == [s.Found((None,)), s.Done()]


async def test_an_item_stays_as_long_as_its_inbox_was_last_renewed_for(store: s.Storage, clock: Clock) -> None:
    """The longer time holds for what is put from then on."""
    await store.perform([INBOX, put(1), replace(INBOX, ttl=1000), put(2)])
    read = s.ReadItems(INBOX.inbox, 0, 1000)
    clock.now += 999
    assert await store.perform([read]) == [s.ItemPage((s.InboxItem(2, put(2).item),), 2)]


async def test_a_page_of_items_is_filled_to_its_last_byte(store: s.Storage) -> None:
    """And not beyond, but for the first."""
    await store.perform([INBOX, *(put(number) for number in range(3))])
    for limit, count in ((1, 1), (3, 1), (4, 2), (5, 2), (6, 3)):
        (page,) = await store.perform([s.ReadItems(INBOX.inbox, 0, limit)])
        assert isinstance(page, s.ItemPage) and len(page.items) == count


def test_what_the_file_has_to_give_counts_to_its_last_byte(tmp_path: Path) -> None:
    """An inbox takes no more once what is left on the disk and inside the file is below what is for spaces."""
    left = [2**30]
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(inbox_reserve=2**20), Clock(), lambda: left[0])
        tables.perform([INBOX, *(s.AddItem(INBOX.inbox, bytes((n,)) * 50_000, INBOX.write_key) for n in range(20))])
        tables.perform([s.DropItems(INBOX.inbox, 20)])
        (inside,), (size,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size"))
        left[0] = 2**20 - inside * size - 1
        assert codes(tables.perform([put(1)])) == [Code.FULL]
        left[0] += 1
        assert codes(tables.perform([put(1)])) == [None]


def test_a_clock_that_goes_back_stands_from_then_on() -> None:
    """It was not right before: for a day it says the same, then it is believed."""
    standing = Standing()
    for now, believed in ((1000.0, False), (500.0, False), (499.0 + STOOD, False), (500.0 + STOOD, True)):
        assert standing.believed(now, late=True) is believed
    assert not standing.believed(500.0 + STOOD, late=False)


def test_items_go_in_slices_where_their_inbox_lives_on(tmp_path: Path) -> None:
    """Nobody is shown them any more, and nobody puts anything: they leave the file all the same, at their very second.
    """
    clock, many = Clock(), SWEEP_ROWS + 100
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(inbox_items=2 * many), clock)
        tables.perform([INBOX, *(put(number) for number in range(many))])
        clock.now += 1
        tables.perform([replace(INBOX, ttl=1000), put(many)])
        clock.now += INBOX.ttl - 2
        assert tables.perform([s.Expire()]) == [s.Expired(more=False)]
        assert census(tmp_path).items == many + 1
        clock.now += 1
        assert tables.perform([s.Expire()]) == [s.Expired(more=True)]
        assert census(tmp_path).items == many + 1 - SWEEP_ROWS
        assert tables.perform([s.Expire()]) == [s.Expired(more=False)]
        assert (census(tmp_path).inboxes, census(tmp_path).items) == (1, 1)
        (page,) = tables.perform([s.ReadItems(INBOX.inbox, 0, 1000)])
        assert page == s.ItemPage((s.InboxItem(many + 1, put(many).item),), many + 1)


def test_all_that_was_put_while_the_clock_was_ahead_goes_in_its_time(tmp_path: Path) -> None:
    """Not one for each look, and items whose inbox was renewed since as well."""
    clock, lasting = Clock(), replace(INBOX, ttl=MAX_INBOX_TTL)
    with new_store(tmp_path / FILE_NAME) as db:
        tables = Tables(db, s.Quotas(), clock)
        clock.now += 3e8
        tables.perform([INBOX, *(put(number) for number in range(3))])
        clock.now -= 3e8
        tables.perform([lasting, s.Expire()])
        clock.now += STOOD
        tables.perform([lasting, s.Expire()])
        assert census(tmp_path).items == 3
        clock.now += MAX_INBOX_TTL - 1
        tables.perform([lasting, s.Expire()])
        assert census(tmp_path).items == 3
        clock.now += 1
        tables.perform([s.Expire()])
        assert (census(tmp_path).inboxes, census(tmp_path).items) == (1, 0)

"""What an inbox's time leaves in the store's file: items whose time is over go, also where the inbox lives on."""

from dataclasses import replace
from pathlib import Path

from chez_relay import storage as s
from chez_relay.storage.census import census
from chez_relay.storage.copies import FILE_NAME
from chez_relay.storage.space_rows import SWEEP_ROWS
from chez_relay.storage.standing import STOOD
from chez_relay.storage.tables import Tables
from chez_wire.limits import MAX_INBOX_TTL
from tests.relay.storing import INBOX, Clock, new_store


def put(number: int) -> s.AddItem:
    return s.AddItem(INBOX.inbox, number.to_bytes(2, "big"), INBOX.write_key)


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

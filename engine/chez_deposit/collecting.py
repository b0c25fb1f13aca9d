"""Takes acknowledgements from the organisation's inbox: each ends what is kept of one message."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chez import inboxes
from chez.deposits.ack import open_ack
from chez.errors import BadEntry
from chez_deposit.book import Book, State
from chez_deposit.keys import OrganisationKeys
from chez_wire.limits import MAX_INBOX_ITEMS, MAX_INBOX_TTL

__all__ = ("Collected", "collect")

_QUIET: Final = 1.0
"""Seconds without another one after which all that waited is there."""

MOST_ITEMS: Final = 64 * MAX_INBOX_ITEMS
"""Items that one go looks at, as long as it is to end: whoever has the card may fill the inbox while it is emptied, and
a relay may repeat what is in it."""


@dataclass(slots=True)
class Collected:
    """What came: messages that customers' devices have, those that they never take, and what was none of this."""

    taken: int = 0
    refused: int = 0
    dropped: int = 0


async def collect(book: Book, keys: OrganisationKeys, *, now: Callable[[], int], wait: float | None = 2.0,
                  told: Callable[[Collected], None] | None = None) -> Collected:
    """Take what waits, and what comes within `wait` seconds; None goes on until it is cancelled.

    An acknowledgement is deleted at the relay when it is in the book. `told` hears of each that came. Raises
    `RelayUnreachable`, `RelayRefused`.
    """
    report = Collected()
    await inboxes.create(keys.relay, keys.inbox_owner, keys.inbox_writer.public, ttl=MAX_INBOX_TTL)
    async with inboxes.watch(keys.relay, keys.inbox_owner) as items:
        timeout, last, looked = wait, 0, 0
        while wait is None or looked < MOST_ITEMS:
            try:
                item = await asyncio.wait_for(anext(items), timeout)
            except TimeoutError:
                return report
            looked += 1
            if item.number > last:
                last = item.number
                _note(book, keys, item.item, now(), report)
                await items.ack(item.number)
                if told is not None:
                    told(report)
            timeout = None if wait is None else min(_QUIET, wait)
    return report


def _note(book: Book, keys: OrganisationKeys, item: bytes, now: int, report: Collected) -> None:
    """Put one acknowledgement into the book; what is none, or of no message of this book, is dropped."""
    try:
        said = open_ack(item, keys.sealing, keys.inbox)
    except BadEntry:
        report.dropped += 1
        return
    state, note = (State.TAKEN, "") if said.outcome == "taken" else (State.REFUSED, said.outcome)
    with book.writing() as db:
        changed = db.execute(
            "UPDATE message SET state = ?, at = ?, item = NULL, refused = ?, note = ? WHERE address = ? AND era = ? "
            "AND number = ? AND hash = ? AND state IN (?, ?)",
            (state, now, min(said.refused, 2**31), note, said.address, said.era, said.number, said.hash, State.QUEUED,
             State.SENT)).rowcount
    if changed and state is State.TAKEN:
        report.taken += 1
    elif changed:
        report.refused += 1

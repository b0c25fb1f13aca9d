"""Takes acknowledgements from the organisation's inbox: each ends what is kept of one message."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from chez import inboxes
from chez.deposits.ack import open_ack
from chez.errors import BadEntry, ChezError
from chez_deposit.book import Book, State
from chez_deposit.keys import Mailbox, OrganisationKeys
from chez_wire.limits import MAX_INBOX_ITEMS, MAX_INBOX_TTL

__all__ = ("Collected", "collect")

_QUIET: Final = 1.0
"""Seconds without another one after which all that waited is there."""

MOST_ITEMS: Final = 64 * MAX_INBOX_ITEMS
"""Items that one go looks at, as long as it is to end: whoever has the card may fill the inbox while it is emptied, and
a relay may repeat what is in it."""


TOGETHER: Final = 256
"""Items that are put into the book, and deleted at the relay, in one go: one by one they would take longer than whoever
has the card needs to put others."""


@dataclass(slots=True)
class Collected:
    """What came: messages that customers' devices have, those that they never take, and what was none of this."""

    taken: int = 0
    refused: int = 0
    dropped: int = 0
    problems: list[str] = field(default_factory=list)
    """Why nothing came of the inboxes of former keys."""


async def collect(book: Book, keys: OrganisationKeys, *, now: Callable[[], int], wait: float | None = 2.0,
                  told: Callable[[Collected], None] | None = None) -> Collected:
    """Take what waits, and what comes within `wait` seconds; None goes on until it is cancelled.

    An acknowledgement is deleted at the relay when it is in the book. `told` hears of what came, some at a time. Those
    for former keys are taken at the same time, as far as their relays let (`Collected.problems`). Raises
    `RelayUnreachable`, `RelayRefused`.
    """
    report = Collected()

    async def former(mailbox: Mailbox) -> None:
        try:
            await _collect(book, mailbox, now, wait, told, report)
        except ChezError as error:
            report.problems.append(f"the inbox of a former key: {error.message}")

    async with asyncio.TaskGroup() as group:
        others = [group.create_task(former(one.mailbox)) for one in keys.formerly]
        try:
            await _collect(book, keys.mailbox, now, wait, told, report)
        except ChezError as error:
            failed: ChezError | None = error
        else:
            failed = None
        if failed is not None:
            for other in others:
                other.cancel()
    if failed is not None:
        raise failed
    return report


async def _collect(book: Book, mailbox: Mailbox, now: Callable[[], int], wait: float | None,
                   told: Callable[[Collected], None] | None, report: Collected) -> None:
    """Take what waits in one inbox, and what comes."""
    await inboxes.create(mailbox.relay, mailbox.owner, mailbox.writer.public, ttl=MAX_INBOX_TTL)
    async with inboxes.watch(mailbox.relay, mailbox.owner) as items:
        timeout, last, looked = wait, 0, 0
        while wait is None or looked < MOST_ITEMS:
            try:
                async with asyncio.timeout(timeout):  # Python 3.11's `wait_for` may lose a cancellation
                    page = await items.page()
            except TimeoutError:
                return
            looked += len(page)
            new = [item for item in page if item.number > last]
            for start in range(0, len(new), TOGETHER):
                part = new[start:start + TOGETHER]
                last = part[-1].number
                _note(book, mailbox, [item.item for item in part], now(), report)
                await items.ack(last)
                if told is not None:
                    told(report)
            timeout = None if wait is None else min(_QUIET, wait)


def _note(book: Book, mailbox: Mailbox, items: list[bytes], now: int, report: Collected) -> None:
    """Put acknowledgements into the book; what is none, or of no message of this book, is dropped."""
    said = []
    for item in items:
        try:
            said.append(open_ack(item, mailbox.sealing, mailbox.inbox))
        except BadEntry:
            report.dropped += 1
    if not said:
        return
    with book.writing() as db:
        for one in said:
            state, note = (State.TAKEN, "") if one.outcome == "taken" else (State.REFUSED, one.outcome)
            changed = db.execute(
                "UPDATE message SET state = ?, at = ?, item = NULL, refused = ?, note = ? WHERE address = ? "
                "AND era = ? AND number = ? AND hash = ? AND state IN (?, ?)",
                (state, now, min(one.refused, 2**31), note, one.address, one.era, one.number, one.hash, State.QUEUED,
                 State.SENT)).rowcount
            if changed and state is State.TAKEN:
                report.taken += 1
            elif changed:
                report.refused += 1

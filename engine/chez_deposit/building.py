"""From what is staged to messages: for each customer signed, sealed, numbered, and durable before one leaves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chez.deposits.address import Address, kept_address
from chez.deposits.message import MAX_RECORDS, ROOM, Section, seal_deposit
from chez.errors import InvalidValue
from chez_deposit.book import Book, State
from chez_deposit.keys import OrganisationKeys

__all__ = ("Built", "build")

STEP: Final = 128
"""Customers in one transaction."""

_EACH: Final = 16
_SECTION: Final = 256

_Row = tuple[int, str, bytes]


@dataclass(frozen=True, slots=True)
class Built:
    """What was made: messages, and customers whose address has ended, to whom nothing is sent."""

    messages: int
    ended: int


def build(book: Book, keys: OrganisationKeys, batch: str, *, now: int) -> Built:
    """Make the messages of a batch that is staged; `now` in Unix seconds. What was made already stays as it is.

    Raises `NotFound` for a batch that is not there, `InvalidValue` for one that was not read to its end.
    """
    n = book.batch(batch)
    if not book.db.execute("SELECT whole FROM batch WHERE n = ?", (n,)).fetchone()[0]:
        raise InvalidValue(f"batch {batch!r} was not read to its end", "Give its file again: reading goes on there.")
    messages = ended = 0
    card, signing, era = keys.card.text, keys.signing, book.era
    while True:
        customers = book.db.execute(
            "SELECT customer.n, address, next FROM customer WHERE n IN (SELECT DISTINCT customer FROM staged "
            "WHERE batch = ? ORDER BY customer LIMIT ?)", (n, STEP)).fetchall()
        if not customers:
            return Built(messages, ended)
        with book.writing() as db:
            for customer, text, begin in customers:
                address = kept_address(text)
                rows: list[_Row] = db.execute("SELECT n, collection, record FROM staged WHERE batch = ? "
                                              "AND customer = ? ORDER BY n", (n, customer)).fetchall()
                db.execute("DELETE FROM staged WHERE batch = ? AND customer = ?", (n, customer))
                if address.until <= now * 1000:
                    ended += 1
                    continue
                with_it = "" if address.organisation == signing.public else card
                for number, sections in enumerate(_messages(address, rows, ROOM - len(with_it)), begin):
                    item, hash = seal_deposit(address, signing, era, number, sections, with_it)
                    db.execute("INSERT INTO message (customer, batch, address, era, number, hash, records, item, state,"
                               " at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                               (customer, n, address.key, era, number, hash,
                                sum(one.lines.count(b"\n") + 1 for one in sections), item, State.QUEUED, now))
                    messages += 1
                    db.execute("UPDATE customer SET next = ? WHERE n = ?", (number + 1, customer))


def _messages(address: Address, rows: list[_Row], room: int) -> Iterator[list[Section]]:
    """Records in as many messages as it takes, none larger than its room, or than a day's quota."""
    most, room = min(MAX_RECORDS, address.most_records), min(room, address.most_bytes)
    found: dict[str, list[bytes]] = {}
    count = size = 0
    for _, collection, record in rows:
        needs = len(record) + _EACH + (0 if collection in found else _SECTION)
        if count and (count >= most or size + needs > room):
            yield _sections(found)
            found, count, size = {}, 0, 0
            needs = len(record) + _EACH + _SECTION
        found.setdefault(collection, []).append(record)
        count, size = count + 1, size + needs
    if count:
        yield _sections(found)


def _sections(found: dict[str, list[bytes]]) -> list[Section]:
    return [Section(collection, b"\n".join(records)) for collection, records in found.items()]

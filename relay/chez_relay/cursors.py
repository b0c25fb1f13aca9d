"""How far one connection has read a space or an inbox: all that a relay remembers of it.

A cursor is an offset, a credit and a flag. What a reader has not taken yet stays in the
storage and nowhere else, so a slow reader is simply read to later.

    wanting  there is more, credit is left, and no page is under way -> ask for one page
    reading  a page is under way; growth meanwhile only moves `end`
    idle     nothing more, or no credit
"""

from dataclasses import dataclass

from chez_relay.storage import ItemPage, Page, ReadItems, ReadPage
from chez_wire.limits import MAX_CREDIT, MAX_PAGE

__all__ = ("InboxCursor", "SpaceCursor")


@dataclass(slots=True)
class SpaceCursor:
    """One subscription: the entries up to `offset` were sent, `credit` bytes may still go.

    `under` is the public key that proved the role read when it was made.

    The last entry of a page may exceed the credit, which then goes below zero: otherwise
    an entry larger than a small credit could never travel. So at most the credit and one
    envelope are ever under way.
    """

    ref: int
    handle: bytes
    offset: int
    credit: int
    end: int
    under: bytes
    reading: bool = False
    answered: bool = False
    early: bytes = b""
    """The id of the entry that was sent before it was stored, until something else is."""

    def allow(self, credit: int) -> None:
        """Add credit, up to the protocol's maximum."""
        self.credit = min(self.credit + credit, MAX_CREDIT)

    def next_page(self, *, first: bool = False) -> ReadPage | None:
        """The page to ask for now, if any; marks it as under way."""
        if self.reading or self.credit <= 0 or (self.offset >= self.end and not first):
            return None
        self.reading = True
        return ReadPage(self.handle, self.offset, min(self.credit, MAX_PAGE), self.under)

    def sent(self, page: Page) -> None:
        """Account for a page that is being sent."""
        self.offset = max(self.offset, page.last)
        self.credit -= sum(len(entry.envelope) for entry in page.entries)
        self.end = max(self.end, page.end)
        self.answered = True
        self.early = b""

    def waits(self, size: int) -> bool:
        """Whether the reader has all there is, and would be sent so many bytes more."""
        return self.answered and not self.reading and self.offset >= self.end and size <= self.credit

    def passes(self, offset: int) -> bool:
        """Move past an entry that this very connection appended, if it stands just before it."""
        if self.reading or offset != self.offset + 1:
            return False
        self.offset = offset
        self.end = max(self.end, offset)
        return True

    def rest(self, page: Page) -> Page:
        """What of the entries just committed is still to be sent."""
        if page.entries and page.entries[0].offset > self.offset:  # all of them, nearly always
            return page
        return Page(tuple(entry for entry in page.entries if entry.offset > self.offset), page.head, page.end)

    def takes(self, page: Page) -> bool:
        """Whether entries just committed can go out as they are, without a read."""
        return (
            not self.reading
            and bool(page.entries)
            and page.entries[0].offset == self.offset + 1
            and (size := sum(len(entry.envelope) for entry in page.entries)) <= self.credit
            and (size <= MAX_PAGE or len(page.entries) == 1)
        )


@dataclass(slots=True)
class InboxCursor:
    """One watch: the items numbered up to `number` were sent, `end` is the last one known."""

    ref: int
    inbox: bytes
    number: int
    more: bool = True
    reading: bool = False
    answered: bool = False

    def next_page(self) -> ReadItems | None:
        """The page to ask for now, if any; marks it as under way."""
        if self.reading or not self.more:
            return None
        self.reading, self.more = True, False
        return ReadItems(self.inbox, self.number, MAX_PAGE)

    def sent(self, page: ItemPage) -> None:
        """Account for a page that is being sent; an empty one means that all the rest is gone."""
        self.number = page.items[-1].number if page.items else page.end
        self.more = self.more or self.number < page.end
        self.answered = True

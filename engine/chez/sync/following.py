"""Subscriptions and watches as this side sees them: where each stands, and what may come next.

Whatever contradicts what came before is `RelayMisbehaved`: entries with a gap, twice or
out of order, a head that does not follow from them, more than the credit allows.
"""

from dataclasses import dataclass, field
from typing import NoReturn

from chez.errors import RelayMisbehaved
from chez.sync.events import EntriesArrived
from chez_wire import frames
from chez_wire.envelope import entry_id, fold_head

__all__ = ("Following", "check_run", "misbehaved")


def misbehaved(message: str) -> NoReturn:
    """Raise `RelayMisbehaved`."""
    raise RelayMisbehaved(message, "nothing here is lost; try another relay, or tell its operator")


@dataclass(slots=True)
class Following:
    """A subscription to a space or a watch of an inbox; `head` is None until it is known."""

    ref: int
    position: int
    credit: int = 0
    head: bytes | None = None
    inbox: bool = False
    early: bytes = field(default=b"", repr=False)
    """The entry that came before it was stored, if nothing else came since."""

    def whole(self, entries: list[frames.Entry]) -> tuple[frames.Entry, ...]:
        """Entries, with the bytes of the one that came early."""
        early, self.early = self.early, b""
        if len(entries) == 1 and early and not entries[0].envelope:
            return (frames.Entry(entries[0].offset, early),)
        return tuple(entries)

    def take(self, event: EntriesArrived) -> None:
        """Entries came: they must follow the last ones, and be within the credit."""
        if event.entries and self.credit <= 0:
            misbehaved("the relay sent more than its credit allows")
        self.head = check_run(event, self.position, self.head)
        self.position += len(event.entries) + sum(one.last - one.first + 1 for one in event.dropped)
        self.credit -= sum(len(entry.envelope) for entry in event.entries)

    def take_items(self, items: list[frames.InboxItem]) -> None:
        """Items came: their numbers must rise."""
        for item in items:
            if item.number <= self.position:
                misbehaved("the relay sent an inbox item twice or out of order")
            self.position = item.number

    def pass_over(self, frame: frames.Appended) -> None:
        """An own entry was stored just after this position: it does not come back."""
        if (self.ref, self.position + 1) != (frame.passed, frame.offset):
            misbehaved("the relay passes over entries that it did not send")
        if self.head is not None and fold_head(self.head, frame.entry) != frame.head:
            misbehaved("the relay's head does not follow from the entry it acknowledged")
        self.position, self.head = frame.offset, frame.head


def check_run(event: EntriesArrived, after: int, head: bytes | None) -> bytes:
    """Check that entries, and ranges that were dropped, follow `after` without a gap and refold to the head claimed.

    The head behind a range is taken as the relay says it: a vouch, and what other devices saw there, tell whether
    it is true (`sync.checkpoints`).
    """
    expected = after + 1
    for step in event.steps:
        first = step.first if isinstance(step, frames.Dropped) else step.offset
        if first != expected:
            misbehaved(f"the relay sent entry {first} where {expected} comes next")
        if isinstance(step, frames.Dropped):
            if step.last < first:
                misbehaved("the relay passes over a range of entries that has no end")
            expected, head = step.last + 1, step.head
        else:
            expected += 1
            if not step.envelope:
                misbehaved("the relay refers to an entry that it did not send")
            head = None if head is None else fold_head(head, entry_id(step.envelope))
    if event.end < expected - 1:
        misbehaved("the relay sent entries beyond its own end")
    if head is not None and head != event.head:
        misbehaved("the relay's head does not follow from the entries it sent")
    return event.head

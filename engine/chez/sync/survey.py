"""One space's log at a relay, read by who has nothing of it but a key: members and epochs come out.

Whoever is let into a space, or comes back with the 24 words, gets one packet: the keys of
the newest epoch. What was said in the log leads on, by links, to those before:

    packet -> newest epoch -> its entries -> statements -> epochs before -> their entries -> ...

Theory of operation. The log is gone through in passes. The first goes over all of it and
takes the entries of the packet's epoch; of those of other epochs it keeps the *span* only,
from the first offset to the last, for each. Then the statements that came unlock what they
can, and the next pass goes over the spans of these epochs, and so on: each entry is opened
once, and nearly every one is fetched twice at most, for epochs follow each other in the log.
What holds changes is dropped at once: ordinary sync reads them, with all keys at hand.

The core below does no I/O and knows no clock; `chez.sync.surveyor` is the shell. A relay may
lie and anybody may have sealed a packet, so nothing is believed before the statement of the
packet's epoch takes effect and commits to its keys (`result`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from chez.errors import BadEntry, RelayMisbehaved
from chez.keys.epochs import Epoch
from chez.spaces.membership import Membership
from chez.spaces.rotation import holds, unlock
from chez.spaces.statements import Signed
from chez.sync.entry import STATEMENT, STATEMENTS, kind_of, read_signed, unseal
from chez_wire.envelope import Header
from chez_wire.frames import Entry

__all__ = ("Survey", "Surveying")

MAX_SPANS: Final = 16_384
"""Epochs without a key whose places are kept each for itself; the others' are kept as one, which costs
a longer way and no entry. Anybody who may write can name so many."""

Span = tuple[int, int]
"""Entries from an offset to another, both included."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a log says of its space.

    `newest` is the epoch of the packet, with the seeds that it had; `epochs` are all that could
    be unlocked, this one included, by id. `entries` is how long the log was, `unreadable` how
    many of its entries are under no key that could be had, or are none.
    """

    membership: Membership = field(repr=False)
    newest: Epoch
    epochs: dict[bytes, Epoch] = field(repr=False)
    entries: int
    unreadable: int

    @property
    def space(self) -> bytes:
        """The space's id."""
        return self.membership.space


class Surveying:
    """A survey under way: read what follows `after` and hand it to `take`, until `after` is None."""

    def __init__(self, handle: bytes, space: bytes, packet: Epoch) -> None:
        self._handle = handle
        self.newest = packet
        """The epoch of the packet: its credentials read the log."""
        self._epochs = {packet.id: packet}
        self._membership = Membership(space)
        self._entries = 0
        self._opened = 0
        self._taking = {packet.id}
        """The epochs whose entries this pass takes."""
        self._done: set[bytes] = set()
        """Those whose entries were taken in an earlier one."""
        self._locked: dict[bytes, Span] = {}
        self._others: Span | None = None
        """Where entries of epochs are that `_locked` had no room for."""
        self._passes = 1
        self._spans: list[Span] = []
        """What this pass is still to go over, the next part last."""
        self._position = 0
        self.after: int | None = 0
        """The offset after which to read next; None when there is nothing more to read."""

    @property
    def progress(self) -> tuple[int, int]:
        """How many entries were gone over by now, and how many there are."""
        return (self._position if self._passes == 1 else self._entries), self._entries

    def take(self, entries: Sequence[Entry], end: int) -> None:
        """A page of entries that follows `after`; `end` is where the log ends now.

        What is appended while it is read is left to others. Raises `RelayMisbehaved` when the
        relay does not hand out what it says it has.
        """
        if self.after is None:
            raise ValueError("there is nothing left to read")
        if self._passes == 1 and self.after == 0:
            self._entries = end
            self._spans = [(1, end)] if end else []
        if self._spans and not entries:
            raise RelayMisbehaved("the relay says that it has more entries, and hands out none",
                                  "Try again, or use another relay that the space is at.")
        last = self._spans[-1][1] if self._spans else 0
        for entry in entries:
            if entry.offset > last:
                self._position = last  # what was left of this part was dropped meanwhile, or was never there
                break
            self._position = entry.offset
            self._look_at(entry)
        self._go_on()

    def result(self) -> Survey:
        """What came of it. Raises `RelayMisbehaved` when the log does not say how the packet's epoch began."""
        state = self._membership.state
        said = state.epochs.get(self.newest.id)
        if state.create is None or said is None or not holds(self.newest, said):
            raise RelayMisbehaved(
                "the relay has keys of this space, and not the entry that says whose they are",
                "Its log was rolled back, it hides entries, or a device is just replacing the keys. Try again later, "
                "or use another relay that the space is at.")
        epochs = {id: epoch for id, epoch in self._epochs.items()
                  if (said := self._membership.epoch(id)) is None or holds(epoch, said)}
        return Survey(self._membership, self.newest, epochs, self._entries, self._entries - self._opened)

    # --- one entry ----------------------------------------------------------------------

    def _look_at(self, entry: Entry) -> None:
        try:
            epoch = Header.decode(entry.envelope).epoch
        except ValueError:  # of another format
            return
        if epoch in self._taking:
            self._open(entry)
        elif epoch not in self._done:
            self._note(epoch, entry.offset)

    def _open(self, entry: Entry) -> None:
        try:
            packed = unseal(entry.envelope, self._handle, self._epochs)
            if kind_of(packed) == STATEMENTS:
                self._learn(packed)
        except BadEntry:
            return
        self._opened += 1

    def _learn(self, packed: bytes) -> None:
        inner = read_signed(packed).inner
        if inner.space != self._membership.space:
            raise BadEntry("the entry belongs to another space")
        self._membership.add([Signed.read(item.data) for item in inner.items if item.kind == STATEMENT])

    def _note(self, epoch: bytes, offset: int) -> None:
        """Remember where entries of an epoch are whose key is not here yet."""
        if epoch in self._locked or len(self._locked) < MAX_SPANS:
            self._locked[epoch] = _with(self._locked.get(epoch), offset)
        else:
            self._others = _with(self._others, offset)

    # --- the way ------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Where to read next."""
        if self._spans and self._position >= self._spans[-1][1]:
            self._spans.pop()
            if not self._spans:
                self._next_pass()
            if self._spans:
                self._position = self._spans[-1][0] - 1
        self.after = self._position if self._spans else None

    def _next_pass(self) -> None:
        """What the statements that came have unlocked is gone over; nothing, when they unlocked nothing more."""
        self._done |= self._taking
        for epoch in unlock(self._membership, self._epochs):
            self._epochs[epoch.id] = epoch
        self._taking = self._epochs.keys() - self._done
        spans = [self._locked.pop(id) for id in self._taking if id in self._locked]
        if self._taking and self._others is not None:
            spans.append(self._others)
            self._others = None
        self._passes += 1
        self._spans = _joined(spans)


def _with(span: Span | None, offset: int) -> Span:
    return (offset, offset) if span is None else (min(span[0], offset), max(span[1], offset))


def _joined(spans: Iterable[Span]) -> list[Span]:
    """The same entries in spans that do not overlap, the first one last."""
    joined: list[Span] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined[::-1]

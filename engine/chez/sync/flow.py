"""How much of a space is on its way at once: own entries to the relay, and what the relay may send ahead.

Either way it is bounded by bytes: enough to keep both sides busy, and little enough for who has many spaces on one
connection, which share it.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from chez.sync.sealed import Sealed
from chez_wire.limits import DEFAULT_CREDIT

__all__ = ("LEAST_WINDOW", "Credit", "Window")

WINDOW: Final = 4 * 1024 * 1024
"""Bytes of own entries under way to the relay: a few full frames keep both sides busy."""

LEAST_WINDOW: Final = 128 * 1024
"""What a space may have under way at least, however many share the connection."""


@dataclass(slots=True)
class Window:
    """Own entries that are sealed and not acknowledged, each once; `len` tells how many.

    They wait, in order; then they are under way, by what they were sent with; and those that the relay has no room for
    are held back, with all behind them but what may give room. Apart from these, for it has a quota of its own, is held
    back what is said of the space, and nothing behind it. The first of either is tried now and then, and is held
    back while it is, until it is answered.
    """

    _waiting: "OrderedDict[bytes, Sealed]" = field(default_factory=OrderedDict)
    _under_way: dict[int, Sealed] = field(default_factory=dict)
    _held: "OrderedDict[bytes, Sealed]" = field(default_factory=OrderedDict)
    _unsaid: "OrderedDict[bytes, Sealed]" = field(default_factory=OrderedDict)
    _said_last: bool = False
    """Whether what is said was tried last."""
    _bytes: int = 0

    def __len__(self) -> int:
        tried = sum(entry.id in self._held or entry.id in self._unsaid for entry in self._under_way.values())
        return len(self._waiting) + len(self._under_way) + len(self._held) + len(self._unsaid) - tried

    @property
    def moves(self) -> bool:
        """Whether any waits to be sent, or is under way."""
        return bool(self._waiting or self._under_way)

    @property
    def asks(self) -> bool:
        """Whether any is under way."""
        return bool(self._under_way)

    @property
    def full(self) -> bool:
        """Whether any is held back: the relay has no room."""
        return bool(self._held or self._unsaid)

    @property
    def mute(self) -> bool:
        """Whether what is said of the space is."""
        return bool(self._unsaid)

    def add(self, sealed: list[Sealed]) -> None:
        """These wait behind the others, but for those that wait or are under way already."""
        under_way = {entry.id for entry in self._under_way.values()} if sealed else set()
        self._waiting |= {entry.id: entry for entry in sealed if entry.id not in under_way}

    def next(self, share: int) -> Sealed | None:
        """The next to send, if the window allows one where `share` spaces are on the connection; it waits no more.

        The window is left with one more than fits: an entry is never too large for it.
        """
        while self._waiting and self._bytes < max(LEAST_WINDOW, WINDOW // share):
            _, entry = self._waiting.popitem(last=False)
            if not self._held or entry.control or entry.gives_room:
                return entry
            self.hold(entry)
        return None

    def sent(self, ref: int, entry: Sealed) -> None:
        """It is under way now."""
        self._under_way[ref] = entry
        self._bytes += len(entry.envelope)

    def answered(self, ref: int) -> Sealed | None:
        """What was sent with this is under way no more; None where nothing was."""
        entry = self._under_way.pop(ref, None)
        if entry is not None:
            self._bytes -= len(entry.envelope)
            self._kind(entry).pop(entry.id, None)
        return entry

    def hold(self, entry: Sealed) -> None:
        """The relay has no room for it."""
        self._kind(entry)[entry.id] = entry

    def retry(self) -> Sealed | None:
        """The first of the chain that is held back, while nothing is under way: to be sent, for there may be room.

        Where both are held back, what is said and what is not are tried in turn.
        """
        if self._under_way or not self.full:
            return None
        self._said_last = not self._held or (bool(self._unsaid) and not self._said_last)
        return min((self._unsaid if self._said_last else self._held).values(), key=lambda one: one.entry)

    def release(self, *, said: bool = False) -> None:
        """There is room (for what is `said`): what is held back waits again, where it was in the chain."""
        held = self._unsaid if said else self._held
        if held:
            for entry in self._under_way.values():
                held.pop(entry.id, None)
            entries = sorted((*held.items(), *self._waiting.items()), key=lambda one: one[1].entry)
            self._waiting = OrderedDict(entries)
            held.clear()

    def forget(self) -> None:
        """Nothing waits or is held back: it is asked of the store again. What is under way is answered still."""
        self._waiting.clear()
        self._held.clear()
        self._unsaid.clear()

    def _kind(self, entry: Sealed) -> "OrderedDict[bytes, Sealed]":
        return self._unsaid if entry.said else self._held

    def sealed_under(self, epoch: bytes) -> bool:
        """Whether there is one under way, or waiting, that is sealed under an epoch."""
        return any(entry.epoch == epoch for entry in (*self._under_way.values(), *self._waiting.values()))


@dataclass(slots=True)
class Credit:
    """How many bytes of entries the relay may send ahead of what was taken in."""

    size: int = DEFAULT_CREDIT
    _owed: int = 0

    @classmethod
    def shared(cls, share: int) -> "Credit":
        """That of one space among as many on the connection as `share` says."""
        return cls(max(LEAST_WINDOW, DEFAULT_CREDIT // share))

    def taken(self, size: int) -> int:
        """So many bytes were taken in; how many to give back now.

        They are given back in large pieces: a frame for each small entry costs both sides more than the entry.
        """
        self._owed += size
        if self._owed < self.size // 2:
            return 0
        back, self._owed = self._owed, 0
        return back

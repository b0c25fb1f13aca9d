"""What a relay counts of itself: numbers alone, of kinds that the code knows, never of who or what.

They only rise, but for what says that it is now. `metrics.py` writes them out. All kinds are there from the start, at
zero: of a count that begins with its first event Prometheus sees no rise, and an alarm misses that event.
"""

import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar, get_args

from chez_relay.errors import Code
from chez_relay.storage import READING, AddEntry, Refused, Request, Result, Stored

__all__ = ("BOUNDS", "Counts", "Durations")

BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Seconds by which groups are told apart: a good disk commits in a few milliseconds, a sick one in seconds."""

K = TypeVar("K")


def _at_zero(*kinds: K) -> Counter[K]:
    return Counter(dict.fromkeys(kinds, 0))


@dataclass(slots=True)
class Durations:
    """How many took up to each of the bounds, the last beyond all; and their sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect.bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


@dataclass(slots=True)
class Counts:
    """All counts of one relay process."""

    connections: int = 0
    """Connections that were let in."""
    turned_away: Counter[str] = field(default_factory=lambda: _at_zero("connections", "dials"))
    """Connections that were not, by the limit that they met."""
    let_go: Counter[str] = field(default_factory=lambda: _at_zero(
        "fragments", "memory", "never reads", "request", "room", "slow frame", "stalled",
        Code.FLOOD, Code.MALFORMED, Code.VERSION, Code.WRONG_RELAY))
    """Connections that were dropped, by what they did or did not."""
    handshakes_failed: int = 0
    """Connections that came to no agreement on TLS: too slow, too large, something else, or a client's own no; none
    that its client ended before it said anything."""
    requests: Counter[type] = field(default_factory=lambda: _at_zero(*get_args(Request)))
    """Requests to the storage, by kind."""
    refused: Counter[Code] = field(default_factory=lambda: _at_zero(
        Code.AHEAD, Code.DAMAGED, Code.DENIED, Code.EXISTS, Code.FULL, Code.MISSING, Code.QUOTA, Code.ROTATED,
        Code.STALE, Code.STORAGE, Code.UNKNOWN))
    """Those of them that it refused, by code."""
    entries: int = 0
    """Entries stored, each once."""
    entry_bytes: int = 0
    """Bytes of them."""
    ephemeral: int = 0
    """Ephemeral messages that were passed on, each once for all its readers."""
    ephemeral_dropped: Counter[str] = field(default_factory=lambda: _at_zero("cluster", "rate", "slow"))
    """Those that were not, by why: their sender's rate, or once for each reader who is slow, or the cluster."""
    groups: Durations = field(default_factory=Durations)
    """Groups of requests, by how long the storage took for each."""
    failures: int = 0
    """Groups that the storage could not perform."""
    writable: bool = True
    """Whether the last group that wanted to write was performed: now."""

    def group(self, requests: Sequence[Request], results: Sequence[Result], seconds: float) -> None:
        """Count a group and what became of it."""
        self.requests.update(map(type, requests))
        self.groups.add(seconds)
        for request, result in zip(requests, results, strict=True):
            kind = type(result)
            if kind is Refused:
                self.refused[result.code] += 1  # type: ignore[union-attr]
            elif kind is Stored and result.fresh and isinstance(request, AddEntry):  # type: ignore[union-attr]
                self.entries += 1
                self.entry_bytes += len(request.envelope)

    def performed(self, requests: Sequence[Request], *, well: bool) -> None:
        """Note whether the storage performed a group."""
        if not well:
            self.failures += 1
        if not all(isinstance(request, READING) for request in requests):
            self.writable = well

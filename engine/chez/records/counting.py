"""Which changes of a record count, when some of the entries that carry them do not.

An entry that does not count may be *beyond a cut*: somebody took its author's right to
write before it was seen. Its changes count if a change that counts builds on them, for then
somebody who may write has made them his own; and with them all that they build on. Entries
*on a fork* (their author made two different ones under one number) count for nothing.
So what counts follows from the entries alone, not from their order of arrival.
"""

from collections.abc import Sequence

import msgspec

from chez.records.automerge import RawChange

__all__ = ("BEYOND", "COUNTS", "FORKED", "Carried", "counted")

COUNTS, BEYOND, FORKED = 0, 1, 2
"""Standings of an entry: it counts, it is beyond a cut, it is on a fork."""


class Carried(msgspec.Struct, frozen=True):
    """A change as one entry carries it: the entry's row, author, time (Unix milliseconds) and standing."""

    change: RawChange
    entry: int
    author: bytes
    time: int
    standing: int


def counted(items: Sequence[Carried]) -> list[bool]:
    """Which of a record's changes count; the items of each author are in the order of its chain.

    A device's changes of a record follow each other, whatever they say to build on, so one
    that is brought back brings those that its author made before.
    """
    counts = [item.standing == COUNTS for item in items]
    have = {item.change.hash for item, counted in zip(items, counts, strict=True) if counted}
    beyond: dict[bytes, int] = {}
    own: dict[bytes, list[int]] = {}
    for at, item in enumerate(items):
        if item.standing == BEYOND:
            beyond.setdefault(item.change.hash, at)
            if item.change.actor == item.author:
                own.setdefault(item.author, []).append(at)
    wanted = [hash for item, counted in zip(items, counts, strict=True) if counted
              for hash in item.change.dependencies]
    while wanted:
        hash = wanted.pop()
        if hash in have or hash not in beyond:
            continue
        last = beyond[hash]
        author = items[last].author
        chain = own.get(author, []) if items[last].change.actor == author else [last]
        while chain and chain[0] <= last:  # what was brought before is brought once
            at = chain.pop(0)
            counts[at] = True
            have.add(items[at].change.hash)
            wanted += items[at].change.dependencies
    return counts

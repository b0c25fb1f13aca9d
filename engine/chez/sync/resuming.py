"""What a relay may say to a `Resume`, held against what was asked.

Of the spaces that have no news the relay says nothing but one hash over where they end. If
that differs from what is known here, it is not told whose log is another: each space is
opened as it was the first time, and its own check names it (`SpacesResumed.alike`).
"""

from collections.abc import Mapping, Sequence

import msgspec

from chez.sync.events import ResumedSpace, SpacesResumed
from chez.sync.following import misbehaved
from chez_wire.kept import Resumed, resumed_digest

__all__ = ("Reading", "resumed")


class Reading(msgspec.Struct, frozen=True):
    """How far a space was read: up to the offset `after`, where its cumulative head was `head`."""

    handle: bytes
    after: int
    head: bytes


def resumed(frame: Resumed, kept: Sequence[bytes], asked: Mapping[bytes, Reading], first: int) -> SpacesResumed:
    """What came back of the spaces that were `asked` for, of those that are `kept`, whose subscriptions have the
    refs from `first` on.

    Raises `RelayMisbehaved` for an answer that can't be true.
    """
    ahead, lost = {one.place: one.end for one in frame.ahead}, {one.place: one.code for one in frame.lost}
    named = [*ahead, *lost]
    wanted = {place: asked[handle] for place, handle in enumerate(kept) if handle in asked}
    if len(set(named)) != len(frame.ahead) + len(frame.lost) or not set(named) <= set(wanted):
        misbehaved("the relay takes up spaces that were not asked for, or one in two ways")
    if any(end <= wanted[place].after for place, end in ahead.items()):
        misbehaved("the relay has news of a space that ends where it was read to")
    back = tuple(ResumedSpace(one.handle, first + place, one.after, one.head, ahead.get(place, one.after))
                 for place, one in wanted.items() if place not in lost)
    still = [(one.handle, one.after, one.head) for one in back if one.end == one.after]
    return SpacesResumed(frame.ref, back, tuple((kept[place], code) for place, code in lost.items()),
                         resumed_digest(still) == frame.digest)

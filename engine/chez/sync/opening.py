"""How the spaces of a connection are opened, all in one round trip.

    the relay keeps them       one `Resume`, which follows them too
    the rest, or the relay     `Open`s of up to 256 claims each, those of a space in one;
    keeps nothing any more     then each space is followed by itself

What is kept is taken up once all its spaces that go on have said how far they were read. What
does not come back, or all of it where the relay's hash of the ends is another, is opened as
the first time, on the same connection: so whatever is wrong with a space is told by the
check of that space, and of no other.
"""

from collections.abc import Collection, Mapping

from chez.sync.channel import Channel
from chez.sync.events import SpaceResumed, SpacesResumed
from chez.sync.keeping import Keeping
from chez.sync.resuming import Reading
from chez.sync.session import Claim, ClientSession
from chez_wire.limits import MAX_CLAIMS

__all__ = ("Opening",)

Asked = list[tuple[Channel, int]]
"""Whose claims a request carried, each under the number that its space knows them by."""


class Opening:
    """What one connection opens; `keeping` is what its relay keeps of the last one."""

    def __init__(self, session: ClientSession, keeping: Keeping | None) -> None:
        self._session = session
        self._keeping = keeping
        self._opening: dict[int, Asked] = {}
        self._resuming: tuple[int, int, dict[bytes, Channel]] | None = None
        self._begun = False
        if keeping is not None:
            keeping.hung_up()

    def send(self, asking: Mapping[bytes, Channel], coming: Collection[bytes]) -> None:
        """Send the claims of the channels that ask, by handle; those `coming` will have some soon."""
        left = dict(asking)
        if not self._begun and self._keeping is not None and (key := self._keeping.key) is not None:
            kept = self._keeping.handles
            if any(handle in coming for handle in kept):
                return
            back = {handle: left.pop(handle) for handle in kept
                    if handle in left and left[handle].cursor and self._keeping.fits(handle, left[handle].claims)}
            readings = {handle: Reading(handle, channel.cursor.position, channel.cursor.head)
                        for handle, channel in back.items() if channel.cursor is not None}
            if readings:
                credit = min(channel.wanted for channel in back.values())  # one for all: who wanted more has it after
                self._resuming = self._session.resume(key, kept, readings, credit), credit, back
                for channel in back.values():
                    channel.claims = []
        self._begun = True
        self._send(left)

    def _send(self, asking: Mapping[bytes, Channel]) -> None:
        claims: list[Claim] = []
        asked: Asked = []
        for channel in asking.values():
            if len(claims) + len(channel.claims) > MAX_CLAIMS:
                self._opening[self._session.open(claims)] = asked
                claims, asked = [], []
            claims += channel.claims
            asked.append((channel, channel.ticket))
            channel.claims = []
        if claims:
            self._opening[self._session.open(claims)] = asked

    def answered(self, ref: int) -> Asked:
        """Whose claims an answered request carried; nobody's for a request that opened nothing."""
        return self._opening.pop(ref, [])

    def refused(self, ref: int) -> list[Channel]:
        """The relay keeps nothing that it was asked with this ref to take up: what is to be opened instead."""
        if self._resuming is None or self._resuming[0] != ref:
            return []
        back = self._resuming[-1]
        self._forget()
        return list(back.values())

    def resumed(self, event: SpacesResumed) -> tuple[list[tuple[Channel, SpaceResumed]], list[Channel]]:
        """Who is followed again, and who is to be opened."""
        if self._resuming is None or self._resuming[0] != event.ref:
            return [], []
        _, credit, back = self._resuming
        if not event.alike:
            self._forget()
            return [], list(back.values())
        self._resuming = None
        again = []
        for one in event.back:
            channel = back[one.handle]
            channel.resumed(one.ref)
            if (more := channel.wanted - credit) > 0:  # by that it goes when it gives back
                channel.credit(one.handle, more)
            again.append((channel, SpaceResumed(channel.ticket, one.end)))
        return again, [back[handle] for handle, _ in event.lost]

    def _forget(self) -> None:
        self._resuming = None
        if self._keeping is not None:
            self._keeping.forget()

"""Whom of a network to dial, and when; no I/O, no clock and no randomness in here.

    two devices               the one whose instance is lower dials at once; the other waits
                              whether it is dialled, and dials itself after a while, as one
                              does that is not announced yet
    a stranger                everybody may announce himself: tried seldom, ever more so
    who can't be reached      tried again soon, then ever less often
    a flood of announcements  only so many are remembered, and so many dialled in a while; those that were missed are
                              told of by nobody again, so that all are looked for once more (`missed`)

An instance is what a relay is announced as, a key drawn anew for each run: it says nothing about whose it is, and its
order is a coin that both sides see. Who dials one knows whether it answered, and who names one as its own proved it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from chez.lan.discovery import Neighbour
from chez_wire.lan import is_near

__all__ = ("MAX_ADDRESSES", "MAX_NEIGHBOURS", "YIELD", "Policy")

MAX_NEIGHBOURS: Final = 64
"""Announcements remembered: as many as a home's relay lets in. Beyond, who was dialled in vain makes room."""

MAX_ADDRESSES: Final = 8
"""Addresses of one announcement that are dialled: a device has a few, and others would be made to search a network."""

YIELD: Final = 10.0
"""Seconds that who has the higher instance waits to be dialled."""

STRANGER: Final = (60.0, 3600.0)
"""The first and the longest pause, in seconds, after somebody proved nothing."""

AWAY: Final = (1.0, 300.0)
"""The same after somebody could not be reached."""

BURST: Final = 8
"""Dials at once."""

PACE: Final = 1.0
"""Seconds until one more, after those: an answer to who makes thousands of names up."""


@dataclass(slots=True)
class _Known:
    """One instance: `due` is when to dial (None: no more, it is linked), `tries` what failed one after the other."""

    neighbour: Neighbour
    due: float | None
    stranger: bool = False
    tries: int = 0


@dataclass(slots=True)
class Policy:
    """What is known of a network; times are in seconds, of one clock that does not go back."""

    own: frozenset[bytes] = frozenset()
    """What this device was announced as: never dialled."""
    missed: bool = False
    """Whether somebody who is announced was forgotten, or passed over; until it is unset, when all are looked for once
    more."""
    _now_as: bytes = b""
    _known: dict[bytes, _Known] = field(default_factory=dict)
    _guests: frozenset[bytes] = frozenset()
    _dialled: list[float] = field(default_factory=list)

    @property
    def visible(self) -> frozenset[bytes]:
        """The instances that are announced, as far as they are remembered."""
        return frozenset(self._known)

    def neighbour(self, instance: bytes) -> Neighbour | None:
        """What is announced as this instance."""
        known = self._known.get(instance)
        return None if known is None else known.neighbour

    @property
    def strangers(self) -> int:
        """How many of them proved nothing."""
        return sum(one.stranger for one in self._known.values())

    def announced(self, instance: bytes, now: float) -> None:
        """This device is announced as this: those above it are dialled, those below are waited for."""
        self.own |= {instance}
        self._now_as = instance
        self._known.pop(instance, None)
        for one in self._known.values():
            if one.due is not None and not one.tries:
                one.due = now + self._patience(one.neighbour, instance)

    def seen(self, neighbour: Neighbour, now: float) -> None:
        """Somebody is announced, or otherwise than before. What has no address at hand is nobody."""
        near = tuple([address for address in neighbour.addresses if is_near(address)][:MAX_ADDRESSES])
        if neighbour.instance in self.own or not near:
            return
        neighbour = Neighbour(neighbour.instance, near, neighbour.port)
        known = self._known.get(neighbour.instance)
        if known is not None:
            known.neighbour = neighbour
            return
        if len(self._known) >= MAX_NEIGHBOURS:
            self.missed = True
            if not self._make_room():
                return
        self._known[neighbour.instance] = _Known(neighbour, now + self._patience(neighbour, self._now_as))

    def gone(self, instance: bytes) -> None:
        """Somebody is announced no more."""
        self._known.pop(instance, None)

    def guests(self, instances: Iterable[bytes]) -> None:
        """These have dialled this device, and are here."""
        self._guests = frozenset(instances)

    def due(self, now: float) -> list[Neighbour]:
        """Whom to dial now; each is to be told of by `linked`, `stranger` or `away`."""
        ready = sorted((one for one in self._known.values() if self._ready(one, now)), key=lambda one: one.due or 0.0)
        self._dialled = [when for when in self._dialled if when > now - PACE * BURST]
        ready = ready[:max(0, BURST - len(self._dialled))]
        self._dialled += [now] * len(ready)
        for one in ready:
            one.due = None
        return [one.neighbour for one in ready]

    def wait(self, now: float) -> float | None:
        """Seconds until somebody is due; None while nobody is."""
        due = [one.due for one in self._known.values() if one.due is not None
               and one.neighbour.instance not in self._guests]
        if not due:
            return None
        full = len(self._dialled) >= BURST
        return max(min(due) - now, self._dialled[0] + PACE * BURST - now if full else 0.0, 0.0)

    def linked(self, instance: bytes) -> None:
        """It was met, and is kept in step with."""
        if (known := self._known.get(instance)) is not None:
            known.due, known.stranger, known.tries = None, False, 0

    def parted(self, instance: bytes, now: float) -> None:
        """It is kept in step with no more, and may be met again."""
        self._later(instance, now, AWAY)

    def stranger(self, instance: bytes, now: float) -> None:
        """It proved nothing."""
        if (known := self._known.get(instance)) is not None:
            known.stranger = True
        self._later(instance, now, STRANGER)

    def away(self, instance: bytes, now: float) -> None:
        """It could not be reached."""
        self._later(instance, now, AWAY)

    def renewed(self, now: float) -> None:
        """This device can prove more than before: strangers may be none."""
        for one in self._known.values():
            if one.stranger:
                one.stranger, one.tries, one.due = False, 0, now

    def _later(self, instance: bytes, now: float, pauses: tuple[float, float]) -> None:
        if (known := self._known.get(instance)) is not None:
            known.due = now + min(pauses[0] * 2.0 ** min(known.tries, 32), pauses[1])
            known.tries += 1

    def _ready(self, one: _Known, now: float) -> bool:
        return one.due is not None and one.due <= now and one.neighbour.instance not in self._guests

    @staticmethod
    def _patience(neighbour: Neighbour, own: bytes) -> float:
        return 0.0 if own and own < neighbour.instance else YIELD

    def _make_room(self) -> bool:
        """Forget who was dialled in vain most often, strangers first."""
        failed = [one for one in self._known.values() if one.tries]
        if not failed:
            return False
        worst = max(failed, key=lambda one: (one.stranger, one.tries))
        del self._known[worst.neighbour.instance]
        return True

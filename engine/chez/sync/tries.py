"""With which keys a space is opened at a relay, one after another, until it lets the device in.

Those of the epoch that the relay had last; those of the newest epoch here; then those in the
packets that this device can open, its own before the one for everybody. Then the epochs before
the newest: the relay may have one of them still, and nothing for this device, when whoever
started the newer ones did not reach it since, and the one that the space is created with there,
for nothing may have come of what was to replace it. And all of it once more, for the relay's keys may
have been replaced between two tries.
"""

from dataclasses import dataclass, field
from typing import Final, NoReturn

from chez.errors import RelayRefused
from chez.keys.epochs import Epoch
from chez.sync.replica import Replica
from chez.sync.session import Claim
from chez_wire.login import Role, handle_of

__all__ = ("Tries",)

_OLDER: Final = 8
"""Epochs before the newest that are tried, each a round trip, before a relay's refusal is taken for one."""


@dataclass(slots=True)
class Tries:
    """What was tried since it was begun."""

    replica: Replica
    _epochs: set[bytes] = field(default_factory=set)
    _tags: set[bytes] = field(default_factory=set)
    _bare: bool = False
    _twice: bool = False

    def begin(self) -> None:
        """Nothing was tried."""
        self._epochs.clear()
        self._tags.clear()
        self._bare = False
        self._twice = False

    def claims(self, epoch: Epoch) -> list[Claim]:
        """The roles that an epoch's keys open, which are tried by this."""
        self._epochs.add(epoch.id)
        space = self.replica.space
        keys = ((Role.READ, epoch.read), (Role.CONTROL, space.control_of(epoch)), (Role.APPEND, epoch.append))
        return [(space.handle, role, key) for role, key in keys if key is not None]

    def newest(self) -> Epoch | None:
        """The newest epoch here that is for this device to try, if it was not tried."""
        own = filter(self.replica.access.owns, self.replica.space.epochs.values())
        newest = max(own, key=lambda epoch: (epoch.number, epoch.id), default=None)
        return None if newest is None or newest.id in self._epochs else newest

    def leads(self, epoch: Epoch) -> bool:
        """Whether an epoch, which a packet brought, was not tried; if it fails, packets are asked for again.

        For then the relay's keys were replaced after it gave the packet out.
        """
        if epoch.id in self._epochs:
            return False
        self._tags.clear()
        return True

    def tag(self) -> bytes | None:
        """Where the packet lies that is to be asked for next; None when none is left."""
        passed = self._tags | set(self.replica.access.former_tags if self._bare else ())
        tag = next((one for one in self.replica.access.tags if one not in passed), None)
        if tag is not None:
            self._tags.add(tag)
        return tag

    def bare(self) -> None:
        """A packet was there, and no keys in it: a farewell, perhaps of somebody who is not known here.

        Who put it there knew of this device, and gave it none: it is not to have those of a device that it was.
        """
        self._bare = True

    def older(self) -> Epoch:
        """The newest of the epochs here that were not tried. Raises `RelayRefused` when that is over."""
        known = sorted(self.replica.space.epochs.values(), key=lambda epoch: (epoch.number, epoch.id), reverse=True)
        created = [one for one in known if one.admin and handle_of(one.admin.public) == self.replica.space.handle]
        found = next((one for one in [*known[: _OLDER + 1], *created] if one.id not in self._epochs), None)
        if self.replica.access.removed or (found is None and self._twice):
            self._shut_out()
        if found is None:
            self.begin()
            self._twice = True
        return found or known[0]

    def _shut_out(self) -> NoReturn:
        # Named, for a home without a relay of its own is kept from being in step by the one space that it is in.
        space = self.replica.space
        which = "the space" if space.private else f"the space {space.name!r}"
        if not self.replica.access.removed:
            raise RelayRefused(f"the relay lets this device into {which} no more, and has no keys for it",
                               "It was removed from the space, or the relay holds an older state. What is here stays.",
                               reason="denied")
        what = "this device was removed" if space.private else f"you are in {which} no more"
        raise RelayRefused(f"{what}: it receives nothing new", "What is here stays; `chez status` tells more.",
                           reason="denied")

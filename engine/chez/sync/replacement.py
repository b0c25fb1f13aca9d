"""A relay's keys of a space replaced by those of a newer epoch, as part of its machine (`sync.machine`). No I/O.

An owner's device does so once it seals under a newer epoch, and what ends somebody's rights has left; where another
device was first the space is opened anew all the same, for the relay ends everybody's roles.
"""

from collections.abc import Callable
from dataclasses import dataclass

from chez.crypto import SigningKey
from chez.sync.admission import Admission
from chez.sync.channel import Channel
from chez.sync.outgoing import Outgoing
from chez.sync.replica import Replica
from chez.sync.requests import Rotation
from chez.sync.work import Work

__all__ = ("Replacement",)


@dataclass(slots=True)
class Replacement:
    """`flush` sends what may be sent, `go_on` that and what is to be done next, once it is known not to come."""

    replica: Replica
    relay: int
    channel: Channel
    admission: Admission
    outgoing: Outgoing
    flush: Callable[[], None]
    go_on: Callable[[], list[Work]]
    under_way: bool = False
    """Whether they are being replaced."""
    _in_vain: tuple[bytes, bytes] = (b"", b"")
    """The epoch at the relay, and the one here that turned out not to follow it."""

    @property
    def due(self) -> bool:
        """Whether the relay seems to have the keys of an earlier or void epoch, which this device can replace."""
        current, there = self.replica.access.current, self.admission.epoch
        return (there is not None and there.id != current.id and not self.replica.access.mute
                and (current.number > there.number or self.replica.space.void(there))
                and None not in (there.admin_seed, current.admin_seed) and (there.id, current.id) != self._in_vain)

    def begin(self) -> list[Work]:
        """Replace them, once what is sealed under the earlier ones has arrived."""
        epoch = self.admission.epoch
        if epoch is None or not self.due or self.outgoing.window.sealed_under(epoch.id):
            return []
        self.under_way = True
        return [Work(lambda db: self.replica.rotation(db, self.relay, epoch), self._replace)]

    def _replace(self, found: tuple[bool, tuple[SigningKey, Rotation] | None]) -> list[Work]:
        waits, made = found
        if not self.under_way:
            return []  # another device was first
        if waits:  # each statement that the relay holds brings it up again
            self.under_way = False
            self.flush()
            return []
        if made is None:
            there = self.admission.epoch
            self._in_vain = (there.id if there else b"", self.replica.access.current.id)
            self.under_way = False
            return self.go_on()
        self.channel.rotate(self.replica.space.handle, *made)
        return []

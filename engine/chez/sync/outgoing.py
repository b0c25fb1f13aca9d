"""Own entries of one space on their way to one relay, over one connection.

They leave in the order of their chain, as many at once as the window allows (`sync.flow`), each under the role by which
the relay takes it in. What the relay has no room for is held back, with what it said of that, and is tried now and
then; what may give it room goes on as statements do, which have a quota of their own. When they may leave is for
`sync.machine`.
"""

from dataclasses import dataclass, field, replace

from chez.errors import RelayMisbehaved, RelayRefused
from chez.sync.channel import Channel
from chez.sync.flow import Window
from chez.sync.replica import Replica
from chez.sync.sealed import Sealed
from chez_wire.login import Role

__all__ = ("Outgoing",)


@dataclass(slots=True)
class Outgoing:
    """What of a space is sealed for a relay and not acknowledged (`window`), and how it gets there."""

    replica: Replica
    session: Channel
    writes: bool = True
    """Whether the space was opened as who writes there. Who may write no more sends what it wrote before as it sends
    statements: its chain goes on."""
    window: Window = field(default_factory=Window)
    _refusal: RelayRefused | None = None
    """What the relay said of the entry that it had no room for last; None since it took one."""
    _unsaid: RelayRefused | None = None
    """The same of what is said of the space."""

    @property
    def full(self) -> RelayRefused | None:
        """Why something is held back, if anything is: what is said of the space, above all."""
        return self._unsaid if self.window.mute else self._refusal if self.window.full else None

    def flush(self, share: int) -> None:
        """Send what waits, as far as the window allows where `share` spaces are on the connection."""
        while (following := self.window.next(share)) is not None:
            self._append(following)

    def retry(self) -> None:
        """Send the first entry that is held back: there may be room."""
        if (held := self.window.retry()) is not None:
            self._append(held)

    def taken(self, ref: int, id: bytes) -> Sealed:
        """The relay acknowledged an entry, by its id; so there is room for its kind. Raises `RelayMisbehaved`."""
        entry = self.window.answered(ref)
        if entry is None or entry.id != id:
            raise RelayMisbehaved("the relay acknowledged another entry than the one sent")
        if not entry.control:
            self._refusal = None
            self.window.release()
        elif entry.said:
            self.window.release(said=True)
        return entry

    def goes_on(self, entry: Sealed) -> bool:
        """Whether an entry that the relay has no room for may give it room, and was sent as statements are."""
        if not entry.gives_room or entry.control:
            return False
        self._append(replace(entry, control=True))
        return True

    def hold(self, entry: Sealed, refusal: RelayRefused) -> bool:
        """Hold back what the relay has no room for; True for the first changes since it took some."""
        first = not entry.said and self._refusal is None
        if entry.said:
            self._unsaid = refusal
        else:
            self._refusal = refusal
        self.window.hold(entry)
        return first

    def _append(self, entry: Sealed) -> None:
        role = Role.APPEND if self.writes and not entry.control else Role.CONTROL
        self.window.sent(self.session.append(self.replica.space.handle, role, entry.envelope, entry.id), entry)

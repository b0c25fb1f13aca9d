"""What a home's own relay is to serve just now: its spaces, their meeting secrets, and which of them it hosts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from chez.keys.device import DeviceKeys
from chez.spaces.space import SpaceKeys
from chez.sync.meeting import meeting_secret, pair_secret
from chez.sync.rotating import hosted
from chez_wire.lan import Hosted
from chez_wire.limits import MAX_SPACES_PER_CONNECTION

__all__ = ("Recognition", "Served")


@dataclass(frozen=True, slots=True)
class Served:
    """What a relay on this network serves: the meeting secrets of each space, by handle.

    `hosted` are the spaces that it makes by itself where it has them not.
    """

    secrets: Mapping[bytes, tuple[bytes, ...]] = field(default_factory=dict, repr=False)
    hosted: tuple[Hosted, ...] = ()


class Recognition:
    """What a device and the other members of its spaces recognise each other by."""

    def __init__(self, device: DeviceKeys) -> None:
        self._device = device
        self._state: tuple[tuple[bytes, bytes, int], ...] = ()
        self._found = Served()

    def served(self, spaces: Iterable[SpaceKeys]) -> Served:
        """What is served of these spaces; not public ones, whose secret everybody has.

        Secrets of epochs first, as many in all as one frame proves; then of each two devices theirs, for a device that
        missed a removal has the former epoch alone. Nothing is computed again while nothing changed.
        """
        held = [space for space in spaces if not space.public]
        state = tuple((space.handle, space.epoch.id, len(space.membership)) for space in held)
        if state != self._state:
            told = (hosted(space, self._device.id) for space in held[:MAX_SPACES_PER_CONNECTION])
            self._state = state
            self._found = Served(self._compute(held), tuple(one for one in told if one is not None))
        return self._found

    def _compute(self, held: Sequence[SpaceKeys]) -> dict[bytes, tuple[bytes, ...]]:
        found: dict[bytes, tuple[bytes, ...]] = {space.handle: (meeting_secret(space.epoch),) for space in held}
        room = MAX_SPACES_PER_CONNECTION - len(found)
        for space in held:
            pairs = tuple(islice(self._pairs(space), max(0, room)))
            room -= len(pairs)
            found[space.handle] += pairs
        return found

    def _pairs(self, space: SpaceKeys) -> Iterator[bytes]:
        state = space.membership.state
        for id, device in state.devices.items():
            if id != self._device.id and state.right(id) is not None:
                secret = pair_secret(self._device.sealing, device.sealing, space.id)
                if secret is not None:
                    yield secret

"""The same devices where the relay is that of the first one's home, on their network: met before anything is told."""

from typing import Any

from chez.lan.recognition import Recognition
from chez.sync.meeting import Approach
from chez_relay.effects import Close, Effect
from chez_relay.errors import Code
from chez_relay.lan.meeting import Acquaintances
from chez_relay.session import RelaySession
from chez_wire.meeting import PLAIN_CHANNEL, fresh
from tests.simulation.device import Device
from tests.simulation.household import place_name
from tests.simulation.world import Link, Place, World


class Neighbours(World):
    """Devices of one network: the relay serves what its home keeps; who proves nothing is sent away."""

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(seed, **options)
        self.known = Acquaintances(self.random.randbytes)
        self._recognitions: dict[str, Recognition] = {}
        self._proven: dict[str, dict[bytes, tuple[bytes, ...]]] = {}
        self.strangers = 0

    def secrets(self, device: Device) -> dict[bytes, tuple[bytes, ...]]:
        """What a device can prove now."""
        recognition = self._recognitions.setdefault(device.name, Recognition(device.member.keys))
        served = recognition.served(replica.space for replica in device.replicas.values() if not replica.access.removed)
        return dict(served.secrets)

    def _step(self) -> bool:
        self._renew()
        return super()._step()

    def _renew(self) -> None:
        """As a home and its relay do when there is a space, or an epoch, more than before."""
        now = self.secrets(self.devices[0])
        if now != self.known.secrets:
            more = fresh(self.known.secrets, now)
            self.known.secrets = now
            for link in [link for link in self.links if link.open]:
                meeting = link.relay.meeting
                if meeting is not None and meeting.met and (
                        more - meeting.met.keys() or meeting.gone or self.random.random() < 0.3):
                    self._cut(link.device)
        for device in self.devices:
            before, now = self._proven.get(device.name, {}), self.secrets(device)
            if device.lanes is not None and fresh(before, now) - device.lanes.met:
                self._cut(device)

    def _connect(self, device: Device, place: Place) -> None:
        mine = self._proven[device.name] = self.secrets(device)
        device.dial(place_name(place.n), Approach(mine, PLAIN_CHANNEL, entropy=self.random.randbytes))
        relay = RelaySession(names=[place_name(place.n)], nonce=self.random.randbytes(32),
                             incarnation=place.storage.incarnation, known=self.known)
        self.links.append(Link(device, place, relay))
        self.note(device.name, "meets")

    def _apply(self, link: Link, effects: list[Effect]) -> None:
        stranger = [effect for effect in effects if isinstance(effect, Close) and effect.reason == Code.STRANGER]
        self.strangers += len(stranger)
        super()._apply(link, [effect for effect in effects if effect not in stranger])

"""Several relays: each has its own log, checkpoints and drops, and no device need know all of them.

Time goes by one second with each step, and a relay keeps for its grace what it was asked to drop. What is
promised of checkpoints is looked after at every drop, from outside, by what the relays hold and all devices know.
"""

from collections.abc import Set
from dataclasses import replace

from chez.errors import RelayRefused
from chez.sync.checkpoints.format import Manifest
from chez.sync.checkpoints.heard import ASKED, OPEN, SOUND, manifest_of, state_of, vouches
from chez.sync.entry import CHANGES, log_name, read_signed, unseal
from chez_relay.storage import DropEntries, Expire, Quotas
from chez_relay.storage.memory import MemoryStorage
from chez_wire.envelope import Header
from tests.simulation.device import RELAY, Device
from tests.simulation.world import Link, Move, Place, World

__all__ = ("GRACE", "Places", "check_histories")

GRACE = 40.0
"""Seconds that a relay keeps what it was asked to drop, here."""

Held = tuple[tuple[int, bytes, int], ...]


class Places(World):
    """A world with `relays` relays; which of them a device knows is drawn, and may become more.

    The first device knows all of them in the end, so that there is a way from each to each other.
    """

    def __init__(self, seed: int, relays: int, count: int = 3) -> None:
        self.now = 0.0
        self.away: set[tuple[str, int]] = set()
        """Devices and relays between which there is no way just now."""
        self.asked: dict[tuple[bytes, bytes, int], float] = {}
        """When a relay was asked to drop an offset, by its store and the space's handle."""
        self.dropped = 0
        self.freed = 0
        self._rounds = 0
        self._before: Held = ()
        super().__init__(seed, count, checkpoints=True, relays=relays)

    def _store(self) -> MemoryStorage:
        return MemoryStorage(self.random.randbytes(32), quotas=Quotas(grace=GRACE), clock=lambda: self.now)

    def _told(self, device: Device) -> Set[int]:
        """Some of those that the device knows which lets it in."""
        known = sorted(device.knows)
        return set(self.random.sample(known, self.random.randint(1, len(known))))

    # --- running ------------------------------------------------------------------------

    def heal(self, limit: int = 100_000) -> None:
        """As of one relay; then each has its checkpoint, what it stands for goes, and each brings up a newcomer."""
        self._mend()
        super().heal(limit)
        self.compact()
        for place in self.places:
            self._pair_at(place)
        self._rest()

    def compact(self) -> None:
        """A checkpoint at each relay, and all that may go is gone."""
        self._checkpoint(self.devices[0])
        self._rest()
        self.pass_by(GRACE)
        self._rest()

    def pass_by(self, seconds: float) -> None:
        """Time goes by, and relays let go of what they were asked to drop."""
        self.now += seconds
        for place in self.places:
            self._let_go(place)

    def _mend(self) -> None:
        """All relays can be reached, have room, and can be heard of from each other."""
        self.away.clear()
        for place in self.places:
            place.storage._quotas = Quotas(grace=GRACE)
            self.devices[0].learn(place.n)
        for device in self.devices:  # a space that its relay had no room for is asked again with the next connection
            for relay in [n for n, wire in device.wires.items() if wire.lanes.problems]:
                self._cut(device, self.places[relay - RELAY])

    def settle(self, limit: int = 100_000) -> None:
        self._mend()
        super().settle(limit)

    def _rest(self) -> None:
        """Until nothing is left to do."""
        self.settle()
        self.quiet = True

    def _step(self) -> bool:
        self.now += 1
        return super()._step() or self._look()

    def _look(self) -> bool:
        """As homes do now and then: give relays what others brought, until that brings nothing more."""
        held = tuple((place.n, handle, len(space.envelopes)) for place in self.places
                     for handle, space in place.storage._spaces.items())
        self._rounds = self._rounds + 1 if held == self._before else 0
        self._before = held
        if self._rounds > 1:
            self._rounds = 0
            return False
        for device in self.devices:
            for wire in device.wires.values():
                wire.lanes.forward(at_once=True)
        return True

    def _moves(self, device: Device) -> list[Move]:
        moves = super()._moves(device)
        if not self.quiet and self.random.random() < 0.05:
            moves.append(("forward", ()))
        return moves

    def _turns(self, device: Device, place: Place) -> list[str]:
        return [move for move in super()._turns(device, place)
                if move != "connect" or (device.name, place.n) not in self.away]

    def _forward(self, device: Device) -> None:
        for wire in device.wires.values():
            wire.lanes.forward()
        self.note(device.name, "looks what its relays lack")

    def _pair_at(self, place: Place) -> None:
        """A newcomer that knows one relay alone."""
        self._told = lambda device: {place.n}  # type: ignore[method-assign]
        self._pair(self.devices[0])
        del self._told

    def _work(self, device: Device, place: Place) -> None:
        try:
            super()._work(device, place)
        except RelayRefused:  # it is full
            self._cut(device, place)

    def _check_whole(self, device: Device) -> None:
        """A relay brings what another one lacks, whose author may be known here by its later entries only."""

    # --- faults -------------------------------------------------------------------------

    def _fault(self) -> None:
        match self.random.randrange(8):
            case 0:
                self._part()
            case 1:
                self.away.clear()
                self.note("all", "can be reached")
            case 2:
                self._fill(self._place())
            case 3:
                place = self._place()
                place.storage._quotas = Quotas(grace=GRACE)
                self.note(place.name, "has room again")
            case 4:
                device, place = self.random.choice(self.devices), self._place()
                device.learn(place.n)
                self.note(device.name, f"keeps its spaces at {place.name} too")
            case _:
                super()._fault()

    def _part(self) -> None:
        """A relay can't be reached by some devices, or by none."""
        place = self._place()
        for device in self.random.sample(self.devices, self.random.randint(1, len(self.devices))):
            self.away.add((device.name, place.n))
            self._cut(device, place)
        self.note(place.name, "is out of reach")

    def _fill(self, place: Place) -> None:
        """A relay takes no more entries, or no more segments."""
        spaces = place.storage._spaces.values()
        used = max((sum(map(len, space.chunks.values())) for space in spaces), default=0)
        entries = max((space.used[False] for space in spaces), default=0)
        plain = Quotas(grace=GRACE)
        both = self.random.random() < 0.3
        place.storage._quotas = replace(plain, blob_bytes=used + 1, space_bytes=entries + 1 if both else
                                        plain.space_bytes)
        self.note(place.name, "is full")

    # --- what is promised -----------------------------------------------------------------

    def _expire(self, device: Device) -> None:
        for place in self.places:
            self._let_go(place)

    def _let_go(self, place: Place) -> None:
        """A relay removes what was to be dropped: that was asked for, and a grace ago."""
        storage = place.storage
        before = {handle: [at for at, one in enumerate(space.envelopes, 1) if one is not None]
                  for handle, space in storage._spaces.items()}
        storage.perform_now([Expire()])
        for handle, space in storage._spaces.items():
            for at in before[handle]:
                if space.envelopes[at - 1] is None:
                    self.freed += 1
                    assert self.asked[storage.incarnation, handle, at] <= self.now - GRACE, "gone before its grace"
        self._check_room(storage)
        self.note(place.name, "lets go of what was dropped")

    def _check_room(self, storage: MemoryStorage) -> None:
        """What is taken of a space's room is what is there."""
        for space in storage._spaces.values():
            for control in (False, True):
                there = sum(len(one) for at, one in enumerate(space.envelopes, 1)
                            if one is not None and (at in space.control) is control)
                assert space.used[control] == there

    def _carry_owed(self, link: Link) -> None:
        drops = {handle: space.drop for handle, space in link.place.storage._spaces.items()}
        asked = [ask.request for ask in link.owed if isinstance(ask.request, DropEntries)]
        super()._carry_owed(link)
        for request in asked:
            now = link.place.storage._spaces[request.handle].drop
            if now == request.drop != drops[request.handle]:
                self._check_drop(link.place.storage, request)

    def _check_drop(self, storage: MemoryStorage, request: DropEntries) -> None:
        """What a relay agreed to drop is in a checkpoint that somebody compared, and nothing else."""
        space, log = storage._spaces[request.handle], log_name(storage.incarnation, request.handle)
        if not request.ranges:
            return
        self.dropped += 1
        manifest, compared = self._vouched(request, log)
        assert compared, "dropped on a checkpoint that nobody compared"
        epochs = {epoch.id: epoch for device in self.devices for replica in device.replicas.values()
                  for epoch in replica.space.epochs.values()}
        for one in request.ranges:
            for at in range(one.first, one.last + 1):
                self.asked.setdefault((storage.incarnation, request.handle, at), self.now)
                envelope = space.envelopes[at - 1]
                if envelope is None:
                    continue
                entry = read_signed(unseal(envelope, Header.decode(envelope).handle, epochs))
                upto, _ = manifest.vector.get(entry.inner.author, (0, b""))
                assert entry.inner.kind == CHANGES and entry.inner.sequence <= upto, "dropped what nothing stands for"

    def _vouched(self, request: DropEntries, log: bytes) -> tuple[Manifest, bool]:
        """The checkpoint that a drop rests on, and whether who vouched for it compared it with what it holds."""
        for device in self.devices:
            for n in device.replicas:
                for _, author, vouch, state in vouches(device.db, n):
                    if vouch.log == log and state in (OPEN, ASKED) and vouch.drop == request.drop:
                        voucher = next(one for one in self.devices if one.member.keys.id == author)
                        row = voucher.spaces[device.replicas[n].space.id]
                        return (manifest_of(device.db, n, vouch.manifest),
                                state_of(voucher.db, row, vouch.manifest) == SOUND)
        raise AssertionError("dropped on nobody's word")


def check_histories(devices: list[Device]) -> None:
    """All devices have the same entries of all spaces, by author, number and hash, and the same ones count."""
    first, *others = [set(device.db.execute(
        "SELECT space.id, author, sequence, hash, standing FROM entry JOIN space ON space.n = entry.space").fetchall())
        for device in devices]
    assert first
    for device, mine in zip(devices[1:], others, strict=True):
        assert mine == first, device.name
        assert not device.db.execute("SELECT 1 FROM shown").fetchall(), device.name

"""The scheduler: one seeded generator decides everything that happens, and in which order.

A link is a stream (TCP), so frames keep their order on it; a lost frame is a lost
connection. Frames under way when a device gives a connection up may still reach the
relay later, beside those of its next connection: that is how bytes come to be repeated.
"""

import hashlib
from collections import deque
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import msgspec

from chez.errors import NotAllowed, RelayRefused
from chez.spaces.space import make_space
from chez.spaces.statements import Kind, Signed
from chez.store.database import Connection
from chez.sync.checkpoints.order import standing
from chez.sync.entry import STATEMENT, log_name, read_signed, unseal
from chez_relay.effects import Ask, Close, Effect, Send
from chez_relay.fanout import growth
from chez_relay.kept import KeptSessions
from chez_relay.session import RelaySession
from chez_relay.storage import AddEntry, DropEntries, Expire, Quotas, Request, RotateSpace
from chez_relay.storage.memory import MemoryStorage
from chez_wire.dropping import NO_DROP
from chez_wire.envelope import Header
from chez_wire.frames import CreateSpace, Packet, Rotate, SealedPacket, decode_client, decode_relay, encode
from tests.simulation.device import RELAY, Device
from tests.simulation.household import Member, household, place_name
from tests.simulation.workload import Workload

__all__ = ("World",)

SPACES = 3
"""A device that knows fewer makes another, now and then."""


@dataclass(eq=False)
class Place:
    """A relay, by its row in every device's store."""

    n: int
    storage: MemoryStorage
    kept: KeptSessions = field(default_factory=lambda: KeptSessions(lambda: 0.0))

    @property
    def name(self) -> str:
        """As the trace has it."""
        return "relay" if self.n == RELAY else f"relay {self.n}"


@dataclass(eq=False)
class Link:
    """One connection: the relay's session, frames each way, and what its storage owes."""

    device: Device
    place: Place
    relay: RelaySession
    up: deque[bytes] = field(default_factory=deque)
    down: deque[bytes] = field(default_factory=deque)
    owed: deque[Ask] = field(default_factory=deque)
    open: bool = True
    """Whether the device still listens; what it had sent may arrive all the same."""

    @property
    def hears(self) -> bool:
        """Whether the device takes what the relay sent now: it does what came before that first."""
        wire = self.device.wires.get(self.place.n)
        return self.open and wire is not None and not wire.busy


Move = tuple[str, tuple[Place, ...]]
"""The name of what may happen, and at which relay, if it is about one."""


class World:
    """A relay, or several, and `count` devices of one person, which join one after the other."""

    def __init__(self, seed: int, count: int = 3, *, rotates: bool = True, checkpoints: bool = False,
                 relays: int = 1) -> None:
        self.random = Random(seed)
        self.count = count
        self.rotates = rotates
        self.checkpoints = checkpoints
        self.family = household(self.random)
        self.devices: list[Device] = []
        self.relays = relays
        self._add(self.family.founder)
        self.places = [Place(n, self._store()) for n in range(RELAY, RELAY + relays)]
        self.links: list[Link] = []
        self.apart: set[str] = set()
        self.workload = Workload(self.random)
        self.trace: list[str] = []
        self.quiet = False
        self.early = 0.5
        """How likely a relay passes an entry on before it is stored."""
        self.lost = False

    @property
    def storage(self) -> MemoryStorage:
        """The store of the relay that every device knows."""
        return self.places[0].storage

    def note(self, who: str, what: str, data: bytes = b"") -> None:
        """One line of the trace, with a digest of the bytes involved."""
        self.trace.append(f"{who}: {what} {hashlib.sha256(data).hexdigest()[:12] if data else ''}".rstrip())

    # --- running ------------------------------------------------------------------------

    def chaos(self, steps: int) -> None:
        """Edits and faults."""
        for _ in range(steps):
            self._fault() if self.random.random() < 0.03 else self._step()

    def heal(self, limit: int = 100_000) -> None:
        """No more faults or new edits: open edits end, one more device joins, until nothing is left to do."""
        self.quiet = True
        self.apart.clear()
        for device in self.devices:
            while device.edits:
                self.note(device.name, self.workload._close(device, False) and "last edit")
        if self.checkpoints:
            self.settle()
            for place in self.places:
                place.storage.perform_now([Expire()])
            self.quiet = True
        self._pair(self.random.choice(self.devices))
        for _ in range(limit):
            if not self._step():
                return
        raise AssertionError("the devices never come to rest")

    def settle(self, limit: int = 100_000) -> None:
        """No faults or new edits for a while: everybody comes to rest, and goes on afterwards."""
        self.quiet = True
        self.apart.clear()
        for _ in range(limit):
            if not self._step():
                self.quiet = False
                return
        raise AssertionError("the devices never come to rest")

    def _step(self) -> bool:
        """One thing that can happen, happens; False when nothing can."""
        moves = [(device, move) for device in self.devices for move in self._moves(device)]
        carried = [(link, move) for link in self.links for move in ("up", "owed", "down")
                   if getattr(link, move) and (move != "down" or link.hears)]
        at = self.random.randrange(len(moves) + len(carried)) if moves or carried else -1
        if at < 0:
            return self._late()
        if at < len(moves):
            device, (move, where) = moves[at]
            getattr(self, "_" + move)(device, *where)
        else:
            link, move = carried[at - len(moves)]
            getattr(self, "_carry_" + move)(link)
        return True

    def _late(self) -> bool:
        """A relay says nothing any more of an entry that it was storing; whether anybody waited for it."""
        held = [(device, n) for device in self.devices for n, wire in device.wires.items() if wire.held is not None]
        for device, n in held[:1]:
            device.begin_held(n)
            self.note(device.name, "waits no more")
        return bool(held)

    def _moves(self, device: Device) -> list[Move]:
        moves = [] if self.quiet else ["edit"]
        if not self.quiet and len(self.devices) < self.count and self.random.random() < 0.02:
            moves.append("pair")
        if self.rotates and not self.quiet and self.random.random() < 0.02:
            moves.append("rotate")
        if not self.quiet and len(device.replicas) < SPACES and self.random.random() < 0.02:
            moves.append("make")
        if self.checkpoints and not self.quiet and device.wires and self.random.random() < 0.2:
            moves += ["checkpoint", "expire"]
        known = [place for place in self.places if place.n in device.knows]
        return [*((move, ()) for move in moves), *(
            (move, (place,)) for place in known for move in self._turns(device, place))]

    def _turns(self, device: Device, place: Place) -> list[str]:
        """What a device may do about its connection to a relay it knows."""
        wire = device.wires.get(place.n)
        if wire is None:
            return [] if device.name in self.apart else ["connect"]
        begins = wire.held is not None and self.random.random() < 0.1
        may = {"begin": begins, "work": wire.busy, "again": bool(wire.lanes.resting), "flush": wire.sends}
        return [move for move, now in may.items() if now]

    def _add(self, member: Member, knows: Set[int] = frozenset({RELAY})) -> None:
        db = self.family.store(member, self.random.randbytes(32), self.relays)
        self.devices.append(Device(self.family, member, self.random, db, keeps=True, knows=set(knows)))

    def _pair(self, device: Device) -> None:
        name, keys = f"device {len(self.devices)}", self.family.candidate(self.random)
        spaces = [replica.space for replica in device.replicas.values()]
        self._add(device.write(lambda db: self.family.admit(db, spaces, device.member, keys, name)), self._told(device))
        self.note(device.name, f"certifies {name}")

    def _told(self, device: Device) -> Set[int]:
        """The relays that a device which joins by another is told of."""
        return device.knows

    def _make(self, device: Device) -> None:
        device.open(device.write(lambda db: make_space(
            db, device.replica.space, device.member.keys, f"space of {device.name}", Kind.SHARED,
            self.random.randbytes)))
        self.note(device.name, "makes a space")

    def _store(self) -> MemoryStorage:
        """An empty one; what is dropped goes as soon as the relay looks for it."""
        return MemoryStorage(self.random.randbytes(32), quotas=Quotas(grace=0.0) if self.checkpoints else None)

    def _checkpoint(self, device: Device) -> None:
        replica = self.random.choice(list(device.replicas.values()))
        device.write(lambda db: replica.relays.want_checkpoint(db, replica.space.n, device.knows))
        for wire in device.wires.values():
            wire.lanes.wake(replica.space.id)
        self.note(device.name, "wants a checkpoint")

    def _expire(self, device: Device) -> None:
        for place in self.places:
            place.storage.perform_now([Expire()])
            self.note(place.name, "lets go of what was dropped")

    def _rotate(self, device: Device) -> None:
        replica = self.random.choice(list(device.replicas.values()))

        def work(db: Connection) -> None:
            with suppress(NotAllowed):  # keys of another device's epoch are not here yet
                replica.rotate(db)

        device.write(work)
        self.note(device.name, "rotates")

    def _edit(self, device: Device) -> None:
        self.note(device.name, self.workload.step(device, lose=self.random.random() < 0.03))
        self._forget_closed()

    def _work(self, device: Device, place: Place) -> None:
        try:
            device.work(place.n)
        except RelayRefused:  # as in `_carry_down`: it was noted by this commit
            self._cut(device, place)
        self.note(device.name, "commits")
        self._check_whole(device)

    def _begin(self, device: Device, place: Place) -> None:
        device.begin_held(place.n)
        self.note(device.name, "reads")

    def _again(self, device: Device, place: Place) -> None:
        device.again(place.n)
        self.note(device.name, "begins a space again")

    def _connect(self, device: Device, place: Place) -> None:
        name = place_name(place.n)
        device.dial(name, relay=place.n)
        relay = RelaySession(names=[name], nonce=self.random.randbytes(32), incarnation=place.storage.incarnation,
                             kept=place.kept.at(device.name))
        self.links.append(Link(device, place, relay))
        self.note(device.name, "connects")

    def _flush(self, device: Device, place: Place) -> None:
        link = next(link for link in self.links if link.open and link.device is device and link.place is place)
        for data in device.flush(place.n):
            link.up.append(data)
            self.note(device.name, "sends", _traced(data))

    def _carry_up(self, link: Link) -> None:
        self._apply(link, link.relay.receive(link.up.popleft()))

    def _carry_down(self, link: Link) -> None:
        data = link.down.popleft()
        self.note(link.device.name, "receives", _received(data))
        try:
            link.device.receive(data, link.place.n)
        except RelayRefused:  # an epoch left it behind: who let it in sees to that
            self._cut(link.device, link.place)

    def _carry_owed(self, link: Link) -> None:
        asks = [link.owed.popleft() for _ in range(self.random.randint(1, len(link.owed)))]
        results = link.place.storage.perform_now([ask.request for ask in asks])
        if not self.lost and any(isinstance(ask.request, RotateSpace) for ask in asks):
            self._check_begun(link.place.storage)
        if any(isinstance(ask.request, DropEntries) for ask in asks):
            self._check_stands(link.place.storage)
        for ask, result in zip(asks, results, strict=True):
            self._apply(link, link.relay.completed(ask, result))
        news = growth([ask.request for ask in asks], results)
        for other in [other for other in self.links if other.place is link.place]:
            for handle, credentials in news.rotated.items():
                self._apply(other, other.relay.rotated(handle, credentials))
            for handle, page in news.spaces.items():
                self._apply(other, other.relay.grew(handle, page))

    def _check_whole(self, device: Device) -> None:
        """What was written together shows together."""
        if not self.lost:  # a relay that is filled again may hand out what a change builds on after it
            assert self.workload.torn(device.db) == [], device.name

    def _check_begun(self, storage: MemoryStorage) -> None:
        """Who finds the keys of an epoch in a packet finds how it began in the log, under these keys."""
        for space in storage._spaces.values():
            epochs = {epoch.read.public: epoch for device in self.devices for replica in device.replicas.values()
                      for epoch in replica.space.epochs.values()}
            epoch = epochs[space.keys.read]
            if epoch.number == 1:  # the first is there before there is a log
                continue
            said = [item.data for envelope in space.envelopes if envelope and Header.decode(envelope).epoch == epoch.id
                    for item in read_signed(unseal(envelope, Header.decode(envelope).handle,
                                                   {epoch.id: epoch})).inner.items if item.kind == STATEMENT]
            assert epoch.id in {Signed.kept(raw).hash for raw in said}, f"epoch {epoch.number} has no beginning there"

    def _check_stands(self, storage: MemoryStorage) -> None:
        """The checkpoint that stands for all that was dropped is there, every segment of it, and none is let go."""
        for handle, space in storage._spaces.items():
            log = log_name(storage.incarnation, handle)
            known = [(device, n) for device in self.devices for n, replica in device.replicas.items()
                     if replica.space.handle == handle]
            stood = []
            for device, n in known:
                with suppress(LookupError):  # the word for it is not here yet
                    stood.append(standing(device.db, n, log, space.drop))
            assert stood or space.drop == NO_DROP
            for one in stood:
                if one is not None:
                    assert set(one[1].segments) <= space.chunks.keys() - space.releasing.keys()

    def _apply(self, link: Link, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(data):
                    link.down.append(data)
                case Ask():
                    link.owed.append(effect)
                    self._pass_early(link, effect.request)
                case Close(_, reason):
                    raise AssertionError(f"the relay closes on an honest device: {reason}")
                case _:
                    pass

    def _pass_early(self, link: Link, request: Request) -> None:
        """The relay may pass an entry on that it is about to store, or to lose with the connection."""
        if isinstance(request, AddEntry) and not request.control and self.random.random() < self.early:
            for other in self.links:
                if other is not link and other.place is link.place:
                    self._apply(other, other.relay.early(request.handle, request.envelope))

    # --- faults -------------------------------------------------------------------------

    def _fault(self) -> None:
        device = self.random.choice(self.devices)
        match self.random.randrange(12):
            case 0 | 1 | 2 | 3:
                self._cut(device)
            case 4 | 5:
                device.start()
                self._forget_closed()
                self.note(device.name, "crashes")
            case 6 | 7:
                self.apart.add(device.name)
                self._cut(device)
                self.note(device.name, "is cut off")
            case 8 | 9:
                self.apart.clear()
                self.note("all", "are reachable")
            case 10:
                self._restart(self._place(), "restarts")
            case _ if self.random.random() < 0.5:
                self._lose(self._place())
            case _:
                pass

    def _place(self) -> Place:
        """One of the relays."""
        return self.places[0] if len(self.places) == 1 else self.random.choice(self.places)

    def _lose(self, place: Place) -> None:
        place.storage = self._store()
        self.lost = True
        self._restart(place, "lost its store")

    def _cut(self, device: Device, *places: Place) -> None:
        """A device loses its connection to these relays (none named: to all)."""
        device.disconnect(*(place.n for place in places))
        self._forget_closed()
        self.note(device.name, "loses its connection")

    def _forget_closed(self) -> None:
        """Links whose device gave them up: some of what was under way is lost, the rest comes late."""
        for link in self.links:
            if link.open and link.place.n not in link.device.wires:
                link.open = False
                link.down.clear()
                for _ in range(self.random.randint(0, len(link.up))):
                    link.up.pop()
        self.links = [link for link in self.links if link.open or link.up or link.owed]

    def _restart(self, place: Place, how: str) -> None:
        for device in self.devices:
            device.disconnect(place.n)
        self.links = [link for link in self.links if link.place is not place]
        place.kept = KeptSessions(lambda: 0.0)
        self.note(place.name, how)


def _traced(data: bytes) -> bytes:
    """A frame as the trace has it: without what differs in each run, for a sealed box brings its own randomness."""
    frame = decode_client(data)
    if not isinstance(frame, CreateSpace | Rotate):
        return data
    boxes = [SealedPacket(packet.tag, bytes(len(packet.box))) for packet in frame.packets]
    return encode(msgspec.structs.replace(frame, packets=boxes, signature=bytes(64)))


def _received(data: bytes) -> bytes:
    """The same of a frame from the relay."""
    frame = decode_relay(data)
    return encode(msgspec.structs.replace(frame, box=bytes(len(frame.box)))) if isinstance(frame, Packet) else data

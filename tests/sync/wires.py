"""One device and one relay, joined by a wire that counts what goes over it."""

from collections import deque
from dataclasses import dataclass, field
from random import Random

from chez.spaces.space import make_space
from chez.spaces.statements import Kind
from chez.sync.lanes import Lanes
from chez_relay.effects import Ask, Send
from chez_relay.fanout import growth
from chez_relay.kept import KeptSessions
from chez_relay.session import RelaySession
from chez_relay.storage.memory import MemoryStorage
from chez_wire.frames import Opened, decode_client, decode_relay, encode
from tests.simulation.device import RELAY, Device
from tests.simulation.household import household, place_name

NAME = place_name(RELAY)


@dataclass
class Wire:
    """A device and a relay, joined by a wire that counts; `turns` are times that both sides said all they had."""

    spaces: int
    keeps: bool = False
    random: Random = field(default_factory=lambda: Random(7))
    up: list[bytes] = field(default_factory=list)
    down: list[bytes] = field(default_factory=list)
    turns: int = 0

    def __post_init__(self) -> None:
        self.house = household(self.random)
        db = self.house.store(self.house.founder, self.random.randbytes(32))
        self.device = Device(self.house, self.house.founder, self.random, db, self.keeps)
        for number in range(self.spaces - 1):
            self.make(f"space {number}")
        self.storage = MemoryStorage(self.random.randbytes(32))
        self.kept = KeptSessions(lambda: 0.0)

    def make(self, name: str) -> int:
        """One more space, which the device has from then on; its row."""
        device = self.device
        n = device.write(lambda db: make_space(db, device.replica.space, device.member.keys, name, Kind.SHARED,
                                               self.random.randbytes))
        device.open(n)
        return n

    def put(self, n: int, id: str, value: str = "x") -> None:
        """A record in the space of row `n`."""
        self.device.write(lambda db: self.device.records.put(db, n, "notes", id, {"title": value}))

    def connect(self) -> None:
        """A new connection, and all that follows, until nobody has anything to say."""
        self.device.disconnect()
        self.device.dial(NAME)
        self.relay = RelaySession(names=[NAME], nonce=self.random.randbytes(32),
                                  incarnation=self.storage.incarnation, kept=self.kept.at("here"))
        self.up.clear()
        self.down.clear()
        self.turns = 0
        self.settle()

    def settle(self) -> None:
        """Carry frames to and fro until there are none."""
        for _ in range(100):
            sent = self.device.flush()
            if not sent:
                return
            self.turns += 1
            self.up += sent
            answers = [frame for data in sent for frame in self._carry(data)]
            self.down += answers
            for frame in answers:
                self.device.receive(frame)
            while self.device.busy:
                self.device.work()
        raise AssertionError("they never come to rest")

    def _carry(self, data: bytes) -> list[bytes]:
        out: list[bytes] = []
        effects = deque(self.relay.receive(data))
        while effects:
            match effects.popleft():
                case Send(frame):
                    out.append(frame)
                case Ask() as ask:
                    result = self.storage.perform_now([ask.request])[0]
                    effects.extend(self.relay.completed(ask, result))
                    news = growth([ask.request], [result])
                    for handle, credentials in news.rotated.items():
                        effects.extend(self.relay.rotated(handle, credentials))
                    for handle, page in news.spaces.items():
                        effects.extend(self.relay.grew(handle, page))
                case _:
                    pass
        return out

    def sent(self, kind: type) -> list[object]:
        """The frames of a kind that the device sent on this connection."""
        return [frame for frame in map(decode_client, self.up) if isinstance(frame, kind)]


def lanes_of(count: int) -> tuple[Wire, Lanes]:
    """So many spaces, connected."""
    wire = Wire(count)
    wire.connect()
    assert wire.device.lanes is not None
    return wire, wire.device.lanes


def refuse(wire: Wire, n: int, why: str = "too many") -> None:
    """From now on the relay's answers say no to the space of row `n`."""
    handle, carry = wire.device.replicas[n].space.handle, wire._carry

    def crooked(data: bytes) -> list[bytes]:
        answers = []
        for raw in carry(data):
            frame = decode_relay(raw)
            if isinstance(frame, Opened):
                frame = Opened(frame.ref, [type(one)(one.handle, one.role, why, 0, bytes(32))
                                           if one.handle == handle else one for one in frame.spaces])
            answers.append(encode(frame))
        return answers

    wire._carry = crooked  # type: ignore[method-assign]

"""keys.membership_verify and keys.epoch_1000: reading a long membership log, and sealing an epoch for many.

The log is made of 10,000 statements in which owners add 1,000 persons with a device each,
change roles, remove and add again, and one step in fifty is said twice at the same time.
"""

import random
import time
from collections.abc import Callable
from typing import Final

from benchmarks.harness import Bench, Benchmark, Figure, Runs
from chez import crypto
from chez.keys.device import DeviceKeys
from chez.keys.person import Person
from chez.spaces.enrolment import enrol
from chez.spaces.membership import Membership
from chez.spaces.rotation import new_epoch, packets_for
from chez.spaces.space import create_space
from chez.spaces.statements import Add, Body, Kind, Remove, Role, SetRole, Signed, sign_statement

__all__ = ("benchmarks",)

STATEMENTS: Final = 10_000
PERSONS: Final = 1_000


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (
        Benchmark((Figure(
            "keys.membership_verify", "statements/s", "more",
            f"A log of {STATEMENTS:,} statements of {PERSONS:,} persons, decoded, every signature checked, and folded "
            "to members, roles and epochs.", 8_000,
            {"signatures": "checking as many Ed25519 signatures of the same bytes, and nothing else"}),), _verify),
        Benchmark((Figure(
            "keys.epoch_1000", "ms", "less",
            f"A new epoch for {PERSONS:,} devices and as many recovery keys: the statement, and a packet for each.",
            1_000, {"boxes": f"{PERSONS:,} sealed boxes of the same size, for the devices alone"}),), _epoch))


class _Log:
    """A space whose log grows; all from one seed."""

    def __init__(self, persons: int) -> None:
        self.random = random.Random(7)
        self.owner = self._device()
        log = enrol(self._person(), self.owner, "laptop", self.random.randbytes(32))
        self.space, statements, self.epoch = create_space(
            "ours", Kind.SHARED, log[0].issuer, log, self.owner, self.random.randbytes(32), self.random.randbytes(96))
        self.raw = [one.raw for one in statements]
        self.heads = [statements[-1].hash]
        self.persons = [self.join() for _ in range(persons)]

    def _device(self) -> DeviceKeys:
        return DeviceKeys.from_seeds(self.random.randbytes(32), self.random.randbytes(32))

    def _person(self) -> Person:
        keys = [self.random.randbytes(32) for _ in range(5)]
        return Person(crypto.SigningKey.from_seed(keys[0]), crypto.SealingKey.from_seed(keys[1]),
                      crypto.SigningKey.from_seed(keys[2]), crypto.SigningKey.from_seed(keys[3]), keys[4])

    def say(self, make: Callable[[list[bytes]], Body]) -> bytes:
        """A statement by the owner on the present ground; returns its hash."""
        said = sign_statement(make(self.heads), self.owner.signing)
        self.raw.append(said.raw)
        return said.hash

    def join(self) -> bytes:
        """Somebody new, with a device; the person id."""
        log = enrol(self._person(), self._device(), "phone", self.random.randbytes(32))
        self.raw += [one.raw for one in log]
        heads = [*self.heads, log[-1].hash]
        person = log[0].issuer
        self.heads = [self.say(lambda _: Add(self.space, heads, self.owner.id, person, Role.WRITER, b""))]
        return person

    def grow(self, count: int) -> None:
        """Roles change, people go and come back; now and then two things are said at the same time."""
        while len(self.raw) < count:
            said = [self.say(self._change) for _ in range(2 if self.random.random() < 0.02 else 1)]
            self.heads = said

    def _change(self, heads: list[bytes]) -> Body:
        person = self.random.choice(self.persons)
        match self.random.randrange(10):
            case 0:
                return Remove(self.space, heads, self.owner.id, person, [])
            case 1:
                return Add(self.space, heads, self.owner.id, person, Role.READER, b"")
        return SetRole(self.space, heads, self.owner.id, person, self.random.choice(list(Role)), [])


async def _verify(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    log = _Log(PERSONS)
    log.grow(STATEMENTS)
    messages = [(log.owner.id, log.owner.signing.sign("benchmark", raw), raw) for raw in log.raw]
    for _ in range(bench.runs):
        began = time.perf_counter()
        membership = Membership(log.space)
        membership.add(map(Signed.read, log.raw))
        assert len(membership.state.members) > PERSONS // 2
        ours = len(log.raw) / (time.perf_counter() - began)
        began = time.perf_counter()
        for public, signature, raw in messages:
            crypto.verify(public, signature, "benchmark", raw)
        runs.add(ours, signatures=len(log.raw) / (time.perf_counter() - began))
    return {"keys.membership_verify": runs}


async def _epoch(bench: Bench) -> dict[str, Runs]:
    runs = Runs()
    log = _Log(PERSONS)
    membership = Membership(log.space)
    membership.add(map(Signed.read, log.raw))
    sealing = [device.sealing for device in membership.devices.values()]
    for _ in range(bench.runs):
        began = time.perf_counter()
        made = new_epoch(membership, {log.epoch.id: log.epoch}, log.owner.signing, log.random.randbytes)
        packets = packets_for(log.space, membership.state, made.epoch, log.owner.signing, log.random.randbytes)
        ours = time.perf_counter() - began
        assert len(packets) >= 2 * PERSONS
        began = time.perf_counter()
        for public in sealing:
            crypto.seal_to(public, bytes(208))
        runs.add(1000 * ours, boxes=1000 * (time.perf_counter() - began))
    return {"keys.epoch_1000": runs}

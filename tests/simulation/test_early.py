"""Devices type, one change at a time, at a relay that passes each on before it has it, and loses some."""

from collections import Counter

import pytest

from chez.sync.several import Several
from tests.simulation.device import Device
from tests.simulation.replaying import replaying
from tests.simulation.test_convergence import check
from tests.simulation.workload import COLLECTIONS, _current
from tests.simulation.world import World

ROUNDS = 150


class Typing(World):
    """Devices write to one record each, and now and then to another's, and have much time in between."""

    def type(self, rounds: int) -> None:
        """So many changes."""
        self.early, self.quiet = 0.9, True
        for _ in range(rounds):
            device, other = self.random.choice(self.devices), self.random.choice(self.devices)
            whose = device if self.random.random() < 0.9 else other
            key = device.replica.space.id, COLLECTIONS[0], f"live {whose.name[-1]}"
            self.workload.count += 1
            value = (_current(device.db, key) or {}) | {"n": self.workload.count}
            self.workload._put(device, key, value, False)
            self.note(device.name, "types")
            for _ in range(self.random.randint(0, 60)):
                self._fault() if self.random.random() < 0.01 else self._step()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what was held was done otherwise, or had to be done, and what was lacking at the relay then."""
    counts = Counter[str]()
    begin, lack, work = Device.begin_held, Several.unproven, Device.work

    def begins(self: Device, *relays: int) -> None:
        counts["begun"] += sum(relay in self.wires and self.wires[relay].held is not None for relay in relays)
        begin(self, *relays)

    def lacks(self: Several, *rest: object) -> None:
        counts["unproven"] += 1
        lack(self, *rest)  # type: ignore[arg-type]

    def works(self: Device, relay: int = 1) -> None:
        before, done = self.wires[relay].held, counts["begun"]
        work(self, relay)
        wire = self.wires.get(relay)
        counts["held"] += wire is not None and before is None and wire.held is not None
        counts["in time"] += wire is not None and before is not None and wire.held is None and counts["begun"] == done

    monkeypatch.setattr(Device, "begin_held", begins)
    monkeypatch.setattr(Several, "unproven", lacks)
    monkeypatch.setattr(Device, "work", works)
    return counts


def play(seeds: range, rounds: int) -> None:
    for seed in seeds:
        world = Typing(seed)
        with replaying(world, seed, rounds):
            world._pair(world.devices[0])
            world.settle()
            world.type(rounds)
            world.heal()
            check(world)


def test_what_is_typed_is_everywhere_whatever_is_lost(seen: Counter[str]) -> None:
    """An entry that came early is taken in once, and its relay has it in the end; each way that this goes is gone."""
    play(range(6), ROUNDS)
    assert seen["held"] > 30 and seen["in time"] > 10 and seen["unproven"] > 10, seen


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
def test_what_is_typed_is_everywhere_in_many_runs() -> None:
    """The same of more seeds."""
    play(range(6, 26), 2 * ROUNDS)

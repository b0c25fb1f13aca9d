"""Epochs that devices start at the same time, while all are connected: they become one without another connection."""

import pytest

from chez.spaces.space import add_to_space
from tests.simulation.test_convergence import check
from tests.simulation.test_renewal import Renewals
from tests.simulation.world import World


@pytest.mark.parametrize("seed", [*range(6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 12))])
def test_epochs_started_at_once_become_one(seed: int) -> None:
    """What was sealed by keys that lost the race is readable, and no rotation stays owed."""
    world = World(seed, count=2)
    world.quiet = True
    world._make(world.devices[0])
    for _ in range(2):
        world._pair(world.devices[-1])
    while world._step():
        pass
    for device in world.devices:
        replica = world.random.choice(list(device.replicas.values()))
        device.write(replica.rotate)
        world.workload._create(device, False)
    while world._step():
        pass
    check(world)
    for device in world.devices:
        assert all(len(replica.space.membership.state.epoch_heads) == 1 for replica in device.replicas.values())


@pytest.mark.parametrize("seed", range(6))
def test_nobody_waits_for_the_keys_of_who_waits_itself(seed: int) -> None:
    """Each device started an epoch and heard of the others' without their keys: none waits for another for ever."""
    world = World(seed, count=2)
    world.quiet = True
    for _ in range(2):
        world._pair(world.devices[-1])
    while world._step():
        pass
    for device in world.devices:
        world._cut(device)
        device.write(device.replica.rotate)
        world.workload._create(device, False)
    said = [statement for device in world.devices for statement in device.replica.space.membership.statements]
    for device in world.devices:
        device.write(lambda db: add_to_space(db, 1, said, [], sent=True))
        device.replica.hear()
    while world._step():
        pass
    check(world)


def test_a_relay_that_has_a_space_and_none_of_its_many_epochs_lets_its_devices_in() -> None:
    """More epochs were started than are tried, and the relay goes as soon as it has the space: it is opened after."""
    world = World(1, count=1)
    world.quiet = True
    (device,) = world.devices
    for _ in range(20):
        device.write(device.replica.rotate)
    world.workload._create(device, False)
    while not world.storage._spaces:
        world._step()
    world._restart(world.places[0], "restarts")
    world.heal(5000)
    check(world)


@pytest.mark.parametrize("seed", range(4))
def test_who_was_let_in_by_a_device_that_was_restored_gets_keys(seed: int) -> None:
    """A device lets in another and is restored; an epoch that knew of neither is first at the relay: none stays out."""
    world = Renewals(seed, "lost")
    world.quiet = True
    world._pair(world.devices[0])
    while world._step():
        pass
    world.workload._create(world.devices[0], False)
    first, second = world.devices
    world._cut(first)
    world._pair(first)
    world._become_new(first)
    world.apart |= {first.name, world.devices[-1].name}
    second.write(second.replica.rotate)
    while world._step():
        pass
    world.heal(20_000)
    world.check()

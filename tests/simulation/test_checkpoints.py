"""Checkpoints are made, vouched for and dropped while devices write, and everybody holds the same all the while."""

import pytest

from chez_relay.storage import Expire, Quotas
from tests.simulation.test_convergence import check
from tests.simulation.world import World

__all__ = ()


def world_with(seed: int, steps: int) -> World:
    """Devices that wrote for a while at a relay that drops at once."""
    world = World(seed, rotates=False)
    world.chaos(steps)
    world.settle()
    return world


def checkpoint(world: World) -> None:
    """One device makes a checkpoint of the private space, and the relay drops what that stands for."""
    world.storage._quotas = Quotas(grace=0.0)
    device = world.devices[0]
    device.replica.checkpoint_wanted = True
    assert device.lanes is not None
    device.lanes.wake(device.replica.space.id)
    world.settle()
    world.storage.perform_now([Expire()])


@pytest.mark.parametrize("seed", range(4))
def test_a_new_device_has_everything_from_a_checkpoint_and_the_tail(seed: int) -> None:
    """What was dropped comes from the checkpoint, what came after it from the log, and all devices agree."""
    world = world_with(seed, 250)
    space = world.storage._spaces[world.devices[0].replica.space.handle]
    before = sum(space.used.values())
    checkpoint(world)
    assert any(envelope is None for envelope in space.envelopes)
    assert sum(space.used.values()) < before
    world.chaos(60)
    world.heal()
    check(world)

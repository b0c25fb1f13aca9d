"""Several relays, of which devices know some: each drops what a checkpoint of its own has, and all devices agree."""

import os

import pytest

from chez.sync.checkpoints.heard import REFUSED, UNFIT
from tests.simulation.places import Places, check_histories
from tests.simulation.replaying import replaying
from tests.simulation.test_convergence import check

STEPS = int(os.environ.get("CHEZ_STEPS", "300"))


def play(seed: int, relays: int, steps: int = STEPS) -> Places:
    """One run; what is promised holds, or the seed is printed."""
    world = Places(seed, relays)
    with replaying(world, seed, steps):
        world.chaos(steps)
        world.heal()
        check(world)
        check_histories(world.devices)
        for device in world.devices:  # nobody lied
            for table, state in (("vouch", UNFIT), ("checkpoint", REFUSED)):
                assert not device.db.execute(f"SELECT 1 FROM {table} WHERE state = ?", (state,)).fetchall(), device.name
    return world


@pytest.mark.parametrize(("seed", "relays"), [(2, 2), (105, 2), (1, 3)])
def test_devices_agree_that_know_some_of_several_relays(seed: int, relays: int) -> None:
    """Links are cut, relays lose their stores or are full, all while each drops what a checkpoint of its own has.

    With seed 2 a manifest never came to the other relay: devices that knew that one alone took in nothing more of its
    author. With 105 a vouch came by the other relay before all that it is about, and nobody was to ask for it any more.
    """
    assert play(seed, relays).dropped


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("relays", [2, 3])
@pytest.mark.parametrize(("first", "seeds"), [
    (0, 3), pytest.param(1000, 60, marks=pytest.mark.exhaustive)])
def test_devices_agree_in_many_runs(first: int, seeds: int, relays: int) -> None:
    """The same for more seeds; something is dropped, and gone after its grace, in most of them."""
    worlds = [play(seed, relays) for seed in range(first, first + seeds)]
    assert sum(world.freed > 0 for world in worlds) > len(worlds) // 2

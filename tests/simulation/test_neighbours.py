"""Devices that have nothing but a neighbour's relay, which knows them by what they prove."""

import pytest

from tests.simulation.neighbours import Neighbours
from tests.simulation.replaying import replaying
from tests.simulation.test_convergence import STEPS, check


def play(seed: int, steps: int = STEPS) -> Neighbours:
    """One run: faults and edits, then peace; what is promised of any relay holds, or the seed is printed."""
    world = Neighbours(seed)
    with replaying(world, seed, steps):
        world.chaos(steps)
        world.heal()
        check(world)
    return world


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 3032])
def test_what_is_promised_of_any_relay_holds_of_a_neighbours(seed: int) -> None:
    """After cuts, crashes, rotations and lost stores, with a meeting before each connection, all have every write."""
    play(seed)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seeds", [pytest.param(5, marks=pytest.mark.slow),
                                   pytest.param(40, marks=pytest.mark.exhaustive)])
def test_it_holds_for_many_runs(seeds: int) -> None:
    """The same for forty more seeds; CI has time for five."""
    for seed in range(1000, 1000 + seeds):
        play(seed)

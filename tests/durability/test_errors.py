"""A disk that refuses: EIO once, or ENOSPC until there is room again, at every boundary.

The program hears a typed error with a hint, or nothing where nothing of it was lost; once
the disk is well the same is done again in the same session, and the home holds it.
"""

import pytest

from tests.durability.scenarios import SCENARIOS
from tests.durability.tape import Fault
from tests.durability.trial import Bench, sample

every_scenario = pytest.mark.parametrize("bench", SCENARIOS, indirect=True)
SOME = 2


@every_scenario
def test_some_errors(bench: Bench) -> None:
    """At a few boundaries of each scenario."""
    boundaries = bench.run().boundaries
    bench.clear()
    for number, at in enumerate(sample(f"{bench.name} fails", boundaries, SOME)):
        bench.strike(Fault("enospc" if number % 2 else "eio", at))


@pytest.mark.slow
@pytest.mark.timeout(900)
@every_scenario
def test_an_error_throughout(bench: Bench) -> None:
    """EIO at each (in the steps of `Bench.step`), until the scenario ends without meeting the fault."""
    at = min(2, bench.step)
    while bench.strike(Fault("eio", at)):
        at += bench.step
    assert at > 5


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@every_scenario
def test_a_full_disk_at_boundaries_that_need_room(bench: Bench) -> None:
    """ENOSPC from there on, until the program hears of it: at every third, for it goes on with the next."""
    growing = bench.run().growing
    bench.clear()
    for at in growing[::3]:  # which is another boundary now and then: tasks run side by side
        bench.strike(Fault("enospc", at))
    assert len(growing) > 1

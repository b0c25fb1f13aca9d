"""SIGKILL at boundaries: before a change of a file, and in the middle of a write.

After each, the home opens; what was acknowledged is there, what was not is there whole or
not at all; the doctor finds nothing; and what was cut off can be done again.
"""

import pytest

from tests.durability.scenarios import SCENARIOS
from tests.durability.tape import Fault
from tests.durability.trial import STEP, Bench, sample

every_scenario = pytest.mark.parametrize("bench", SCENARIOS, indirect=True)
SOME = 2


@every_scenario
def test_some_kills(bench: Bench) -> None:
    """At a few boundaries of each scenario."""
    boundaries = bench.run().boundaries
    bench.clear()
    for number, at in enumerate(sample(bench.name, boundaries, SOME)):
        bench.strike(Fault("torn" if number % 2 else "kill", at))


@pytest.mark.slow
@pytest.mark.timeout(900)
@every_scenario
def test_a_kill_throughout(bench: Bench) -> None:
    """Before each change (in the steps of `Bench.step`), until the scenario ends without meeting the fault."""
    at = 1
    while bench.strike(Fault("kill", at)):
        at += bench.step
    assert at > 5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bench", ["upgrade"], indirect=True)
def test_a_kill_at_every_step_of_an_upgrade(bench: Bench) -> None:
    """Before each change of a file: a step that is left out might be the one at which the store is neither."""
    at = 1
    while bench.strike(Fault("kill", at)):
        at += 1
    assert at > 100


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@every_scenario
def test_a_kill_in_the_middle_of_writes(bench: Bench) -> None:
    """When half of it is done (in steps of `STEP`); other changes have no middle."""
    growing = bench.run().growing
    bench.clear()
    for at in growing[::STEP]:  # which is another boundary now and then: tasks run side by side
        bench.strike(Fault("torn", at))
    assert len(growing) > 1

"""Power that is cut at any instant: what was not fsynced is there, or not, or in part, or out of order.

The program is stopped before a boundary, and in the place of its folder comes what a disk may
hold then (`images.py`): each must hold what a killed process's folder must. So what went over
the network by then is what it was.
"""

import pytest

from tests.durability.images import How
from tests.durability.scenarios import SCENARIOS
from tests.durability.tape import Fault
from tests.durability.trial import STEP, Bench, sample

every_scenario = pytest.mark.parametrize("bench", SCENARIOS, indirect=True)
AGAIN = [name for name in SCENARIOS if name not in ("passphrase", "write", "import")]
"""What can be begun again by who knows nothing of how far it came; of the others a second run is something else."""
HOWS: tuple[How, ...] = ("none", "some", "beginning")
SOME = 2


@every_scenario
def test_some_power_cuts(bench: Bench) -> None:
    """At a few boundaries of each scenario, and at its end."""
    boundaries = bench.run().boundaries
    bench.clear()
    for number, at in enumerate([*sample(f"{bench.name} cut", boundaries, SOME), boundaries + 1]):
        bench.cut(at, HOWS[number % len(HOWS)], number)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("how", HOWS[:2])
@every_scenario
def test_a_power_cut_throughout(bench: Bench, how: How) -> None:
    """When nothing that is loose is left, and when an arbitrary part of it is; in the steps of `Bench.step`."""
    if bench.scenario.taped:
        at = 1
        while bench.cut(at, how, 1):
            at += bench.step
    else:
        at = bench.cut_everywhere(how, 1)
    assert at > 1 or (STEP > 1 and at == 1)  # in steps, one folder may stand for all that nothing loose is left of


@pytest.mark.parametrize("bench", AGAIN, indirect=True)
def test_a_power_cut_after_a_kill(bench: Bench) -> None:
    """What a killed process had not synced is there for who begins again, and is not taken for durable."""
    boundaries = bench.run().boundaries
    bench.clear()
    for at in sample(f"{bench.name} again", boundaries, SOME):
        bench.cut_later(at)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bench", AGAIN, indirect=True)
def test_a_power_cut_after_a_kill_throughout(bench: Bench) -> None:
    """Killed at each boundary (in the steps of `Bench.step`)."""
    at = 1
    while bench.cut_later(at):
        at += bench.step
    assert at > 5


def fails_to_sync(bench: Bench, boundaries: list[int]) -> None:
    """Let an fsync fail that is at a boundary, and cut the power once the last thing was acknowledged.

    Not later: what a home does when it closes would write again what was lost.
    """
    for at in boundaries:  # which is another boundary now and then: tasks run side by side
        found = bench.run(Fault("eio", at))
        disk = bench.before
        disk.play(found.ops[: found.last])
        bench.leave(disk, "none", str(at))
        bench.hold(found.acknowledged(), f"{found.struck} failed at {at}, then power cut at the last word")


@every_scenario
def test_a_power_cut_after_an_fsync_that_failed(bench: Bench) -> None:
    """What the kernel gave up with an fsync that failed is not taken for durable by the next one that succeeds."""
    places = bench.run().syncs
    bench.clear()
    fails_to_sync(bench, [places[number - 1] for number in sample(f"{bench.name} sync", len(places), 1)])


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@every_scenario
def test_a_power_cut_after_fsyncs_that_failed(bench: Bench) -> None:
    """The same for the fsyncs of each scenario, in steps of `STEP`."""
    places = bench.run().syncs
    bench.clear()
    fails_to_sync(bench, places[::STEP])

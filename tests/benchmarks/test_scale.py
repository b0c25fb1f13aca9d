"""The model of docs/scale.md against simulations that know none of its formulas."""

from dataclasses import replace
from random import Random

import pytest
from benchmarks.harness import Result, Results
from benchmarks.scale import Costs, World, commits, group_model, herd, need, page

COSTS = Costs(append=20_000, append_cluster=8_000, deliver=400_000, echo=90_000, connection_kb=17, fdatasync=2e-4)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8, 0.9])
def test_groups_are_as_large_and_as_late_as_the_model_says(load: float) -> None:
    """From where groups form, both are within a quarter of what a relay played request by request gives."""
    rate, each = load * COSTS.append, 1 / COSTS.append
    size, wait = group_model(rate, 1e-3, each)
    played, waited = commits(rate, 1e-3, each, 40_000, Random(7))
    assert played == pytest.approx(size, rel=0.25) and waited == pytest.approx(wait, rel=0.25)


def test_one_alone_waits_for_its_own_commit() -> None:
    """With hardly any load a group is one request, which takes an fsync and its own cost."""
    played, waited = commits(1.0, 1e-3, 5e-5, 1_000, Random(7))
    assert played == pytest.approx(1, rel=0.01) and waited == pytest.approx(1.05e-3, rel=0.05)


@pytest.mark.parametrize(("clients", "logins"), [(500, 1_000), (3_000, 300), (6_000, 200)])
def test_everybody_is_in_again_soon_after_that_is_possible(clients: int, logins: int) -> None:
    """No client is left out; the pauses cost some minutes at most beyond what the logins take."""
    took, tries = herd(clients, logins, Random(7))
    assert (clients / logins - 1) <= took <= 12 * max(1.0, clients / logins)
    assert 1 <= tries <= 30


def test_twice_as_many_devices_need_twice_as_much() -> None:
    """The model has no step that hides a cost; a process more or less is all that rounding does."""
    once, twice = need(World(), COSTS), need(replace(World(), devices=2 * World().devices), COSTS)
    assert twice.cores == pytest.approx(2 * once.cores) and twice.memory_gb == pytest.approx(2 * once.memory_gb)
    assert twice.stored_tb == pytest.approx(2 * once.stored_tb) and abs(twice.processes - 2 * once.processes) <= 2


@pytest.mark.slow
def test_the_page_tells_what_a_session_found() -> None:
    """Each constant on the page is the results' own; one that is missing is named."""
    def figure(value: float, **peers: list[float]) -> Result:
        return Result(value, "", [value], {}, peers)

    results = Results({"fdatasync_us": 165}, {}, {
        "relay.append": figure(23_456, echo=[1, 91_234, 10**6]), "relay.append_cluster": figure(9_876),
        "relay.fanout": figure(345_678), "relay.idle_memory": figure(17.89)})
    text = page(results)
    assert all(part in text for part in ("23,456/s", "9,876/s", "345,678/s", "91,234/s", "17.9 KB", "165 µs"))
    del results.figures["relay.fanout"]
    with pytest.raises(KeyError, match=r"relay\.fanout"):
        page(results)

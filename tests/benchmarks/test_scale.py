"""The model of docs/scale.md against simulations that know none of its formulas."""

import math
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest
from benchmarks import __main__ as cli
from benchmarks import capacity, scale
from benchmarks.capacity import BLOCK_BYTES, FIGURES, PROCESS_CONNECTIONS, Costs, World, need, pings, waiting
from benchmarks.harness import ROOT, Result, Results
from benchmarks.played import Played, play, seat
from benchmarks.relay import LONE_BYTES, SPACES
from benchmarks.scale import PART, commits, fewest, group_model, herd, page, sides

COSTS = Costs(together=20_000, lone=8_000, cluster=1_000, append=2e-4, nodes=3e-4, deliver=5e-5, ping=2e-5, login=1e-3,
              connection_kb=50, space_kb=13, fdatasync=2e-4)
SMALL = replace(World(), devices=1_000_000)
TINY = replace(World(), devices=300_000), replace(COSTS, cluster=500)


@cache
def played(*world: Any, **shape: Any) -> Played:
    """A play: it takes seconds, and several models are held against the same."""
    return play(*world, **shape, random=Random(7))


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at one world is at one play of it."""
    monkeypatch.setattr(scale, "play", lambda *world, random, **shape: played(*world, **shape))


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8, 0.9])
def test_groups_are_as_large_and_as_late_as_the_model_says(load: float) -> None:
    """From where groups form, both are within a quarter of what a relay played request by request gives."""
    rate, each = load * COSTS.together, 1 / COSTS.together
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
    """The model has no step that hides a cost; beyond that, rounding makes a process more for each cluster at most."""
    once, twice = need(World(), COSTS), need(replace(World(), devices=2 * World().devices), COSTS)
    assert twice.cores == pytest.approx(2 * once.cores) and twice.memory_gb == pytest.approx(2 * once.memory_gb)
    assert twice.stored_tb == pytest.approx(2 * once.stored_tb) and abs(twice.clusters - 2 * once.clusters) <= 1
    assert abs(twice.processes - 2 * once.processes) <= 2 * twice.clusters


def test_what_the_model_counts_by_hand() -> None:
    """Spaces have memory and blocks have state; a process takes so many connections and no more."""
    world = World()
    found = need(world, COSTS)
    assert found.memory_gb == pytest.approx(3_000_000 * (50 + 3 * 13) / 1e6)
    assert found.stored_tb == pytest.approx(10e6 * 60 * 7 * (1_300 + BLOCK_BYTES) * 3 / 1e12)
    assert found.clusters == math.ceil(20_833.33 / 1_000 / 0.5)
    assert found.connections / (found.processes - found.clusters) <= PROCESS_CONNECTIONS
    # Where processors are short they make the processes.
    slow = need(world, replace(COSTS, append=0.02))
    assert slow.each == math.ceil(slow.cores / slow.clusters) + 1 > found.each


@pytest.mark.parametrize(("world", "costs"), [
    TINY, *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        (SMALL, COSTS),
        (replace(SMALL, followers=1.2, failing=2, spaces=5, stood=600), replace(COSTS, append=5e-4)),
        (replace(SMALL, entries_a_day=200, followers=6), replace(COSTS, cluster=3_000, deliver=1e-4))))])
@pytest.mark.usefixtures("shared")
def test_the_world_played_gives_what_the_model_says(world: World, costs: Costs) -> None:
    """Rates, processors, processes and waits are as near as the page says, and no wait is long at half load."""
    found = sides(world, costs, Random(7))
    assert [one for one in found if not one.holds] == []


@pytest.mark.parametrize(("wrong", "times"), [
    ("deliveries", 0.4), ("pings", 1.3), ("cores", 0.8), ("each", 2), ("cluster_wait", 0.5), ("relay_wait", 0.5)])
@pytest.mark.usefixtures("shared")
def test_a_wrong_model_parts_from_the_world_played(wrong: str, times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each number of the model is checked by some number of the play."""
    def bent(world: World, costs: Costs) -> capacity.Need:
        found = need(world, costs)
        return replace(found, **{wrong: times * getattr(found, wrong)})

    monkeypatch.setattr(scale, "need", bent)
    assert not all(one.holds for one in sides(*TINY, Random(7)))


def test_the_fewest_processes_are_as_many_as_the_rest_can_hold() -> None:
    """When so many are gone nobody is turned away; with one process fewer, somebody is."""
    for connections, room, failing, expected in ((1_000, 100, 1, 11), (1_001, 100, 1, 12), (1_000, 100, 3, 13)):
        assert fewest(connections, room, failing, Random(7)) == expected
        assert seat(connections, expected, room, failing, Random(8))[1] == 0
        assert seat(connections, expected - 1, room, failing, Random(8))[1] > 0


def test_silences_and_waits_at_their_ends() -> None:
    """Who hears always asks nothing, who hears nothing asks by the longest silence; half load waits half a turn."""
    assert pings(3_600, 10) < 1e-6
    assert pings(86_400, 0) == pytest.approx(1 / (240 * 0.95), rel=0.02)
    assert waiting([(500, 1e-3)]) == pytest.approx(0.5e-3)


def test_every_constant_is_a_figure() -> None:
    """What the model reads is measured with all else, with the entries and the spaces that the world has."""
    assert (World().entry_bytes, World().spaces) == (LONE_BYTES, SPACES)
    assert {figure.id for benchmark in cli.every() for figure in benchmark.figures} >= set(FIGURES)


def test_the_published_page_has_no_number_that_parts() -> None:
    """docs/scale.md was made by this model, and its simulations gave what it says."""
    text = (ROOT / "docs" / "scale.md").read_text()
    assert "## The model, and the world played" in text and PART not in text


@pytest.mark.slow
def test_the_page_tells_what_a_session_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each constant on the page is the results' own; one that is missing is named."""
    monkeypatch.setattr(scale, "World", lambda: replace(World(), devices=30_000))  # the page's own plays for a minute

    def figure(value: float, **peers: list[float]) -> Result:
        return Result(value, "", [value], {}, peers)

    values = {
        "relay.append": 23_456, "relay.append_lone": 12_345, "relay.append_cluster_lone": 2_987,
        "relay.append_cluster_lone_used": 198.7, "relay.append_cluster_nodes_used": 321,
        "relay.fanout_cluster_lone_used": 51.2, "relay.login_used": 765, "relay.idle_memory_tls": 49.7,
        "relay.followed_memory_cluster": 13.4, "relay.append_lone_used": 70}
    results = Results({"fdatasync_us": 165}, {}, {name: figure(value) for name, value in values.items()})
    results.figures["relay.append_lone_used"].peers["echo"] = [1, 18.5, 10**6]
    text = page(results)
    assert all(part in text for part in ("12,345/s", "2,987/s", "199 µs", "321 µs", "51.2 µs", "765 µs", "49.7 KB",
                                         "13.4 KB", "18.5 µs", "165 µs", f"{1e6 / 23_456:.1f} µs"))
    del results.figures["relay.login_used"]
    with pytest.raises(KeyError, match=r"relay\.login_used"):
        page(results)

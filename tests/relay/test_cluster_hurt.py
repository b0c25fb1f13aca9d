"""Nothing that happens to requests of a cluster loses or doubles what was acknowledged, or makes a quota drift.

The cluster is one in memory, whose faults are played; `test_cluster_faults.py` hurts a real one.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Final

import pytest

from chez_relay.fanout import Growth
from chez_relay.storage.jetstream import due, log, spaces, store
from chez_relay.storage.jetstream.news import LOOK_SECONDS
from chez_relay.storage.jetstream.store import JetStreamStorage
from tests.relay.hurt import FAULTS, Hurt, Skipping
from tests.relay.modelled import Fate, Modelled
from tests.relay.storing import SPACE, create, entry

REQUESTS: Final = 127
"""Of the script: something may happen to each."""

FOUND: Final = (("late", 87), ("leaderless", 99), ("lost after", 88), ("take", 42), ("begin_anew", 90),
                ("killed before", 110), ("cut off", 75), ("drop", 60))
"""A part of what is tried of one request. Some of these found a defect, or that a line was missing."""


def some(values: Sequence[int], slow: int, default: int = 0) -> list[Any]:
    """So many of them in the default run, so many in CI's slow one, spread over all; the rest is for who has the time.
    """
    marks = {**dict.fromkeys(values, pytest.mark.exhaustive), **dict.fromkeys(values[::len(values) // slow],
             pytest.mark.slow)}
    return [pytest.param(one, marks=() if one in values[:default] else marks[one]) for one in values]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a long log has: indexes, and more that is due than is removed at once."""
    monkeypatch.setattr(log, "INDEX_EVERY", 16)
    monkeypatch.setattr(spaces, "INDEX_EVERY", 16)
    monkeypatch.setattr(due, "SLICE_BYTES", 1000)


def run(number: int, act: Callable[[Hurt], Coroutine[Any, Any, Any]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """One run of a seed; what was asked and answered is told where it fails."""
    hurt = Hurt(number)
    monkeypatch.setattr(store, "dial", hurt.cluster.dial)
    with asyncio.Runner(loop_factory=Skipping) as runner:
        try:
            return runner.run(act(hurt))
        except AssertionError as error:
            error.add_note("\n".join(hurt.log))
            raise


@pytest.mark.parametrize("number", some(range(300), 30, 2))
def test_whatever_happens_to_many_requests_all_that_was_acknowledged_holds(
        number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Devices append, read, drop, rotate, delete, put and let go chunks, put and take items, at two relays at once."""
    run(number, lambda hurt: hurt.at_random(25), monkeypatch)


@pytest.mark.parametrize(("fault", "at"), FOUND)
def test_what_happened_once_to_a_request_happens_no_more(fault: str, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One fault of one request of a script, or what another relay does just before it arrives."""
    run(0, lambda hurt: hurt.step_by_step({at: fault}), monkeypatch)


@pytest.mark.parametrize("at", some(range(1, REQUESTS + 1), 20))
def test_whatever_happens_to_one_request_all_that_was_acknowledged_holds(
        at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each fault, and each operation of another relay, at any request of a script."""
    for fault in FAULTS:
        run(0, lambda hurt, fault=fault: hurt.step_by_step({at: fault}), monkeypatch)  # type: ignore[misc]


@pytest.mark.parametrize("number", some(range(300), 20))
def test_whatever_happens_to_two_requests_all_that_was_acknowledged_holds(
        number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one soon after: most are whoever tries again, or those of another relay that meets what is left."""
    random = Random(number)
    for _ in range(10):
        first = random.randint(1, REQUESTS)
        faults = {first: random.choice(FAULTS), first + random.randint(1, 12): random.choice(FAULTS)}
        run(number, lambda hurt, faults=faults: hurt.step_by_step(faults), monkeypatch)  # type: ignore[misc]


def test_the_script_has_as_many_requests_as_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few more or less are no matter; of a script that asks for much more a part would not be tried."""
    assert abs(run(0, lambda hurt: hurt.step_by_step({}), monkeypatch) - REQUESTS) < 10


def test_a_relay_that_is_asked_nothing_finds_that_its_node_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with another one: who only follows a space there is told of what is stored at other relays."""
    cluster = Modelled()
    cluster.fate = lambda client, _: Fate(leaderless=client.cut_off is not None)
    monkeypatch.setattr(store, "dial", cluster.dial)

    async def act() -> None:
        here, away = [await JetStreamStorage.open(cluster.urls, shards=1) for _ in range(2)]
        ends: asyncio.Queue[int] = asyncio.Queue()

        def grown(growth: Growth) -> None:
            for page in growth.spaces.values():
                ends.put_nowait(page.end)

        hearing = asyncio.create_task(here.hear(grown))
        here.follow(SPACE.handle)
        await away.perform([create(), entry(1)])
        assert await ends.get() == 1
        client: Any = here._client
        client.cut_off = cluster.former()
        await away.perform([entry(2)])
        async with asyncio.timeout(2 * LOOK_SECONDS):
            while await ends.get() != 2:
                pass
        hearing.cancel()
        for relay in (here, away):
            await relay.close()

    with asyncio.Runner(loop_factory=Skipping) as runner:
        runner.run(act())

"""What waits for its time leaves by itself while the home is open."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as sampled
from hypothesis import strategies as st

import chez
from chez.agent.reports import FILE_NAME
from chez.errors import StorageFailed
from chez_sandbox.consent import verbs
from chez_sandbox.consent.delivery import Delivery
from chez_sandbox.consent.sender import MOST, RETRY, pause, sender
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import bundle, grant
from tests.jobs.test_runs import run_once

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@sampled(st.integers(0, 3), st.none() | st.integers(-(10**6), 10**6))
def test_it_waits_for_what_comes_first(waiting: int, seconds: int | None) -> None:
    """A wait ends with the next message's time, or with the next attempt, and never takes longer than it may."""
    told = Delivery(0, waiting, "", 0, None if seconds is None else NOW + timedelta(seconds=seconds))
    wait = pause(told, NOW)
    if wait is None:
        assert not waiting and seconds is None
        return
    assert 0 <= wait <= MOST and (not waiting or wait <= RETRY)
    assert seconds is None or wait <= max(0, seconds)
    assert seconds is not None or wait == RETRY


async def settled() -> None:
    """Let whatever would go on at once do so."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_due_is_delivered_until_nothing_waits() -> None:
    """It delivers at the time, again while there is something to do, and then is quiet until it hears of more."""
    calls: list[int] = []
    done = asyncio.Event()
    answers = [Delivery(1, 0, "", 1, NOW), Delivery(1, 0, "", 0, None)]

    async def deliver() -> Delivery:
        calls.append(len(calls))
        if len(calls) % 2 == 0:
            done.set()
        return answers[(len(calls) - 1) % 2]

    async with sender(deliver, lambda: NOW) as end:
        for count in (2, 4):
            end.nudge(Delivery(0, 0, "", 1, NOW))
            await done.wait()
            done.clear()
            await settled()
            assert len(calls) == count


async def test_what_is_told_during_a_delivery_is_not_forgotten() -> None:
    """A message that came to wait while others were delivered is delivered at its time, too."""
    calls: list[int] = []
    done = asyncio.Event()

    async def deliver() -> Delivery:
        calls.append(1)
        if len(calls) == 1:
            end.nudge(Delivery(0, 0, "", 1, NOW))
        else:
            done.set()
        return Delivery(1, 0, "", 0, None)

    async with sender(deliver, lambda: NOW) as end:
        end.nudge(Delivery(0, 0, "", 1, NOW))
        await done.wait()
    assert len(calls) == 2


async def test_it_ends_when_it_hears_of_something_at_that_moment() -> None:
    """A home that is closed right after something came to wait is closed: the sending does not outlive it."""

    async def deliver() -> Delivery:
        raise StorageFailed("nothing is due")

    async def closed() -> None:
        async with sender(deliver, lambda: NOW) as end:
            await asyncio.sleep(0)
            end.nudge(Delivery(0, 1, "", 0, None))

    ended, _ = await asyncio.wait({asyncio.create_task(closed())}, timeout=20.0)
    assert ended


async def test_an_error_does_not_end_it() -> None:
    """After a delivery that failed, it goes on when it hears of something to send, and not before its time."""
    calls: list[int] = []
    came = asyncio.Event()

    async def deliver() -> Delivery:
        calls.append(1)
        came.set()
        raise StorageFailed("the disk is full")

    async with sender(deliver, lambda: NOW) as end:
        for count in (1, 2):
            end.nudge(Delivery(0, 0, "", 1, NOW))
            await came.wait()
            came.clear()
            await settled()
            assert len(calls) == count


async def test_every_delivery_of_the_owner_is_followed_by_the_next(home: chez.Home) -> None:
    """The owner of a home has one sender, which the verbs tell of what waits, and which ends with the home."""
    await verbs.job_send(home, {}, Person(""))
    await verbs.job_send(home, {}, Person(""))
    assert sum("_send" in repr(task.get_coro()) for task in asyncio.all_tasks()) == 1


async def test_what_nobody_foresaw_ends_neither_the_sending_nor_the_home(
    home: chez.Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of a kind that nothing expects is written down: the home goes on to send what is due later, looks for
    turns, and closes as ever."""
    given, came = await grant(home, bundle(), slots="at-once"), asyncio.Event()

    async def put(*_: Any) -> None:
        came.set()
        raise ZeroDivisionError("nobody foresaw this")

    monkeypatch.setattr("chez.inboxes.put", put)
    monkeypatch.setattr("chez_sandbox.consent.sender.RETRY", 0.01)
    await run_once(home, given.grant.id, INSTANT)
    async with verbs.at_work(home):
        for _ in range(3):
            came.clear()
            await came.wait()
    assert "ZeroDivisionError" in (home.path / FILE_NAME).read_text()

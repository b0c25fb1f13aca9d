"""Waits hear of their own cancellation, and tell what came of what they waited for."""

import asyncio

import pytest

from chez.tasks import finished, happened, stop


async def late(*, last: Exception | None = None) -> Exception | None:
    """A task that takes its time to end, raises in the end or gives an error as its result."""
    try:
        await asyncio.sleep(600)
    finally:
        await asyncio.sleep(0)
        if last is not None:
            raise last
    return None


async def begun(**how: Exception) -> asyncio.Task[Exception | None]:
    """Such a task, that runs."""
    task = asyncio.create_task(late(**how))
    await asyncio.sleep(0)
    return task


async def test_who_ends_a_task_hears_of_its_own_end() -> None:
    """The task is ended all the same."""
    task = await begun()
    waiting = asyncio.create_task(stop(task))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert task.cancelled()


async def test_what_a_task_raised_is_raised_and_what_it_gave_is_not() -> None:
    """An error as a result is a result."""
    with pytest.raises(ValueError, match="unforeseen"):
        await stop(await begun(last=ValueError("unforeseen")))
    done: asyncio.Task[Exception] = asyncio.create_task(asyncio.sleep(0, ValueError("a result")))
    await done
    await stop(done)
    await stop(await begun())


async def test_an_end_that_comes_with_the_event_is_heard() -> None:
    """In one turn of the loop both come; without, the event is told, or that it did not come."""
    event = asyncio.Event()
    assert not await happened(event, 0.001)
    waiting = asyncio.create_task(happened(event, 600))
    await asyncio.sleep(0)
    event.set()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await happened(event, None)


async def test_who_gives_up_what_has_to_be_finished_hears_of_it_at_its_end() -> None:
    """Also where he gives up twice; what the work gave or raised is no matter then, and it hears that nobody waits."""
    for last in (None, ValueError("late")):
        go_on, told = asyncio.Event(), list[str]()

        async def work(go_on: asyncio.Event = go_on, last: Exception | None = last) -> str:
            await go_on.wait()
            if last is not None:
                raise last
            return "done"

        waiting = asyncio.create_task(finished(work(), lambda told=told: told.append("unwanted")))
        for _ in range(2):
            await asyncio.sleep(0)
            waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done() and told == ["unwanted"] * 2
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_what_is_finished_gives_what_it_gave() -> None:
    """Its result, or its error."""
    assert await finished(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="unforeseen"):
        await finished(late_error())


async def late_error() -> None:
    """A task that fails."""
    await asyncio.sleep(0)
    raise ValueError("unforeseen")

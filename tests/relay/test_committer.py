"""Groups follow each other without a pause: the storage has the next one before the last one's answers are told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from chez_relay.committer import Committer
from chez_relay.storage import Expire, Expired, Request, Result
from chez_relay.storage.memory import MemoryStorage
from tests.relay.support import seed


class Watched(MemoryStorage):
    """Says when it begins with a group, and ends it when it may."""

    def __init__(self, events: list[str]) -> None:
        super().__init__(seed("incarnation"))
        self.events = events
        self.may = asyncio.Semaphore(0)

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`, in its own time."""
        self.events.append(f"began {len(requests)}")
        await self.may.acquire()
        return [Expired(False)] * len(requests)


@asynccontextmanager
async def running(committer: Committer) -> AsyncIterator[None]:
    """Groups are performed meanwhile."""
    task = asyncio.create_task(committer.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def telling(events: list[str], name: str) -> Callable[[Result], None]:
    return lambda _: events.append(name)


async def test_the_next_group_begins_before_the_last_one_is_answered() -> None:
    """In order all the same; and idle is who has answered everybody."""
    events: list[str] = []
    storage = Watched(events)
    committer = Committer(storage, lambda _: events.append("grown"))
    async with running(committer):
        committer.submit(Expire(), telling(events, "first"))
        await asyncio.sleep(0)
        for name in ("second", "third"):
            committer.submit(Expire(), telling(events, name))
        storage.may.release()
        idle = asyncio.create_task(committer.idle())
        while events[-1] != "grown":  # noqa: ASYNC110 (nothing announces it)
            await asyncio.sleep(0)
        assert events == ["began 1", "began 2", "first", "grown"] and not idle.done()
        storage.may.release()
        await idle
        assert events[4:] == ["second", "third", "grown"]


async def test_an_answer_that_fails_concerns_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """The others of its group are answered, and what comes after it; the log names no more than the kind."""
    events: list[str] = []
    storage = Watched(events)
    committer = Committer(storage, lambda _: events.append("grown"))

    def failing(_: Result) -> None:
        raise ValueError("a secret")

    async with running(committer):
        committer.submit(Expire(), failing)
        committer.submit(Expire(), telling(events, "other"))
        storage.may.release()
        await committer.idle()
        committer.submit(Expire(), telling(events, "later"))
        storage.may.release()
        await committer.idle()
    assert events == ["began 2", "other", "grown", "began 1", "later", "grown"]
    assert "ValueError" in caplog.text and "secret" not in caplog.text

"""Answers of one group: what goes wrong with one of them concerns nobody else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from chez_relay.committer import Committer
from chez_relay.storage import Expire, Expired, Request, Result
from chez_relay.storage.memory import MemoryStorage
from tests.relay.support import seed


class Watched(MemoryStorage):
    """Says when it begins with a group."""

    def __init__(self, events: list[str]) -> None:
        super().__init__(seed("incarnation"))
        self.events = events

    async def perform(self, requests: Sequence[Request]) -> list[Result]:
        """As `Storage.perform`."""
        self.events.append(f"began {len(requests)}")
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


async def test_an_answer_that_fails_concerns_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    """The others of its group are answered, and what comes after it; the log names no more than the kind."""
    events: list[str] = []
    committer = Committer(Watched(events), lambda _: events.append("grown"))

    def failing(_: Result) -> None:
        raise ValueError("a secret")

    async with running(committer):
        committer.submit(Expire(), failing)
        committer.submit(Expire(), telling(events, "other"))
        await committer.idle()
        committer.submit(Expire(), telling(events, "later"))
        await committer.idle()
    assert events == ["began 2", "other", "grown", "began 1", "later", "grown"]
    assert "ValueError" in caplog.text and "secret" not in caplog.text

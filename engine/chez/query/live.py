"""Live answers: what is asked is asked again after each commit that touched it.

The first answer comes at once; then one only when it differs from the last. Commits that
come while the reader is busy with an answer are one commit to it, and the last state is
never missed: news is waited for only after a look that began later than the news before.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, TypeVar

__all__ = ("Following", "live")

A = TypeVar("A")


class Following(Protocol):
    """Somebody who is told of commits (`chez.records.news.Follower`)."""

    async def news(self) -> bool:
        """Wait for news since the last call; False when there will be none."""


async def live(ask: Callable[[], Awaitable[A]], follower: Following) -> AsyncIterator[A]:
    """The answer to `ask` now, and again whenever it has changed; ends when the home closes."""
    last = await ask()
    yield last
    while await follower.news():
        answer = await ask()
        if answer != last:
            last = answer
            yield answer

"""Acknowledging results as they come: in batches, so that neither relay nor followers learn when each one came.

A sink of results (`following.Sink`) that keeps nothing: which messages are acknowledged is in the catalogue, so a start
begins with all of the book, and what stands there already is left out by whoever composes the batches.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chez.errors import ChezError
from chez_sandbox.offers.acknowledged import BATCH, token_of
from chez_sandbox.provider.results import BEGINNING, ResultBook

__all__ = ("AT_ONCE", "Acknowledging", "token_in")

AT_ONCE: Final = 64 * BATCH
"""Messages that are acknowledged in one call."""

SECONDS: Final = 3600.0
"""How long a message waits at most for others to be acknowledged with it."""

AGAIN: Final = 60.0
"""Seconds after which it is tried again, when that failed."""


def token_in(line: Mapping[str, Any]) -> bytes | None:
    """The token of a line of the book; None for what is no message of a grant."""
    if line.get("outcome") not in ("result", "none") or not isinstance(line.get("id"), str):
        return None
    return token_of(bytes.fromhex(line["id"]))


class Acknowledging:
    """A sink of results; see `Sink`.

    `tell` acknowledges by tokens, in a thread, leaving out those that are acknowledged already; `clock` counts seconds.
    What `tell` raises at the start, or the end, ends the taking; between, `said` hears it and it is tried again.
    """

    def __init__(
        self,
        book: ResultBook,
        tell: Callable[[Sequence[bytes]], None],
        said: Callable[[ChezError], None],
        clock: Callable[[], float],
    ) -> None:
        self._book = book
        self._tell = tell
        self._said = said
        self._clock = clock
        self._begun = self._failed = False
        self._place = BEGINNING
        self._waiting: list[bytes] = []
        self._when: float | None = None

    async def take(self) -> None:
        """Note what the book has more, and acknowledge what is due."""
        for line in self._book.lines(self._place):
            self._place = line.end
            if (token := token_in(line.value)) is not None:
                self._waiting.append(token)
        if not self._begun:
            await self._flush()
            self._begun = True
        if self._waiting and self._when is None:
            self._when = self._clock() + SECONDS
        if self.due() == 0.0 or (len(self._waiting) >= BATCH and not self._failed):
            try:
                await self._flush()
            except ChezError as error:
                self._said(error)
                self._failed, self._when = True, self._clock() + AGAIN

    def due(self) -> float | None:
        """Seconds until something has waited long enough."""
        return None if self._when is None else max(0.0, self._when - self._clock())

    async def close(self) -> None:
        """Acknowledge what waits."""
        await self._flush()

    async def _flush(self) -> None:
        while some := self._waiting[:AT_ONCE]:
            await asyncio.to_thread(self._tell, some)
            del self._waiting[: len(some)]
        self._failed, self._when = False, None

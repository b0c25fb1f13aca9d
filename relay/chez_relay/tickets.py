"""What one connection asked its storage for, and what becomes of each result."""

from collections.abc import Callable

from chez_relay.effects import Ask, Effect
from chez_relay.storage import Request, Result

__all__ = ("Then", "Tickets")

Then = Callable[[Result], list[Effect]]


class Tickets:
    """Requests under way, each under a number of its own."""

    __slots__ = ("_asked", "_last")

    def __init__(self) -> None:
        self._last = 0
        self._asked: dict[int, Then] = {}

    def ask(self, request: Request, then: Then, *, push: bool = False) -> Ask:
        """Ask for something; `then` makes its result into effects."""
        self._last += 1
        self._asked[self._last] = then
        return Ask(self._last, request, push)

    def take(self, ask: Ask) -> Then | None:
        """What was to become of this request's result; None for one that nobody waits for."""
        return self._asked.pop(ask.ticket, None)

    def forget(self) -> None:
        """Nobody waits for anything any more."""
        self._asked.clear()

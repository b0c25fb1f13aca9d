"""Fair turns: of those who wait, each gets as much as the others, however much one asks for.

Deficit round robin in which who had nothing waiting comes first (RFC 8290, section 4, of flows of packets). So whoever
asks for one thing now and then waits for next to nothing of what others pile up, and where nobody else waits nobody is
held up: it is no limit of how often. What something costs may be known only once it is done, and is owed then.
"""

from collections import deque
from typing import Generic, TypeVar

from chez_relay.bounds import QUANTUM

__all__ = ("Turns",)

T = TypeVar("T")


class _Flow(Generic[T]):
    """What waits of one who asked, and how many bytes more this turn has."""

    __slots__ = ("credit", "items", "who")

    def __init__(self, who: object) -> None:
        self.who = who
        self.items: deque[tuple[T, int, int]] = deque()
        self.credit = QUANTUM


class Turns(Generic[T]):
    """What waits, by who asked for it; what one asked for keeps its order."""

    def __init__(self) -> None:
        self._count = 0
        self._flows: dict[object, _Flow[T]] = {}
        self._new: deque[_Flow[T]] = deque()
        self._old: deque[_Flow[T]] = deque()

    def __len__(self) -> int:
        """How much waits."""
        return self._count

    def put(self, who: object, item: T, weight: int, price: int | None = None) -> None:
        """Have `item` wait, which weighs so many bytes; its turn is charged a price, the same if none is given."""
        flow = self._flows.get(who)
        if flow is None:
            flow = self._flows[who] = _Flow(who)
            self._new.append(flow)
        flow.items.append((item, weight, weight if price is None else price))
        self._count += 1

    def owe(self, who: object, price: int) -> None:
        """What was taken out for one of them cost so much beside its price. Where nothing waits nobody owes it."""
        if price <= 0 or not self._count:
            return
        flow = self._flows.get(who)
        if flow is None:
            flow = self._flows[who] = _Flow(who)
            self._old.append(flow)
        flow.credit -= price

    def take(self, most: int, size: int) -> list[T]:
        """Take out what is next: so many at most, until they weigh so many bytes."""
        taken: list[T] = []
        while self._count and len(taken) < most and size > 0:
            flow = self._turn()
            while flow.items and flow.credit > 0 and len(taken) < most and size > 0:
                item, weight, price = flow.items.popleft()
                taken.append(item)
                flow.credit -= price
                size -= weight
                self._count -= 1
        if not self._count:
            for former in (self._flows, self._new, self._old):
                former.clear()
        return taken

    def _turn(self) -> _Flow[T]:
        """Whose turn it is: it has credit, and something waits."""
        passed = 0
        while True:
            queue = self._new or self._old
            flow = queue[0]
            if flow.items and flow.credit > 0:
                return flow
            queue.popleft()
            if owes := flow.credit <= 0:
                flow.credit += QUANTUM
            if owes or flow.items or queue is self._new:  # who asks anew each time would always be new, and come first
                self._old.append(flow)
            else:
                del self._flows[flow.who]
            passed += 1
            if passed > len(self._flows):
                self._pass_over()
                passed = 0

    def _pass_over(self) -> None:
        """All who wait owe something: as many turns at once as it takes until one of them has credit in the next."""
        turns = max(0, -max(flow.credit for flow in self._old if flow.items) // QUANTUM)
        for flow in self._old:
            flow.credit += turns * QUANTUM

"""Counters: whole numbers to which several devices may add at once.

A PN-counter (Shapiro, Preguiça, Baquero, Zawirski, "A comprehensive study of convergent
and commutative replicated data types", INRIA RR-7506, 2011): each device keeps the sum
of what it added in a part of its own, and the counter is the sum of the parts. How the
parts are kept in a document is in `records/reserved.py`.
"""

from typing import Any, Final

from chez.errors import InvalidValue, Misuse
from chez.records.text import Pen

__all__ = ("Counter", "bounded")

_MIN: Final = -(2**63)
_MAX: Final = 2**63 - 1


def bounded(total: int) -> int:
    """A sum of parts as it shows: the nearest number of 64 bits."""
    return min(max(total, _MIN), _MAX)


class Counter:
    """A number that is added to: `Room(visits=chez.Counter())`, `draft.visits.add(1)`.

    What two devices add at once is summed. It reads like an int (`int(counter)`,
    `counter.value`, `==`, `+`). In a draft it can be added to; elsewhere that raises
    `Misuse`. A plain whole number put in its place adds the difference.
    """

    __slots__ = ("_pen", "_value")

    def __init__(self, value: int = 0, *, pen: Pen | None = None) -> None:
        self._value = _whole(value, 0)
        self._pen = pen

    def opened(self, pen: Pen) -> "Counter":
        """The same counter as a draft has it."""
        return Counter(self._value, pen=pen)

    @property
    def value(self) -> int:
        """The number."""
        return self._value

    def add(self, amount: int = 1) -> None:
        """Add a whole number, negative to take away.

        Raises `InvalidValue` if the sum does not fit 64 bits, `Misuse` outside a draft.
        """
        if self._pen is None or self._pen.lifted:
            raise Misuse("a counter is added to inside a draft", "async with rooms.edit(id) as draft: ...")
        self._value = _whole(self._value, amount)

    def __iadd__(self, amount: int) -> "Counter":
        self.add(amount)
        return self

    def __isub__(self, amount: int) -> "Counter":
        self.add(-amount)
        return self

    def __int__(self) -> int:
        return self._value

    __index__ = __int__

    def __add__(self, other: int) -> int:
        return self._value + int(other)

    __radd__ = __add__

    def __repr__(self) -> str:
        return f"Counter({self._value})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Counter):
            return self._value == other._value
        return self._value == other if isinstance(other, int) else NotImplemented

    def __hash__(self) -> int:
        if self._pen is not None:
            raise TypeError("a counter in a draft changes, so it has no hash")
        return hash(self._value)

    def __deepcopy__(self, memo: Any) -> "Counter":
        return Counter(self._value)


def _whole(value: int, amount: int) -> int:
    if type(value) is not int or type(amount) is not int:
        raise InvalidValue("a counter counts in whole numbers")
    if not _MIN <= value + amount <= _MAX:
        raise InvalidValue(f"the counter would be {value + amount}, which does not fit 64 bits")
    return value + amount

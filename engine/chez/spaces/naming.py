"""Which of very many heads a statement or an entry names: it has room for 64, and some are there to crowd others out.

Whoever belongs to a space, or is a device of a person, can say any number of things that build on
nothing later, each of them a head. What is left out of the heads is unknown to whoever judges
what names them: it would be as if the author had never been let in. So each person has its
turn, and each device in what is said of a person.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from chez.spaces.dag import Dag
from chez.spaces.statements import MAX_HEADS, PersonBody
from chez.spaces.view import View

__all__ = ("in_turns", "of_persons", "resting_on")

T = TypeVar("T")


def of_persons(dag: Dag, view: View, numbers: Iterable[int]) -> list[int]:
    """As many as may be named, each person's in turn, members' first; of each what builds on most."""
    def whose(number: int) -> tuple[bool, bytes]:
        statement = dag.statements[number]
        if isinstance(statement.body, PersonBody):
            person = statement.body.person
        else:
            person = min(view.persons_of(statement.issuer), default=b"")
        return view.role(person) is None, person

    return in_turns(dag, numbers, whose)


def resting_on(dag: Dag, view: View, numbers: Sequence[int], devices: Iterable[bytes]) -> list[int]:
    """As many as may be named of what is said of a person, those first that know these devices; then each issuer's in
    turn.
    """
    first: list[int] = []
    for device in devices:
        known = view.certificates(device)
        knowing = [number for number in numbers if dag.closure_of([number]) & known]
        if knowing and not set(knowing) & set(first):
            first.append(max(knowing, key=lambda number: _weight(dag, number)))
    rest = [number for number in numbers if number not in first]
    return [*first, *in_turns(dag, rest, lambda number: dag.statements[number].issuer)][:MAX_HEADS]


def in_turns(dag: Dag, numbers: Iterable[int], whose: Callable[[int], T]) -> list[int]:
    """As many as may be named, of each group in turn what builds on most; the groups in the order of what they are."""
    groups: dict[T, list[int]] = {}
    for number in sorted(numbers, key=lambda number: _weight(dag, number), reverse=True):
        groups.setdefault(whose(number), []).append(number)
    queues = [groups[key] for key in sorted(groups)]  # type: ignore[type-var]
    chosen: list[int] = []
    for turn in range(max(map(len, queues), default=0)):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
        if len(chosen) >= MAX_HEADS:
            break
    return chosen[:MAX_HEADS]


def _weight(dag: Dag, number: int) -> tuple[int, bytes]:
    return dag.past(number).bit_count(), dag.statements[number].hash

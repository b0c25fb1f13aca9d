"""When a run's message leaves: at fixed times, which follow from its grant and from when the run began.

A message that left when its run ended would tell how long the run took, and a job could
take as long as it likes: some hundred different lengths are six bits more. So it waits for
a *slot*: a fixed time of every hour (or day), drawn when the grant was given, before the run
is known, for each grant alone. And the slot is chosen when the run is debited, late enough for
the longest run there may be: result, failure, refusal and a person's "no" leave at one time. Of runs that a device
begins by itself one after the other each counts as begun when those before it had their longest (`pace`).

Residual: an answer to "show me first" that takes longer than `ANSWER` leaves by the first slot
after it, which tells that there was something to answer; and a device that is off or without
network sends when it is back.

There is no clock here: times are arguments, in whole Unix milliseconds, as receipts have them.
"""

from types import MappingProxyType
from typing import Final, Literal

import msgspec

from chez.crypto import derive

__all__ = ("ANSWER", "MARGIN", "STEPS", "Plan", "Slots", "leaves_at", "make_plan", "slot_after")

Slots = Literal["at-once", "hour", "day"]

STEPS: Final = MappingProxyType({"at-once": 0, "hour": 3600, "day": 86_400})
"""Seconds from one slot to the next; at once there are none."""

MARGIN: Final = 60
"""Seconds that a run may take besides what its manifest lets the code take: to start, to check the result."""

ANSWER: Final = 600
"""Seconds in which a person who is shown a result first may answer, and nobody sees how long it took."""


class Plan(msgspec.Struct, frozen=True):
    """When a run's message leaves; in the run's receipt, which is written before the code runs.

    `step` and `offset` say the slots, `wait` how long after its beginning a run's message may leave; in seconds.
    """

    step: int
    offset: int
    wait: int


def make_plan(slots: Slots, seed: bytes, *, seconds: float, asked: bool, hold_hours: int) -> Plan:
    """The plan of a grant's run.

    `seed` is the grant's, which only the person's devices know: the slots follow from it. `seconds` is the longest the
    code may run, `asked` whether the person is shown the result first, `hold_hours` how long it is held.
    """
    step = STEPS[slots]
    if not step and not hold_hours:
        return Plan(0, 0, 0)
    offset = int.from_bytes(derive(seed, "chez/1 release slots"), "big") % step if step else 0
    return Plan(step, offset, -int(-seconds // 1) + MARGIN + (ANSWER if asked else 0) + hold_hours * 3600)


def slot_after(moment: int, step: int, offset: int) -> int:
    """The first slot at or after a moment, all in one unit; with a step of 0 the moment itself."""
    return -((offset - moment) // step) * step + offset if step else moment


def leaves_at(plan: Plan, begun: int, made: int) -> int:
    """When a message leaves whose run began then, and which was made then.

    The second does not matter for a run that ended in time: the slot is the one after the longest run.
    """
    return slot_after(max(begun + plan.wait * 1000, made), plan.step * 1000, plan.offset * 1000)

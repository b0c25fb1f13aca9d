"""Ends a process at its n-th call to the system, as a power cut would."""

import os
from typing import Any

__all__ = ("DIED", "die_at")

DIED = 9


def die_at(number: int, when: str, calls: tuple[str, ...]) -> None:
    """From now on the n-th call of these functions of `os` is the last: the process ends "before" or "after" it."""
    left = [number]
    for name in calls:
        _dying(name, left, when)


def _dying(name: str, left: list[int], when: str) -> None:
    true: Any = getattr(os, name)

    def call(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            os._exit(DIED)
        result = true(*arguments, **options)
        if left[0] == 0:
            os._exit(DIED)
        return result

    setattr(os, name, call)

"""What bodies did, and what was measured of them."""

from datetime import datetime
from typing import ClassVar

import msgspec

__all__ = ("Measurement", "Workout")


class Measurement(msgspec.Struct, kw_only=True):
    """One thing measured of a body, at one instant or over some time.

    FHIR R5 `Observation` <https://hl7.org/fhir/R5/observation.html>; units are UCUM, as there.
    """

    __collection__: ClassVar[str] = "measurements"
    __identity__: ClassVar[tuple[str, ...]] = ("source", "kind", "start", "end")
    __version__: ClassVar[int] = 1

    source: str
    """The device or app that measured, as it calls itself."""
    kind: str
    """"heart_rate", "body_mass", "steps", "sleep", ...: the name in lower case with underscores."""
    start: datetime
    """When it began, UTC."""
    end: datetime
    """When it ended, UTC; `start` for an instant."""
    value: float | None = None
    """How much, in `unit`; None for what has no number."""
    unit: str = ""
    """UCUM code: "/min", "kg", "kcal", "1" for counts; the source's own where UCUM has none."""
    text: str = ""
    """What was found, when it is no number: a stage of sleep."""
    code: str = ""
    """LOINC code where one is known ("8867-4" is a heart rate)."""
    offset: int | None = None
    """How far the clock of the wall was ahead of UTC at `start`, in minutes."""


class Workout(msgspec.Struct, kw_only=True):
    """A stretch of exercise.

    <https://schema.org/ExerciseAction>.
    """

    __collection__: ClassVar[str] = "workouts"
    __identity__: ClassVar[tuple[str, ...]] = ("source", "kind", "start")
    __version__: ClassVar[int] = 1

    source: str
    """The device or app that recorded it, as it calls itself."""
    kind: str
    """"running", "cycling", "swimming", ..., lower case."""
    start: datetime
    """When it began, UTC."""
    end: datetime
    """When it ended, UTC."""
    seconds: float | None = None
    """Time of exercise in seconds, pauses left out."""
    metres: float | None = None
    """Way in metres."""
    kilocalories: float | None = None
    """Energy spent in kcal."""
    trip: str = ""
    """The `reference` of its trip, when it has a track."""
    offset: int | None = None
    """How far the clock of the wall was ahead of UTC at `start`, in minutes."""

"""`chez job doctor`: which walls stand, in plain words, and whether jobs run here at all."""

from typing import Any

import pytest

import chez
from chez_sandbox.consent import at_work, verbs
from chez_sandbox.consent.told import doctor_words
from chez_sandbox.runtime import walls
from chez_sandbox.runtime.host import Runtime
from tests.jobs.test_flow import Person, same_runtime

__all__ = ("same_runtime",)


async def test_the_walls_are_told_in_plain_words(home: chez.Home, same_runtime: None) -> None:
    """Each wall that stands is told with what it does; on this system none is missing, and jobs run."""
    found = await verbs.job_doctor(home, {}, Person(""))
    assert (set(found["walls"]), found["missing"], found["refuses"]) == (set(walls.ALL), [], [])
    words = "\n".join(doctor_words(found, "en"))
    assert "stands    component: for a job there are no files" in words and "MISSING" not in words
    assert all(f"stands    {wall}: " in words for wall in walls.ALL)


async def test_a_missing_wall_is_told_with_what_follows(
    home: chez.Home, same_runtime: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a required wall does not stand it is said that no job runs; where another one is missing, which."""

    async def weak(runtime: Runtime) -> tuple[str, ...]:
        return (walls.RLIMITS, walls.NO_NEW_PRIVS)

    monkeypatch.setattr(verbs, "doctor", weak)
    found = await verbs.job_doctor(home, {}, Person(""))
    assert (found["missing"], found["refuses"]) == (
        [walls.SECCOMP, walls.LANDLOCK, walls.DUMPABLE], [walls.SECCOMP])  # fmt: skip
    words = doctor_words(found, "fr")
    assert "Aucune tâche ne tourne ici : seccomp doit tenir sur ce système." in words
    assert any(line.startswith("MANQUE    landlock") for line in words)


async def test_a_home_requires_its_walls(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox of a home is made with the policy: without these walls it runs nothing."""
    made: dict[str, Any] = {}

    class Noted(Runtime):
        def __init__(self, *given: Any, **options: Any) -> None:
            made.update(options)
            super().__init__(*given, **options)

    monkeypatch.setattr(at_work, "Runtime", Noted)
    await at_work.runtime_of(home)
    assert made["required"] == walls.REQUIRED == {walls.RLIMITS, walls.SECCOMP}

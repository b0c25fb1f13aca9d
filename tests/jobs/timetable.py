"""A home whose jobs have a schedule: what it runs at a moment that a test names."""

from datetime import datetime
from typing import Any

import chez
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.scheduler import Look, look
from chez_sandbox.runtime.host import Runtime
from tests.jobs.samples import MEAN, READS, SIGNING, manifest_text
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_grants import grant

EVENING = datetime(2026, 11, 24, 18)
"""Of the day of the sample grants; whatever their jitter is."""

DAY = READS.replace("last = 365", "last = 1")
ON_DATE = DAY.replace('"latest"', '"run-date"')


def scheduled(schedule: str, *, catch_up: str = "last", reads: str = DAY, version: int = 1) -> Bundle:
    """The sample job, with a schedule, over the last day."""
    text = manifest_text(reads=reads, version=version).decode()
    more = f'schedule = "{schedule}"\ncatch_up = "{catch_up}"\nretention_days'
    return build_bundle(text.replace("retention_days", more, 1).encode(), MEAN, "python", SIGNING)


async def instant() -> Runtime:
    """A runtime that runs nothing."""
    made: Runtime = INSTANT
    return made


async def looked(home: chez.Home, now: datetime = EVENING, known: Any = ()) -> Look:
    """One look of the device at a time."""
    return await look(home, instant, now, known)


async def runs(home: chez.Home) -> list[tuple[str, Any]]:
    """The day and the window of every run, in order."""
    return [(one.body["date"], one.body["windows"][0]) for one in await home.journal.receipts("run")]


async def row(home: chez.Home, day: int, watts: int = 100) -> None:
    """One more reading, at noon of a day of November."""
    await home.collection("readings").put(
        {"flow": "consumption", "local": f"2026-11-{day:02d}T12:00", "seconds": 1800, "watts": watts}
    )


async def allow(home: chez.Home, job: Bundle, number: int = 1, **options: Any) -> Granted:
    """Grant a job whose results may leave unseen."""
    return await grant(home, job, number, **({"review": "within-the-grant"} | options))

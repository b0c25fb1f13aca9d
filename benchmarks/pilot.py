"""pilot.2000: what each person of the pilot in a box costs, from an empty folder to a result at a service.

All 2,000 take a quarter of an hour and 6 GB, so they are played when asked for: `CHEZ_PILOT_PEOPLE=2000 python -m
benchmarks pilot.2000`, once. Without, there are 24 people. `pilot.2000.people` tells of how many people the others are.
"""

import os
import shutil
from datetime import date
from typing import Final

from examples.pilot.plan import Places, Plan, open_plan
from examples.pilot.report import check, figures
from examples.pilot.story import Told, play

from benchmarks.harness import Bench, Benchmark, Figure, Runs
from benchmarks.jobs import code_folder
from benchmarks.processes import free_port

__all__ = ("benchmarks",)

USUAL: Final = 24
"""People of one run: enough that processes, which are started once, weigh little."""

PEOPLE: Final = int(os.environ.get("CHEZ_PILOT_PEOPLE", USUAL))

WORKERS: Final = 2

_WHAT: Final = "of each person of `python -m examples.pilot`, of as many as `pilot.2000.people` says"


def benchmarks() -> tuple[Benchmark, ...]:
    """The figures of this theme."""
    return (Benchmark((
        Figure("pilot.2000", "s", "less", f"Seconds {_WHAT}; {WORKERS} processes play their devices. A home, "
               "four deposit addresses, the city's data; what four organisations deposit (some 1,600 records), "
               "taken; one's own trips; a job granted, run in the sandbox, its result sent. Keys from passphrases at "
               "the least cost."),
        Figure("pilot.2000.bytes", "KB", "less", f"Bytes both ways to and from the relay in that, {_WHAT}; the "
               "organisations' deposits included."),
        Figure("pilot.2000.people", "people", "more", "How many people `pilot.2000` and `pilot.2000.bytes` are of: "
               f"with `CHEZ_PILOT_PEOPLE=2000` all of them, once, else {USUAL}. One in ten has two devices."),
    ), _measured, once=PEOPLE != USUAL),)


async def _measured(bench: Bench) -> dict[str, Runs]:
    await code_folder(bench)  # builds the sandbox's Python, where that was not done
    seconds, size, people = Runs(), Runs(), Runs()
    for _ in range(bench.runs if PEOPLE == USUAL else 1):
        places = Places(bench.folder("pilot"))
        plan = open_plan(places, Plan(PEOPLE, 1, date.today(), free_port(), free_port()))
        outcome = await play(places, plan, WORKERS, Told(lambda _: None, lambda *_: None))
        check(outcome)
        cost = figures(outcome)
        seconds.add(cost["seconds"])
        size.add(cost["wire"] / 1e3)
        people.add(PEOPLE)
        shutil.rmtree(places.folder)
    return {"pilot.2000": seconds, "pilot.2000.bytes": size, "pilot.2000.people": people}

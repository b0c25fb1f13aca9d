"""A manifest with one noised value of each statistic, and one whose job also says something itself."""

from datetime import date
from typing import Any

import chez
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.consent.run import Departure, authorise
from chez_sandbox.runtime.host import Outcome, RunResult
from tests.jobs.samples import READS, SIGNING, manifest_text
from tests.jobs.test_grants import TODAY

WINDOWED = READS.replace('until = "latest"', 'until = "run-date"').replace('"watts"]', '"watts", "rate"]')

COUNT = '[[measurements]]\nkey = "rows"\nstatistic = "count"\ncollection = "readings"\nepsilon = 0.5\n'
BOUNDED = 'collection = "readings"\nfield = "watts"\nepsilon = 0.5\nlower = 0\nupper = 1000\nstep = 10\n'
FIVE = (
    COUNT
    + "".join(f'\n[[measurements]]\nkey = "{kind}"\nstatistic = "{kind}"\n{BOUNDED}' for kind in ("sum", "mean"))
    + f'\n[[measurements]]\nkey = "median"\nstatistic = "quantile"\nat = 0.5\n{BOUNDED}'
    + '\n[[measurements]]\nkey = "rates"\nstatistic = "histogram"\ncollection = "readings"\nfield = "rate"\n'
    'categories = ["low", "high"]\nepsilon = 0.5\n'
)
NUMBER = '{{ type = "integer", minimum = 0, maximum = {most}, multipleOf = {step} }}'
RATES = '{ type = "array", minItems = 2, maxItems = 2, items = { type = "integer", minimum = 0, maximum = 1000 } }'


def number(most: int, step: int = 1) -> str:
    """The schema of a whole number, as TOML."""
    return NUMBER.format(most=most, step=step)


def rest(measurements: str = FIVE, epsilon: str = "epsilon = 5.0", own: str = "") -> str:
    """The manifest from [result] on; `own` is what the job hands out itself."""
    keys = {"rows": number(1000), "sum": number(100_000, 10), "mean": number(1000, 10), "median": number(1000, 10),
            "rates": RATES}  # fmt: skip
    result = "".join(f"{key} = {kind}\n" for key, kind in keys.items() if f'key = "{key}"' in measurements)
    table = f'\n[result]\ntype = "object"\n\n[result.properties]\n{result}{own}\n'
    return f"{table}\n{measurements}\n[budget]\nruns = 100\nbits = 10000\n{epsilon}\n"


def noised_manifest(*, reads: str = WINDOWED, version: int = 1, job: str = "noised", rest: str = rest()) -> bytes:
    """A whole valid manifest; any part can be replaced."""
    return manifest_text(job=job, version=version, reads=reads, rest=rest)


class Instant:
    """A runtime that runs nothing: the job hands out this text at once."""

    def __init__(self, value: bytes = b'{"ok":true}') -> None:
        self.value, self.runs = value, 0

    async def runtime_hash(self) -> str:
        """No runtime's."""
        return "00" * 32

    async def run_python(self, *_: Any, **__: Any) -> RunResult:
        """The same text."""
        self.runs += 1
        return RunResult(Outcome.OK, self.value, 0, "", "00" * 32, ())


def noised(code: bytes = b"def run(data, params):\n    data.fail()\n", **parts: Any) -> Bundle:
    """A signed bundle whose result is noised."""
    return build_bundle(noised_manifest(**parts), code, "python", SIGNING)


async def run_once(home: chez.Home, id: str, runtime: Any, *, today: date = TODAY, decline: bool = False,
                   ceilings: Ceilings | None = None) -> Departure:  # fmt: skip
    """One granted run, released or declined."""
    async with authorise(home, id, today, ceilings) as run:
        execution = await run.execute(runtime)
        return await (run.decline() if decline else run.release(execution))

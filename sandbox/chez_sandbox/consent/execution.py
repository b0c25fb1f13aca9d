"""One execution of a job's code on the granted rows: sandbox, rounding, schema check, noised values.

Shared by dry runs and granted runs. What comes back never leaves by itself. Where every value of the result is
noised there is nothing for the job to say, and its code does not run.
"""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.catalogue import PHRASES, Phrase
from chez_sandbox.consent.scope import too_few_rows
from chez_sandbox.job_errors import ResultRefused
from chez_sandbox.manifest import Manifest
from chez_sandbox.privacy.drawing import Noise, made_up
from chez_sandbox.privacy.helper import SECONDS
from chez_sandbox.privacy.merging import merge
from chez_sandbox.release.schema import Admitted
from chez_sandbox.runtime.host import Limits, Outcome, RunResult, Runtime, Table

__all__ = ("Execution", "execute", "limits_of", "longest_of")


class Execution(msgspec.Struct, frozen=True):
    """How a job ended on this device.

    `admitted` is the result that may leave, or None; `problem` says in words why there is
    none (a `Phrase`, or empty). `run` holds fuel and the log, which stay here.
    """

    admitted: Admitted | None
    problem: str
    run: RunResult


def limits_of(bundle: Bundle) -> Limits:
    """The runtime's limits for a job, from its manifest."""
    asked = bundle.manifest.limits
    return Limits(fuel=asked.fuel, memory=asked.memory_mib << 20, seconds=asked.seconds, output=asked.output_bytes)


def longest_of(manifest: Manifest) -> float:
    """Seconds that a job's code may take, and before it the values that are noised."""
    return manifest.limits.seconds + (SECONDS if manifest.measurements else 0)


async def execute(
    runtime: Runtime,
    bundle: Bundle,
    tables: Sequence[Table],
    seed: bytes,
    run_date: str,
    on_progress: Callable[[int, int], None] | None = None,
    noise: Noise = made_up,
) -> Execution:
    """Run a job in the sandbox and check what it hands out; whatever the job does is an Execution.

    With fewer rows than its manifest asks for it does not run, and ends as a job that gave up. The values
    that are noised are the host's: `noise` gives them, before the job begins and whatever comes of it. Unless
    said otherwise they are an example, for which no row was looked at. Raises what `noise` does.
    """
    # A draw is kept, which a relay sees: done only for jobs that give a result, it would tell which do.
    drawn = await noise(bundle.manifest, tables) if bundle.manifest.measurements else {}
    if why := too_few_rows(bundle.manifest, tables):
        return Execution(None, why, RunResult(Outcome.FAILED, None, 0, "", "", (), "not-enough-data"))
    own = bundle.manifest.own_schema
    if own is None:
        return Execution(merge(bundle.manifest, {}, drawn), "", RunResult(Outcome.OK, b"{}", 0, "", "", ()))
    limits, parameters = limits_of(bundle), bundle.manifest.parameters_json
    if bundle.kind == "python":
        run = await runtime.run_python(
            bundle.code.decode(), parameters, tables, limits, seed, run_date, on_progress=on_progress
        )
    else:
        run = await runtime.run_component(
            bundle.code, parameters, tables, limits, seed, run_date, on_progress=on_progress
        )
    if run.outcome is not Outcome.OK or run.value is None:
        return Execution(None, _why(run), run)
    try:
        # A second for a megabyte of numbers, which the event loop does not have.
        admitted = await asyncio.to_thread(own.admit, run.value)
    except ResultRefused as refusal:
        return Execution(None, Phrase("gave-up.result", problem=refusal.message), run)
    if drawn and isinstance(admitted.value, dict):
        admitted = await asyncio.to_thread(merge, bundle.manifest, admitted.value, drawn)
    return Execution(admitted, "", run)


def _why(run: RunResult) -> Phrase:
    if run.outcome is Outcome.FAILED:
        # The word comes from the worker, which the job may have taken over.
        known = f"gave-up.{run.code}"
        return Phrase(known if known in PHRASES else "gave-up.internal")
    return Phrase(f"gave-up.{run.outcome}")
